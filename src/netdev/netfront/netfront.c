/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netfront.c - netfront's data path: packets in and out of the two rings of a queue, which are
 * drawn in netfront_ring.h.
 *
 * Receive: a request names a page; the back end copies a piece of a packet into it and answers in
 * the slot of the request. So answers come in order, and a buffer is found by its slot. The first
 * slot of a packet may be followed by slots of extra info, which carry no id: the buffer that was
 * posted in such a slot holds nothing.
 *
 * Transmit: a request names a page, an offset and a size. It is answered in any order: a piece is
 * found by its id. The first request of a packet tells the size of the whole, the others their own.
 */
#include "boot/xen.h"
#include "netdev/netfront/netfront_csum.h"
#include "netdev/netfront/netfront_ring.h"

enum {
    BULK = 64, /* buffers taken from a pool at a time */
    AHEAD = 4, /* slots ahead whose buffer the receive loop prefetches */
    PACKET_MAX = UINT16_MAX + NETFRONT_FRAME_EXTRA,
};

/* --- receive -------------------------------------------------------------------------------- */

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
    nb->data = nb->start + rsp->offset;
    nb->len = (uint16_t)rsp->status;
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
    if (!p.bad && (p.bytes < NETFRONT_FRAME_MIN || p.bytes > PACKET_MAX))
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
    q->base.stats.drops[NETDEV_DROP_STOP] += unread;
    q->base.broken = true;
    q->base.more = 0;
    return unread;
}

void netfront_rx_empty(struct netfront_rx *q)
{
    netbuf_free(q->partial.head);
    q->partial = (struct netfront_partial){0};
    for (uint32_t at = 0; at < NETFRONT_RING; at++) {
        netbuf_free(q->flight[at]);
        q->flight[at] = NULL;
    }
}

/* --- transmit ------------------------------------------------------------------------------- */

enum { FIRST = 0 }; /* netbuf.driver: 1 in the first piece of a packet, 0 in the others */

/* The entry of free_ids that the next request's id comes from; once a response is taken, the one
 * that its id goes to. */
INLINE uint16_t *tx_top_id(struct netfront_tx *q)
{
    return &q->free_ids[NETFRONT_RING - 1 - ring_in_flight(&q->ring)];
}

/* Gives finished pieces back to their pools. Returns how many packets were finished. */
static uint32_t tx_reap(struct netfront_tx *q)
{
    uint32_t packets = 0;

    if (unlikely(q->base.broken))
        return 0;
    for (uint32_t known = ring_known(&q->ring, &q->base); known > 0; known--) {
        const uint32_t at = q->ring.rsp_cons & MASK;
        const union tx_slot slot = {.word = *(volatile uint32_t *)&tx_entries(q)[at]};
        if (unlikely(slot.rsp.id >= NETFRONT_RING || !q->flight[slot.rsp.id])) {
            ring_broken(&q->base);
            break;
        }
        struct netbuf *piece = q->flight[slot.rsp.id];
        q->flight[slot.rsp.id] = NULL;
        q->ring.rsp_cons++;
        *tx_top_id(q) = slot.rsp.id;
        if (piece->driver[FIRST]) {
            packets++;
            if (unlikely(slot.rsp.status != NETIF_RSP_OKAY))
                q->base.stats.drops[NETDEV_DROP_BAD_META]++; /* the back end refused it */
        }
        netbuf_free(piece);
    }
    return packets;
}

struct piece {
    struct netbuf *nb;
    uint32_t ref;
};

/* The grant of the page that a piece lies in; 0 if there is none. */
INLINE uint32_t tx_ref(struct netfront_tx *q, const struct netbuf *nb)
{
    if (unlikely(!q->last || q->last->pool != nb->pool)) {
        struct netfront_pool *pool = netfront_pool_granted(q->dev, nb->pool, true);
        if (!pool)
            return 0;
        q->last = pool;
    }
    return q->last->grants.refs[(uint32_t)(nb->start - q->last->grants.base) / PAGE_SIZE];
}

INLINE bool tx_piece(struct netfront_tx *q, struct netbuf *nb, struct piece *piece)
{
    const bool inside =
        nb->len > 0 && nb->data >= nb->start && nb->data + nb->len <= nb->start + nb->buf_bytes;

    *piece = (struct piece){nb, likely(inside) ? tx_ref(q, nb) : 0};
    return piece->ref != 0;
}

/* False if a chain can't be sent. One that the back end wouldn't take is made one piece. */
static bool tx_takes_chain(const struct netfront_tx *q, struct netbuf *packet)
{
    const bool sg = q->dev->features.sg && netbuf_packet_pieces(packet) <= NETFRONT_PIECES_MAX;

    if (!(q->offloads & NETDEV_OFFLOAD_SG))
        return false;
    return sg || netbuf_linearize(packet);
}

/* Finds out how the packet's checksum gets done: sets the flags of its first request. False if it
 * can't be done. */
