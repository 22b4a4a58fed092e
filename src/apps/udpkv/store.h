/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store.h - the items of udpkv: what a client can do with them. A store is a hash index (index.h)
 * over one log of items (log.h), in one block of memory.
 *
 * Overhead: an item takes 24 bytes and its key and value, rounded up to 8; its slot in the index
 * 6.4 bytes. One eighth of the memory is index, which has slots for items of 64 bytes and more;
 * with smaller ones the index is full before the log is, and items are evicted for their slots.
 * A value that takes as many bytes of the log as the one it replaces, rounded up, is written in its
 * place, and the log's ends stay where they are.
 *
 * Nothing is allocated after store_create. A store is used by one core at a time (shards.h sees to
 * it), but for the prefetch hints. The caller sets the time, in seconds since 1970 (store_tick). A
 * pointer to an item is good until the next call that writes.
 */
#ifndef UDPKV_STORE_H
#define UDPKV_STORE_H

#include "apps/udpkv/store_data.h"

enum store_mode { STORE_SET, STORE_ADD, STORE_REPLACE, STORE_APPEND, STORE_PREPEND, STORE_CAS };

enum store_result {
    STORE_OK,
    STORE_NOT_STORED, /* add: there; replace, append, prepend: not there */
    STORE_EXISTS,     /* cas, or append and prepend with one: changed since */
    STORE_NOT_FOUND,
    STORE_TOO_LARGE,  /* the value, or what append and prepend would make of it */
    STORE_NOT_NUMBER, /* incr, decr: the value is no number of 64 bits */
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
    bool stale_cas; /* STORE_CAS: an older id will do, too, and makes the item stale */
    bool binary;    /* the key came in base64 */
};

/* Makes a store in `len` bytes of zeroed memory, aligned to a cache line. From STORE_MIN_BYTES to
 * STORE_MAX_BYTES. `seed` should be unguessable. */
struct store *store_create(void *memory, size_t len_bytes, uint64_t seed);

/* Sets the time; does a flush that is due. Once a burst. */
void store_tick(struct store *store, uint32_t now_s);

/*
 * The cache misses of many requests can be waited for side by side: take the hashes of all keys,
 * prefetch all buckets, then all items, then the rest of long ones, then run the requests. These
 * are hints: they change nothing, and what the store does in between may make them useless. Another
 * core may change a bucket while a ref is read here; even an outdated ref is a place in the log.
 */
static inline void store_prefetch_bucket(const struct store *store, uint64_t hash)
{
    __builtin_prefetch(index_home(&store->index, hash));
}

/* For when the bucket has come to the cache. Returns the place of the item that the key may have,
 * for the next one; if there is none then some other place in the log. */
static inline const struct item *store_prefetch_item(const struct store *store, uint64_t hash)
{
    struct index_walk walk = index_walk(&store->index, hash);

    const uint32_t ref = walk.bucket->refs[__builtin_ctz(walk.fits | 1u << (INDEX_SLOTS - 1))];
    const uint8_t *item = store->log + (size_t)ref * STORE_LOG_UNIT;
    __builtin_prefetch(item);
    __builtin_prefetch(item + CACHE_LINE);
    return (const struct item *)item;
}

/* For when the item's first lines have come: prefetches the others, as many as a request or an
 * answer of one datagram fills. What lies there may be another item by now, or part of one. */
static inline void store_prefetch_rest(const struct item *item)
{
    const uint8_t *start = (const uint8_t *)item;
    const uint32_t len = MIN(item->value_len, 1400u);

    for (uint32_t at = 2 * CACHE_LINE; at < len + CACHE_LINE; at += CACHE_LINE)
        __builtin_prefetch(start + at);
}

/* The item with this key, or NULL. store_find counts as a use, store_peek doesn't. */
struct item *store_find(struct store *store, struct store_key key);
struct item *store_peek(struct store *store, struct store_key key);

/* Marks an item as used now. */
static inline void store_use(const struct store *store, struct item *item)
{
    const uint32_t used_s = store->now_s & STORE_USED_MASK;

    /* An item that is used often isn't written to each time, so its cache line needn't go back to
     * memory, and other cores may have copies of it. */
    if (item->referenced && item->fetched && item->used_s == used_s)
        return;
    item->referenced = 1;
    item->fetched = 1;
    item->used_s = used_s;
}

/* Marks an item as stale, with a new id, so that the next client that asks may write it anew. */
void store_invalidate(struct store *store, struct item *item);

/* Stores a value in one of the ways of store_mode. If the value is over the limit then STORE_SET
 * deletes the item: a client that failed to change it must not read the old value. */
enum store_result store_put(struct store *store, enum store_mode mode, struct store_key key,
                            const struct store_value *value);

bool store_delete(struct store *store, struct store_key key);

/* Bytes of memory that an item takes, without its slot in the index. */
size_t store_item_bytes(const struct item *item);

/* Adds to, or subtracts from, an item whose value is a decimal number. Adding wraps at 64 bits,
 * subtracting stops at 0. A result shorter than the value is padded with spaces to its length. */
enum store_result store_add(struct store *store, struct store_key key, uint64_t delta, bool down,
                            uint64_t *result);

/* Deletes all items: now, or at a later moment, which replaces the moment of an earlier call. A
 * moment that is past deletes nothing, as in memcached. */
void store_flush(struct store *store);
void store_flush_at(struct store *store, uint32_t at_s);

#endif
