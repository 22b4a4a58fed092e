/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store.h - the items of udpkv: a hash index over one log of items, in one block of memory.
 *
 * The log is a ring. An item is written at the head; space comes back at the tail:
 *
 *          tail                                          head
 *           v                                             v
 *     ......[item][dead][item][item]....[dead][item][item]...........
 *      gap                                                   gap
 *
 * The item at the tail is skipped if it is dead (deleted, replaced, expired, flushed). It slides on
 * to the head if it was read or written since the tail passed it last, or if less than three
 * quarters of the log are alive, because then dead items further on can give way instead. Otherwise
 * it is evicted. That is second chance, or CLOCK, over a log: no size classes, so no memory is
 * stuck in the wrong one. Sliding needs no reserve: the gap moves, it doesn't shrink.
 *
 * Work is bounded: making room for n bytes moves or skips at most 8n + 4096 bytes of items; after
 * that even an item that was used is evicted. What a call leaves of that is saved, up to the size
 * of the largest item, and spent only on moving items of over 4096 bytes. While less than three
 * quarters are alive, items are moved ahead of time, so that 3/16 of the log stay free. A
 * value that keeps its footprint is overwritten in place and doesn't touch the log's ends.
 *
 * Overhead: an item takes 24 bytes and its key and value, rounded up to 8; its slot in the index
 * 6.4 bytes. One eighth of the memory is index, which serves items of 64 bytes and more at a time;
 * with smaller ones the index is full first and items are evicted for their slot.
 *
 * Nothing is allocated after store_create. One core at a time (shards.h sees to it), but for the
 * prefetch hints. Time comes from the caller (store_tick): seconds since 1970. A pointer to an item
 * is good until the next call that writes.
 */
#ifndef UDPKV_STORE_H
#define UDPKV_STORE_H

#include "apps/udpkv/hash.h"
#include "apps/udpkv/index.h"
#include "boot/lib.h"

#define STORE_MIN_BYTES (256u << 10)
#define STORE_MAX_BYTES (32ull << 30)
#define STORE_MAX_KEY   250
#define STORE_MAX_VALUE (1u << 20) /* less in a store of under 19 MiB: a sixteenth of its log */
#define STORE_USED_MASK 0xffffffu  /* of item.used_s: 194 days */
#define STORE_LOG_UNIT  8u         /* items start at multiples of it; a ref counts units */
#define STORE_SLACK     64u /* readable bytes behind the last item, for copies in large steps */
#define STORE_EXPIRED   1u  /* a moment long past: expires an item at once */

enum store_state {
    STORE_LIVE = 1, /* in the index */
    STORE_DEAD,
    STORE_PAD, /* filler at the end of the ring; value_len is all it has */
};

struct item {
    uint32_t value_len : 24; /* of a pad: bytes of the pad, this header included */
    uint32_t key_len : 8;
    uint32_t state : 2;      /* enum store_state */
    uint32_t referenced : 1; /* used since the tail passed it last */
    uint32_t fetched : 1;    /* used since it was written */
    uint32_t stale : 1;      /* a client said that it has to be written anew */
    uint32_t won : 1;        /* a client was told that it is the one to write it anew */
    uint32_t binary : 1;     /* its key was written in base64, and is shown so */
    uint32_t spare : 1;
    uint32_t used_s : 24; /* when it was written or used last: the time's low bits */
    uint32_t flags;       /* the client's own */
    uint32_t expire_s;    /* 0: never */
    uint64_t cas;
    uint8_t bytes[]; /* key, then value */
};

_Static_assert(sizeof(struct item) == 24, "the item header is the overhead the README tells");
_Static_assert(2 * STORE_MAX_VALUE < 1u << 24,
               "an item, or a pad for one, has a length of 24 bits");

enum store_mode { STORE_SET, STORE_ADD, STORE_REPLACE, STORE_APPEND, STORE_PREPEND, STORE_CAS };

enum store_result {
    STORE_OK,
    STORE_NOT_STORED, /* add: there; replace, append, prepend: not there, or would be too large */
    STORE_EXISTS,     /* cas, or append and prepend with one: changed since */
    STORE_NOT_FOUND,
    STORE_TOO_LARGE,
    STORE_NOT_NUMBER, /* incr, decr: the value is no number of 64 bits */
};

struct store_stats {
    uint64_t items, bytes; /* alive now; bytes with header and rounding */
    uint64_t total_items;  /* stored since the start */
    uint64_t evictions;    /* alive, but gave way to others */
    uint64_t expired;      /* found expired or flushed, in a lookup, at the tail, or for its slot */
    uint64_t moved_bytes;  /* slid from tail to head */
    uint64_t touched;      /* items looked at at the tail: work */
};

