/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_net_burst.c - virtio-net's data path: packets in and out of the two rings.
 *
 * A packet is one descriptor: the device's header of 12 bytes lies in the buffer's headroom, right
 * before the frame, and both are handed over as one piece.
 *
 *        buffer   |  headroom   | header |   frame ...            |
 *                               ^ descriptor's address
 *                                        ^ netbuf's data
 *
 * Only a chain that is sent has more descriptors, one a piece, and a mergeable receive queue may
 * spread one packet over several buffers: the first has the header and counts them, the others are
 * frame from their first byte, which is where the header would be.
 *
 * Everything here is compiled once for each kind of ring: inline functions that take the kind, a
 * constant in the few public ones at the end.
 */
#include "netdev/virtio/virtio_net_header.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    BULK = 64,         /* buffers taken from a ring or a pool, or given back, at a time */
    FETCHED_LINES = 3, /* cache lines of a packet that somebody looks at */
    PACKET_MAX = UINT16_MAX + VIRTIO_NET_FRAME_EXTRA,
};

static inline struct virtio_net_queue *queue_of(struct netdev_queue *base)
{
    return (struct virtio_net_queue *)base;
}

void virtio_net_broken(struct virtio_net_queue *q)
{
    q->base.broken = true;
    q->base.more = q->base.room = 0;
    q->base.stats.drops[NETDEV_DROP_BAD_ID]++;
}

static void drop(struct virtio_net_queue *q, enum netdev_drop reason, struct netbuf *packet)
{
    q->base.stats.drops[reason]++;
    netbuf_free(packet);
}

INLINE void publish(struct virtio_net_queue *q, enum vring_kind kind)
{
    vring_publish(&q->ring, kind);
    if (vring_wants_kick(&q->ring, kind)) {
        q->transport->ops->kick(q->transport, q->index);
        q->base.stats.kicks++;
    }
}

void virtio_net_publish(struct virtio_net_queue *q)
{
    publish(q, q->ring.kind);
}

/* If somebody looks at the packet, its lines are fetched as early as can be: those with header,
 * frame and a short answer, and for writing, as apps write their answer there. */
static inline void fetch_frame(const void *whose, void *owner)
{
    const struct virtio_net_queue *q = whose;
    const struct netbuf *nb = owner;

    __builtin_prefetch(nb);
    for (uint32_t line = 0; q->header_counts && line < FETCHED_LINES; line++)
        prefetch_to_write(nb->data - VIRTIO_NET_HEADER + line * CACHE_LINE);
}

/* Takes up to n finished buffers or packets; none once the queue is broken. */
INLINE uint32_t reap(struct virtio_net_queue *q, enum vring_kind kind, struct netbuf **bufs,
                     uint32_t *lens, uint32_t n, vring_fetch *fetch)
{
    if (unlikely(q->base.broken))
        return 0;
    uint32_t got = vring_reap(&q->ring, kind, (void **)bufs, lens, n, fetch, q);
    if (unlikely(vring_broken(&q->ring, kind)))
        virtio_net_broken(q);
    return got;
}

/* --- receive -------------------------------------------------------------------------------- */

/* Buffers taken from the ring together: bufs[next] to bufs[count - 1] are still to be looked at. */
struct batch {
    struct netbuf *bufs[BULK];
    uint32_t lens[BULK];
    uint32_t next, count;
};

/* Where it is seldom: compiled once more only. */
static RUNS_SELDOM uint32_t reap_batch(struct virtio_net_queue *q, struct batch *b, uint32_t n)
{
    b->next = 0;
    return b->count = reap(q, q->ring.kind, b->bufs, b->lens, n, vring_fetch_owner);
}

/* The packet's next buffer, out of the batch or else the ring; NULL if there is none. */
static struct netbuf *next_piece(struct virtio_net_queue *q, struct batch *b, uint32_t *len)
{
    if (b->next == b->count && reap_batch(q, b, 1) == 0)
        return NULL;
    *len = b->lens[b->next];
    return b->bufs[b->next++];
}

/* Puts the other `count` buffers of a packet behind its first. All of them are taken from the ring
 * in any case; false if some are missing or their lengths can't be. */
