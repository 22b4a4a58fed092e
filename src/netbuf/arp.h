/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arp.h - ARP for IPv4 over Ethernet (RFC 826), whose field names it keeps.
 */
#ifndef NETBUF_ARP_H
#define NETBUF_ARP_H

#include "netbuf/eth.h"

enum {
    ARP_HRD_ETHERNET = 1,
    ARP_OP_REQUEST = 1,
    ARP_OP_REPLY = 2,
};

struct arp_packet {
    uint16_t hrd;               /* hardware: ARP_HRD_ETHERNET */
    uint16_t pro;               /* protocol: ETH_TYPE_IPV4 */
    uint8_t hln;                /* bytes of a hardware address: 6 */
    uint8_t pln;                /* bytes of a protocol address: 4 */
    uint16_t op;                /* ARP_OP_ */
    uint8_t sha[ETH_MAC_BYTES]; /* sender's hardware address */
    uint32_t spa;               /* sender's protocol address */
    uint8_t tha[ETH_MAC_BYTES]; /* target's hardware address */
    uint32_t tpa;               /* target's protocol address */
} __attribute__((packed));

_Static_assert(sizeof(struct arp_packet) == 28, "arp_packet");
_Static_assert(offsetof(struct arp_packet, op) == 6, "arp_packet.op");
_Static_assert(offsetof(struct arp_packet, sha) == 8, "arp_packet.sha");
_Static_assert(offsetof(struct arp_packet, spa) == 14, "arp_packet.spa");
_Static_assert(offsetof(struct arp_packet, tha) == 18, "arp_packet.tha");
_Static_assert(offsetof(struct arp_packet, tpa) == 24, "arp_packet.tpa");

#endif
