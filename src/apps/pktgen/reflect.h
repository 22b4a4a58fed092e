/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reflect.h - sends a packet back: source and destination change places.
 */
#ifndef PKTGEN_REFLECT_H
#define PKTGEN_REFLECT_H

#include "apps/pktgen/packet.h"
#include "netbuf/netbuf.h"

/*
 * Swaps in place the MAC addresses of any frame, as testpmd's macswap does, and the IPv4 addresses
 * and UDP ports of a frame that has them, as its 5tswap does. No checksum changes: it is a sum, and
 * its words only change places. Frames are at least an Ethernet header long, as netdev sees to.
 */
static inline void reflect(struct netbuf *nb)
{
    struct packet *p = (struct packet *)nb->data;
    uint8_t mac[ETH_MAC_BYTES];

    eth_mac_copy(mac, p->eth.source);
    eth_mac_copy(p->eth.source, p->eth.destination);
    eth_mac_copy(p->eth.destination, mac);
    nb->flags |= NETBUF_CHANGED;
    if (nb->len < PACKET_HEADERS || p->eth.type != be16(ETH_TYPE_IPV4) ||
        p->ip.version_ihl != IPV4_VERSION_IHL || p->ip.protocol != IPV4_PROTOCOL_UDP)
        return;
    uint32_t address = p->ip.source_address;
    p->ip.source_address = p->ip.destination_address;
    p->ip.destination_address = address;
    if (p->ip.flags_fragment_offset & be16(IPV4_FRAGMENT_OFFSET))
        return; /* a later fragment has no UDP header */
    uint16_t port = p->udp.source_port;
    p->udp.source_port = p->udp.destination_port;
    p->udp.destination_port = port;
}

#endif
