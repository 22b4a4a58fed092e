/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * icmp.h - ICMP (RFC 792): the header of echo requests, replies, and of "destination unreachable".
 */
#ifndef NETBUF_ICMP_H
#define NETBUF_ICMP_H

#include "boot/lib.h"

enum {
    ICMP_ECHO_REPLY = 0,
    ICMP_UNREACHABLE = 3,
    ICMP_ECHO = 8,

    ICMP_UNREACHABLE_PROTOCOL = 2, /* codes of ICMP_UNREACHABLE */
    ICMP_UNREACHABLE_PORT = 3,
};

struct icmp_header {
    uint8_t type;
    uint8_t code;
    uint16_t checksum;   /* over header and data; no pseudo header */
    uint16_t identifier; /* this and the next are 0 in an error */
    uint16_t sequence_number;
} __attribute__((packed));

_Static_assert(sizeof(struct icmp_header) == 8, "icmp_header");
_Static_assert(offsetof(struct icmp_header, checksum) == 2, "icmp_header.checksum");
_Static_assert(offsetof(struct icmp_header, identifier) == 4, "icmp_header.identifier");
_Static_assert(offsetof(struct icmp_header, sequence_number) == 6, "icmp_header.sequence_number");

#endif
