/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shards.h - the store over cores: a number of stores, the shards. A hash says which shard has a
 * key; each has a memory, an index, a log and a lock of its own.
 *
 * With one core there is one shard, and its lock is never taken. With several there are up to
 * sixteen shards a core, so that two cores seldom want the same one. Any core serves any key: it
 * enters the key's shard, which takes the lock, does all that a command does to this key, and
 * leaves the shard. A core is in one shard at a time, and doesn't wait for anything while it is in
 * it.
 *
 * struct shards is how one core sees them: every core has a copy of its own.
 *
 *     time   A core that enters a shard sets the shard's clock if the core's own is ahead.
 *     ids    (cas) are given like Lamport's clocks: a core and a shard each know the highest id
 *            that they have seen. When the core enters the shard, the shard takes over the core's
 *            id if that is higher; when the core leaves, it takes over the shard's. So the ids of
 *            a key grow, though cores share no counter, and if all requests come to one core then
 *            the ids are those that a single store would give.
 */
#ifndef UDPKV_SHARDS_H
#define UDPKV_SHARDS_H

#include "apps/udpkv/store.h"

enum {
    SHARDS_PER_CORE = 16,
    SHARDS_MAX = 256, /* a hash has 8 bits for it, between those of tag and bucket */
    /* Of several shards none is smaller: in one of this size a value may be as long as the longest
     * answer. */
    SHARDS_MIN_BYTES = 2 << 20,
};

struct shards {
    struct store *first;
    size_t shard_bytes; /* from one to the next */
    uint32_t mask;      /* how many there are, less 1: they are a power of two */
    bool locked;        /* there are several cores */
    uint32_t now_s;     /* this core's time */
    uint64_t last_cas;  /* the highest id that this core has seen */
};

/* What all shards hold together. */
struct shards_sum {
    struct store_stats stats;
    size_t log_bytes, used_bytes;
};

/* Makes the shards for so many cores in zeroed memory, aligned to a cache line; the limits of its
 * size and the seed are as for store_create. *shards is core 0's; the other cores' are copies of
 * it, made before it is used. */
void shards_create(struct shards *shards, void *memory, size_t len_bytes, uint32_t cores,
                   uint64_t seed);

/* Values may be so long at most, or as long as store_create found. Before there are any. */
void shards_limit_values(struct shards *shards, size_t max_bytes);

/* Sets this core's time. Once a burst. */
static inline void shards_tick(struct shards *shards, uint32_t now_s)
{
    shards->now_s = now_s;
    if (likely(!shards->locked))
        store_tick(shards->first, now_s);
}

/* The hash of a key, for struct store_key. */
static inline uint64_t shards_hash(const struct shards *shards, const uint8_t *bytes, uint32_t len)
{
    return store_hash(shards->first, bytes, len);
}

static inline struct store *shards_nth(const struct shards *shards, uint32_t n)
{
    return (struct store *)((uintptr_t)shards->first + n * shards->shard_bytes);
}

/* The shard of a key. It has to be entered before anything is done to it, but for store.h's
 * prefetch hints, which do no harm while another core changes the shard. */
static inline struct store *shards_of(const struct shards *shards, uint64_t hash)
{
    if (likely(!shards->locked))
        return shards->first;
    return shards_nth(shards, (uint32_t)(hash >> 16) & shards->mask);
}

/* Enters a shard; leaves it. For shards that are `locked`. */
void shards_lock(const struct shards *shards, struct store *store);
void shards_unlock(struct shards *shards, struct store *store);

/* store_flush and store_flush_at on every shard, one after the other. */
void shards_flush(struct shards *shards);
void shards_flush_at(struct shards *shards, uint32_t at_s);

/* Sums up all shards; sets their counters of events to 0. */
void shards_sum(struct shards *shards, struct shards_sum *sum);
void shards_reset_stats(struct shards *shards);

#endif
