/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_net.c - virtio-net's control side: examines the device, negotiates, sets queues up, starts
 * and stops. virtio_net.h tells what the other files do.
 *
 *     app      netdev.h      virtio_net                       device (virtio 1.1, section 5.1)
 *                            rx ring, queue 0   <----------   frames from the network
 *                            tx ring, queue 1   ---------->   frames to the network
 *                            ... and more pairs (virtio_net_pairs.c)
 *                            control, the last  ---------->   commands: promiscuous mode, pairs
 *
 * The device is examined when it is found and left in reset. Features are negotiated in start: only
 * there the receive buffers and the MTU are known, which decide whether a frame may need several
 * (mergeable) buffers. So every start, first or later, does the same. Left out as yet: segmentation
 * offloads.
 */
#include "netdev/virtio/virtio_net.h"
#include "boot/boot.h"

enum {
    MTU_DEFAULT = 1500,
    MTU_MIN = 68,
    MTU_MAX_ONE_BUFFER = PAGE_SIZE - 2 * CACHE_LINE - VIRTIO_NET_FRAME_EXTRA,
    /* A first buffer that holds the headers up to TCP's over IPv6: a checksum that the sender left
     * to us must be in it (take_header). */
    RX_BUF_MIN_MERGEABLE = 128,
};

/* What is negotiated whenever it is offered. ORDER_PLATFORM costs nothing on a processor that keeps
 * stores in order. */
#define FEATURES_ALWAYS                                                                            \
    (VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM) |                       \
     VIRTIO_BIT(VIRTIO_F_ORDER_PLATFORM) | VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) |                   \
     VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_MTU) |                                 \
     VIRTIO_BIT(VIRTIO_NET_F_STATUS))

/* The same of a device that takes commands. */
#define FEATURES_CONTROL (VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX))

/* The data path is chosen by the kind of ring that start negotiates. */
static const struct netdev_ops ops_split, ops_packed;

enum virtio_net_rings virtio_net_rings;

static const char *parse_rings(const struct boot_key *key, const char *text)
{
    static const char *const names[] = {
        [VIRTIO_NET_RINGS_AUTO] = "auto",
        [VIRTIO_NET_RINGS_SPLIT] = "split",
        [VIRTIO_NET_RINGS_PACKED] = "packed",
    };

    (void)key;
    for (uint32_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(text, names[i]) == 0) {
            virtio_net_rings = (enum virtio_net_rings)i;
            return NULL;
        }
    return "auto, split or packed";
}

BOOT_KEY("virtio.ring", parse_rings, NULL, "auto", "",
         "auto (packed if the device offers it), split or packed");

#define CONFIG_OFFSET(field) offsetof(struct virtio_net_config, field)

static struct virtio_net *net_of(struct netdev *dev)
{
    return (struct virtio_net *)dev;
}

static bool offers(const struct virtio_net *net, unsigned feature)
{
    return net->offered & VIRTIO_BIT(feature);
}

static uint32_t frame_max(const struct virtio_net *net)
{
    return net->mtu_bytes + (uint32_t)VIRTIO_NET_FRAME_EXTRA;
}

/* --- examining the device ------------------------------------------------------------------- */

static int read_mac(struct virtio_net *net)
{
    static const uint8_t zero[6];
    uint32_t fields[6];

    if (offers(net, VIRTIO_NET_F_MAC)) {
        if (!virtio_config(net->transport, CONFIG_OFFSET(mac), 1, 6, fields))
            return NETDEV_EDEVICE;
        for (uint32_t i = 0; i < 6; i++)
            net->mac[i] = (uint8_t)fields[i];
    }
    net->mac_is_made = (net->mac[0] & 1) || memcmp(net->mac, zero, 6) == 0; /* a group's, or none */
    if (net->mac_is_made)
        netdev_random_mac(net->mac);
    return 0;
}

/* A device with nonsense for an MTU is used as one that says nothing about it (section 5.1.4.1), as
 * is one whose frames don't fit a buffer and that can't spread them over several. */
static int read_mtu(struct virtio_net *net)
{
    uint32_t mtu;

    net->mtu_bytes = MTU_DEFAULT;
    net->mtu_max_bytes = UINT16_MAX;
    if (!offers(net, VIRTIO_NET_F_MTU))
        return 0;
    if (!virtio_config(net->transport, CONFIG_OFFSET(mtu), 2, 1, &mtu))
        return NETDEV_EDEVICE;
    const bool fits =
        mtu <= (offers(net, VIRTIO_NET_F_MRG_RXBUF) ? UINT16_MAX : MTU_MAX_ONE_BUFFER);
    if (!fits)
        print("%s: an MTU of %u needs mergeable receive buffers, which the device hasn't (QEMU: "
              "mrg_rxbuf=on); it is %u now, and longer frames are lost.\n",
              net->transport->where, mtu, MTU_MAX_ONE_BUFFER);
    if (mtu >= MTU_MIN)
        net->mtu_bytes = net->mtu_max_bytes = (uint16_t)(fits ? mtu : MTU_MAX_ONE_BUFFER);
    if (mtu < MTU_MIN || !fits)
        net->offered &= ~VIRTIO_BIT(VIRTIO_NET_F_MTU);
    return 0;
}

