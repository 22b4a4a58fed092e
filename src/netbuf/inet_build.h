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
    return ipv4_is_unicast(ip) && ip != inet->own[0] && ip != inet->broadcast;
}

static inline void inet_eth_build(const struct inet *inet, struct eth_header *eth,
                                  const uint8_t *destination, uint16_t type)
{
    eth_mac_copy(eth->destination, destination);
    eth_mac_copy(eth->source, inet->mac);
    eth->type = be16(type);
}

/* inet_address.c: the first address and those of the command line. */
void inet_address_init(struct inet *inet, struct ipv4_prefix prefix);

/* The number of our address that is in use; INET_ADDRESSES if it isn't ours. */
uint32_t inet_find_address(const struct inet *inet, uint32_t ip);

/* Drops a packet to an address that isn't ours. */
enum inet_verdict inet_address_drop(struct inet *inet, uint32_t destination);

/* An ARP packet says that `mac` has the address `ip`, or with a probe that it wants it. Does that
 * contradict us? */
bool inet_address_contradicts(struct inet *inet, uint32_t ip, bool probe, const uint8_t *mac);

/* Makes nb the next probe or announcement, if it is time for one; else lowers inet->due_ns. */
bool inet_address_next(struct inet *inet, struct netbuf *nb);

/* Makes the fresh buffer nb a request for `ip` by our address `from`; 0 is none of ours. */
void inet_arp_build_request(const struct inet *inet, struct netbuf *nb, uint32_t from, uint32_t ip);

/* An ARP packet: learns from it and makes it the answer, if it wants one (inet_arp.c). */
enum inet_verdict inet_arp_input(struct inet *inet, struct netbuf *nb);

/* Nothing is known of neighbours, asked or to be announced any more. */
void inet_arp_forget(struct inet *inet);

#endif
