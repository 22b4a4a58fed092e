/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netfront_rx.c - netfront's data path, receive: packets out of a queue's ring, which is drawn in
 * netfront_ring.h.
 *
 * A request names a page; the back end copies a piece of a packet into it and answers in the slot
 * of the request. So answers come in order, and a buffer is found by its slot. The first slot of a
 * packet may be followed by slots of extra info, which carry no id: the buffer that was posted in
 * such a slot holds nothing.
 */
#include "boot/xen.h"
#include "netdev/netfront/netfront_csum.h"
#include "netdev/netfront/netfront_ring.h"

enum {
    BULK = 64, /* buffers taken from a pool at a time */
    AHEAD = 4, /* slots ahead whose buffer the receive loop prefetches */
    PACKET_MAX = UINT16_MAX + NETFRONT_FRAME_EXTRA,
};

static void rx_spoil(struct netfront_partial *p, enum netdev_drop reason)
{
    if (!p->bad)
        p->reason = (uint8_t)reason;
    p->bad = true;
}

/* Extra info: all that may come unasked is a hash, which is passed over. We offer no segmentation,
 * so a packet with its parameters isn't for us, nor is anything else. */
static void rx_take_extra(struct netfront_rx *q, struct netbuf *unused,
                          const struct netif_extra_info *extra)
{
    struct netfront_partial *p = &q->partial;

    netbuf_free(unused);
    if (extra->type != XEN_NETIF_EXTRA_TYPE_HASH)
        rx_spoil(p, NETDEV_DROP_BAD_META);
    p->extra = extra->flags & XEN_NETIF_EXTRA_FLAG_MORE;
    if (++p->extras > NETFRONT_EXTRAS_MAX) {
        rx_spoil(p, NETDEV_DROP_BAD_META);
        ring_broken(&q->base); /* more than there are kinds: slots can't be told apart */
    }
}

/* The piece lies where the back end chose to copy it to, as a rule at the first byte of the page.
 * If that is behind a fresh buffer's headroom, it is moved there: netdev.h promises the room
 * behind. */
INLINE void rx_place(struct netbuf *nb, const struct netif_rx_response *rsp)
{
    nb->len = (uint16_t)rsp->status;
    if (unlikely(rsp->offset > netbuf_headroom(nb)))
        memmove(nb->data, nb->start + rsp->offset, nb->len);
    else
        nb->data = nb->start + rsp->offset;
}

/* Puts a piece behind those that came before, if all is well with it. */
static void rx_take_piece(struct netfront_rx *q, struct netbuf *nb,
                          const struct netif_rx_response *rsp)
{
    struct netfront_partial *p = &q->partial;

    p->more = rsp->flags & NETRXF_more_data;
    p->extra = rsp->flags & NETRXF_extra_info;
    if (p->pieces++ == 0)
        p->flags = rsp->flags;
    if (rsp->status < 0 || (rsp->flags & NETRXF_gso_prefix) || p->pieces > NETFRONT_PIECES_MAX)
        rx_spoil(p, NETDEV_DROP_BAD_META);
    else if (rsp->status == 0 || (uint32_t)rsp->offset + (uint16_t)rsp->status > PAGE_SIZE)
        rx_spoil(p, NETDEV_DROP_BAD_LEN);
    if (p->bad) {
        netbuf_free(nb);
        return;
    }
    rx_place(nb, rsp);
    p->bytes += nb->len;
    if (p->head)
        p->tail->next = nb;
    else
        p->head = nb;
    p->tail = nb;
}

/* Sets the packet's flags from those of its first slot. False if they say what can't be. */
INLINE bool rx_take_csum(const struct netfront_rx *q, struct netbuf *nb, uint16_t flags)
{
    if (!(q->offloads & NETDEV_OFFLOAD_RX_CSUM))
        return true;
    if (flags & NETRXF_csum_blank)
        return netfront_csum_find(nb);
    if (flags & NETRXF_data_validated)
        nb->flags = NETBUF_CSUM_GOOD;
    return true;
}

/* The packet is complete. NULL if it was dropped. */
static struct netbuf *rx_finish(struct netfront_rx *q)
{
    struct netfront_partial p = q->partial;

    q->partial = (struct netfront_partial){0};
    if (!p.bad && (p.head->len < NETFRONT_FRAME_MIN || p.bytes > PACKET_MAX))
        rx_spoil(&p, NETDEV_DROP_BAD_LEN);
    if (!p.bad && !rx_take_csum(q, p.head, p.flags))
        rx_spoil(&p, NETDEV_DROP_BAD_META);
    if (!p.bad)
        return p.head;
    q->base.stats.drops[p.reason]++;
    netbuf_free(p.head);
    return NULL;
}

