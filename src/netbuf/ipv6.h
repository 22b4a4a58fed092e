/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ipv6.h - the IPv6 header and its extension headers (RFC 8200), addresses and prefixes (RFC 4291).
 *
 * An address is 16 bytes as they go over the wire, in wire structs and everywhere else.
 */
#ifndef NETBUF_IPV6_H
#define NETBUF_IPV6_H

#include "boot/boot.h"

enum {
    IPV6_ADDRESS_BYTES = 16,
    IPV6_TEXT_BYTES = 40, /* eight groups of four digits, seven colons and the closing zero */
    IPV6_MIN_MTU = 1280,  /* RFC 8200, section 5: no link of IPv6 has less */
};

struct ipv6_address {
    uint8_t bytes[IPV6_ADDRESS_BYTES];
};

/* An address and how many of its leading bits name the network: fd00::2/64. */
struct ipv6_prefix {
    struct ipv6_address address;
    uint8_t len; /* 0 to 128 */
};

#endif
