/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vring.h - a virtio ring of either kind, with four verbs: post, publish, kick and reap. The split
 * ring is in vring_split.h, the packed one in vring_packed.h. Byte order is little endian, as the
 * processor's is.
 *
 * Every verb takes the kind. The data path is compiled once for each, with a constant there, so
 * that it has no branch on it; elsewhere it is the ring's own, `r->kind`.
 *
 * Order of calls: vring_bytes, vring_setup; then post ... publish, wants_kick; reap ...; arm,
 * disarm around a wait; at the end, with the device reset, take_back.
 */
#ifndef NETDEV_VRING_H
#define NETDEV_VRING_H

#include "netdev/virtio/vring_packed.h"
#include "netdev/virtio/vring_split.h"

enum vring_kind { VRING_SPLIT, VRING_PACKED };

struct vring_queue {
    enum vring_kind kind;
    bool ready; /* it was set up */
    union {
        struct vring_split split;
        struct vring_packed packed;
    };
};

/* Memory that a ring of either kind takes, in bytes; to be aligned to a cache line. */
static inline size_t vring_bytes(uint32_t size)
{
    return MAX(vring_split_layout(size).end, vring_packed_layout(size).end);
}

/* Makes an empty ring of `size` descriptors, a power of two up to VRING_SIZE_MAX; event_idx: with
 * VIRTIO_F_EVENT_IDX. The device must be reset. The ring begins with index 0 and asks for no
 * interrupts. */
static inline void vring_setup(struct vring_queue *r, enum vring_kind kind, void *memory,
                               uint32_t size, bool event_idx)
{
    assert(IS_POWER_OF_2(size) && size <= VRING_SIZE_MAX);
    *r = (struct vring_queue){.kind = kind, .ready = true};
    if (kind == VRING_PACKED)
        vring_packed_setup(&r->packed, memory, size, event_idx);
    else
        vring_split_setup(&r->split, memory, size, event_idx);
}

/* What the ring remembers of the chains in flight: both kinds alike. */
static inline struct vring_flight *vring_flight(struct vring_queue *r)
{
    return r->kind == VRING_PACKED ? &r->packed.flight : &r->split.flight;
}

/* The device's places: descriptors, the part that we write, the part that it writes. */
static inline void vring_places(const struct vring_queue *r, void *places[3])
{
    const bool packed = r->kind == VRING_PACKED;

    places[0] = packed ? (void *)r->packed.slots : (void *)r->split.desc;
    places[1] = packed ? (void *)r->packed.driver_event : (void *)r->split.avail;
    places[2] = packed ? (void *)r->packed.device_event : (void *)r->split.used;
}

static inline uint32_t vring_size(struct vring_queue *r)
{
    return vring_flight(r)->mask + 1u;
}

/* Descriptors that are free. */
static inline uint32_t vring_room(const struct vring_queue *r, enum vring_kind kind)
{
    return kind == VRING_PACKED ? vring_packed_room(&r->packed) : vring_split_room(&r->split);
}

/* Descriptors posted so far, modulo 2^16. */
static inline uint16_t vring_posted(const struct vring_queue *r, enum vring_kind kind)
{
    return kind == VRING_PACKED ? r->packed.avail_idx : r->split.avail_idx;
}

/*
 * Post: writes a chain of n pieces (1 up to vring_room) into the ring, unseen by the device as yet.
 * `owner` comes back from reap once the device is done with all of them; not NULL.
 */
static inline __attribute__((always_inline)) void vring_post(struct vring_queue *r,
                                                             enum vring_kind kind,
                                                             const struct vring_piece *pieces,
                                                             uint32_t n, void *owner)
{
    if (kind == VRING_PACKED)
        vring_packed_post(&r->packed, pieces, n, owner);
    else
        vring_split_post(&r->split, pieces, n, owner);
}

/*
 * Who posts many chains posts them into a copy of the ring, a local that no store through a pointer
 * can change, so that the compiler keeps its fields in registers; and then keeps what it posted.
 */
