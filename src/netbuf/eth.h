/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * eth.h - Ethernet II frames (IEEE 802.3, clause 3): header and addresses.
 */
#ifndef NETBUF_ETH_H
#define NETBUF_ETH_H

#include "boot/lib.h"

enum {
    ETH_MAC_BYTES = 6,
    ETH_MTU = 1500,          /* bytes behind a frame's header, where nobody says anything else */
    ETH_MAC_TEXT_BYTES = 18, /* "02:00:00:00:00:01" and its closing zero */

    ETH_TYPE_IPV4 = 0x0800,
    ETH_TYPE_ARP = 0x0806,
    ETH_TYPE_IPV6 = 0x86dd,
    ETH_TYPE_VLAN = 0x8100, /* four bytes of a VLAN's tag stand there, then the frame's own type */
};

/* Fields of more than one byte are big endian, here and in every wire format. */
struct eth_header {
    uint8_t destination[ETH_MAC_BYTES];
    uint8_t source[ETH_MAC_BYTES];
    uint16_t type;
} __attribute__((packed));

_Static_assert(sizeof(struct eth_header) == 14, "eth_header");
_Static_assert(offsetof(struct eth_header, source) == 6, "eth_header.source");
_Static_assert(offsetof(struct eth_header, type) == 12, "eth_header.type");

/* A MAC address as one number, to compare: its first byte is the lowest. */
#define ETH_MAC_BROADCAST 0xffffffffffffull

static inline uint64_t eth_mac_number(const uint8_t *mac)
{
    /* Not one memcpy into 8 bytes: that would be loaded wider than it was stored, and wait for it.
     */
    uint32_t low;
    uint16_t high;
    __builtin_memcpy(&low, mac, sizeof low);
    __builtin_memcpy(&high, mac + sizeof low, sizeof high);
    return low | (uint64_t)high << 32;
}

/* Group addresses are multicast and broadcast: the bit that goes over the wire first. */
static inline bool eth_mac_is_group(uint64_t number)
{
    return number & 1;
}

static inline void eth_mac_copy(uint8_t *to, const uint8_t *from)
{
    __builtin_memcpy(to, from, ETH_MAC_BYTES);
}

/* Writes "02:00:00:00:00:01". Returns text. */
static inline const char *eth_mac_format(char text[ETH_MAC_TEXT_BYTES], const uint8_t *mac)
{
    format(text, ETH_MAC_TEXT_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
           mac[3], mac[4], mac[5]);
    return text;
}

#endif
