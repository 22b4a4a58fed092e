/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_data.h - what a store is made of: the items, the log in which they lie, the index that
 * finds them, and what is counted. log.c and store.c work on it. Calls go one way: store.c calls
 * log.c and index.c, and log.c calls index.c.
 */
#ifndef UDPKV_STORE_DATA_H
#define UDPKV_STORE_DATA_H

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
    uint32_t referenced : 1; /* used since the log's tail passed it last */
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

struct store_stats {
    uint64_t items, bytes; /* alive now; bytes with header and rounding */
    uint64_t total_items;  /* stored since the start */
    uint64_t evictions;    /* alive, but removed for their space or their slot */
    uint64_t reclaimed;    /* expired or flushed, and removed for their space or their slot */
    uint64_t get_expired, get_flushed; /* removed as a lookup, of any command, found them so */
    uint64_t moved_bytes;              /* from tail to head */
    uint64_t touched;                  /* items examined at the tail */
};

struct store {
    /* Set once, but for the index's list of free overflow buckets. The prefetch hints read only
     * this line of the store, which other cores seldom write to. */
    uint8_t *log;
    size_t log_bytes;
    size_t max_value;
    uint64_t seed;
    struct index index;
    /* Written while requests are served. A lookup needs only the first of these lines. */
    uint32_t lock __attribute__((aligned(CACHE_LINE))); /* of shards.h */
    uint32_t now_s;
    uint32_t flush_at_s; /* a flush to come; 0: none */
    uint64_t last_cas;   /* the id given last, but for those that clients choose */
    size_t head, tail;   /* offsets into the log, both less than log_bytes */
    size_t used_bytes;   /* from tail to head, dead ones and pads included */
    size_t fresh_bytes;  /* put at the head since the last flush; what lies behind is flushed */
    size_t pinned;       /* offset of an item that must not be evicted now, or SIZE_MAX */
    size_t credit;       /* bytes of large items that may still be moved: see log.h */
    struct store_stats stats;
};

/* The hash of a key, of 56 bits. */
static inline uint64_t store_hash(const struct store *store, const uint8_t *bytes, uint32_t len)
{
    return hash_bytes(bytes, len, store->seed) >> 8;
}

static inline const uint8_t *item_key(const struct item *item)
{
    return item->bytes;
}

static inline uint8_t *item_value(struct item *item)
{
    return item->bytes + item->key_len;
}

#endif
