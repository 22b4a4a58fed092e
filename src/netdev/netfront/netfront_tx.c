/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netfront_tx.c - netfront's data path, transmit: packets into a queue's ring, which is drawn in
 * netfront_ring.h.
 *
 * A request names a page, an offset and a size. It is answered in any order: a piece is found by
 * its id. The first request of a packet tells the size of the whole, the others their own.
 */
#include "boot/xen.h"
#include "netdev/netfront/netfront_csum.h"
#include "netdev/netfront/netfront_ring.h"

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

    for (uint32_t id = 0; id < NETFRONT_RING; id++) {
        struct netbuf *piece = q->flight[id];
        if (!piece)
            continue;
        lost += piece->driver[FIRST] != 0;
        piece->driver[FIRST] = 0; /* counted, though it may have to stay for longer */
        if (netfront_grants_has(q->dev, piece))
            continue;
        netbuf_free(piece);
        q->flight[id] = NULL;
    }
    q->base.stats.drops[NETDEV_DROP_STOP] += lost;
    return lost;
}