/* The largest power of two that the device and we both allow; 0 if the queue can't be used. */
static uint16_t descs_max(struct virtio_net *net, uint16_t index)
{
    uint32_t allowed = net->transport->ops->queue_size_max(net->transport, index);
    uint32_t descs = VIRTIO_NET_DESCS_MAX;

    while (descs > allowed)
        descs /= 2;
    return (uint16_t)(descs >= VIRTIO_NET_DESCS_MIN ? descs : 0);
}

static int examine(struct virtio_net *net)
{
    int error = virtio_acknowledge(net->transport);

    if (error)
        return error;
    net->offered = net->transport->ops->features(net->transport);
    if (!offers(net, VIRTIO_F_VERSION_1))
        return NETDEV_EDEVICE;
    if ((error = read_mac(net)) || (error = read_mtu(net)))
        return error;
    net->rx_descs_max = descs_max(net, VIRTIO_NET_RX);
    net->tx_descs_max = descs_max(net, VIRTIO_NET_TX);
    if (net->rx_descs_max == 0 || net->tx_descs_max == 0)
        return NETDEV_EDEVICE;
    if ((error = virtio_net_read_pairs(net)))
        return error;
    return virtio_reset(net->transport);
}

/* --- netdev.h ------------------------------------------------------------------------------- */

static void info(struct netdev *dev, struct netdev_info *info)
{
    const struct virtio_net *net = net_of(dev);
    bool mergeable = offers(net, VIRTIO_NET_F_MRG_RXBUF);

    info->driver = net->transport->driver;
    memcpy(info->where, net->transport->where, sizeof info->where);
    memcpy(info->mac, net->mac, sizeof info->mac);
    info->mtu_bytes = net->mtu_bytes;
    info->mtu_max_bytes = net->mtu_max_bytes;
    info->queue_pairs_max = net->pairs_max;
    info->rx_descs_max = net->rx_descs_max;
    info->tx_descs_max = net->tx_descs_max;
    info->descs_min = VIRTIO_NET_DESCS_MIN;
    info->descs_power_of_2 = true;
    info->headroom_bytes = VIRTIO_NET_HEADER;
    info->rx_buf_min_bytes =
        (uint16_t)(mergeable ? RX_BUF_MIN_MERGEABLE : MIN(frame_max(net), (uint32_t)UINT16_MAX));
    info->offloads = NETDEV_OFFLOAD_SG;
    if (offers(net, VIRTIO_NET_F_CSUM))
        info->offloads |= NETDEV_OFFLOAD_TX_CSUM;
    if (offers(net, VIRTIO_NET_F_GUEST_CSUM))
        info->offloads |= NETDEV_OFFLOAD_RX_CSUM;
}

static int configure(struct netdev *dev, const struct netdev_conf *conf)
{
    struct virtio_net *net = net_of(dev);

    int error = virtio_reset(net->transport);

    if (error)
        return error;
    virtio_net_empty(net); /* of what it kept when it was stopped */
    net->offloads = conf->offloads;
    net->promisc = PROMISC_UNSET;
    for (uint16_t q = 0; q < NETDEV_MAX_QUEUE_PAIRS; q++) {
        virtio_net_clear_queue(&net->rx[q]);
        virtio_net_clear_queue(&net->tx[q]);
    }
    virtio_net_clear_queue(&net->control);
    return 0;
}

static int rxq_setup(struct netdev *dev, uint16_t q, const struct netdev_rxq_conf *conf)
{
    struct virtio_net *net = net_of(dev);
    int error = virtio_net_reserve_ring(&net->rx[q], conf->descs);

    if (error)
        return error;
    net->rx[q].pool = conf->pool;
    dev->rxq[q] = &net->rx[q].base;
    return 0;
}

static int txq_setup(struct netdev *dev, uint16_t q, const struct netdev_txq_conf *conf)
{
    struct virtio_net *net = net_of(dev);
    int error = virtio_net_reserve_ring(&net->tx[q], conf->descs);

    if (!error)
        dev->txq[q] = &net->tx[q].base;
    return error;
}

