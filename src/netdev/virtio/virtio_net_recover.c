/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_net_recover.c - a device that goes away, or asks for a reset, while it is used (virtio
 * 1.1, section 2.1.2): the back end of a vhost-user socket was stopped, a device found an error.
 *
 * When it can be reset and negotiated with again, it gets new rings, whatever their kind. What it
 * had in flight is given back to the pools and counted: nothing that a device that died left in a
 * ring has to be trusted or understood, no packet is sent twice. And a device that didn't hear of
 * what was posted.
 */
#include "boot/boot.h"
#include "netdev/virtio/virtio_net.h"

#define TRY_AGAIN_NS 250000000ull

/* Frees all that a queue has in flight; returns how many. The device must be reset. */
static uint32_t take_back(struct virtio_net_queue *q)
{
    struct netbuf *packet;
    uint32_t cursor = 0, count = 0;

    for (; (packet = vring_take_back(&q->ring, &cursor)); count++)
        netbuf_free(packet);
    q->ring = (struct vring_queue){0};
    return count;
}

/* Frees what was received and never asked for, which counts as dropped. Returns how many. */
static uint32_t drop_unread(struct virtio_net_queue *q)
{
    struct netbuf *nb;
    uint32_t len, count = 0;

    for (; !q->base.broken && vring_reap(&q->ring, q->ring.kind, (void **)&nb, &len, 1) == 1;
         count++)
        netbuf_free(nb);
    q->base.stats.drops[NETDEV_DROP_STOP] += count;
    return count;
}

uint32_t virtio_net_empty(struct virtio_net *net)
{
    uint32_t lost = 0;

    for (uint16_t q = 0; q < NETDEV_MAX_QUEUE_PAIRS; q++) {
        struct virtio_net_queue *rx = &net->rx[q], *tx = &net->tx[q];
        if (tx->ring.ready)
            net->base.ops->tx_reclaim(&tx->base); /* what went out in time isn't a drop */
        if (rx->ring.ready)
            lost += drop_unread(rx);
        take_back(rx);
        uint32_t unsent = take_back(tx);
        tx->base.stats.drops[NETDEV_DROP_STOP] += unsent;
        lost += unsent;
    }
    net->control.ring = (struct vring_queue){0};
    return lost;
}

static int start_again(struct virtio_net *net)
{
    struct virtio_transport *t = net->transport;
    int error = virtio_acknowledge(t);

    if (error)
        return error;
    /* Whoever is there now may be another one: what is in use must stay as it is. */
    if (net->features & ~t->ops->features(t))
        return NETDEV_ENOTSUP;
    if ((error = virtio_negotiate(t, net->features)))
        return error;
    net->lost.packets += virtio_net_empty(net);
    for (uint16_t q = 0; q < net->base.queue_pairs; q++) {
        net->rx[q].base.more = net->tx[q].base.room = 0;
        net->rx[q].base.broken = net->tx[q].base.broken = true; /* until they have rings again */
    }
    return virtio_net_begin(net);
}

bool virtio_net_recover(struct virtio_net *net)
{
    struct virtio_net_lost *lost = &net->lost;
    const char *where = net->transport->where;

    if (!lost->noticed)
        print("%s: the device has gone or needs a reset; the link is down until it is back.\n",
              where);
    lost->noticed = true;
    if (clock_ns() < lost->next_try_ns || !netdev_hold_others())
        return false;
    int error = start_again(net);
    netdev_let_go();
    lost->next_try_ns = clock_ns() + TRY_AGAIN_NS;
    if (error == NETDEV_ENOTSUP && !lost->lacks) {
        print("%s: the device is back, but without features that are in use.\n", where);
        lost->lacks = true;
    }
    if (error)
        return false;
    print("%s: the device is back; %u packets that were in flight are lost.\n", where,
          lost->packets);
    *lost = (struct virtio_net_lost){.next_try_ns = lost->next_try_ns};
    net->base.arrivals++;
    return true;
}

static void kick_again(struct virtio_net_queue *q)
{
    uint16_t posted = vring_posted(&q->ring, q->ring.kind);

    if (posted == q->kicked_at || q->base.broken)
        return;
    q->kicked_at = posted;
    q->transport->ops->kick(q->transport, q->index);
}

void virtio_net_kick_again(struct virtio_net *net)
{
    for (uint16_t q = 0; q < net->base.queue_pairs; q++) {
        kick_again(&net->rx[q]);
        kick_again(&net->tx[q]);
    }
}
