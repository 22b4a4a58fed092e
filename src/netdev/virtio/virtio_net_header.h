/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_net_header.h - the header of 12 bytes before every frame (virtio 1.2, section 5.1.6), as
 * the data path reads, checks and writes it. For virtio_net_burst.c alone.
 */
#ifndef NETDEV_VIRTIO_NET_HEADER_H
#define NETDEV_VIRTIO_NET_HEADER_H

#include "netbuf/eth.h"
#include "netdev/virtio/virtio_net.h"

/* The header as two words, so that it is read once, whatever its alignment. */
union header {
    struct virtio_net_hdr_v1 fields;
    struct {
        uint64_t low;
        uint32_t high;
    } __attribute__((packed)) words;
} __attribute__((packed)); /* a frame may begin at any byte */

_Static_assert(sizeof(union header) == VIRTIO_NET_HEADER, "two words");

/* The device may write to the header at any time, so what is checked must be what is used. */
static inline struct virtio_net_hdr_v1 read_header(const struct netbuf *nb)
{
    const volatile union header *at = (const void *)(nb->data - VIRTIO_NET_HEADER);
    union header h;

    h.words.low = at->words.low;
    h.words.high = at->words.high;
    return h.fields;
}

/* Sets the packet's flags from its header. False if the header says what can't be. */
static inline bool take_header(const struct virtio_net_queue *q, struct netbuf *nb,
                               const struct virtio_net_hdr_v1 *h)
{
    if (unlikely(h->gso_type != VIRTIO_NET_HDR_GSO_NONE))
        return false; /* we offer no segmentation: a giant packet isn't for us */
    if (!(q->offloads & NETDEV_OFFLOAD_RX_CSUM))
        return true;
    if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        /* Whoever completes the sum writes there: it must be inside the first piece. */
        if (h->csum_start + h->csum_offset + 2u > nb->len)
            return false;
        nb->flags = NETBUF_CSUM_PARTIAL;
        nb->csum_start = h->csum_start;
        nb->csum_offset = h->csum_offset;
    } else if (h->flags & VIRTIO_NET_HDR_F_DATA_VALID) {
        nb->flags = NETBUF_CSUM_GOOD;
    }
    return true;
}

/* A frame that is longer than the MTU allows may still be sent if that is by a VLAN's tag. */
static inline bool is_long_by_a_tag(const struct virtio_net_queue *q, const struct netbuf *packet,
                                    uint32_t frame_bytes)
{
    const struct eth_header *eth = (const void *)packet->data;

    return frame_bytes <= q->frame_max_bytes + VIRTIO_NET_VLAN_TAG && packet->len >= sizeof *eth &&
           eth->type == be16(ETH_TYPE_VLAN);
}

/* Writes the header before the frame. False if the packet can't be sent. */
static inline bool put_header(const struct virtio_net_queue *q, struct netbuf *packet,
                              uint32_t frame_bytes)
{
    union header want = {.words = {0, 0}}; /* no checksum, no segmentation */

    if (unlikely(frame_bytes < VIRTIO_NET_FRAME_MIN) ||
        (unlikely(frame_bytes > q->frame_max_bytes) && !is_long_by_a_tag(q, packet, frame_bytes)))
        return false;
    if (packet->flags & NETBUF_CSUM_PARTIAL) {
        if (!(q->offloads & NETDEV_OFFLOAD_TX_CSUM) ||
            packet->csum_start + packet->csum_offset + 2u > frame_bytes)
            return false;
        want.fields.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        want.fields.csum_start = packet->csum_start;
        want.fields.csum_offset = packet->csum_offset;
    }
    /* A buffer that was sent before still has the same header, as a rule. It isn't written again:
     * that would take the cache line away from the device's processor, which has read it. */
    union header *at = (void *)(packet->data - VIRTIO_NET_HEADER);
    if (at->words.low != want.words.low || at->words.high != want.words.high)
        *at = want;
    return true;
}

#endif