static bool merge(struct virtio_net_queue *q, struct netbuf *first, uint32_t count, struct batch *b)
{
    struct netbuf *tail = first;
    uint32_t total = first->len, len;
    bool good = true;

    for (; count > 0; count--) {
        struct netbuf *nb = next_piece(q, b, &len);
        if (!nb)
            return false;
        tail = tail->next = nb;
        if (len == 0 || len > netbuf_tailroom(nb) + VIRTIO_NET_HEADER) {
            good = false;
            continue;
        }
        nb->data -= VIRTIO_NET_HEADER;
        nb->len = (uint16_t)len;
        total += len;
    }
    return good && total <= PACKET_MAX;
}

/* Drops a packet whose first length can't be, with the other buffers that belong to it: those its
 * header counts, if the device wrote one. A first piece too short for an Ethernet header is
 * dropped, too, however long the packet is: apps rely on that header being in one piece. */
static RUNS_SELDOM void drop_bad_len(struct virtio_net_queue *q, struct netbuf *nb, uint32_t len,
                                     struct batch *b)
{
    nb->len = 0;
    if (q->mergeable && len >= VIRTIO_NET_HEADER) {
        const struct virtio_net_hdr_v1 h = read_header(nb);
        merge(q, nb, h.num_buffers > 0 ? h.num_buffers - 1u : 0, b);
    }
    drop(q, NETDEV_DROP_BAD_LEN, nb);
}

/* Takes the batch's next packet. NULL if it was dropped. The length is set before the header is
 * looked at, as a checksum's place must be inside the packet. */
INLINE struct netbuf *rx_take(struct virtio_net_queue *q, struct batch *b)
{
    struct netbuf *nb = b->bufs[b->next];
    const uint32_t len = b->lens[b->next++];

    if (unlikely(len < VIRTIO_NET_HEADER + VIRTIO_NET_FRAME_MIN ||
                 len > VIRTIO_NET_HEADER + netbuf_tailroom(nb))) {
        drop_bad_len(q, nb, len, b);
        return NULL;
    }
    nb->len = (uint16_t)(len - VIRTIO_NET_HEADER);
    if (q->header_counts) {
        const struct virtio_net_hdr_v1 h = read_header(nb);
        bool good = take_header(q, nb, &h);
        if (unlikely(q->mergeable && h.num_buffers != 1))
            good &= h.num_buffers > 0 && merge(q, nb, h.num_buffers - 1u, b);
        if (unlikely(!good)) {
            drop(q, NETDEV_DROP_BAD_META, nb);
            return NULL;
        }
    }
    return nb;
}

/* Posts empty buffers; returns how many the ring still lacks because the pool is empty. */
INLINE uint32_t post_empty(struct virtio_net_queue *q, enum vring_kind kind, uint32_t missing)
{
    struct vring_queue ring = q->ring;
    struct netbuf *fresh[BULK];
    uint32_t want, n;

    do {
        want = MIN(missing, (uint32_t)BULK);
        n = netbuf_alloc_bulk(q->pool, fresh, want);
        for (uint32_t i = 0; i < n; i++) {
            const struct vring_piece piece = {fresh[i]->data - VIRTIO_NET_HEADER,
                                              VIRTIO_NET_HEADER + netbuf_tailroom(fresh[i]), true};
            vring_post(&ring, kind, &piece, 1, fresh[i]);
        }
        missing -= n;
    } while (missing > 0 && n == want);
    vring_keep_posted(&q->ring, kind, &ring);
    return missing;
}

INLINE void refill(struct virtio_net_queue *q, enum vring_kind kind)
{
    const uint32_t missing = vring_room(&q->ring, kind);

    if (missing == 0)
        return;
    uint32_t lacking = post_empty(q, kind, missing);
    q->base.empty = false;
    if (unlikely(lacking > 0)) {
        q->base.stats.drops[NETDEV_DROP_NO_BUF]++;
        q->base.empty = lacking == q->descs;
    }
    if (lacking < missing)
        publish(q, kind);
}

/* Looks at the batch's buffers, which were prefetched by reap. One for both kinds of ring. */
static __attribute__((noinline)) uint32_t rx_batch(struct virtio_net_queue *q, struct batch *b,
                                                   struct netbuf **bufs, uint64_t *bytes)
{
    uint32_t got = 0;

    while (b->next < b->count) {
        struct netbuf *packet = rx_take(q, b);
        if (likely(packet)) {
            *bytes += likely(!packet->next) ? packet->len : netbuf_packet_len(packet);
            bufs[got++] = packet;
        }
    }
    return got;
}

