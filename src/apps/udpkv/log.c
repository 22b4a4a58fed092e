/* SPDX-License-Identifier: BSD-2-Clause */
/* log.c - the log of items; see log.h. */
#include "apps/udpkv/log.h"

enum { LARGE_BYTES = 4096 }; /* only larger items are moved at the cost of store.credit */

static struct item *piece_at(const struct store *store, size_t offset)
{
    return (struct item *)(store->log + offset);
}

static size_t piece_bytes(const struct item *item)
{
    return item->state == STORE_PAD ? item->value_len
                                    : log_footprint(item->key_len, item->value_len);
}

RUNS_SELDOM bool log_in_flushed(const struct store *store, const struct item *item)
{
    const size_t at = log_offset(store, item), head = store->head;

    return head - at + (at >= head ? store->log_bytes : 0) > store->fresh_bytes;
}

bool log_stale(const struct store *store, const struct item *item)
{
    return log_expired(store, item) || log_flushed(store, item);
}

void log_born(struct store *store, const struct item *item)
{
    store->stats.items++;
    store->stats.bytes += piece_bytes(item);
}

void log_kill(struct store *store, struct item *item)
{
    item->state = STORE_DEAD;
    store->stats.items--;
    store->stats.bytes -= piece_bytes(item);
}

static void advance_tail(struct store *store, size_t len)
{
    store->tail += len;
    store->used_bytes -= len;
    if (store->tail == store->log_bytes)
        store->tail = 0;
}

static void advance_head(struct store *store, size_t len)
{
    store->head += len;
    store->used_bytes += len;
    store->fresh_bytes += len;
    if (store->head == store->log_bytes)
        store->head = 0;
}

_Static_assert(offsetof(struct item, flags) == STORE_LOG_UNIT,
               "a pad of one unit has room for value_len, key_len and state");

/* Fills the ring up to its end with a pad, so that the next item starts at the ring's beginning. A
 * pad may be as short as STORE_LOG_UNIT, so only the first fields of its header are written. */
static RUNS_SELDOM __attribute__((noinline)) void pad_head(struct store *store, size_t len)
{
    struct item *pad = piece_at(store, store->head);

    pad->value_len = (uint32_t)len;
    pad->key_len = 0;
    pad->state = STORE_PAD;
    advance_head(store, len);
}

/* The slot of an item that is alive. */
static uint32_t *find_slot(const struct store *store, const struct item *item, uint64_t *hash,
                           struct index_walk *walk)
{
    uint32_t ref = log_ref(log_offset(store, item)), *slot;

    *hash = store_hash(store, item_key(item), item->key_len);
    *walk = index_walk(&store->index, *hash);
    do {
        slot = index_next(&store->index, walk);
        assert(slot);
    } while (*slot != ref);
    return slot;
}

/*
 * Moves the item at the tail to the head. If it doesn't fit before the end of the ring, then the
 * gap continues at the ring's beginning, so there is room for a pad. The old and the new place may
 * overlap when the gap is small.
 */
static void move_to_head(struct store *store, struct item *item, size_t len)
{
    size_t to_end = store->log_bytes - store->head;
    struct index_walk walk;
    uint64_t hash;
    uint32_t *slot = find_slot(store, item, &hash, &walk);

    if (to_end < len) {
        assert(to_end <= store->log_bytes - store->used_bytes);
        pad_head(store, to_end);
    }
    if (store->pinned == store->tail)
        store->pinned = store->head;
    item->referenced = 0;
    *slot = log_ref(store->head);
    memmove(store->log + store->head, item, len);
    advance_tail(store, len);
    advance_head(store, len);
    store->stats.moved_bytes += len;
}

static void remove_at_tail(struct store *store, struct item *item, size_t len)
{
    struct index_walk walk;
    uint64_t hash;

    find_slot(store, item, &hash, &walk);
    index_remove(&store->index, hash, &walk);
    log_kill(store, item);
    advance_tail(store, len);
}

/* Are less than three quarters of the log alive? Then dead items take enough space: no live item
 * has to be evicted. */
static bool is_sparse(const struct store *store)
{
    return store->stats.bytes < store->log_bytes / 4 * 3;
}

/* Subtracts `len` bytes of work from the budget of this call or, for a large item that exceeds it,
 * from what earlier calls didn't need. False, subtracting nothing, if that doesn't suffice. */
static bool spend(struct store *store, size_t len, size_t *budget)
{
    size_t *left = len > *budget && len > LARGE_BYTES ? &store->credit : budget;

    if (len > *left)
        return false;
    *left -= len;
    return true;
}

/* Frees the space of the item at the tail: passes it if it is dead, else moves or evicts it. False,
 * changing nothing, if it would have to be evicted and may_evict is false. */
static bool reclaim_tail(struct store *store, size_t *budget, bool may_evict)
{
    struct item *item = piece_at(store, store->tail);
    size_t len = piece_bytes(item);

    store->stats.touched++;
    if (item->state != STORE_LIVE) {
        *budget -= MIN(len, *budget);
        advance_tail(store, len);
        return true;
    }
    if (log_stale(store, item)) {
        *budget -= MIN(len, *budget);
        store->stats.reclaimed++;
        remove_at_tail(store, item, len);
        return true;
    }
    bool moves = store->tail == store->pinned;
    if (!moves && (item->referenced || is_sparse(store)))
        moves = spend(store, len, budget);
    if (moves) {
        move_to_head(store, item, len);
        return true;
    }
    if (!may_evict)
        return false;
    store->stats.evictions++;
    remove_at_tail(store, item, len);
    return true;
}

/*
 * Many live items may lie one behind the other, more of them than one call may move. So while the
 * log is sparse they are moved ahead of time, until 3/16 of the log are free. One sixteenth may be
 * lost to the pad before the largest item; while new items fill the other two, their calls may move
 * eight times as much, which is the whole log.
 */
static void reclaim_ahead(struct store *store, size_t *budget)
{
    while (*budget > 0 && is_sparse(store) &&
           store->log_bytes - store->used_bytes < store->log_bytes / 16 * 3)
        if (!reclaim_tail(store, budget, false))
            return;
}

struct item *log_append(struct store *store, size_t len)
{
    size_t budget = 8 * len + 4096;

    reclaim_ahead(store, &budget);
    for (;;) {
        if (store->used_bytes == 0)
            store->head = store->tail = 0;
        size_t gap = store->log_bytes - store->used_bytes;
        size_t to_end = store->log_bytes - store->head;
        if (len > to_end && gap >= to_end)
            pad_head(store, to_end);
        else if (len <= to_end && gap >= len)
            break;
        else
            reclaim_tail(store, &budget, true);
    }
    store->credit = MIN(store->credit + budget, store->max_value + LARGE_BYTES);
    size_t offset = store->head;
    advance_head(store, len);
    return piece_at(store, offset);
}
