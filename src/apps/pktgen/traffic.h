/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * traffic.h - makes packets: sizes, flows, sequence numbers, checksums. A pure step over buffers.
 *
 * A pool serves traffic_fill alone: traffic_prefill writes every header of every buffer once, and a
 * buffer that comes back still has them. What is written into a packet again is what differs from
 * the last one: nothing (one flow, seq=off), the number and the checksum, or with several flows, or
 * sizes and numbers, the headers' fields. A line that the other side has just read is dear to
 * write, so with several sizes alone each packet gets a buffer that was of its size before, if one
 * of the burst was. Every field with a range steps by one with each packet, and from the end of its
 * range to the beginning, as in Pktgen-DPDK's range mode.
 */
#ifndef PKTGEN_TRAFFIC_H
#define PKTGEN_TRAFFIC_H

#include "apps/pktgen/packet.h"
#include "apps/pktgen/value.h"
#include "netbuf/netbuf.h"

enum traffic_csum {
    TRAFFIC_CSUM_SW,      /* UDP's checksum is made here */
    TRAFFIC_CSUM_OFFLOAD, /* the device makes it */
    TRAFFIC_CSUM_NONE,    /* 0: none was made (RFC 768) */
};

struct traffic_conf {
    const struct value_sizes *sizes;
    struct value_range src_mac, dst_mac, src_ip, dst_ip, src_port, dst_port;
    enum traffic_csum csum;
    uint32_t stream; /* of numbers */
    bool numbered;   /* with a sequence number and the magic */
    bool timed;      /* and with the time of sending */
};

/* A field that steps: now is between range.first and range.last. */
struct traffic_field {
    struct value_range range;
    uint64_t now;
};

struct traffic {
    const uint16_t *sizes; /* sizes_count bytes of frames, which take turns */
    uint32_t sizes_count;
    struct traffic_field src_mac, dst_mac, src_ip, dst_ip, src_port, dst_port;
    enum traffic_csum csum;
    bool numbered, timed;
    uint32_t magic;    /* as it is in packets; 0 in those without numbers */
    bool varies;       /* there are several sizes or flows */
    uint16_t *written; /* by buffers' index, the size whose fields are in it; NULL: not looked at */
    uint32_t size_at;  /* index in sizes of the next packet */
    uint64_t sequence; /* number of the next packet */
    uint64_t ip_sum;   /* of the IPv4 header, but for what varies */
    uint64_t udp_sum;  /* of pseudo header, UDP header and payload, but for number and time */
};

void traffic_init(struct traffic *t, const struct traffic_conf *conf);

/* Writes the headers of all buffers of a pool. All of them must be free. */
void traffic_prefill(struct traffic *t, struct netbuf_pool *pool);

/* Makes fresh buffers of a prefilled pool the next n packets. */
void traffic_fill(struct traffic *t, struct netbuf **bufs, uint32_t n);

/* Bytes of the frame that is `ahead` packets after the next one. */
static inline uint32_t traffic_next_bytes(const struct traffic *t, uint32_t ahead)
{
    uint32_t at = t->size_at + ahead;

    while (unlikely(at >= t->sizes_count))
        at -= t->sizes_count;
    return t->sizes[at];
}

#endif