static inline void vring_keep_posted(struct vring_queue *r, enum vring_kind kind,
                                     const struct vring_queue *copy)
{
    if (kind == VRING_PACKED)
        vring_packed_keep_posted(&r->packed, &copy->packed);
    else
        vring_split_keep_posted(&r->split, &copy->split);
}

/* Publish: everything posted so far is the device's from here on. */
static inline void vring_publish(struct vring_queue *r, enum vring_kind kind)
{
    if (kind == VRING_PACKED)
        vring_packed_publish(&r->packed);
    else
        vring_split_publish(&r->split);
}

/* Kick: true if the device, after one publish or a few, has to be told through its transport. */
static inline bool vring_wants_kick(struct vring_queue *r, enum vring_kind kind)
{
    return kind == VRING_PACKED ? vring_packed_wants_kick(&r->packed)
                                : vring_split_wants_kick(&r->split);
}

/*
 * Reap: takes up to n chains that the device has finished. Returns how many; owners[] are theirs,
 * and lens_bytes[], if not NULL, the bytes that the device says it wrote, which the caller has to
 * check. fetch(whose, owner) is called for each at once. If the device returned what it hadn't, or
 * more than it had, it stops there and vring_broken is true from then on: the ring can't be trusted
 * any more.
 */
static inline __attribute__((always_inline)) uint32_t
vring_reap(struct vring_queue *r, enum vring_kind kind, void **owners, uint32_t *lens_bytes,
           uint32_t n, vring_fetch *fetch, const void *whose)
{
    return kind == VRING_PACKED ? vring_packed_reap(&r->packed, owners, lens_bytes, n, fetch, whose)
                                : vring_split_reap(&r->split, owners, lens_bytes, n, fetch, whose);
}

static inline bool vring_broken(const struct vring_queue *r, enum vring_kind kind)
{
    return kind == VRING_PACKED ? r->packed.broken : r->split.broken;
}

/* The largest number of chains up to n whose reap ends at the end of a cache line of descriptors,
 * if each is one descriptor; n itself, if that is within the line. So a line that the device writes
 * to its end is read once, and what is posted in place of its descriptors fills a line, too. */
static inline uint32_t vring_whole_lines(const struct vring_queue *r, enum vring_kind kind,
                                         uint32_t n)
{
    const uint16_t idx = kind == VRING_PACKED ? r->packed.used_idx : r->split.used_idx;

    return n > VRING_DESCS_LINE ? n - (idx + n) % VRING_DESCS_LINE : n;
}

/* Chains known to wait for the next reap; there may be more. */
static inline uint32_t vring_known(const struct vring_queue *r, enum vring_kind kind)
{
    return kind == VRING_PACKED ? vring_packed_known(&r->packed) : vring_split_known(&r->split);
}

/*
 * Arm: asks the device for an interrupt when it finishes the next chain. True if reap has something
 * to tell already, which the device may or may not interrupt for: then the caller must not
 * wait. After false, the next chain that is finished brings an interrupt.
 */
static inline bool vring_arm(struct vring_queue *r)
{
    return r->kind == VRING_PACKED ? vring_packed_arm(&r->packed) : vring_split_arm(&r->split);
}

/* Disarm: the device shall not interrupt. It may do so still, once or, on a split ring with
 * VIRTIO_F_EVENT_IDX, each 65536 chains. */
static inline void vring_disarm(struct vring_queue *r)
{
    if (r->kind == VRING_PACKED)
        vring_packed_disarm(&r->packed);
    else
        vring_split_disarm(&r->split);
}

/* Takes back a chain that is in flight, whichever; NULL if there is none left. Only when the device
 * has been reset. Start with *cursor 0. The ring must be set up again before it is used again. */
static inline void *vring_take_back(struct vring_queue *r, uint32_t *cursor)
{
    struct vring_flight *f = vring_flight(r);

    while (r->ready && *cursor <= f->mask) {
        struct vring_shadow *s = &f->shadow[(*cursor)++];
        void *owner = s->owner;
        s->owner = NULL;
        if (owner)
            return owner;
    }
    return NULL;
}

#endif
