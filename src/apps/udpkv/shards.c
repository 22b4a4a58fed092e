/* SPDX-License-Identifier: BSD-2-Clause */
/* shards.c - the store over cores; see shards.h. */
#include "apps/udpkv/shards.h"

RUNS_SELDOM void shards_create(struct shards *shards, void *memory, size_t len_bytes,
                               uint32_t cores, uint64_t seed)
{
    uint32_t count = 1;

    while (cores > 1 && 2 * count <= MIN(SHARDS_PER_CORE * cores, (uint32_t)SHARDS_MAX) &&
           len_bytes / (2 * count) >= SHARDS_MIN_BYTES)
        count *= 2;
    *shards = (struct shards){.first = memory,
                              .shard_bytes = ALIGN_DOWN(len_bytes / count, (size_t)CACHE_LINE),
                              .mask = count - 1,
                              .locked = cores > 1};
    for (uint32_t n = 0; n < count; n++)
        store_create(shards_nth(shards, n), shards->shard_bytes, seed);
}

RUNS_SELDOM void shards_limit_values(struct shards *shards, size_t max_bytes)
{
    for (uint32_t n = 0; n <= shards->mask; n++) {
        struct store *store = shards_nth(shards, n);
        store->max_value = MIN(store->max_value, max_bytes);
    }
}

/* A core keeps the lock for one command and one key, which mostly takes some hundred cycles. A core
 * that waits only reads until the lock is free, as an attempt to take it would move the cache line
 * away from the core that has the lock. */
void shards_lock(const struct shards *shards, struct store *store)
{
    while (__atomic_exchange_n(&store->lock, 1, __ATOMIC_ACQUIRE))
        while (__atomic_load_n(&store->lock, __ATOMIC_RELAXED))
            __builtin_ia32_pause();
    if (shards->now_s > store->now_s)
        store_tick(store, shards->now_s);
    if (shards->last_cas > store->last_cas)
        store->last_cas = shards->last_cas;
}

/* The release lets the core that takes the lock next see all that was done to the shard. */
void shards_unlock(struct shards *shards, struct store *store)
{
    shards->last_cas = store->last_cas;
    store_release(&store->lock, 0);
}

static void enter_shard(const struct shards *shards, struct store *store)
{
    if (shards->locked)
        shards_lock(shards, store);
}

static void leave_shard(struct shards *shards, struct store *store)
{
    if (shards->locked)
        shards_unlock(shards, store);
}

/* A flush takes one id, however many shards there are: the core's highest id is set back before
 * each. */
static RUNS_SELDOM void flush_each(struct shards *shards,
                                   void (*one)(struct store *store, uint32_t at_s), uint32_t at_s)
{
    const uint64_t before = shards->last_cas;
    uint64_t last = before;

    for (uint32_t n = 0; n <= shards->mask; n++) {
        struct store *store = shards_nth(shards, n);
        shards->last_cas = before;
        enter_shard(shards, store);
        one(store, at_s);
        leave_shard(shards, store);
        last = MAX(last, shards->last_cas);
    }
    shards->last_cas = last;
}

static RUNS_SELDOM void flush_one_now(struct store *store, uint32_t at_s)
{
    (void)at_s;
    store_flush(store);
}

RUNS_SELDOM void shards_flush(struct shards *shards)
{
    flush_each(shards, flush_one_now, 0);
}

RUNS_SELDOM void shards_flush_at(struct shards *shards, uint32_t at_s)
{
    flush_each(shards, store_flush_at, at_s);
}

RUNS_SELDOM void shards_sum(struct shards *shards, struct shards_sum *sum)
{
    *sum = (struct shards_sum){0};
    for (uint32_t n = 0; n <= shards->mask; n++) {
        struct store *store = shards_nth(shards, n);
        enter_shard(shards, store);
        sum->stats.items += store->stats.items;
        sum->stats.bytes += store->stats.bytes;
        sum->stats.total_items += store->stats.total_items;
        sum->stats.evictions += store->stats.evictions;
        sum->stats.reclaimed += store->stats.reclaimed;
        sum->stats.get_expired += store->stats.get_expired;
        sum->stats.get_flushed += store->stats.get_flushed;
        sum->stats.moved_bytes += store->stats.moved_bytes;
        sum->stats.touched += store->stats.touched;
        sum->log_bytes += store->log_bytes;
        sum->used_bytes += store->used_bytes;
        leave_shard(shards, store);
    }
}

RUNS_SELDOM void shards_reset_stats(struct shards *shards)
{
    for (uint32_t n = 0; n <= shards->mask; n++) {
        struct store *store = shards_nth(shards, n);
        enter_shard(shards, store);
        store->stats =
            (struct store_stats){.items = store->stats.items, .bytes = store->stats.bytes};
        leave_shard(shards, store);
    }
}
