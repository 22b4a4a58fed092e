/*
 * vring.h - virtio's split ring (virtio 1.1, section 2.6), with four verbs: post, publish, kick and
 * reap. Byte order is little endian, as the processor's is.
 *
 *   descriptor table         available ring (we write)     used ring (the device writes)
 *   id  addr len flags next  flags idx ring[]              flags idx ring[]
 *   0  +--------------+      +-------------------+         +------------------------+
 *   1  | one buffer   | <--- | id of a chain     |  -----> | id of a chain, length  |
 *   2  | each         |      | ...               | device  | ...                    |
 *      +--------------+      +-------------------+         +------------------------+
 *                            ^ avail_idx: post writes here ^ used_idx: reap reads here
 *
 * What is ours and what is shared are kept apart. Everything that we must remember of a chain in
 * flight stands in `shadow`, where the device has no business; the descriptor table and the
 * available ring's index are written and never read back. Indices run free over 16 bits and are
 * masked at the access, so `avail_idx - used_idx` is the number of chains in flight.
 *
 * Free ids wait in a queue of their own, first in, first out: a device that finishes in order, as
 * most do, then keeps ids and memory accesses sequential.
 *
 * Order of calls: vring_bytes, vring_setup; then post ... publish, wants_kick; waiting, reap ...;
 * at the end, with the device reset, take_back.
 */
#ifndef NETDEV_VRING_H
#define NETDEV_VRING_H

#include "boot/lib.h"

#define VIRTIO_RING_NO_LEGACY
#include <linux/virtio_ring.h>

#define VRING_SIZE_MAX 32768u /* section 2.6: the largest queue size */
#define VRING_RUNAWAY  UINT32_MAX

/* What we remember of a descriptor. */
struct vring_shadow {
    void *owner;    /* in a chain's head: what the chain carries; NULL: the device hasn't got it */
    uint16_t next;  /* id of the chain's next descriptor */
    uint16_t descs; /* in a chain's head: descriptors of the chain */
};

struct vring_split {
    /* Ours. */
    uint16_t mask;      /* size - 1; the size is a power of two */
    uint16_t avail_idx; /* the next entry of the available ring that we write */
    uint16_t used_idx;  /* the next entry of the used ring that we read */
    uint16_t free_out;  /* the next free id to take, in free_ids */
    uint16_t free_in;   /* where the next id that gets free goes */
    struct vring_shadow *shadow;
    uint16_t *free_ids;
    /* Shared with the device. */
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
};

/* One piece of a chain. Pieces that the device reads come before those that it writes. */
struct vring_piece {
    void *addr;
    uint32_t len_bytes;
    bool device_writes;
};

/* Offsets in the memory of a ring. Each part has cache lines of its own: what the device writes
 * never shares one with what we write. */
struct vring_layout {
    size_t avail, used, shadow, free_ids, end;
};

static inline struct vring_layout vring_layout(uint32_t size)
{
    struct vring_layout at;

    at.avail = ALIGN_UP(size * sizeof(struct vring_desc), CACHE_LINE);
    at.used =
        ALIGN_UP(at.avail + sizeof(struct vring_avail) + (size + 1) * sizeof(uint16_t), CACHE_LINE);
    at.shadow = ALIGN_UP(at.used + sizeof(struct vring_used) +
                             size * sizeof(struct vring_used_elem) + sizeof(uint16_t),
                         CACHE_LINE);
    at.free_ids = at.shadow + size * sizeof(struct vring_shadow);
    at.end = ALIGN_UP(at.free_ids + size * sizeof(uint16_t), CACHE_LINE);
    return at;
}

/* Memory that a ring takes, in bytes; to be aligned to a cache line. */
static inline size_t vring_bytes(uint32_t size)
{
    return vring_layout(size).end;
}

/* Makes an empty ring of `size` descriptors, a power of two up to VRING_SIZE_MAX. The device must
 * be reset: it sees a ring whose indices begin at 0 and which asks for no interrupts. */
