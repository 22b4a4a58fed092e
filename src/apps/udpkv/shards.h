/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shards.h - the store over cores: a number of stores, the shards. A hash says which shard has a
 * key; each has a memory, an index, a log and a lock of its own.
 *
 * One core has one shard, and never takes the lock. Several cores have some sixteen shards each, so
 * that two of them seldom want the same one, and any core serves any key: it enters the key's
 * shard, does all that belongs together for this key, and leaves. A core is in one shard at a time,
 * and waits for nobody while it is in one.
 *
 * struct shards is how one core sees them: every core has a copy of its own.
 *
 *     time   A shard's clock is set by whoever enters it, if his is ahead.
 *     ids    (cas) are given like Lamport's clocks: who enters brings the highest id that his core
 *            has seen, and takes the shard's along when he leaves. So the ids of a key grow,
 *            nothing is shared for it but the shard, and what one core alone is asked gets the ids
 *            that one store would give.
 */
#ifndef UDPKV_SHARDS_H
#define UDPKV_SHARDS_H

#include "apps/udpkv/store.h"

enum {
    SHARDS_PER_CORE = 16,
    SHARDS_MAX = 256, /* a hash has 8 bits for it, between those of tag and bucket */
    /* Less memory makes fewer shards: in one of this size a value may be as long as an answer. */
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

/* Makes the shards for so many cores in zeroed memory, aligned to a cache line; its limits and the
 * seed are store_create's. *shards is the first core's, for others to copy before they begin. */
void shards_create(struct shards *shards, void *memory, size_t len_bytes, uint32_t cores,
                   uint64_t seed);

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

/* The shard of a key. To be entered before anything but store.h's prefetch hints is done to it: for
 * those it doesn't matter what another core is changing. */
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
