/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h - the log of items of a store. Only store.c uses it.
 *
 * The log is a ring. A new item is written at the head; space becomes free at the tail:
 *
 *          tail                                          head
 *           v                                             v
 *     ......[item][dead][item][item]....[dead][item][item]...........
 *      gap                                                   gap
 *
 * To free space, the item at the tail is examined. If it is dead (deleted or replaced), expired or
 * flushed, the tail passes it. If it was read or written since the tail passed it last, it is moved
 * to the head. So is every live item while less than three quarters of the log are alive, because
 * the space of the dead ones suffices then. Any other item is evicted. That is second chance, or
 * CLOCK, over a log: there are no size classes, so no memory is bound to a size that nobody asks
 * for any more. Moving needs no reserve: it takes from the gap at the head what it adds to it at
 * the tail.
 *
 * Work is bounded: making room for n bytes moves or passes at most 8n + 4096 bytes of items; after
 * that even an item that was used is evicted. What a call doesn't need of this budget is kept for
 * later calls (store.credit), up to the size of the largest item, and is for moving items of over
 * 4096 bytes alone. While less than three quarters are alive, items are moved ahead of time, so
 * that 3/16 of the log stay free.
 */
#ifndef UDPKV_LOG_H
#define UDPKV_LOG_H

#include "apps/udpkv/store_data.h"

static inline uint32_t log_ref(size_t offset)
{
    return (uint32_t)(offset / STORE_LOG_UNIT);
}

static inline struct item *log_item(const struct store *store, uint32_t ref)
{
    return (struct item *)(store->log + (size_t)ref * STORE_LOG_UNIT);
}

static inline size_t log_offset(const struct store *store, const struct item *item)
{
    return (size_t)((const uint8_t *)item - store->log);
}

/* Bytes of the log that an item takes. */
static inline size_t log_footprint(uint32_t key_len, uint32_t value_len)
{
    return ALIGN_UP(sizeof(struct item) + key_len + (size_t)value_len, STORE_LOG_UNIT);
}

/* Was it there when a flush came? All that lies in the log then is flushed, and nothing gets in
 * between it later: what is written or moved goes to the head, and what is written in its place
 * wasn't flushed. So the place tells, and ids may be any. log_in_flushed is for when something
 * flushed may be left. */
bool log_in_flushed(const struct store *store, const struct item *item);

static inline bool log_flushed(const struct store *store, const struct item *item)
{
    return unlikely(store->fresh_bytes < store->used_bytes) && log_in_flushed(store, item);
}

static inline bool log_expired(const struct store *store, const struct item *item)
{
    return item->expire_s != 0 && item->expire_s <= store->now_s;
}

/* Is it expired or flushed? It is in the index still, but clients don't get it any more. */
bool log_stale(const struct store *store, const struct item *item);

/* Returns room for an item of `len` bytes (a footprint) at the head, in one piece, which there
 * always is: other items are moved and evicted for it, so earlier pointers to items are invalid
 * afterwards. The caller fills in the item at once. */
struct item *log_append(struct store *store, size_t len);

/* Counts an item whose fields and key are set. */
void log_born(struct store *store, const struct item *item);

/* Marks an item that was removed from the index as dead, and counts it as gone. */
void log_kill(struct store *store, struct item *item);

#endif
