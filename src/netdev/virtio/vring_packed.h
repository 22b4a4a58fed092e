/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vring_packed.h - virtio's packed ring (virtio 1.1, section 2.7), with the verbs of vring.h.
 *
 * There is one ring of descriptors, which both sides write. We make a descriptor available, the
 * device overwrites one with the id of a chain that it is done with.
 *
 *        addr  len  id  flags
 *      +----------------------+  <- used_idx: reap reads here
 *      |  in flight           |
 *      |  in flight           |
 *      +----------------------+  <- published: post has written from here on, but holds back the
 *      |  posted              |     flags of the first until publish, so that the device, which
 *      +----------------------+     goes in order, sees all of them or none
 *      |  used a round ago    |  <- avail_idx: post writes here
 *      +----------------------+
 *
 * Whose a descriptor is, its flags AVAIL and USED say against the side's wrap counter, which starts
 * at 1 and flips with each round: available if AVAIL is the counter and USED isn't, used if both
 * are. Our indices run free over 16 bits, so that the wrap counter is one of their bits. A chain
 * takes as many descriptors as it has pieces, but the device writes only the first of them back.
 *
 * What the device wrote into a descriptor is read by one load, flags included, and not read again.
 *
 * Each side has a word in which it says when the other one shall tell it (section 2.7.14): never,
 * always, or, with VIRTIO_F_EVENT_IDX, when the other one has come past the descriptor at an
 * offset, in the round that a wrap counter names.
 */
#ifndef NETDEV_VRING_PACKED_H
#define NETDEV_VRING_PACKED_H

#include "netdev/virtio/vring_flight.h"

#define VRING_PACKED_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define VRING_PACKED_USED  (1u << VRING_PACKED_DESC_F_USED)

/* A descriptor as two words, each of which is read or written at once. */
union vring_packed_slot {
    struct vring_packed_desc desc;
    struct {
        uint64_t addr, rest;
    } words;
};

_Static_assert(sizeof(union vring_packed_slot) == 16, "a descriptor is 16 bytes");

/* What a side wants to be told of, read and written at once. */
union vring_packed_event {
    struct vring_packed_desc_event fields;
    uint32_t word;
};

_Static_assert(sizeof(union vring_packed_event) == 4, "an offset and flags");

struct vring_packed {
    /* Ours. */
    struct vring_flight flight;
    uint16_t avail_idx;  /* the next descriptor that we write */
    uint16_t used_idx;   /* the next descriptor that we read */
    uint16_t published;  /* the first descriptor that the device mustn't see yet */
    uint16_t held_flags; /* its flags, if there is one */
    uint16_t told;       /* avail_idx when we last looked whether the device wants a kick */
    bool broken;         /* the device returned what it hadn't */
    bool event_idx;      /* VIRTIO_F_EVENT_IDX was negotiated */
    /* Shared with the device. */
    union vring_packed_slot *slots;
    union vring_packed_event *driver_event; /* we write */
    union vring_packed_event *device_event; /* the device writes */
};

struct vring_packed_layout {
    size_t driver_event, device_event, flight, end;
};

static inline struct vring_packed_layout vring_packed_layout(uint32_t size)
{
    struct vring_packed_layout at;

    at.driver_event = ALIGN_UP(size * sizeof(union vring_packed_slot), CACHE_LINE);
    at.device_event = at.driver_event + CACHE_LINE;
    at.flight = at.device_event + CACHE_LINE;
    at.end = ALIGN_UP(at.flight + vring_flight_bytes(size), CACHE_LINE);
    return at;
}

static inline void vring_packed_want(struct vring_packed *r, uint16_t flags, uint16_t off_wrap)
{
    const union vring_packed_event event = {.fields = {off_wrap, flags}};

    *(volatile uint32_t *)&r->driver_event->word = event.word;
}

/* No interrupts. */
static inline void vring_packed_disarm(struct vring_packed *r)
{
    vring_packed_want(r, VRING_PACKED_EVENT_FLAG_DISABLE, 0);
}

static inline void vring_packed_setup(struct vring_packed *r, void *memory, uint32_t size,
                                      bool event_idx)
{
    const struct vring_packed_layout at = vring_packed_layout(size);
    uint8_t *base = memory;

    memset(memory, 0, at.end);
    *r = (struct vring_packed){
        .slots = memory,
        .driver_event = (void *)(base + at.driver_event),
        .device_event = (void *)(base + at.device_event),
        .event_idx = event_idx,
    };
    vring_flight_setup(&r->flight, base + at.flight, size);
    vring_packed_disarm(r);
}

static inline uint32_t vring_packed_room(const struct vring_packed *r)
{
    return r->flight.mask + 1u - (uint16_t)(r->avail_idx - r->used_idx);
}

/* The wrap counter of an index. */
static inline bool vring_packed_wrap(const struct vring_packed *r, uint16_t idx)
{
    return !(idx & (r->flight.mask + 1u));
}

