/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring.h - a virtio ring driven as cheaply as it can be: the same descriptors are posted again and
 * again, each in the place it always had, and nothing is remembered of what is in flight.
 *
 * Begin writes all descriptors, none of them available yet: they look as if the device had used
 * them a round ago. A turn then makes those available that the device has used, whole cache lines
 * of descriptors at a time, after a look at the last ones of a batch only:
 *
 *       at                                goal
 *        v                                 v
 *   ...  | line | line | line | ... | line |  ...       a batch; line: 4 descriptors of 16 bytes
 *                                      ^ a turn waits for this one, then posts from `at` on
 *
 * Packed ring: a descriptor's address stays as it is; length, id and flags, which the device
 * overwrites, are one word, so that a descriptor is posted by one store. The first of a line is
 * posted last, so that the device, which goes in order, sees a whole line or none of it. A device
 * may write the first descriptor of its own burst after the others: so each line is looked at
 * before it is posted.
 *
 * Split ring: descriptors and the available ring stay as they are; a turn moves the index. That
 * needs a device that finishes in order.
 *
 * A descriptor's id is its place. If the device returns another one, or finishes out of order, the
 * turns move nothing more: what it still has is never posted a second time.
 */
#ifndef APPS_IDEAL_RING_H
#define APPS_IDEAL_RING_H

#include "netdev/virtio/vring.h"

#define IDEAL_INLINE static inline __attribute__((always_inline))

enum {
    IDEAL_LINE = CACHE_LINE / sizeof(union vring_packed_slot), /* descriptors */
    IDEAL_LEN_MIN = 12 + 14, /* the device's header and an Ethernet header, in bytes */
};

/* A descriptor as it is posted next. */
struct ideal_desc {
    uint64_t addr;
    uint64_t rest; /* packed: length, id and flags, but for those that change each round */
};

struct ideal_ring {
    bool device_writes; /* a receive ring */
    uint32_t size;      /* descriptors, a power of two */
    uint32_t batch;     /* of them that are waited for together: a power of two, whole lines */
    uint32_t at;        /* the next one to be posted; runs free */
    uint32_t goal;      /* the end of its batch */
    struct ideal_desc *descs;
    /* Shared with the device: the first of a packed ring, the others of a split one. */
    union vring_packed_slot *slots;
    struct vring_desc *table;
    struct vring_avail *avail;
    struct vring_used *used;
};

/* Takes over `q`, a ring into which nothing was posted; it is no more the driver's. `descs` has
 * room for as many as the ring has. */
static inline void ideal_begin(struct ideal_ring *r, struct vring_queue *q, uint32_t batch,
                               bool device_writes, struct ideal_desc *descs)
{
    void *places[3];

    vring_places(q, places);
    *r = (struct ideal_ring){
        .device_writes = device_writes,
        .size = vring_size(q),
        .batch = batch,
        .at = vring_size(q), /* all those of round 0 are used */
        .goal = vring_size(q) + batch,
        .descs = descs,
        .slots = places[0],
        .table = places[0],
        .avail = places[1],
        .used = places[2],
    };
}

/* Writes descriptor `i`, which isn't available yet. */
static inline void ideal_prepare(struct ideal_ring *r, enum vring_kind kind, uint32_t i,
                                 uint64_t addr, uint32_t len_bytes)
{
    const uint16_t flags = r->device_writes ? VRING_DESC_F_WRITE : 0;

    r->descs[i] = (struct ideal_desc){addr, len_bytes | (uint64_t)i << 32 | (uint64_t)flags << 48};
    if (kind == VRING_PACKED) {
        r->slots[i].words.addr = addr;
        r->slots[i].words.rest = (uint64_t)i << 32; /* used in round 0, whose wrap counter is 0 */
    } else {
        r->table[i] = (struct vring_desc){addr, len_bytes, flags, 0};
        r->avail->ring[i] = (uint16_t)i;
        r->used->ring[i].id = i;
    }
}

/* --- packed --------------------------------------------------------------------------------- */

/* Is the wrap counter of this descriptor's round 1? Our indices begin with round 1. */
static inline bool ideal_wrap(const struct ideal_ring *r, uint32_t at)
{
    return at & r->size;
}

/* Has the device used the line of descriptors at `at`, which were posted a round ago? */
IDEAL_INLINE bool ideal_line_used(const struct ideal_ring *r, uint32_t at)
{
    const uint64_t both = (uint64_t)(VRING_PACKED_AVAIL | VRING_PACKED_USED) << 48;
    const uint64_t used = ideal_wrap(r, at) ? 0 : both;
    const uint32_t first = at & (r->size - 1);
    uint64_t differs = 0;

#pragma GCC unroll 4
    for (uint32_t i = first; i < first + IDEAL_LINE; i++)
        differs |= load_acquire(&r->slots[i].words.rest) ^ ((uint64_t)i << 32 | used);
    return !(differs & (both | 0xffffull << 32));
}

IDEAL_INLINE uint64_t ideal_available(const struct ideal_ring *r, uint32_t at)
{
    return (uint64_t)(ideal_wrap(r, at) ? VRING_PACKED_AVAIL : VRING_PACKED_USED) << 48;
}

IDEAL_INLINE void ideal_post_line(const struct ideal_ring *r, uint32_t at)
{
    const uint64_t available = ideal_available(r, at);
    const uint32_t first = at & (r->size - 1);

#pragma GCC unroll 4
    for (uint32_t i = first + IDEAL_LINE; i-- > first;)
        store_release(&r->slots[i].words.rest, r->descs[i].rest | available);
}

