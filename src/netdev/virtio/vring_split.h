/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vring_split.h - virtio's split ring (virtio 1.1, section 2.6), with the verbs of vring.h.
 *
 *   descriptor table         available ring (we write)     used ring (the device writes)
 *   id  addr len flags next  flags idx ring[]              flags idx ring[]
 *   0  +--------------+      +-------------------+         +------------------------+
 *   1  | one buffer   | <--- | id of a chain     |  -----> | id of a chain, length  |
 *   2  | each         |      | ...               | device  | ...                    |
 *      +--------------+      +-------------------+         +------------------------+
 *                            ^ avail_idx: post writes here ^ used_idx: reap reads here
 *
 * The descriptor table and the available ring's index are written and never read back. Indices run
 * free over 16 bits and are masked at the access, so `avail_idx - used_idx` is the number of chains
 * in flight.
 *
 * When a side tells the other one (sections 2.6.7 and 2.6.10). Without VIRTIO_F_EVENT_IDX each ring
 * has a flag in which its writer asks not to be told: we of used chains, in the available ring, the
 * device of available ones, in the used ring. With VIRTIO_F_EVENT_IDX the flags stay 0, and there
 * is an index behind the last entry of each ring:
 *
 *   used_event    behind the available ring, ours: the device interrupts when its own index in the
 *                 used ring moves past this one
 *   avail_event   behind the used ring, the device's: we kick when our index in the available ring
 *                 moves past this one
 */
#ifndef NETDEV_VRING_SPLIT_H
#define NETDEV_VRING_SPLIT_H

#include "netdev/virtio/vring_flight.h"

struct vring_split {
    /* Ours. */
    struct vring_flight flight;
    uint16_t avail_idx; /* the next entry of the available ring that we write */
    uint16_t used_idx;  /* the next entry of the used ring that we read */
    uint16_t used_seen; /* the device's index, when we last looked */
    uint16_t told;      /* avail_idx when we last looked whether the device wants a kick */
    bool broken;        /* the device returned what it hadn't */
    bool event_idx;     /* VIRTIO_F_EVENT_IDX was negotiated */
    /* Shared with the device. */
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
};

/* Offsets in the memory of a ring. Each part has cache lines of its own: what the device writes
 * never shares one with what we write. */
struct vring_split_layout {
    size_t avail, used, flight, end;
};

static inline struct vring_split_layout vring_split_layout(uint32_t size)
{
    struct vring_split_layout at;

    at.avail = ALIGN_UP(size * sizeof(struct vring_desc), CACHE_LINE);
    at.used =
        ALIGN_UP(at.avail + sizeof(struct vring_avail) + (size + 1) * sizeof(uint16_t), CACHE_LINE);
    at.flight = ALIGN_UP(at.used + sizeof(struct vring_used) +
                             size * sizeof(struct vring_used_elem) + sizeof(uint16_t),
                         CACHE_LINE);
    at.end = ALIGN_UP(at.flight + vring_flight_bytes(size), CACHE_LINE);
    return at;
}

/* Where we say at which entry of the used ring to interrupt us, and where the device says at which
 * entry of the available ring it wants a kick. */
static inline uint16_t *vring_split_used_event(const struct vring_split *r)
{
    return &r->avail->ring[r->flight.mask + 1u];
}

static inline uint16_t *vring_split_avail_event(const struct vring_split *r)
{
    return (uint16_t *)&r->used->ring[r->flight.mask + 1u];
}

/* Asks for no interrupts. An index can't say "none": it is set to the entry that we read last,
 * which the device comes past again only after 65536 chains. */