INLINE bool tx_csum(const struct netfront_tx *q, struct netbuf *packet, uint16_t *flags)
{
    *flags = 0;
    if (!(packet->flags & NETBUF_CSUM_PARTIAL))
        return true;
    if (!(q->offloads & NETDEV_OFFLOAD_TX_CSUM))
        return false;
    if (netfront_csum_known(packet, q->dev->features.tx_csum, q->dev->features.tx_csum_ipv6))
        *flags = NETTXF_csum_blank | NETTXF_data_validated;
    else
        return netfront_csum_finish(packet);
    return true;
}

/* Prepares a packet. Returns how many pieces it has; 0 if it can't be sent. */
INLINE uint32_t tx_pieces(struct netfront_tx *q, struct netbuf *packet, struct piece *pieces,
                          uint32_t *frame_bytes, uint16_t *flags)
{
    uint32_t count = 0;

    if (unlikely(packet->next && !tx_takes_chain(q, packet)))
        return 0;
    if (unlikely(!tx_csum(q, packet, flags)))
        return 0;
    *frame_bytes = 0;
    for (struct netbuf *nb = packet; nb; nb = nb->next) {
        if (unlikely(!tx_piece(q, nb, &pieces[count++])))
            return 0;
        *frame_bytes += nb->len;
    }
    return *frame_bytes >= NETFRONT_FRAME_MIN && *frame_bytes <= q->frame_max_bytes ? count : 0;
}

INLINE void tx_post(struct netfront_tx *q, const struct piece *pieces, uint32_t count,
                    uint32_t frame_bytes, uint16_t flags)
{
    for (uint32_t i = 0; i < count; i++) {
        struct netbuf *nb = pieces[i].nb;
        const uint16_t id = *tx_top_id(q);
        const uint32_t at = q->ring.req_prod++ & MASK;
        tx_entries(q)[at].req = (struct netif_tx_request){
            .gref = pieces[i].ref,
            .offset = (uint16_t)((uintptr_t)nb->data % PAGE_SIZE),
            .flags = (uint16_t)(i + 1 < count ? flags | NETTXF_more_data : flags),
            .id = id,
            .size = (uint16_t)(i == 0 ? frame_bytes : nb->len),
        };
        flags = 0;
        q->flight[id] = nb;
        nb->driver[FIRST] = i == 0;
        nb->next = NULL; /* each piece is given back by itself */
    }
}

uint32_t netfront_tx_burst(struct netdev_queue *base, struct netbuf **bufs, uint32_t n)
{
    struct netfront_tx *q = (struct netfront_tx *)base;
    struct piece pieces[NETFRONT_PIECES_MAX];
    uint32_t taken, frame_bytes, packets = 0;
    uint64_t bytes = 0;
    uint16_t flags;

    tx_reap(q);
    if (unlikely(base->broken))
        return 0;
    n = MIN(n, (uint32_t)NETDEV_MAX_BURST);
    uint32_t room = q->descs - ring_in_flight(&q->ring);
    for (taken = 0; taken < n && room > 0; taken++) {
        uint32_t count = tx_pieces(q, bufs[taken], pieces, &frame_bytes, &flags);
        if (unlikely(count > room))
            break;
        if (unlikely(count == 0)) {
            base->stats.drops[NETDEV_DROP_BAD_META]++;
            netbuf_free(bufs[taken]);
            continue;
        }
        tx_post(q, pieces, count, frame_bytes, flags);
        room -= count;
        bytes += frame_bytes;
        packets++;
    }
    base->stats.packets += packets;
    base->stats.bytes += bytes;
    base->stats.bursts += packets > 0;
    base->room = room;
    if (packets > 0 && ring_publish(&q->ring))
        ring_kick(&q->ring, base);
    give_way(&q->idle, taken > 0);
    return taken;
}

uint32_t netfront_tx_reclaim(struct netdev_queue *base)
{
    struct netfront_tx *q = (struct netfront_tx *)base;
    const uint32_t packets = tx_reap(q);

    base->room = base->broken ? 0 : q->descs - ring_in_flight(&q->ring);
    return packets;
}

void netfront_tx_reset(struct netfront_tx *q)
{
    ring_reset(&q->ring);
    for (uint32_t i = 0; i < NETFRONT_RING; i++)
        q->free_ids[i] = (uint16_t)(NETFRONT_RING - 1 - i);
    q->last = NULL;
    q->base.broken = true;
}

void netfront_tx_open(struct netfront_tx *q)
{
    q->base.broken = false;
    q->base.room = q->descs;
}

void netfront_tx_shut(struct netfront_tx *q)
{
    tx_reap(q); /* what went out in time isn't a drop */
    q->base.broken = true;
    q->base.room = 0;
}

uint32_t netfront_tx_empty(struct netfront_tx *q)
{
    uint32_t lost = 0;

    for (uint32_t id = 0; id < NETFRONT_RING; id++)
        if (q->flight[id]) {
            lost += q->flight[id]->driver[FIRST] != 0;
            netbuf_free(q->flight[id]);
            q->flight[id] = NULL;
        }
    q->base.stats.drops[NETDEV_DROP_STOP] += lost;
    return lost;
}
