/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parts.h - puts an answer together that comes in several datagrams, in any order, by memcached's
 * frame protocol (protocol.txt, "UDP protocol"): before each part stand 8 bytes, the request's id,
 * the part's number, how many there are, and a 0, 16 bits each.
 *
 * The memory is taken once and bounds what a server can fill: room bytes in PARTS_MAX parts.
 */
#ifndef KVLOAD_PARTS_H
#define KVLOAD_PARTS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PARTS_HEADER = 8,
    PARTS_MAX = 64,      /* as many as udpkv answers with at most */
    PARTS_PAYLOAD = 1500 /* of one: memcached and udpkv send up to 1400 */
};

struct parts {
    uint64_t seen;               /* a bit for each part that came */
    uint32_t room, total, bytes; /* total 0: none came */
    uint32_t at[PARTS_MAX], len[PARTS_MAX];
    uint8_t text[]; /* the parts as they came, bytes of room */
};

enum parts_state {
    PARTS_MORE,  /* others are missing */
    PARTS_WHOLE, /* it was the last one that was missing */
    PARTS_WRONG, /* it is none, came already, tells another total or is too long: left out */
};

struct parts *parts_create(uint32_t room);
void parts_forget(struct parts *parts);

/* Takes a datagram, whose id the caller has looked at. */
enum parts_state parts_take(struct parts *parts, const uint8_t *datagram, uint32_t len);

/* Writes the answer, which is whole, in order. Returns its length, at most room. */
uint32_t parts_join(const struct parts *parts, uint8_t *to);

#endif