static inline void vring_split_disarm(struct vring_split *r)
{
    if (r->event_idx)
        *(volatile uint16_t *)vring_split_used_event(r) = (uint16_t)(r->used_idx - 1);
    else
        *(volatile uint16_t *)&r->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

static inline void vring_split_setup(struct vring_split *r, void *memory, uint32_t size,
                                     bool event_idx)
{
    const struct vring_split_layout at = vring_split_layout(size);
    uint8_t *base = memory;

    memset(memory, 0, at.end);
    *r = (struct vring_split){
        .desc = memory,
        .avail = (void *)(base + at.avail),
        .used = (void *)(base + at.used),
        .event_idx = event_idx,
    };
    vring_flight_setup(&r->flight, base + at.flight, size);
    vring_split_disarm(r);
}

static inline uint32_t vring_split_room(const struct vring_split *r)
{
    return (uint16_t)(r->flight.free_in - r->flight.free_out);
}

static inline __attribute__((always_inline)) void
vring_split_post(struct vring_split *r, const struct vring_piece *pieces, uint32_t n, void *owner)
{
    struct vring_flight *f = &r->flight;
    const uint16_t head = vring_id_take(f);
    uint16_t *slot = &r->avail->ring[r->avail_idx++ & f->mask];
    uint16_t id = head;

    for (uint32_t i = 0; i < n; i++) {
        uint16_t flags = pieces[i].device_writes ? VRING_DESC_F_WRITE : 0, next = 0;
        if (i + 1 < n) {
            next = vring_id_take(f);
            flags |= VRING_DESC_F_NEXT;
            f->shadow[id].next = next;
        }
        r->desc[id] =
            (struct vring_desc){(uintptr_t)pieces[i].addr, pieces[i].len_bytes, flags, next};
        id = next;
    }
    f->shadow[head].owner = owner;
    f->shadow[head].descs = (uint16_t)n;
    /* If the device finishes in order, a slot gets the id that it held a round ago. It isn't
     * written then: that would take its cache line away from the device's processor. */
    if (*slot != head)
        *slot = head;
}

/* Keeps what was posted into a copy of the ring. */
static inline void vring_split_keep_posted(struct vring_split *r, const struct vring_split *copy)
{
    r->flight.free_out = copy->flight.free_out;
    r->avail_idx = copy->avail_idx;
}

static inline void vring_split_publish(struct vring_split *r)
{
    /* A device that reads this index sees the descriptors and the ring entries written before. */
    store_release(&r->avail->idx, r->avail_idx);
}

static inline bool vring_split_wants_kick(struct vring_split *r)
{
    const uint16_t new = r->avail_idx, old = r->told;

    r->told = new;
    /* The device sees our index before we read whether it wants a kick. A device that goes to sleep
     * asks for a kick, then looks at the index once more; so either it sees what we published or we
     * see that it asks. */
    full_fence();
    if (!r->event_idx)
        return !(*(const volatile uint16_t *)&r->used->flags & VRING_USED_F_NO_NOTIFY);
    /* Is the entry that the device named among those published since we looked last? If it wrote
     * nonsense, it gets a kick too many or none, which harms nobody else. */
    const uint16_t named = *(const volatile uint16_t *)vring_split_avail_event(r);
    return (uint16_t)(new - named - 1) < (uint16_t)(new - old);
}

/* Chains that are known to be finished, without a look at the device's index. */
static inline uint32_t vring_split_known(const struct vring_split *r)
{
    return (uint16_t)(r->used_seen - r->used_idx);
}

/* Looks at the device's index: how many chains are finished. 0 if it tells of more than it has. */
static inline uint32_t vring_split_look(struct vring_split *r)
{
    /* We see the used ring's entries, and what the device wrote into buffers, up to this index. */
    const uint16_t seen = load_acquire(&r->used->idx);

    if (unlikely((uint16_t)(seen - r->used_idx) > (uint16_t)(r->avail_idx - r->used_idx))) {
        r->broken = true;
        r->used_seen = r->used_idx;
    } else {
        r->used_seen = seen;
    }
    return vring_split_known(r);
}

/* True if chains wait, or the device is broken: reap tells. */
static inline bool vring_split_arm(struct vring_split *r)
{
    if (r->event_idx)
        *(volatile uint16_t *)vring_split_used_event(r) = r->used_idx;
    else
        *(volatile uint16_t *)&r->avail->flags = 0;
    /* The device sees that we ask before we look at its index, and it looks whether we ask after it
     * has moved its index: so either we see what it finished or it interrupts. */
    full_fence();
    return vring_split_look(r) > 0 || r->broken;
}

static inline __attribute__((always_inline)) uint32_t
vring_split_reap(struct vring_split *r, void **owners, uint32_t *lens_bytes, uint32_t n,
                 vring_fetch *fetch, const void *whose)
{
    uint32_t got = vring_split_known(r);

    if (got < n)
        got = vring_split_look(r);
    n = MIN(n, got);
    /* Locals, which no store through a pointer can change and which need no loads. */
    struct vring_flight f = r->flight;
    uint16_t idx = r->used_idx;
    for (got = 0; got < n; got++) {
        const volatile struct vring_used_elem *elem = &r->used->ring[idx++ & f.mask];
        uint32_t id = elem->id;
        if (lens_bytes)
            lens_bytes[got] = elem->len;
        owners[got] = vring_flight_end(&f, id);
        if (unlikely(!owners[got])) {
            r->broken = true;
            break;
        }
        fetch(whose, owners[got]);
        for (uint32_t descs = f.shadow[id].descs; unlikely(descs > 1); descs--) {
            id = f.shadow[id].next;
            vring_id_free(&f, id);
        }
    }
    r->flight.free_in = f.free_in;
    r->used_idx = idx;
    return got;
}

#endif
