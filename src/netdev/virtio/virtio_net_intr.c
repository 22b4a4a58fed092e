/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_net_intr.c - virtio-net's receive interrupts: how a packet ends boot_wait.
 *
 *     netdev_rx_intr(on)   transport: the queue's interrupt gets through, what came is acknowledged
 *                          ring: asks for one (vring_arm), then looks once more
 *     boot_wait            ends by the interrupt, whichever queue's or device's it is
 *     netdev_rx_intr(off)  ring: asks for none
 *
 * The transport comes first: it may acknowledge an interrupt that came before, whose packets the
 * look at the ring then finds.
 */
#include "netdev/virtio/virtio_net.h"

static int disarm_queue(struct virtio_net_queue *q, int result)
{
    if (q->ring.ready)
        vring_disarm(&q->ring);
    q->transport->ops->arm(q->transport, q->index, false);
    q->armed = false;
    return result;
}

int virtio_net_rx_intr(struct netdev *dev, uint16_t index, bool on)
{
    struct virtio_net_queue *q = (struct virtio_net_queue *)dev->rxq[index];

    if (!q->transport->ops->arm)
        return NETDEV_ENOTSUP;
    if (!on)
        return q->armed ? disarm_queue(q, NETDEV_OK) : NETDEV_OK;
    if (!q->transport->ops->arm(q->transport, q->index, true))
        return NETDEV_ENOTSUP;
    q->armed = true;
    /* A broken queue may be waited for, too: if the device recovers, its new ring asks (`armed`).
     */
    if (!q->base.broken && vring_arm(&q->ring))
        return disarm_queue(q, NETDEV_EAGAIN);
    return NETDEV_OK;
}