INLINE uint32_t rx_burst(struct netdev_queue *base, struct netbuf **bufs, uint32_t n,
                         enum vring_kind kind)
{
    struct virtio_net_queue *q = queue_of(base);
    struct batch b;
    uint32_t want, taken, got = 0;
    uint64_t bytes = 0;

    n = vring_whole_lines(&q->ring, kind, MIN(n, (uint32_t)NETDEV_MAX_BURST));
    do {
        want = MIN(n - got, (uint32_t)BULK);
        b.next = 0;
        b.count = taken = reap(q, kind, b.bufs, b.lens, want, fetch_frame);
        if (likely(!base->broken))
            refill(q, kind);
        got += rx_batch(q, &b, bufs + got, &bytes);
    } while (taken == want && got < n);
    base->stats.packets += got;
    base->stats.bytes += bytes;
    base->stats.bursts += got > 0;
    if (unlikely(base->broken))
        return got;
    base->more = taken == want ? vring_known(&q->ring, kind) : 0;
    return got;
}

/* --- transmit ------------------------------------------------------------------------------- */

/* Gives finished packets back to their pools; returns how many. */
INLINE uint32_t tx_reclaim(struct netdev_queue *base, enum vring_kind kind)
{
    struct virtio_net_queue *q = queue_of(base);
    struct netbuf *done[BULK];
    uint32_t total = 0, n;

    do {
        n = reap(q, kind, done, NULL, BULK, vring_fetch_owner);
        netbuf_free_bulk(done, n);
        total += n;
    } while (n == BULK);
    base->room = base->broken ? 0 : vring_room(&q->ring, kind);
    return total;
}

uint32_t virtio_net_tx_reclaim_split(struct netdev_queue *base)
{
    return tx_reclaim(base, VRING_SPLIT);
}

uint32_t virtio_net_tx_reclaim_packed(struct netdev_queue *base)
{
    return tx_reclaim(base, VRING_PACKED);
}

static inline bool has_headroom(const struct netbuf *packet)
{
    return netbuf_headroom(packet) >= VIRTIO_NET_HEADER;
}

/* The header and the frame's first piece are one piece for the ring. */
static inline struct vring_piece first_piece(const struct netbuf *packet)
{
    return (struct vring_piece){packet->data - VIRTIO_NET_HEADER, VIRTIO_NET_HEADER + packet->len,
                                false};
}

/* Describes a chain's pieces for the ring. Returns how many there are; 0 if it can't be sent. */
static uint32_t chain_pieces(const struct virtio_net_queue *q, const struct netbuf *packet,
                             struct vring_piece *pieces, uint32_t *frame_bytes)
{
    const uint32_t max = MIN(q->descs, (uint32_t)VIRTIO_NET_PIECES_MAX);
    uint32_t count = 1;

    if (!(q->offloads & NETDEV_OFFLOAD_SG) || !has_headroom(packet) || packet->len == 0)
        return 0;
    pieces[0] = first_piece(packet);
    *frame_bytes = packet->len;
    for (const struct netbuf *nb = packet->next; nb; nb = nb->next) {
        if (count == max || nb->len == 0)
            return 0;
        pieces[count++] = (struct vring_piece){nb->data, nb->len, false};
        *frame_bytes += nb->len;
    }
    return count;
}

/* A packet that can't be sent is taken all the same, dropped and counted: the app could do nothing
 * else with it. */

/* Posts a packet of several pieces. False if the ring has no room for it as yet. */
static RUNS_SELDOM bool post_chain(struct virtio_net_queue *q, struct netbuf *packet)
{
    struct vring_piece pieces[VIRTIO_NET_PIECES_MAX];
    uint32_t frame_bytes, count = chain_pieces(q, packet, pieces, &frame_bytes);

    if (count > vring_room(&q->ring, q->ring.kind))
        return false;
    if (count == 0 || !put_header(q, packet, frame_bytes)) {
        drop(q, NETDEV_DROP_BAD_META, packet);
        return true;
    }
    vring_post(&q->ring, q->ring.kind, pieces, count, packet);
    q->base.stats.packets++;
    q->base.stats.bytes += frame_bytes;
    return true;
}