static inline __attribute__((always_inline)) void
vring_packed_post(struct vring_packed *r, const struct vring_piece *pieces, uint32_t n, void *owner)
{
    struct vring_flight *f = &r->flight;
    const uint16_t id = vring_id_take(f);

    f->shadow[id].owner = owner;
    f->shadow[id].descs = (uint16_t)n;
    for (uint32_t i = 0; i < n; i++, r->avail_idx++) {
        union vring_packed_slot *slot = &r->slots[r->avail_idx & f->mask];
        const bool wrap = vring_packed_wrap(r, r->avail_idx);
        uint32_t flags = wrap ? VRING_PACKED_AVAIL : VRING_PACKED_USED;
        flags |= pieces[i].device_writes ? VRING_DESC_F_WRITE : 0u;
        flags |= i + 1 < n ? VRING_DESC_F_NEXT : 0u;
        if (r->avail_idx == r->published) {
            r->held_flags = (uint16_t)flags;
            flags = wrap ? 0 : VRING_PACKED_AVAIL | VRING_PACKED_USED; /* used a round ago */
        }
        slot->words.addr = (uintptr_t)pieces[i].addr;
        slot->words.rest = pieces[i].len_bytes | (uint64_t)id << 32 | (uint64_t)flags << 48;
    }
}

/* Keeps what was posted into a copy of the ring. */
static inline void vring_packed_keep_posted(struct vring_packed *r, const struct vring_packed *copy)
{
    r->flight.free_out = copy->flight.free_out;
    r->avail_idx = copy->avail_idx;
    r->held_flags = copy->held_flags;
}

static inline void vring_packed_publish(struct vring_packed *r)
{
    if (r->published == r->avail_idx)
        return;
    /* A device that reads these flags sees all that was posted before. */
    store_release(&r->slots[r->published & r->flight.mask].desc.flags, r->held_flags);
    r->published = r->avail_idx;
}

/* Is the descriptor that the device named among the `count` before avail_idx? If the device wrote
 * nonsense, it gets a kick too many or none, which harms nobody else. */
static inline bool vring_packed_passed(const struct vring_packed *r, uint16_t off_wrap,
                                       uint16_t count)
{
    const bool wrap = off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR;
    uint32_t back = (r->avail_idx & r->flight.mask) - (off_wrap & 0x7fffu);

    if (wrap != vring_packed_wrap(r, r->avail_idx))
        back += r->flight.mask + 1u; /* it stands in the round before */
    return back - 1 < count;
}

static inline bool vring_packed_wants_kick(struct vring_packed *r)
{
    const uint16_t count = (uint16_t)(r->avail_idx - r->told);
    union vring_packed_event event;

    r->told = r->avail_idx;
    /* As in the split ring: the device sees our descriptors before we read what it wants. */
    full_fence();
    event.word = *(const volatile uint32_t *)&r->device_event->word;
    if (event.fields.flags == VRING_PACKED_EVENT_FLAG_DISABLE)
        return false;
    return !r->event_idx || event.fields.flags != VRING_PACKED_EVENT_FLAG_DESC ||
           vring_packed_passed(r, event.fields.off_wrap, count);
}

/* Is the descriptor at idx, of which `rest` was read, one that the device has used? */
static inline bool vring_packed_is_used(const struct vring_packed *r, uint16_t idx, uint64_t rest)
{
    const uint32_t both = VRING_PACKED_AVAIL | VRING_PACKED_USED;

    return ((uint32_t)(rest >> 48) & both) == (vring_packed_wrap(r, idx) ? both : 0);
}

static inline __attribute__((always_inline)) uint32_t
vring_packed_reap(struct vring_packed *r, void **owners, uint32_t *lens_bytes, uint32_t n,
                  vring_fetch *fetch, const void *whose)
{
    /* Locals, which no store through a pointer can change, and so need no loads. */
    const struct vring_packed local = *r;
    struct vring_flight f = r->flight;
    uint16_t idx = r->used_idx;
    uint32_t got;

    for (got = 0; got < n; got++) {
        /* With the flags we see id and length, and what the device wrote into buffers. */
        const uint64_t rest = load_acquire(&local.slots[idx & f.mask].words.rest);
        const uint32_t id = (uint16_t)(rest >> 32);
        if (!vring_packed_is_used(&local, idx, rest))
            break;
        if (lens_bytes)
            lens_bytes[got] = (uint32_t)rest;
        owners[got] = vring_flight_end(&f, id);
        if (unlikely(!owners[got])) {
            r->broken = true;
            break;
        }
        fetch(whose, owners[got]);
        idx++;
        if (unlikely(f.shadow[id].descs > 1)) {
            /* Keeps the compiler from a conditional move, with which the load of the next
             * descriptor would have to wait for this load of `descs`. */
            __asm__ volatile("");
            idx = (uint16_t)(idx + f.shadow[id].descs - 1);
        }
    }
    r->flight.free_in = f.free_in;
    r->used_idx = idx;
    return got;
}

/* 1 if a chain is finished, else 0: how many are, only reap can tell. */
static inline uint32_t vring_packed_known(const struct vring_packed *r)
{
    return vring_packed_is_used(r, r->used_idx,
                                load_acquire(&r->slots[r->used_idx & r->flight.mask].words.rest));
}

/* True if a chain waits. */
static inline bool vring_packed_arm(struct vring_packed *r)
{
    const uint32_t wrap = vring_packed_wrap(r, r->used_idx);

    if (r->event_idx)
        vring_packed_want(
            r, VRING_PACKED_EVENT_FLAG_DESC,
            (uint16_t)((r->used_idx & r->flight.mask) | wrap << VRING_PACKED_EVENT_F_WRAP_CTR));
    else
        vring_packed_want(r, VRING_PACKED_EVENT_FLAG_ENABLE, 0);
    /* As in the split ring: either we see what the device finished or it interrupts. */
    full_fence();
    return vring_packed_known(r);
}

#endif