/* Takes the next slot. Returns the packet that it completes, or NULL. */
INLINE struct netbuf *rx_take(struct netfront_rx *q)
{
    struct netfront_partial *p = &q->partial;
    const uint32_t at = q->ring.rsp_cons++ & MASK;
    const union rx_slot slot = {.word = *(volatile uint64_t *)&q->ring.shared->ring[at]};
    struct netbuf *nb = q->flight[at];

    q->flight[at] = NULL;
    if (unlikely(p->extra)) {
        rx_take_extra(q, nb, &slot.extra);
    } else if (unlikely(slot.rsp.id != at)) {
        netbuf_free(nb);
        ring_broken(&q->base);
        return NULL;
    } else {
        rx_take_piece(q, nb, &slot.rsp);
    }
    return p->more || p->extra ? NULL : rx_finish(q);
}

/* Posts empty buffers; returns how many the ring still lacks because the pool is empty. */
static uint32_t rx_post(struct netfront_rx *q, uint32_t missing)
{
    struct netbuf *fresh[BULK];
    uint32_t want, n;

    do {
        want = MIN(missing, (uint32_t)BULK);
        n = netbuf_alloc_bulk(q->pool, fresh, want);
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t at = q->ring.req_prod++ & MASK;
            q->flight[at] = fresh[i];
            q->ring.shared->ring[at].req =
                (struct netif_rx_request){.id = (uint16_t)at, .gref = q->refs[fresh[i]->index]};
        }
        missing -= n;
    } while (missing > 0 && n == want);
    return missing;
}

/* Returns true if the back end wants an event. */
static bool rx_refill(struct netfront_rx *q)
{
    const uint32_t missing = q->descs - ring_in_flight(&q->ring);

    if (missing == 0)
        return false;
    const uint32_t lacking = rx_post(q, missing);
    q->base.empty = false;
    if (unlikely(lacking > 0)) {
        q->base.stats.drops[NETDEV_DROP_NO_BUF]++;
        q->base.empty = lacking == q->descs;
    }
    return lacking < missing && ring_publish(&q->ring);
}

uint32_t netfront_rx_burst(struct netdev_queue *base, struct netbuf **bufs, uint32_t n)
{
    struct netfront_rx *q = (struct netfront_rx *)base;
    uint32_t got = 0, known;
    uint64_t bytes = 0;

    if (unlikely(base->broken))
        return 0;
    n = MIN(n, (uint32_t)NETDEV_MAX_BURST);
    for (known = ring_known(&q->ring, base); known > 0 && got < n && !base->broken; known--) {
        __builtin_prefetch(q->flight[(q->ring.rsp_cons + AHEAD) & MASK]);
        struct netbuf *packet = rx_take(q);
        if (!packet)
            continue;
        bytes += likely(!packet->next) ? packet->len : netbuf_packet_len(packet);
        bufs[got++] = packet;
    }
    base->stats.packets += got;
    base->stats.bytes += bytes;
    base->stats.bursts += got > 0;
    if (unlikely(base->broken))
        return got;
    base->more = known;
    if (rx_refill(q))
        ring_kick(&q->ring, base);
    give_way(&q->idle, got > 0);
    return got;
}

void netfront_rx_reset(struct netfront_rx *q)
{
    ring_reset(&q->ring);
    q->base.broken = true;
}

void netfront_rx_open(struct netfront_rx *q)
{
    q->base.broken = false;
    rx_refill(q);
    ring_kick(&q->ring, &q->base); /* the back end may have looked before there were buffers */
    if (q->armed)
        netfront_rx_arm(q);
}

uint32_t netfront_rx_shut(struct netfront_rx *q)
{
    uint32_t known = q->base.broken ? 0 : ring_known(&q->ring, &q->base), unread = 0;

    for (; known > 0 && !q->base.broken; known--) {
        struct netbuf *packet = rx_take(q);
        unread += packet != NULL;
        netbuf_free(packet);
    }
    unread += q->partial.pieces > 0; /* its rest will never come */
    netbuf_free(q->partial.head);
    q->partial = (struct netfront_partial){0};
    q->base.stats.drops[NETDEV_DROP_STOP] += unread;
    q->base.broken = true;
    q->base.more = 0;
    return unread;
}

void netfront_rx_empty(struct netfront *nf, struct netfront_rx *q)
{
    for (uint32_t at = 0; at < NETFRONT_RING; at++)
        if (q->flight[at] && !netfront_grants_has(nf, q->flight[at])) {
            netbuf_free(q->flight[at]);
            q->flight[at] = NULL;
        }
}