/* Posts packets of one piece each, up to the first chain. Returns how many it took. */
INLINE uint32_t post_singles(struct virtio_net_queue *q, enum vring_kind kind, struct netbuf **bufs,
                             uint32_t n)
{
    struct vring_queue ring = q->ring;
    uint32_t taken, packets = 0;
    uint64_t bytes = 0;

    n = MIN(n, vring_room(&ring, kind));
    for (taken = 0; taken < n && likely(!bufs[taken]->next); taken++) {
        struct netbuf *packet = bufs[taken];
        const struct vring_piece piece = first_piece(packet);
        if (unlikely(!has_headroom(packet) || !put_header(q, packet, packet->len))) {
            drop(q, NETDEV_DROP_BAD_META, packet);
            continue;
        }
        vring_post(&ring, kind, &piece, 1, packet);
        if (packet->flags & NETBUF_CHANGED)
            pass_on(packet->data);
        bytes += packet->len;
        packets++;
    }
    vring_keep_posted(&q->ring, kind, &ring);
    q->base.stats.packets += packets;
    q->base.stats.bytes += bytes;
    return taken;
}

INLINE uint32_t post_packets(struct virtio_net_queue *q, enum vring_kind kind, struct netbuf **bufs,
                             uint32_t n)
{
    const uint64_t before = q->base.stats.packets;
    uint32_t taken = 0;

    for (;; taken++) {
        taken += post_singles(q, kind, bufs + taken, n - taken);
        if (likely(taken == n) || !bufs[taken]->next || !post_chain(q, bufs[taken]))
            break;
    }
    if (q->base.stats.packets != before) {
        q->base.stats.bursts++;
        publish(q, kind);
    }
    return taken;
}

INLINE uint32_t tx_burst(struct netdev_queue *base, struct netbuf **bufs, uint32_t n,
                         enum vring_kind kind)
{
    struct virtio_net_queue *q = queue_of(base);

    if (kind == VRING_PACKED)
        virtio_net_tx_reclaim_packed(base);
    else
        virtio_net_tx_reclaim_split(base);
    if (unlikely(base->broken))
        return 0;
    uint32_t taken = post_packets(q, kind, bufs, MIN(n, (uint32_t)NETDEV_MAX_BURST));
    base->room = vring_room(&q->ring, kind);
    return taken;
}

/* --- for each kind of ring ------------------------------------------------------------------ */

uint32_t virtio_net_rx_burst_split(struct netdev_queue *base, struct netbuf **bufs, uint32_t n)
{
    return rx_burst(base, bufs, n, VRING_SPLIT);
}

uint32_t virtio_net_tx_burst_split(struct netdev_queue *base, struct netbuf **bufs, uint32_t n)
{
    return tx_burst(base, bufs, n, VRING_SPLIT);
}

uint32_t virtio_net_rx_burst_packed(struct netdev_queue *base, struct netbuf **bufs, uint32_t n)
{
    return rx_burst(base, bufs, n, VRING_PACKED);
}

uint32_t virtio_net_tx_burst_packed(struct netdev_queue *base, struct netbuf **bufs, uint32_t n)
{
    return tx_burst(base, bufs, n, VRING_PACKED);
}

/* A burst of no packets only refills the ring; so the refill isn't compiled another time. */
void virtio_net_refill(struct virtio_net_queue *q)
{
    struct netbuf *none[1];

    if (q->ring.kind == VRING_PACKED)
        virtio_net_rx_burst_packed(&q->base, none, 0);
    else
        virtio_net_rx_burst_split(&q->base, none, 0);
}

RUNS_SELDOM void virtio_net_reclaim(struct virtio_net_queue *q)
{
    if (q->ring.ready && q->ring.kind == VRING_PACKED)
        virtio_net_tx_reclaim_packed(&q->base);
    else if (q->ring.ready)
        virtio_net_tx_reclaim_split(&q->base);
}

RUNS_SELDOM uint32_t virtio_net_take_unread(struct virtio_net_queue *q)
{
    struct netbuf *packets[BULK];
    uint32_t got, total = 0;
    uint64_t bytes = 0;
    struct batch b;

    while (q->ring.ready && reap_batch(q, &b, BULK) > 0) {
        got = rx_batch(q, &b, packets, &bytes);
        netbuf_free_bulk(packets, got);
        total += got;
    }
    return total;
}
