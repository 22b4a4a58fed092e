/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netfront_intr.c - netfront's receive interrupts: the back end sends an event when its responses
 * pass rsp_event (xen/io/ring.h), and that ends boot_wait if the port may wake this domain.
 */
#include "netdev/netfront/netfront_ring.h"

bool netfront_rx_arm(struct netfront_rx *q)
{
    xen_event_take(q->ring.port); /* one that came before tells of what the look below sees */
    xen_event_wake(q->ring.port, true);
    *(volatile uint32_t *)&q->ring.shared->rsp_event = q->ring.rsp_cons + 1;
    /* Full fence: either the back end sees rsp_event when it has published responses, or we see
     * these below. */
    full_fence();
    return ring_known(&q->ring, &q->base) > 0 || q->base.broken;
}

static int disarm_rx(struct netfront_rx *q, int result)
{
    /* rsp_prod is at this index or past it, so it won't move past it: no event. */
    *(volatile uint32_t *)&q->ring.shared->rsp_event = q->ring.rsp_cons;
    xen_event_wake(q->ring.port, false);
    q->armed = false;
    return result;
}

int netfront_rx_intr(struct netdev *dev, uint16_t index, bool on)
{
    const struct netfront *nf = (const struct netfront *)dev;
    struct netfront_rx *q = nf->rx[index];

    if (nf->phase != NETFRONT_UP || q->base.broken) {
        q->armed = on; /* there is no ring that works; netfront_rx_open arms the next */
        return NETDEV_OK;
    }
    if (!on)
        return q->armed ? disarm_rx(q, NETDEV_OK) : NETDEV_OK;
    q->armed = true;
    return netfront_rx_arm(q) ? disarm_rx(q, NETDEV_EAGAIN) : NETDEV_OK;
}
