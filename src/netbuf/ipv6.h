/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ipv6.h - the IPv6 header and its extension headers (RFC 8200), addresses and prefixes (RFC 4291).
 *
 * An address is 16 bytes as they go over the wire, in wire structs and everywhere else.
 */
#ifndef NETBUF_IPV6_H
#define NETBUF_IPV6_H

#include "boot/boot.h"
#include "netbuf/checksum.h"

enum {
    IPV6_ADDRESS_BYTES = 16,
    IPV6_TEXT_BYTES = 40, /* eight groups of four digits, seven colons and the closing zero */
    IPV6_MIN_MTU = 1280,  /* RFC 8200, section 5: no link of IPv6 has less */

    /* What a next_header says. */
    IPV6_NEXT_HOP_BY_HOP = 0,
    IPV6_NEXT_UDP = 17,
    IPV6_NEXT_ROUTING = 43,
    IPV6_NEXT_FRAGMENT = 44,
    IPV6_NEXT_ICMP = 58,
    IPV6_NEXT_NONE = 59,
    IPV6_NEXT_DESTINATION = 60,

    IPV6_FRAGMENT_OFFSET = 0xfff8, /* in offset_more, already in bytes */
    IPV6_MORE_FRAGMENTS = 1,

    IPV6_OPTION_PAD1 = 0, /* the one option without a length */
    IPV6_OPTION_PADN = 1,
    IPV6_OPTION_ROUTER_ALERT = 5, /* RFC 2711 */
    IPV6_OPTION_ACTION = 0xc0, /* of an option's type: what to do if it isn't known; 0: skip it */
};

struct ipv6_address {
    uint8_t bytes[IPV6_ADDRESS_BYTES];
};

struct ipv6_header {
    uint8_t version_class; /* version << 4 | upper half of the traffic class */
    uint8_t class_flow[3];
    uint16_t payload_length; /* what follows this header */
    uint8_t next_header;     /* IPV6_NEXT_ */
    uint8_t hop_limit;
    struct ipv6_address source_address;
    struct ipv6_address destination_address;
} __attribute__((packed));

_Static_assert(sizeof(struct ipv6_header) == 40, "ipv6_header");
_Static_assert(offsetof(struct ipv6_header, payload_length) == 4, "ipv6_header.payload_length");
_Static_assert(offsetof(struct ipv6_header, next_header) == 6, "ipv6_header.next_header");
_Static_assert(offsetof(struct ipv6_header, hop_limit) == 7, "ipv6_header.hop_limit");
_Static_assert(offsetof(struct ipv6_header, source_address) == 8, "ipv6_header.source_address");
_Static_assert(offsetof(struct ipv6_header, destination_address) == 24, "ipv6_header.destination");

/* How all extension headers but the fragment header begin. */
struct ipv6_extension {
    uint8_t next_header;
    uint8_t length; /* in 8 bytes, less the first 8 */
    uint8_t routing_type;
    uint8_t segments_left; /* of a routing header */
} __attribute__((packed));

struct ipv6_fragment {
    uint8_t next_header;
    uint8_t reserved;
    uint16_t offset_more; /* offset in 8 bytes << 3 | 2 reserved bits | more fragments */
    uint32_t identification;
} __attribute__((packed));

_Static_assert(sizeof(struct ipv6_fragment) == 8, "ipv6_fragment");
_Static_assert(offsetof(struct ipv6_fragment, identification) == 4, "ipv6_fragment.identification");

/* An address and how many of its leading bits name the network: fd00::2/64. */
struct ipv6_prefix {
    struct ipv6_address address;
    uint8_t len; /* 0 to 128 */
};

extern const struct ipv6_address ipv6_nobody;      /* :: */
extern const struct ipv6_address ipv6_all_nodes;   /* ff02::1 */
extern const struct ipv6_address ipv6_all_routers; /* ff02::2 */

static inline bool ipv6_equal(const struct ipv6_address *a, const struct ipv6_address *b)
{
    uint64_t x[2], y[2];

    __builtin_memcpy(x, a, sizeof x);
    __builtin_memcpy(y, b, sizeof y);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

static inline bool ipv6_is_group(const struct ipv6_address *a)
{
    return a->bytes[0] == 0xff;
}

/* fe80::/10 */
static inline bool ipv6_is_link_local(const struct ipv6_address *a)
{
    return a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

/* Can it be a host's address on a network? Not a group's, "::", the loopback address or an IPv4
 * address in IPv6's clothes (RFC 4291, sections 2.5 and 2.7). */
bool ipv6_is_unicast(const struct ipv6_address *a);

/* The group that who looks for the address asks: ff02::1:ff00:0/104 and its last 24 bits (RFC 4291,
 * section 2.7.1). */
struct ipv6_address ipv6_solicited_node(const struct ipv6_address *a);

/* Does the prefix's network have the address? */
bool ipv6_prefix_has(const struct ipv6_prefix *prefix, const struct ipv6_address *address);

/* Can a host of the prefix's network have the prefix's address? The network's first address is its
 * routers' (RFC 4291, section 2.6.1). */
bool ipv6_prefix_is_host(const struct ipv6_prefix *prefix);

/* The running sum of the pseudo header (RFC 8200, section 8.1). */
static inline uint64_t csum_pseudo_6(const struct ipv6_address *source,
                                     const struct ipv6_address *destination, uint8_t next_header,
                                     uint32_t len)
{
    uint64_t words[4];

    __builtin_memcpy(words, source, 16);
    __builtin_memcpy(words + 2, destination, 16);
    uint64_t sum = (uint64_t)be32(len) + be16(next_header);
    for (int i = 0; i < 4; i++)
        sum = csum_carry(sum, words[i]);
    return sum;
}

/* Writes "fe80::1" in the form of RFC 5952. Returns text. */
const char *ipv6_format(char text[IPV6_TEXT_BYTES], const struct ipv6_address *address);

/* Reads an address such as fd00::2; false if it is none. */
bool ipv6_read(const char *text, size_t len, struct ipv6_address *address);

/* Reads an address and prefix length such as fd00::2/64; false if it is none. */
bool ipv6_read_prefix(const char *text, struct ipv6_prefix *prefix);

#endif
