/* SPDX-License-Identifier: BSD-2-Clause */
/* backend.c - a device in memory that completes everything at once: see backend.h. */
#include "apps/driverbench/backend.h"

enum { DESCS_MAX = 4096 };

_Static_assert(offsetof(struct backend, base) == 0, "backend_of finds the backend by its base");

static struct backend *backend_of(struct virtio_transport *t)
{
    return (struct backend *)t;
}

/* --- transport ------------------------------------------------------------------------------ */

static uint8_t backend_status(struct virtio_transport *t)
{
    return backend_of(t)->status;
}

static void backend_set_status(struct virtio_transport *t, uint8_t status)
{
    backend_of(t)->status = status;
}

static uint64_t backend_features(struct virtio_transport *t)
{
    return backend_of(t)->features;
}

static void backend_set_features(struct virtio_transport *t, uint64_t features)
{
    backend_of(t)->driver_features = features;
}

/* No field of the configuration is asked for, as no feature that brings one is offered. */
static uint32_t backend_config(struct virtio_transport *t, uint32_t offset, uint32_t width_bytes)
{
    (void)t, (void)offset, (void)width_bytes;
    return 0;
}

static uint32_t backend_config_generation(struct virtio_transport *t)
{
    (void)t;
    return 0;
}

static uint32_t backend_queue_size_max(struct virtio_transport *t, uint16_t q)
{
    (void)t;
    return q <= VIRTIO_NET_TX ? DESCS_MAX : 0;
}

static bool backend_queue_enable(struct virtio_transport *t, uint16_t q,
                                 const struct virtio_queue_place *place)
{
    struct backend *b = backend_of(t);
    struct backend_queue *queue = q == VIRTIO_NET_RX ? &b->rx : &b->tx;

    *queue = (struct backend_queue){.place = *place, .wrap = true};
    /* The device looks when the benchmark calls it, so the driver needn't kick. */
    if (b->driver_features & VIRTIO_BIT(VIRTIO_F_RING_PACKED))
        ((struct vring_packed_desc_event *)place->used)->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
    else
        ((struct vring_used *)place->used)->flags = VRING_USED_F_NO_NOTIFY;
    return true;
}

static void backend_kick(struct virtio_transport *t, uint16_t q)
{
    (void)t, (void)q;
}

static const struct virtio_transport_ops ops = {
    .status = backend_status,
    .set_status = backend_set_status,
    .features = backend_features,
    .set_features = backend_set_features,
    .config = backend_config,
    .config_generation = backend_config_generation,
    .queue_size_max = backend_queue_size_max,
    .queue_enable = backend_queue_enable,
    .kick = backend_kick,
};

void backend_init(struct backend *b, uint64_t features)
{
    *b = (struct backend){
        .base = {.ops = &ops, .driver = "virtio-net in memory", .where = "memory"},
        .features = features | VIRTIO_BIT(VIRTIO_F_VERSION_1),
    };
}

/* --- the device's part ---------------------------------------------------------------------- */

/* Uses up to n chains; where `len` isn't 0 it writes a header and says that it wrote len bytes. */
static void use_split(struct backend_queue *q, uint32_t n, uint32_t len)
{
    const uint16_t mask = (uint16_t)(q->place.size - 1);
    const struct vring_desc *desc = (const struct vring_desc *)q->place.desc;
    const struct vring_avail *avail = (const struct vring_avail *)q->place.avail;
    struct vring_used *used = (struct vring_used *)q->place.used;
    const uint16_t avail_end = load_acquire(&avail->idx);

    for (; n > 0 && q->avail_idx != avail_end; n--) {
        uint16_t id = avail->ring[q->avail_idx++ & mask];
        if (len > 0)
            memset((void *)desc[id].addr, 0, VIRTIO_NET_HEADER);
        used->ring[q->used_idx++ & mask] = (struct vring_used_elem){id, len};
    }
    store_release(&used->idx, q->used_idx);
}

/* The same in a packed ring, where it takes and uses a descriptor in the same place. */
static void use_packed(struct backend_queue *q, uint32_t n, uint32_t len)
{
    struct vring_packed_desc *ring = (struct vring_packed_desc *)q->place.desc;

    for (; n > 0; n--) {
        struct vring_packed_desc *d = &ring[q->used_idx];
        uint16_t flags = load_acquire(&d->flags);
        if (!(flags & VRING_PACKED_AVAIL) == q->wrap || !(flags & VRING_PACKED_USED) != q->wrap)
            break;
        if (len > 0)
            memset((void *)d->addr, 0, VIRTIO_NET_HEADER);
        d->len = len;
        store_release(&d->flags, q->wrap ? VRING_PACKED_AVAIL | VRING_PACKED_USED : 0);
        q->used_idx++;
        if (q->used_idx == q->place.size) {
            q->used_idx = 0;
            q->wrap = !q->wrap;
        }
    }
}

static void use_chains(const struct backend *b, struct backend_queue *q, uint32_t n, uint32_t len)
{
    if (b->driver_features & VIRTIO_BIT(VIRTIO_F_RING_PACKED))
        use_packed(q, n, len);
    else
        use_split(q, n, len);
    full_fence(); /* so the driver finds nothing of it in this core's store buffer, as with a device
                     on another core */
}

void backend_transmit(struct backend *b)
{
    use_chains(b, &b->tx, DESCS_MAX, 0);
}

void backend_receive(struct backend *b, uint32_t n, uint32_t frame_bytes)
{
    use_chains(b, &b->rx, n, VIRTIO_NET_HEADER + frame_bytes);
}
