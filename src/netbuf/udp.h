/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp.h - the UDP header (RFC 768).
 */
#ifndef NETBUF_UDP_H
#define NETBUF_UDP_H

#include "boot/lib.h"

struct udp_header {
    uint16_t source_port;
    uint16_t destination_port;
    uint16_t length;   /* header and data */
    uint16_t checksum; /* with the pseudo header; 0: none was made */
} __attribute__((packed));

_Static_assert(sizeof(struct udp_header) == 8, "udp_header");
_Static_assert(offsetof(struct udp_header, destination_port) == 2, "udp_header.destination_port");
_Static_assert(offsetof(struct udp_header, length) == 4, "udp_header.length");
_Static_assert(offsetof(struct udp_header, checksum) == 6, "udp_header.checksum");

#endif
