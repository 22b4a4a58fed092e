/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vring_flight.h - what a ring of either kind remembers of the chains that the device has. It
 * lies in memory that the device isn't told of.
 *
 * Free ids wait in a queue, first in, first out: a device that finishes in order, as most do, then
 * keeps ids and memory accesses sequential.
 */
#ifndef NETDEV_VRING_FLIGHT_H
#define NETDEV_VRING_FLIGHT_H

#include "boot/lib.h"

#define VIRTIO_RING_NO_LEGACY
#include <linux/virtio_ring.h>

#define VRING_SIZE_MAX 32768u /* virtio 1.1, section 2.6 and 2.7: the largest queue size */

enum { VRING_DESCS_LINE = CACHE_LINE / 16 }; /* descriptors that a cache line holds */

/* One piece of a chain. Pieces that the device reads come before those that it writes. */
struct vring_piece {
    void *addr;
    uint32_t len_bytes;
    bool device_writes;
};

/* Asks for the cache lines of an owner that was reaped, while others are still being reaped. */
typedef void vring_fetch(const void *whose, void *owner);

/* ... for the first of them, which is enough where nobody looks further. */
static inline void vring_fetch_owner(const void *whose, void *owner)
{
    (void)whose;
    __builtin_prefetch(owner);
}

/* What we remember of an id. */
struct vring_shadow {
    void *owner;    /* of a chain: what the chain carries; NULL: the device hasn't got it */
    uint16_t next;  /* split: id of the chain's next descriptor */
    uint16_t descs; /* of a chain: its descriptors */
};

/* Indices run free over 16 bits and are masked at the access. */
struct vring_flight {
    uint16_t mask;     /* size - 1; the size is a power of two */
    uint16_t free_out; /* the next free id to take, in free_ids */
    uint16_t free_in;  /* where the next id that gets free goes */
    struct vring_shadow *shadow;
    uint16_t *free_ids;
};

static inline size_t vring_flight_bytes(uint32_t size)
{
    return size * (sizeof(struct vring_shadow) + sizeof(uint16_t));
}

/* Every id is free. The memory is zeroed already. */
static inline void vring_flight_setup(struct vring_flight *f, void *memory, uint32_t size)
{
    *f = (struct vring_flight){
        .mask = (uint16_t)(size - 1),
        .free_in = (uint16_t)size,
        .shadow = memory,
        .free_ids = (uint16_t *)((struct vring_shadow *)memory + size),
    };
    for (uint32_t id = 0; id < size; id++)
        f->free_ids[id] = (uint16_t)id;
}

static inline uint16_t vring_id_take(struct vring_flight *f)
{
    return f->free_ids[f->free_out++ & f->mask];
}

static inline void vring_id_free(struct vring_flight *f, uint32_t id)
{
    f->free_ids[f->free_in++ & f->mask] = (uint16_t)id;
}

/* The owner of chain `id`, which is in flight no more; NULL if it wasn't or there is no such id. */
static inline void *vring_flight_end(struct vring_flight *f, uint32_t id)
{
    void *owner;

    if (unlikely(id > f->mask || !(owner = f->shadow[id].owner)))
        return NULL;
    f->shadow[id].owner = NULL;
    vring_id_free(f, id);
    return owner;
}

#endif
