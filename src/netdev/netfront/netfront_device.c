/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netfront_device.c - netfront behind netdev.h: tells what a device can do, and takes it from state
 * to state.
 *
 * A device is examined when it is found; its back end is in InitWait then, and stays there. Each
 * start makes a new connection. When the back end went away and came back, netfront_connect.c makes
 * another one, in netdev_recover.
 */
#include "boot/boot.h"
#include "boot/xen.h"
#include "netdev/netfront/netfront_store.h"

enum { MTU_MAX_SINGLE = 1500 /* where the back end takes no packets of several pieces */ };

static struct netfront *front_of(struct netdev *dev)
{
    return (struct netfront *)dev;
}

static uint16_t mtu_max(const struct netfront *nf)
{
    return nf->features.sg ? nf->mtu_max_bytes : MIN(nf->mtu_max_bytes, (uint16_t)MTU_MAX_SINGLE);
}

static void info(struct netdev *dev, struct netdev_info *info)
{
    const struct netfront *nf = front_of(dev);

    info->driver = "netfront";
    memcpy(info->where, nf->where, sizeof info->where);
    memcpy(info->mac, nf->mac, sizeof info->mac);
    info->mtu_max_bytes = mtu_max(nf);
    info->mtu_bytes = MIN(nf->mtu_bytes, info->mtu_max_bytes);
    info->queue_pairs_max =
        (uint16_t)MIN(nf->features.queues_max, (uint32_t)NETDEV_MAX_QUEUE_PAIRS);
    info->rx_descs_max = info->tx_descs_max = NETFRONT_RING;
    info->descs_min = NETFRONT_DESCS_MIN;
    info->descs_power_of_2 = false;
    info->headroom_bytes = 0;
    info->rx_buf_min_bytes = PAGE_SIZE; /* the back end writes from a page's first byte on */
    info->offloads = NETDEV_OFFLOAD_RX_CSUM;
    if (nf->features.sg)
        info->offloads |= NETDEV_OFFLOAD_SG;
    if (nf->features.tx_csum)
        info->offloads |= NETDEV_OFFLOAD_TX_CSUM;
}

static int configure(struct netdev *dev, const struct netdev_conf *conf)
{
    front_of(dev)->offloads = conf->offloads;
    return 0;
}

/* A ring's page; it is kept for the next time, as it can't be given back. */
static bool reserve_ring(struct netfront_ring *r, struct netfront_grants *page, uint32_t *ref)
{
    if (!r->shared)
        r->shared = boot_alloc(PAGE_SIZE, PAGE_SIZE);
    *page = (struct netfront_grants){
        .base = (const uint8_t *)r->shared, .refs = ref, .pages = 1, .held = *ref != 0};
    return r->shared != NULL;
}

static int rxq_setup(struct netdev *dev, uint16_t q, const struct netdev_rxq_conf *conf)
{
    struct netfront *nf = front_of(dev);

    if (!nf->rx[q])
        nf->rx[q] = boot_alloc(sizeof *nf->rx[q], CACHE_LINE);
    struct netfront_rx *rx = nf->rx[q];
    if (!rx || !reserve_ring(&rx->ring, &rx->page, &rx->page_ref) ||
        !netfront_pool_of(nf, conf->pool))
        return NETDEV_ENOMEM;
    rx->base = (struct netdev_queue){.broken = true};
    rx->armed = false;
    rx->pool = conf->pool;
    rx->descs = conf->descs;
    rx->offloads = nf->offloads;
    dev->rxq[q] = &rx->base;
    return 0;
}

static int txq_setup(struct netdev *dev, uint16_t q, const struct netdev_txq_conf *conf)
{
    struct netfront *nf = front_of(dev);

    if (!nf->tx[q])
        nf->tx[q] = boot_alloc(sizeof *nf->tx[q], CACHE_LINE);
    struct netfront_tx *tx = nf->tx[q];
    if (!tx || !reserve_ring(&tx->ring, &tx->page, &tx->page_ref))
        return NETDEV_ENOMEM;
    tx->base = (struct netdev_queue){.broken = true};
    tx->dev = nf;
    tx->descs = conf->descs;
    tx->offloads = nf->offloads;
    tx->frame_max_bytes = MIN(nf->mtu_bytes, mtu_max(nf)) + (uint32_t)NETFRONT_FRAME_EXTRA;
    dev->txq[q] = &tx->base;
    return 0;
}

static int start(struct netdev *dev)
{
    return netfront_connect(front_of(dev));
}

static void stop(struct netdev *dev)
{
    struct netfront *nf = front_of(dev);

    netfront_disconnect(nf);
    print("%s: stopped; %u pages of this domain are still granted.\n", nf->where,
          xen_grants_used());
}

static bool recover(struct netdev *dev)
{
    struct netfront *nf = front_of(dev);
    bool up;

    if (dev->state == NETDEV_STARTED) {
        up = netfront_go_on(nf);
    } else {
        netfront_look_at_kept(nf);
        up = netfront_find_back(nf) == STORE_OK && netfront_read_carrier(nf) == STORE_OK &&
             nf->carrier;
    }
    netfront_look_at_vifs();
    return up;
}

/* All frames come that the back end gets: the filter that it may have isn't asked for. */
static int set_promisc(struct netdev *dev, bool on)
{
    (void)dev;
    (void)on;
    return NETDEV_OK;
}

static int set_mtu(struct netdev *dev, uint16_t mtu_bytes)
{
    front_of(dev)->mtu_bytes = mtu_bytes;
    return 0;
}

static const struct netdev_ops ops = {
    .info = info,
    .configure = configure,
    .rxq_setup = rxq_setup,
    .txq_setup = txq_setup,
    .start = start,
    .stop = stop,
    .recover = recover,
    .set_promisc = set_promisc,
    .set_mtu = set_mtu,
    .rx_intr = netfront_rx_intr,
    .rx_burst = netfront_rx_burst,
    .tx_burst = netfront_tx_burst,
    .tx_reclaim = netfront_tx_reclaim,
};

/* --- a new device --------------------------------------------------------------------------- */

void netfront_name(struct netfront *nf, uint32_t vif)
{
    nf->vif = vif;
    nf->watch = -1;
    format(nf->where, sizeof nf->where, "vif %u", vif);
}

int netfront_init(struct netfront *nf, uint32_t vif)
{
    nf->base.ops = &ops;
    netfront_name(nf, vif);
    int error = netfront_read_own(nf);
    if (error)
        return error;
    error = netfront_meet(nf);
    if (error)
        print("%s: it can't be used, as its back end in domain %u isn't ready to connect; is "
              "xen-netback loaded there?\n",
              nf->where, nf->domid);
    return error;
}
