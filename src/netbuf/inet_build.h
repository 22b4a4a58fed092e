/* SPDX-License-Identifier: BSD-2-Clause */
/* inet_build.h - what the files of inet.h share with each other: counting a drop, the addresses
 * that a neighbour can have, the Ethernet header of a packet from us. Not for apps. */
#ifndef NETBUF_INET_BUILD_H
#define NETBUF_INET_BUILD_H

#include "netbuf/inet.h"

static inline enum inet_verdict inet_drop(struct inet *inet, enum inet_drop why)
{
    inet->drops[why]++;
    return INET_DROPPED;
}

static inline bool inet_mac_plausible(const struct inet *inet, uint64_t mac_number)
{
    return !eth_mac_is_group(mac_number) && mac_number != 0 && mac_number != inet->mac_number;
}

static inline bool inet_ip_plausible(const struct inet *inet, uint32_t ip)
{
    return ipv4_is_unicast(ip) && ip != inet->prefix.address && ip != inet->broadcast;
}

static inline void inet_eth_build(const struct inet *inet, struct eth_header *eth,
                                  const uint8_t *destination, uint16_t type)
{
    eth_mac_copy(eth->destination, destination);
    eth_mac_copy(eth->source, inet->mac);
    eth->type = be16(type);
}

/* An ARP packet: learns from it and makes it the answer, if it wants one (inet_arp.c). */
enum inet_verdict inet_arp_input(struct inet *inet, struct netbuf *nb);

/* Nothing is known of neighbours, asked or to be announced any more. */
void inet_arp_forget(struct inet *inet);

#endif
