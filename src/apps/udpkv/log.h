/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h - the log of items behind store.h: room at the head, second chance at the tail.
 * Only store.c uses it.
 */
#ifndef UDPKV_LOG_H
#define UDPKV_LOG_H

#include "apps/udpkv/store.h"

#define LOG_UNIT STORE_LOG_UNIT

static inline uint32_t log_ref(size_t offset)
{
    return (uint32_t)(offset / LOG_UNIT);
}

static inline struct item *log_item(const struct store *store, uint32_t ref)
{
    return (struct item *)(store->log + (size_t)ref * LOG_UNIT);
}

static inline size_t log_offset(const struct store *store, const struct item *item)
{
    return (size_t)((const uint8_t *)item - store->log);
}

/* Bytes of the log that an item takes. */
static inline size_t log_footprint(uint32_t key_len, uint32_t value_len)
{
    return ALIGN_UP(sizeof(struct item) + key_len + (size_t)value_len, LOG_UNIT);
}

/* Expired or flushed: in the index still, but gone for clients. */
static inline bool log_stale(const struct store *store, const struct item *item)
{
    return (item->expire_s != 0 && item->expire_s <= store->now_s) || item->cas <= store->flush_cas;
}

/* Room for an item of `len` bytes (a footprint) at the head, in one piece. Moves and evicts others:
 * pointers to items are void afterwards. Always succeeds. The caller fills in the item at once. */
struct item *log_append(struct store *store, size_t len);

/* Counts an item that is complete now; or one that is dead now, and already out of the index. */
void log_born(struct store *store, const struct item *item);
void log_kill(struct store *store, struct item *item);

#endif