/* Asks for the lines of a batch that the device is done with, all at once. */
IDEAL_INLINE void ideal_fetch(const struct ideal_ring *r)
{
    for (uint32_t at = r->at; at != r->goal; at += IDEAL_LINE)
        prefetch_to_write(&r->slots[at & (r->size - 1)]);
}

IDEAL_INLINE uint32_t ideal_packed_turn(struct ideal_ring *r)
{
    const uint32_t from = r->at;

    if (!ideal_line_used(r, r->goal - IDEAL_LINE))
        return 0;
    ideal_fetch(r);
    for (; r->at != r->goal && ideal_line_used(r, r->at); r->at += IDEAL_LINE)
        ideal_post_line(r, r->at);
    if (r->at == r->goal)
        r->goal += r->batch;
    return r->at - from;
}

/* What the device says that it wrote; never more than there is room for. */
static inline uint32_t ideal_came(uint32_t len_bytes, uint32_t room_bytes)
{
    return MIN(MAX(len_bytes, (uint32_t)IDEAL_LEN_MIN), room_bytes);
}

/* What came in a line of rx is sent by that of tx, and what that had sent is received into. */
IDEAL_INLINE void ideal_swap_line(struct ideal_ring *rx, struct ideal_ring *tx)
{
    const uint64_t rx_available = ideal_available(rx, rx->at);
    const uint64_t tx_available = ideal_available(tx, tx->at);
    const uint32_t first = rx->at & (rx->size - 1);

#pragma GCC unroll 4
    for (uint32_t i = first + IDEAL_LINE; i-- > first;) {
        const uint64_t came = load_acquire(&rx->slots[i].words.rest), addr = rx->descs[i].addr;
        const uint32_t len_bytes = ideal_came((uint32_t)came, (uint32_t)rx->descs[i].rest);
        rx->descs[i].addr = tx->descs[i].addr;
        tx->descs[i].addr = addr;
        tx->slots[i].words.addr = addr;
        store_release(&tx->slots[i].words.rest, len_bytes | (uint64_t)i << 32 | tx_available);
        rx->slots[i].words.addr = rx->descs[i].addr;
        store_release(&rx->slots[i].words.rest, rx->descs[i].rest | rx_available);
    }
}

IDEAL_INLINE uint32_t ideal_packed_forward(struct ideal_ring *rx, struct ideal_ring *tx)
{
    const uint32_t from = rx->at;

    if (!ideal_line_used(rx, rx->goal - IDEAL_LINE) || !ideal_line_used(tx, tx->goal - IDEAL_LINE))
        return 0;
    ideal_fetch(rx);
    ideal_fetch(tx);
    while (rx->at != rx->goal && ideal_line_used(rx, rx->at) && ideal_line_used(tx, tx->at)) {
        ideal_swap_line(rx, tx);
        rx->at += IDEAL_LINE;
        tx->at += IDEAL_LINE;
    }
    if (rx->at == rx->goal) {
        rx->goal += rx->batch;
        tx->goal += tx->batch;
    }
    return rx->at - from;
}

/* --- split ---------------------------------------------------------------------------------- */

/* Whole batches that the device has used since the last ones that were posted; 0 if it didn't
 * finish them in order. */
IDEAL_INLINE uint32_t ideal_split_used(const struct ideal_ring *r)
{
    const uint16_t seen = load_acquire(&r->used->idx);
    const uint32_t n = (uint16_t)(seen + 2 * r->size - r->at) & ~(r->batch - 1);
    const uint32_t last = (r->at + n - 1) & (r->size - 1);

    return n <= r->size && *(volatile uint32_t *)&r->used->ring[last].id == last ? n : 0;
}

IDEAL_INLINE void ideal_split_post(struct ideal_ring *r, uint32_t n)
{
    r->at += n;
    store_release(&r->avail->idx, (uint16_t)(r->at - r->size));
}

IDEAL_INLINE uint32_t ideal_split_turn(struct ideal_ring *r)
{
    const uint32_t n = ideal_split_used(r);

    if (n > 0)
        ideal_split_post(r, n);
    return n;
}

IDEAL_INLINE uint32_t ideal_split_forward(struct ideal_ring *rx, struct ideal_ring *tx)
{
    const uint32_t n = MIN(ideal_split_used(rx), ideal_split_used(tx));

    for (uint32_t at = rx->at; at != rx->at + n; at++) {
        const uint32_t i = at & (rx->size - 1);
        const uint32_t came = *(volatile uint32_t *)&rx->used->ring[i].len;
        const uint64_t addr = rx->descs[i].addr;
        rx->table[i].addr = rx->descs[i].addr = tx->descs[i].addr;
        tx->table[i].addr = tx->descs[i].addr = addr;
        tx->table[i].len = ideal_came(came, (uint32_t)rx->descs[i].rest);
    }
    if (n > 0) {
        ideal_split_post(tx, n);
        ideal_split_post(rx, n);
    }
    return n;
}

/* --- either kind ---------------------------------------------------------------------------- */

/* Posts a batch, or what of it is used, if the last of it is. Returns how many descriptors. */
IDEAL_INLINE uint32_t ideal_turn(struct ideal_ring *r, enum vring_kind kind)
{
    return kind == VRING_PACKED ? ideal_packed_turn(r) : ideal_split_turn(r);
}

/*
 * The same for both rings: what came in rx's descriptors is posted in tx's, as it came, and the
 * buffers that those held go into rx's. Both rings are of one size and have one batch, and all of
 * rx was posted once before; descriptors of one number have buffers that are as large.
 */
IDEAL_INLINE uint32_t ideal_forward(struct ideal_ring *rx, struct ideal_ring *tx,
                                    enum vring_kind kind)
{
    return kind == VRING_PACKED ? ideal_packed_forward(rx, tx) : ideal_split_forward(rx, tx);
}

#endif
