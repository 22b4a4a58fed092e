/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet.h - the packets that pktgen makes: UDP over IPv4, and at the head of the payload a stamp.
 * The rest of the payload is zeroes.
 *
 *     | Ethernet 14 | IPv4 20 | UDP 8 | magic 4 | sequence 4 | time 8 | 0 ... |
 */
#ifndef PKTGEN_PACKET_H
#define PKTGEN_PACKET_H

#include "netbuf/eth.h"
#include "netbuf/ipv4.h"
#include "netbuf/udp.h"

#define PACKET_MAGIC 0x524c5047u /* "RLPG"; and the number of the stream */

enum {
    PACKET_HEADERS = 42,
    PACKET_STREAMS = 8,     /* each core of a sender numbers its packets for itself */
    PACKET_WIRE_EXTRA = 24, /* on the wire beside the frame: CRC 4, preamble 8, gap 12 bytes */
};

struct packet {
    struct eth_header eth;
    struct ipv4_header ip;
    struct udp_header udp;
    struct {
        uint32_t magic;    /* PACKET_MAGIC + stream; big endian */
        uint32_t sequence; /* the packet's number from 0, its low 32 bits; big endian */
        uint64_t time;     /* of sending, in cycles of the sender's counter; for the sender alone */
    } __attribute__((packed)) stamp;
} __attribute__((packed));

_Static_assert(offsetof(struct packet, stamp) == PACKET_HEADERS, "stamp");
_Static_assert(sizeof(struct packet) == 58, "fits the smallest frame, 60 bytes");

#endif