static inline void vring_setup(struct vring_split *r, void *memory, uint32_t size)
{
    const struct vring_layout at = vring_layout(size);
    uint8_t *base = memory;

    assert(IS_POWER_OF_2(size) && size <= VRING_SIZE_MAX);
    memset(memory, 0, at.end);
    *r = (struct vring_split){
        .mask = (uint16_t)(size - 1),
        .free_in = (uint16_t)size,
        .shadow = (void *)(base + at.shadow),
        .free_ids = (void *)(base + at.free_ids),
        .desc = memory,
        .avail = (void *)(base + at.avail),
        .used = (void *)(base + at.used),
    };
    for (uint32_t id = 0; id < size; id++)
        r->free_ids[id] = (uint16_t)id;
    r->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

static inline uint32_t vring_size(const struct vring_split *r)
{
    return r->mask + 1u;
}

/* Descriptors that are free. */
static inline uint32_t vring_room(const struct vring_split *r)
{
    return (uint16_t)(r->free_in - r->free_out);
}

/*
 * Post: writes a chain of n pieces (1 up to vring_room) into the ring, unseen by the device as yet.
 * `owner` comes back from reap once the device is done with all of them; not NULL.
 */
static inline __attribute__((always_inline)) void
vring_post(struct vring_split *r, const struct vring_piece *pieces, uint32_t n, void *owner)
{
    const uint16_t head = r->free_ids[r->free_out & r->mask];
    uint16_t *slot = &r->avail->ring[r->avail_idx++ & r->mask];
    uint16_t id = head;

    for (uint32_t i = 0; i < n; i++) {
        uint16_t flags = pieces[i].device_writes ? VRING_DESC_F_WRITE : 0, next = 0;
        r->free_out++;
        if (i + 1 < n) {
            next = r->free_ids[r->free_out & r->mask];
            flags |= VRING_DESC_F_NEXT;
            r->shadow[id].next = next;
        }
        r->desc[id] =
            (struct vring_desc){(uintptr_t)pieces[i].addr, pieces[i].len_bytes, flags, next};
        id = next;
    }
    r->shadow[head].owner = owner;
    r->shadow[head].descs = (uint16_t)n;
    /* In order, a slot gets the id that it held a round ago: leaving it alone leaves its cache line
     * with the device. */
    if (*slot != head)
        *slot = head;
}

/* Publish: everything posted so far is the device's from here on. */
static inline void vring_publish(struct vring_split *r)
{
    /* A device that reads this index sees the descriptors and the ring entries written before. */
    store_release(&r->avail->idx, r->avail_idx);
}

/* Kick: true if the device, after a publish, has to be told through its transport. */
static inline bool vring_wants_kick(const struct vring_split *r)
{
    /* The device sees our index before we look at its flag. A device that goes to sleep clears the
     * flag, then looks at the index once more; so either it sees what we published or we see that
     * it wants a kick. */
    full_fence();
    return !(*(const volatile uint16_t *)&r->used->flags & VRING_USED_F_NO_NOTIFY);
}

/* Chains that the device has finished and reap may take; VRING_RUNAWAY if its index tells of more
 * than it was given. */
static inline uint32_t vring_waiting(const struct vring_split *r)
{
    /* We see the used ring's entries, and what the device wrote into buffers, up to this index. */
    uint16_t waiting = (uint16_t)(load_acquire(&r->used->idx) - r->used_idx);

    return likely(waiting <= (uint16_t)(r->avail_idx - r->used_idx)) ? waiting : VRING_RUNAWAY;
}

/*
 * Reap: takes the next of the finished chains that vring_waiting told of. Returns its owner and, in
 * *len_bytes, the bytes that the device says it wrote, which the caller has to check. NULL if the
 * device returned what it hadn't: the ring can't be trusted any more.
 */
static inline void *vring_reap(struct vring_split *r, uint32_t *len_bytes)
{
    const volatile struct vring_used_elem *elem = &r->used->ring[r->used_idx++ & r->mask];
    uint32_t id = elem->id;
    void *owner;

    *len_bytes = elem->len;
    if (unlikely(id > r->mask || !(owner = r->shadow[id].owner)))
        return NULL;
    r->shadow[id].owner = NULL;
    r->free_ids[r->free_in++ & r->mask] = (uint16_t)id;
    for (uint32_t descs = r->shadow[id].descs; unlikely(descs > 1); descs--) {
        id = r->shadow[id].next;
        r->free_ids[r->free_in++ & r->mask] = (uint16_t)id;
    }
    return owner;
}

/* A guess at what the reap `ahead` steps from here will give, or NULL: to prefetch, no more. */
static inline const void *vring_peek(const struct vring_split *r, uint32_t ahead)
{
    uint32_t id = r->used->ring[(r->used_idx + ahead) & r->mask].id;

    return r->shadow[id & r->mask].owner;
}

/* Takes back a chain that is in flight, whichever; NULL if there is none left. Only when the device
 * has been reset. Start with *cursor 0. The ring must be set up again before it is used again. */
static inline void *vring_take_back(struct vring_split *r, uint32_t *cursor)
{
    while (r->shadow && *cursor <= r->mask) {
        struct vring_shadow *s = &r->shadow[(*cursor)++];
        void *owner = s->owner;
        s->owner = NULL;
        if (owner)
            return owner;
    }
    return NULL;
}

#endif
