/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_net_recover.c - a device that goes away, or asks for a reset, while it is used (virtio
 * 1.1, section 2.1.2): the back end of a vhost-user socket was stopped, a device found an error.
 *
 * When the device was reset, the packets that it had in flight are given back to their pools and
 * counted. When it takes the features that were in use, it gets new, empty rings of the same kind.
 * So nothing that a dead device left in a ring has to be trusted or understood, and no packet is
 * sent twice.
 *
 * Also here: a kick that the device may have missed is sent again (virtio_net_kick_again).
 */
#include "boot/boot.h"
#include "netbuf/eth.h"
#include "netdev/virtio/virtio_net.h"

#define TRY_AGAIN_NS 250000000ull

/* Another device may have been plugged in where ours was. The app's packets, and its neighbours',
 * have the address of the one that the app knows. */
static bool has_our_mac(struct virtio_net *net)
{
    uint32_t fields[6];
    char text[ETH_MAC_TEXT_BYTES];
    uint8_t mac[6];

    if (!(net->features & VIRTIO_BIT(VIRTIO_NET_F_MAC)) ||
        !virtio_config(net->transport, offsetof(struct virtio_net_config, mac), 1, 6, fields))
        return true;
    for (uint32_t i = 0; i < 6; i++)
        mac[i] = (uint8_t)fields[i];
    if ((mac[0] & 1) || memcmp(mac, (uint8_t[6]){0}, 6) == 0 || memcmp(mac, net->mac, 6) == 0)
        return true;
    if (!net->lost.lacks)
        print("%s: a device is back, but with MAC %s; it isn't used.\n", net->transport->where,
              eth_mac_format(text, mac));
    net->lost.lacks = true;
    return false;
}

static int start_again(struct virtio_net *net)
{
    int error = virtio_reset(net->transport);

    /* A device that is told to reset isn't kicked, and no queue is used until it has begun anew. */
    if (error) {
        virtio_net_stand_still(net);
        return error;
    }
    net->lost.packets += virtio_net_empty(net);
    /* The app's buffers and settings were made for the features in use, so those must stay. */
    error = virtio_negotiate(net->transport, net->features);
    if (!error)
        error = has_our_mac(net) ? virtio_net_begin(net) : NETDEV_ENOTSUP;
    if (error) {
        virtio_net_stand_still(net);
        virtio_give_up(net->transport);
    }
    return error;
}

bool virtio_net_recover(struct virtio_net *net)
{
    struct virtio_net_lost *lost = &net->lost;
    const char *where = net->transport->where;

    if (!lost->noticed)
        print("%s: the device has gone or needs a reset; the link is down until it is back.\n",
              where);
    lost->noticed = true;
    if (clock_ns() < lost->next_try_ns)
        return false;
    if (net->transport->ops->present && !net->transport->ops->present(net->transport)) {
        netdev_ask_no_more(); /* a try before may have asked the other cores to stop */
        lost->next_try_ns = clock_ns() + TRY_AGAIN_NS;
        return false;
    }
    if (!netdev_hold_others())
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

bool virtio_net_give_back(struct virtio_net *net)
{
    struct virtio_transport *t = net->transport;
    struct virtio_net_lost *lost = &net->lost;

    if (!t->ops->wanted_back || !t->ops->wanted_back(t)) {
        if (lost->wanted_back) /* who wanted it may have thought better of it */
            netdev_ask_no_more();
        lost->wanted_back = false;
        return false;
    }
    lost->wanted_back = true;
    if (!netdev_hold_others())
        return true;
    if (virtio_reset(t) == 0) {
        lost->packets += virtio_net_empty(net);
        t->ops->give_back(t);
        print("%s: the device is wanted back and was given; the link is down until it is plugged "
              "in again.\n",
              t->where);
    } else { /* it may still write to what it has */
        virtio_net_stand_still(net);
        print("%s: the device is wanted back and didn't reset; the link is down until it does.\n",
              t->where);
    }
    lost->noticed = true; /* also of one that didn't reset: it has to begin anew */
    netdev_let_go();
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
