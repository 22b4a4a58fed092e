/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ipv4.h - the IPv4 header (RFC 791), addresses and prefixes.
 *
 * Outside of wire structs an address is a uint32_t in host order: 10.0.2.15 is 0x0a00020f.
 */
#ifndef NETBUF_IPV4_H
#define NETBUF_IPV4_H

#include "boot/boot.h"

enum {
    IPV4_TEXT_BYTES = 16, /* "255.255.255.255" and its closing zero */

    IPV4_VERSION_IHL = 0x45,      /* version 4, five 32-bit words: no options */
    IPV4_MORE_FRAGMENTS = 0x2000, /* in flags_fragment_offset */
    IPV4_FRAGMENT_OFFSET = 0x1fff,

    IPV4_PROTOCOL_ICMP = 1,
    IPV4_PROTOCOL_UDP = 17,
};

#define IPV4_BROADCAST 0xffffffffu

struct ipv4_header {
    uint8_t version_ihl; /* version << 4 | header length in 32-bit words */
    uint8_t type_of_service;
    uint16_t total_length; /* header and data */
    uint16_t identification;
    uint16_t flags_fragment_offset;
    uint8_t time_to_live;
    uint8_t protocol; /* IPV4_PROTOCOL_ */
    uint16_t header_checksum;
    uint32_t source_address;
    uint32_t destination_address;
} __attribute__((packed));

_Static_assert(sizeof(struct ipv4_header) == 20, "ipv4_header");
_Static_assert(offsetof(struct ipv4_header, total_length) == 2, "ipv4_header.total_length");
_Static_assert(offsetof(struct ipv4_header, identification) == 4, "ipv4_header.identification");
_Static_assert(offsetof(struct ipv4_header, flags_fragment_offset) == 6, "ipv4_header.flags");
_Static_assert(offsetof(struct ipv4_header, time_to_live) == 8, "ipv4_header.time_to_live");
_Static_assert(offsetof(struct ipv4_header, protocol) == 9, "ipv4_header.protocol");
_Static_assert(offsetof(struct ipv4_header, header_checksum) == 10, "ipv4_header.header_checksum");
_Static_assert(offsetof(struct ipv4_header, source_address) == 12, "ipv4_header.source_address");
_Static_assert(offsetof(struct ipv4_header, destination_address) == 16, "ipv4_header.destination");

/* An address and how many of its leading bits name the network: 10.0.2.15/24. */
struct ipv4_prefix {
    uint32_t address;
    uint8_t len; /* 0 to 32 */
};

static inline uint32_t ipv4_prefix_mask(struct ipv4_prefix prefix)
{
    return prefix.len == 0 ? 0 : UINT32_MAX << (32 - prefix.len);
}

/* Is the address in the prefix's network? */
static inline bool ipv4_prefix_has(struct ipv4_prefix prefix, uint32_t address)
{
    return ((address ^ prefix.address) & ipv4_prefix_mask(prefix)) == 0;
}

/* The network's directed broadcast address. Networks of one or two addresses have none (RFC 3021);
 * for them it is IPV4_BROADCAST. */
static inline uint32_t ipv4_prefix_broadcast(struct ipv4_prefix prefix)
{
    return prefix.len >= 31 ? IPV4_BROADCAST : prefix.address | ~ipv4_prefix_mask(prefix);
}

/* Can a packet come from this address? Not from "this network" (0/8), loopback (127/8), multicast,
 * reserved or broadcast addresses (224/3): RFC 1122, section 3.2.1.3. */
static inline bool ipv4_is_unicast(uint32_t address)
{
    uint32_t top = address >> 24;
    return top != 0 && top != 127 && top < 224;
}

/* Can a host of the prefix's network have the prefix's address? */
bool ipv4_prefix_is_host(struct ipv4_prefix prefix);

/* Writes "10.0.2.15". Returns text. */
const char *ipv4_format(char text[IPV4_TEXT_BYTES], uint32_t address);

/* Parsers for BOOT_KEY. */
const char *ipv4_parse_prefix(const struct boot_key *key, const char *text);  /* ipv4_prefix */
const char *ipv4_parse_address(const struct boot_key *key, const char *text); /* uint32_t */

#endif