static uint64_t wanted_features(const struct virtio_net *net)
{
    uint64_t wanted = FEATURES_ALWAYS | virtio_net_pairs_features(net);

    if (net->offloads & NETDEV_OFFLOAD_TX_CSUM)
        wanted |= VIRTIO_BIT(VIRTIO_NET_F_CSUM);
    if (net->offloads & NETDEV_OFFLOAD_RX_CSUM)
        wanted |= VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM);
    if (offers(net, VIRTIO_NET_F_CTRL_VQ))
        wanted |= FEATURES_CONTROL;
    if (offers(net, VIRTIO_NET_F_CTRL_VQ) && offers(net, VIRTIO_NET_F_STATUS))
        wanted |= VIRTIO_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE);
    if (offers(net, VIRTIO_NET_F_CTRL_VQ) && net->mac_is_made)
        wanted |= VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);
    if (virtio_net_rings != VIRTIO_NET_RINGS_SPLIT)
        wanted |= VIRTIO_BIT(VIRTIO_F_RING_PACKED);
    return wanted & net->offered;
}

/* Room for a frame, in bytes, that every receive queue has: in a buffer, in a ring full of them. */
struct rx_room {
    uint32_t buffer, ring;
};

static struct rx_room rx_room(const struct virtio_net *net)
{
    struct rx_room room = {UINT32_MAX, UINT32_MAX};

    for (uint16_t q = 0; q < net->base.queue_pairs; q++) {
        const struct netbuf_pool_conf *bufs = netbuf_pool_conf(net->rx[q].pool);
        const uint32_t buffer = (uint32_t)bufs->buf_bytes - bufs->headroom_bytes;
        room.buffer = MIN(room.buffer, buffer);
        room.ring = MIN(room.ring, buffer * net->rx[q].descs);
    }
    return room;
}

/* Chooses the features. Mergeable buffers cost a look at every packet's header, so they are
 * negotiated only if a frame may need more than one buffer. A ring that can't hold one frame would
 * keep the device waiting for ever. A device whose MTU we take may rely on room for it, whatever
 * netdev_set_mtu has made of it since (section 5.1.4.1). */
static int choose_features(struct virtio_net *net)
{
    const uint64_t mergeable = VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) & net->offered;
    const struct rx_room room = rx_room(net);
    const uint32_t most = mergeable ? room.ring : room.buffer;

    net->features = wanted_features(net);
    if (virtio_net_rings == VIRTIO_NET_RINGS_PACKED && !offers(net, VIRTIO_F_RING_PACKED))
        return NETDEV_ENOTSUP;
    if (most < frame_max(net)) {
        print("%s: a frame takes up to %u bytes at an MTU of %u, and there is room for %u in a "
              "receive %s; give it more, or set a lower MTU.\n",
              net->transport->where, frame_max(net), net->mtu_bytes, most,
              mergeable ? "ring" : "buffer");
        return NETDEV_EINVAL;
    }
    if (room.buffer < frame_max(net))
        net->features |= mergeable;
    if ((net->features & mergeable ? room.ring : room.buffer) <
        (uint32_t)net->mtu_max_bytes + VIRTIO_NET_FRAME_EXTRA)
        net->features &= ~VIRTIO_BIT(VIRTIO_NET_F_MTU);
    return 0;
}

/* A device may refuse to do without mergeable buffers. */
static int negotiate(struct virtio_net *net)
{
    const uint64_t mergeable = VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) & net->offered;
    int error = choose_features(net);

    if (error)
        return error;
    error = virtio_negotiate(net->transport, net->features);
    if (error == NETDEV_EDEVICE && mergeable && !(net->features & mergeable)) {
        net->features |= mergeable;
        error = virtio_negotiate(net->transport, net->features);
    }
    return error;
}

/* The device can't be used: tells it so, unless it is still at its reset. */
static int give_up(struct virtio_net *net, int error)
{
    if (error != NETDEV_ETIMEOUT)
        virtio_give_up(net->transport);
    return error;
}

static int start(struct netdev *dev)
{
    struct virtio_net *net = net_of(dev);
    int error = negotiate(net);

    if (error)
        return give_up(net, error);
    dev->ops = net->features & VIRTIO_BIT(VIRTIO_F_RING_PACKED) ? &ops_packed : &ops_split;
    /* A device that isn't told of several pairs (VIRTIO_NET_F_MQ) has queues 0 and 1 and the
     * control queue 2, whatever it could have; else the control queue comes after all its pairs,
     * also those that we don't use (virtio 1.1, section 5.1.2). */
    net->control.index =
        (uint16_t)(dev->queue_pairs > 1 ? 2 * net->pairs_device : VIRTIO_NET_CONTROL);
    for (uint16_t q = 0; q < dev->queue_pairs; q++) {
        struct virtio_net_queue *rx = &net->rx[q], *tx = &net->tx[q];
        rx->mergeable = net->features & VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF);
        rx->offloads = tx->offloads = net->offloads;
        rx->header_counts = rx->mergeable || (net->offloads & NETDEV_OFFLOAD_RX_CSUM);
        tx->frame_max_bytes = frame_max(net) - VIRTIO_NET_VLAN_TAG;
    }
    error = virtio_net_begin(net);
    return error ? give_up(net, error) : 0;
}

