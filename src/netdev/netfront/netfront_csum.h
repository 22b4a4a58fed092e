/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netfront_csum.h - checksums that are left open in a packet. Between netfront and netback a flag
 * says only that there is one: whoever gets the packet looks for it behind the headers of UDP or
 * TCP. A netbuf says where the checksum is. These functions turn the one into the other.
 *
 * Headers may be changed by the back end while they are looked at: each byte is read once, and
 * whatever it says, the place found is inside the packet's first piece.
 */
#ifndef NETDEV_NETFRONT_CSUM_H
#define NETDEV_NETFRONT_CSUM_H

#include "netbuf/netbuf.h"

/* Received with an open checksum: finds it and sets csum_start, csum_offset and
 * NETBUF_CSUM_PARTIAL. False if the packet is neither UDP nor TCP, or too short. */
bool netfront_csum_find(struct netbuf *packet);

/* To be sent with an open checksum: true if a back end finds it where the packet says it is, given
 * for which versions of IP it does so. */
bool netfront_csum_known(const struct netbuf *packet, bool ipv4, bool ipv6);

/* Completes an open checksum, after making the packet one piece. False if it can't be. */
bool netfront_csum_finish(struct netbuf *packet);

#endif
