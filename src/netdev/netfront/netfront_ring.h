/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netfront_ring.h - the rings that a queue shares with the back end (xen/io/ring.h), with four
 * verbs: post, publish, kick and reap.
 *
 * A ring is one page: a head with four indices, and 256 slots that requests and responses share.
 * The indices run free over 32 bits; a slot is index & 255.
 *
 *     +----------+-----------+----------+-----------+ - - - - - - - +--------+--------+- -
 *     | req_prod | req_event | rsp_prod | rsp_event |               | slot 0 | slot 1 |
 *     +----------+-----------+----------+-----------+ - - - - - - - +--------+--------+- -
 *       ours       theirs      theirs     ours                        requests: ours,
 *                                                                     responses: theirs
 *
 * req_event: they want an event when req_prod passes it; rsp_event: we do, when rsp_prod does.
 *
 *     slot      0     rsp_cons      rsp_prod      req_prod
 *              ...|   | responses   | requests    | free ...
 *                       to reap       in flight
 *
 * Post writes a request, publish moves req_prod on, kick sends an event if publish says that the
 * back end wants one, reap takes responses.
 */
#ifndef NETDEV_NETFRONT_RING_H
#define NETDEV_NETFRONT_RING_H

#include "boot/xen.h"
#include "netdev/netfront/netfront.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    MASK = NETFRONT_RING - 1,
    IDLE_BURSTS = 4, /* in a row that moved nothing, before we let go of the processor */
};

/* Both kinds of ring have the same head, and as many slots. */
#define SAME_PLACE(field)                                                                          \
    _Static_assert(offsetof(struct netif_tx_sring, field) ==                                       \
                       offsetof(struct netif_rx_sring, field),                                     \
                   "the rings differ in " #field)
SAME_PLACE(req_prod);
SAME_PLACE(req_event);
SAME_PLACE(rsp_prod);
SAME_PLACE(rsp_event);
SAME_PLACE(ring);
_Static_assert(offsetof(struct netif_tx_sring, ring) == 64, "a ring's head");
_Static_assert(sizeof(union netif_tx_sring_entry) == 12 && 64 + 12 * NETFRONT_RING <= PAGE_SIZE &&
                   64 + 12 * 2 * NETFRONT_RING > PAGE_SIZE,
               "transmit slots of a page");
_Static_assert(sizeof(union netif_rx_sring_entry) == 8 && 64 + 8 * NETFRONT_RING <= PAGE_SIZE &&
                   64 + 8 * 2 * NETFRONT_RING > PAGE_SIZE,
               "receive slots of a page");

/* A response, and the extra info that may stand in its place, as one word: so it is read once. */
union rx_slot {
    struct netif_rx_response rsp;
    struct netif_extra_info extra;
    uint64_t word;
};
union tx_slot {
    struct netif_tx_response rsp;
    uint32_t word;
};
_Static_assert(sizeof(union rx_slot) == 8 && sizeof(union tx_slot) == 4, "one load each");

INLINE union netif_tx_sring_entry *tx_entries(const struct netfront_tx *q)
{
    return ((struct netif_tx_sring *)q->ring.shared)->ring;
}

/* rsp_event is 0: rsp_prod never moves past that, so that the back end sends no events until
 * netfront_rx_arm asks for one. */
static inline void ring_reset(struct netfront_ring *r)
{
    memset(r->shared, 0, PAGE_SIZE);
    r->req_prod = r->req_published = r->rsp_cons = 0;
    r->shared->req_event = 1;
}

INLINE uint32_t ring_in_flight(const struct netfront_ring *r)
{
    return r->req_prod - r->rsp_cons;
}

/* Publish: all that was posted is the back end's from here on. True if it wants an event. */
INLINE bool ring_publish(struct netfront_ring *r)
{
    const uint32_t before = r->req_published;

    /* Release: whoever sees the index sees the requests. */
    store_release(&r->shared->req_prod, r->req_prod);
    r->req_published = r->req_prod;
    /* Full fence: the back end writes req_event, then looks for requests once more. Either it sees
     * these requests, or we see its req_event here. */
    full_fence();
    const uint32_t event = *(volatile uint32_t *)&r->shared->req_event;
    return r->req_prod - event < r->req_prod - before;
}

/* Kick: one event. */
static inline void ring_kick(struct netfront_ring *r, struct netdev_queue *base)
{
    xen_event_notify(r->port);
    base->stats.kicks++;
}

/* The back end broke the protocol: the queue stands still until the connection has ended. */
static inline void ring_broken(struct netdev_queue *base)
{
    base->broken = true;
    base->more = base->room = 0;
    base->stats.drops[NETDEV_DROP_BAD_ID]++;
}

/* Reap: how many responses can be taken from rsp_cons on. More than there are requests can't be:
 * then the queue is broken. */
INLINE uint32_t ring_known(struct netfront_ring *r, struct netdev_queue *base)
{
    /* Acquire: the responses before the index are seen, and what they say was copied. */
    const uint32_t known = load_acquire(&r->shared->rsp_prod) - r->rsp_cons;

    if (unlikely(known > r->req_published - r->rsp_cons)) {
        ring_broken(base);
        return 0;
    }
    return known;
}

/* Called after each burst. Lets go of the processor after several bursts in a row that moved
 * nothing: if the back end runs on the same processor, it can bring no packet before Xen's
 * scheduler ends our turn, which may take 10 ms. */
INLINE void give_way(uint32_t *idle, bool moved)
{
    if (moved)
        *idle = 0;
    else if (++*idle >= IDLE_BURSTS)
        xen_yield();
}

#endif
