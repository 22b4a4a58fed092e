/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * icmp6.h - ICMPv6 (RFC 4443): echo; neighbour discovery (RFC 4861, section 4); multicast listener
 * discovery (RFC 2710, section 3). All checksums include the pseudo header.
 */
#ifndef NETBUF_ICMP6_H
#define NETBUF_ICMP6_H

#include "netbuf/ipv6.h"

enum {
    ICMP6_UNREACHABLE = 1,
    ICMP6_UNREACHABLE_PORT = 4, /* its code */
    ICMP6_PROBLEM = 4,
    ICMP6_PROBLEM_FIELD = 0,   /* codes: a header's field is wrong, */
    ICMP6_PROBLEM_HEADERS = 3, /* a first fragment hasn't all headers (RFC 7112) */
    ICMP6_ECHO = 128,
    ICMP6_ECHO_REPLY = 129,
    ICMP6_LISTENER_QUERY = 130,
    ICMP6_LISTENER_REPORT = 131,
    ICMP6_ROUTER_SOLICITATION = 133,
    ICMP6_ROUTER_ADVERTISEMENT = 134,
    ICMP6_NEIGHBOUR_SOLICITATION = 135,
    ICMP6_NEIGHBOUR_ADVERTISEMENT = 136,

    ND_HOP_LIMIT = 255, /* of a packet that no router has passed on */
    MLD_HOP_LIMIT = 1,  /* of one that none will pass on */

    /* Of an advertisement, in its `reserved`. */
    ND_SOLICITED = 0x40,
    ND_OVERRIDE = 0x20,

    ND_OPTION_SOURCE_MAC = 1,
    ND_OPTION_TARGET_MAC = 2,
    ND_OPTION_PREFIX = 3,
    ND_OPTION_MTU = 5,
    ND_PREFIX_ON_LINK = 0x80,
    ND_PREFIX_AUTONOMOUS = 0x40,
};

struct icmp6_header {
    uint8_t type;
    uint8_t code;
    uint16_t checksum;
    uint8_t rest[4]; /* echo: identifier and sequence number; a problem's place */
} __attribute__((packed));

/* A neighbour solicitation or advertisement; options follow. */
struct nd_neighbour {
    uint8_t type;
    uint8_t code;
    uint16_t checksum;
    uint8_t flags; /* of an advertisement */
    uint8_t reserved[3];
    struct ipv6_address target;
} __attribute__((packed));

struct nd_router_advertisement {
    uint8_t type;
    uint8_t code;
    uint16_t checksum;
    uint8_t hop_limit;
    uint8_t flags;
    uint16_t router_lifetime_s; /* 0: it is no default router */
    uint32_t reachable_time_ms;
    uint32_t retransmit_timer_ms;
} __attribute__((packed));

/* A query or a report. */
struct mld_message {
    uint8_t type;
    uint8_t code;
    uint16_t checksum;
    uint16_t max_delay_ms; /* of a query: within this time reports are wanted */
    uint16_t reserved;
    struct ipv6_address group; /* "::" in a query for all of them */
} __attribute__((packed));

struct nd_option {
    uint8_t type;
    uint8_t length; /* of the option, in 8 bytes; 0 is wrong */
} __attribute__((packed));

struct nd_option_mac {
    struct nd_option option;
    uint8_t mac[6];
} __attribute__((packed));

struct nd_option_prefix {
    struct nd_option option;
    uint8_t prefix_len;
    uint8_t flags; /* ND_PREFIX_ */
    uint32_t valid_s;
    uint32_t preferred_s;
    uint32_t reserved;
    struct ipv6_address prefix;
} __attribute__((packed));

struct nd_option_mtu {
    struct nd_option option;
    uint16_t reserved;
    uint32_t mtu;
} __attribute__((packed));

_Static_assert(sizeof(struct icmp6_header) == 8, "icmp6_header");
_Static_assert(sizeof(struct nd_neighbour) == 24, "nd_neighbour");
_Static_assert(offsetof(struct nd_neighbour, target) == 8, "nd_neighbour.target");
_Static_assert(sizeof(struct nd_router_advertisement) == 16, "nd_router_advertisement");
_Static_assert(sizeof(struct mld_message) == 24, "mld_message");
_Static_assert(offsetof(struct mld_message, group) == 8, "mld_message.group");
_Static_assert(sizeof(struct nd_option_mac) == 8, "nd_option_mac");
_Static_assert(sizeof(struct nd_option_prefix) == 32, "nd_option_prefix");
_Static_assert(offsetof(struct nd_option_prefix, prefix) == 16, "nd_option_prefix.prefix");
_Static_assert(sizeof(struct nd_option_mtu) == 8, "nd_option_mtu");

#endif
