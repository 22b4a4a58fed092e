/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_net_queues.c - the life of a virtio-net device's queues: memory for their rings, handing
 * empty rings to the device, and taking back what is in flight once the device was reset. It is the
 * same for a first start and for a device that comes back.
 */
#include "boot/boot.h"
#include "netdev/virtio/virtio_net.h"

int virtio_net_reserve_ring(struct virtio_net_queue *q, uint16_t descs)
{
    size_t bytes = vring_bytes(descs);

    if (bytes > q->memory_bytes) {
        void *memory = boot_alloc(bytes, PAGE_SIZE);
        if (!memory)
            return NETDEV_ENOMEM;
        q->memory = memory;
        q->memory_bytes = bytes;
    }
    q->descs = descs;
    return 0;
}

static int enable_queue(struct virtio_net *net, struct virtio_net_queue *q)
{
    const bool packed = net->features & VIRTIO_BIT(VIRTIO_F_RING_PACKED);
    void *places[3];

    vring_setup(&q->ring, packed ? VRING_PACKED : VRING_SPLIT, q->memory, q->descs,
                net->features & VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX));
    if (q->armed)
        vring_arm(&q->ring);
    vring_places(&q->ring, places);
    const struct virtio_queue_place place = {
        .size = q->descs,
        .desc = (uintptr_t)places[0],
        .avail = (uintptr_t)places[1],
        .used = (uintptr_t)places[2],
        .wakes = q->pool != NULL, /* a receive queue */
    };
    return net->transport->ops->queue_enable(net->transport, q->index, &place) ? 0 : NETDEV_EDEVICE;
}

void virtio_net_clear_queue(struct virtio_net_queue *q)
{
    q->base = (struct netdev_queue){0};
    q->ring = (struct vring_queue){0};
    q->pool = NULL;
    q->armed = false;
}

/* Whether there is a control queue the device says only now that it knows the features. One that
 * took VIRTIO_NET_F_CTRL_VQ and has none is used without commands. */
static int enable_control(struct virtio_net *net)
{
    struct virtio_net_queue *control = &net->control;
    struct virtio_transport *t = net->transport;
    int error;

    if (!(net->features & VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ)) ||
        t->ops->queue_size_max(t, control->index) < VIRTIO_NET_DESCS_MIN)
        return 0;
    error = virtio_net_reserve_ring(control, VIRTIO_NET_DESCS_MIN);
    return error ? error : enable_queue(net, control);
}

static int enable_queues(struct virtio_net *net)
{
    int error;

    for (uint16_t q = 0; q < net->base.queue_pairs; q++)
        if ((error = enable_queue(net, &net->rx[q])) || (error = enable_queue(net, &net->tx[q])))
            return error;
    return enable_control(net);
}

int virtio_net_begin(struct virtio_net *net)
{
    int error = enable_queues(net);

    if (error || (error = virtio_driver_ok(net->transport)))
        return error;
    net->control.base.broken = !net->control.ring.ready;
    for (uint16_t q = 0; q < net->base.queue_pairs; q++) {
        net->rx[q].base.broken = net->tx[q].base.broken = false;
        net->tx[q].base.room = net->tx[q].descs;
        virtio_net_refill(&net->rx[q]);
    }
    net->announces = false;
    error = virtio_net_use_pairs(net);
    return error ? error : virtio_net_send_settings(net);
}

void virtio_net_stand_still(struct virtio_net *net)
{
    net->control.base.broken = true;
    for (uint16_t q = 0; q < NETDEV_MAX_QUEUE_PAIRS; q++) {
        net->rx[q].base.more = net->tx[q].base.room = 0;
        net->rx[q].base.broken = net->tx[q].base.broken = true;
    }
}

/* Frees all that a queue has in flight; returns how many. The device must be reset. */
static uint32_t take_back_all(struct virtio_net_queue *q)
{
    struct netbuf *packet;
    uint32_t cursor = 0, count = 0;

    for (; (packet = vring_take_back(&q->ring, &cursor)); count++)
        netbuf_free(packet);
    q->ring = (struct vring_queue){0};
    return count;
}

uint32_t virtio_net_empty(struct virtio_net *net)
{
    uint32_t lost = 0;

    for (uint16_t q = 0; q < NETDEV_MAX_QUEUE_PAIRS; q++) {
        struct virtio_net_queue *rx = &net->rx[q], *tx = &net->tx[q];
        virtio_net_reclaim(tx); /* what went out in time isn't a drop */
        const uint32_t unread = virtio_net_take_unread(rx), unsent = take_back_all(tx);
        take_back_all(rx);
        rx->base.stats.drops[NETDEV_DROP_STOP] += unread;
        tx->base.stats.drops[NETDEV_DROP_STOP] += unsent;
        lost += unread + unsent;
    }
    net->control.ring = (struct vring_queue){0};
    virtio_net_stand_still(net);
    return lost;
}