struct store {
    /* What stays, but for the index's overflow buckets now and then: the prefetch hints read no
     * other line of it, so they wait for no other core. */
    uint8_t *log;
    size_t log_bytes;
    size_t max_value;
    uint64_t seed;
    struct index index;
    /* What changes. A lookup gets along with the first of these lines. */
    uint32_t lock __attribute__((aligned(CACHE_LINE))); /* shards.h's */
    uint32_t now_s;
    uint32_t flush_at_s; /* a flush to come; 0: none */
    uint64_t flush_cas;  /* items up to this one are flushed */
    uint64_t last_cas;   /* given to the item written last */
    size_t head, tail;   /* offsets into the log, both less than log_bytes */
    size_t used_bytes;   /* from tail to head, dead ones and pads included */
    size_t pinned;       /* offset of an item that must not be evicted now, or SIZE_MAX */
    size_t credit;       /* bytes that large items may still be moved, see above */
    struct store_stats stats;
};

struct store_key {
    const uint8_t *bytes;
    uint64_t len : 8;   /* 1 to STORE_MAX_KEY */
    uint64_t hash : 56; /* store_hash of these bytes */
};

_Static_assert(sizeof(struct store_key) == 16, "a key is passed in two registers");

struct store_value {
    const uint8_t *bytes;
    uint32_t len;
    uint32_t flags;
    uint32_t expire_s;
    uint64_t cas;   /* the id that the item must have; append, prepend: 0 is any, others: unused */
    bool stale_cas; /* STORE_CAS: takes an older id, too, and marks the item as stale then */
    bool binary;    /* the key came in base64 */
};

/* Makes a store in `len` bytes of zeroed memory, aligned to a cache line. From STORE_MIN_BYTES to
 * STORE_MAX_BYTES. `seed` should be unguessable. */
struct store *store_create(void *memory, size_t len_bytes, uint64_t seed);

/* Sets the time; does a flush that is due. Once a burst. */
void store_tick(struct store *store, uint32_t now_s);

/* The hash of a key, 56 bits, for struct store_key. */
static inline uint64_t store_hash(const struct store *store, const uint8_t *bytes, uint32_t len)
{
    return hash_bytes(bytes, len, store->seed) >> 8;
}

/*
 * Cache misses of many requests can wait for memory side by side: take the hashes of all keys, then
 * ask for all buckets, then for all items, then run the requests. These are hints: they change
 * nothing, and what the store does in between may make them useless. So another core may change a
 * bucket while its ref is read here: whichever it is, it was once a place in the log.
 */
static inline void store_prefetch_bucket(const struct store *store, uint64_t hash)
{
    __builtin_prefetch(index_home(&store->index, hash));
}

/* Its bucket is there by now. */
static inline void store_prefetch_item(const struct store *store, uint64_t hash)
{
    struct index_walk walk = index_walk(&store->index, hash);

    if (unlikely(walk.fits == 0))
        return;
    const uint32_t ref = *index_next(&store->index, &walk);
    const uint8_t *item = store->log + (size_t)ref * STORE_LOG_UNIT;
    __builtin_prefetch(item);
    __builtin_prefetch(item + CACHE_LINE);
}

/* The item with this key, or NULL. store_find counts as a use, store_peek doesn't. */
struct item *store_find(struct store *store, struct store_key key);
struct item *store_peek(struct store *store, struct store_key key);

/* Marks an item as used now. */
static inline void store_use(const struct store *store, struct item *item)
{
    const uint32_t used_s = store->now_s & STORE_USED_MASK;

    /* An item that is used all the time is left alone: its cache line stays as it is in memory. */
    if (item->referenced && item->fetched && item->used_s == used_s)
        return;
    item->referenced = 1;
    item->fetched = 1;
    item->used_s = used_s;
}

/* Marks an item as stale, with a new id, so that the next client that asks may write it anew. */
void store_invalidate(struct store *store, struct item *item);

/* Stores a value in one of the ways of store_mode. A value over the limit leaves no item behind
 * under STORE_SET: a client that failed to change it must not read the old one. */
enum store_result store_put(struct store *store, enum store_mode mode, struct store_key key,
                            const struct store_value *value);

bool store_delete(struct store *store, struct store_key key);

/* Bytes of memory that an item takes, without its slot in the index. */
size_t store_item_bytes(const struct item *item);

/* Adds to, or takes from, an item whose value is a decimal number. Adding wraps at 64 bits, taking
 * stops at 0. A result shorter than the value leaves its length and pads with spaces behind. */
enum store_result store_add(struct store *store, struct store_key key, uint64_t delta, bool down,
                            uint64_t *result);

/* Forgets every item: now, or at a later moment, in place of a flush that was to come. A moment
 * that is past forgets nothing, as with memcached. */
void store_flush(struct store *store);
void store_flush_at(struct store *store, uint32_t at_s);

static inline const uint8_t *item_key(const struct item *item)
{
    return item->bytes;
}

static inline uint8_t *item_value(struct item *item)
{
    return item->bytes + item->key_len;
}

#endif