static bool stop_dma(struct virtio_transport *t)
{
    return t->ops->stop_dma && t->ops->stop_dma(t);
}

/* A device that doesn't say that it is reset may still write to the buffers that it has (section
 * 3.3.1). It keeps them, unless its transport can keep it from memory: configure insists on a
 * reset, and takes them back then. */
static void stop(struct netdev *dev)
{
    struct virtio_net *net = net_of(dev);

    for (uint16_t q = 0; q < dev->queue_pairs && dev->rxq[q]; q++)
        virtio_net_rx_intr(dev, q, false);
    net->lost = (struct virtio_net_lost){0};
    if (virtio_reset(net->transport) && !stop_dma(net->transport)) {
        if (net->rx->ring.ready)
            print("%s: the device didn't reset; it keeps the buffers that it has until it does.\n",
                  net->transport->where);
        virtio_net_stand_still(net);
        return;
    }
    virtio_net_empty(net);
}

static bool recover(struct netdev *dev)
{
    struct virtio_net *net = net_of(dev);
    uint32_t status = VIRTIO_NET_S_LINK_UP;

    if (dev->state == NETDEV_STARTED && virtio_net_give_back(net))
        return false;
    if ((virtio_needs_reset(net->transport) || net->lost.noticed) &&
        !(dev->state == NETDEV_STARTED && virtio_net_recover(net)))
        return false;
    if (offers(net, VIRTIO_NET_F_STATUS) &&
        !virtio_config(net->transport, CONFIG_OFFSET(status), 2, 1, &status))
        return false;
    if (dev->state == NETDEV_STARTED) {
        virtio_net_kick_again(net);
        virtio_net_heed_status(net, status);
    }
    return status & VIRTIO_NET_S_LINK_UP;
}

static int set_mtu(struct netdev *dev, uint16_t mtu_bytes)
{
    net_of(dev)->mtu_bytes = mtu_bytes;
    return 0;
}

static int set_promisc(struct netdev *dev, bool on)
{
    struct virtio_net *net = net_of(dev);

    if (!(net->features & VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX)))
        return NETDEV_ENOTSUP;
    int error = virtio_net_send_promisc(net, on);
    if (!error)
        net->promisc = on ? PROMISC_ON : PROMISC_OFF;
    return error;
}

/* --- a new device --------------------------------------------------------------------------- */

/* All but the data path is the same for both kinds of ring. */
#define OPS(ring)                                                                                  \
    {                                                                                              \
        .info = info, .configure = configure, .rxq_setup = rxq_setup, .txq_setup = txq_setup,      \
        .start = start, .stop = stop, .recover = recover, .set_promisc = set_promisc,              \
        .set_mtu = set_mtu, .rx_intr = virtio_net_rx_intr, .rx_burst = virtio_net_rx_burst_##ring, \
        .tx_burst = virtio_net_tx_burst_##ring, .tx_reclaim = virtio_net_tx_reclaim_##ring,        \
    }

static const struct netdev_ops ops_split = OPS(split), ops_packed = OPS(packed);

int virtio_net_init(struct virtio_net *net, struct virtio_transport *t)
{
    net->base.ops = &ops_split;
    net->transport = net->control.transport = t;
    for (uint16_t q = 0; q < NETDEV_MAX_QUEUE_PAIRS; q++) {
        net->rx[q].transport = net->tx[q].transport = t;
        net->rx[q].index = (uint16_t)(2 * q + VIRTIO_NET_RX);
        net->tx[q].index = (uint16_t)(2 * q + VIRTIO_NET_TX);
    }
    int error = examine(net);
    return error ? give_up(net, error) : 0;
}

void virtio_net_add(struct virtio_transport *t)
{
    struct virtio_net *net = boot_alloc(sizeof *net, CACHE_LINE);

    if (!net)
        boot_misconfigured(
            "there is no memory for the network device at %s; give the machine more.", t->where);
    int error = virtio_net_init(net, t);
    if (error) {
        netdev_unusable();
        print("%s: this virtio-net device can't be used: %s.\n", t->where, netdev_strerror(error));
    } else if (!netdev_register(&net->base))
        print("%s: left out, as an image drives at most %d network devices.\n", t->where,
              NETDEV_MAX);
}
