/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reassembly.h - puts the fragments of IP datagrams together, of IPv4 and IPv6 alike: a pure step
 * over memory that was taken at the start.
 *
 *     r = reassembly_create(memory, slots, seed);
 *     for each fragment:
 *         switch (reassembly_add(r, &fragment, clock_ns(), &whole)) {
 *         case REASSEMBLY_WHOLE: use whole.bytes, then reassembly_release(r, whole.bytes)
 *         default:               count it; the fragment's buffer is free again in any case
 *         }
 *
 * A datagram in progress has a slot of 64 KiB, to which its fragments are copied. So a flood of
 * fragments takes no packet buffers, and nobody but us can write to what was put together. What
 * bounds it all: the number of slots; half of them for one source; REASSEMBLY_NS for a datagram;
 * REASSEMBLY_FRAGMENTS for the number of its fragments, which is enough for 65535 bytes over an
 * MTU of 576. A new datagram takes the place of its source's oldest if the source has its share,
 * and of the oldest of all if no slot is free.
 *
 * Fragments that overlap, or whose lengths contradict each other, end the datagram (RFC 5722 and
 * RFC 8200, section 4.5; here for IPv4 too, as no sender makes such): none of it is used, and what
 * still comes of it until its time is over is dropped. A fragment that came twice, with the same
 * bytes, changes nothing.
 */
#ifndef NETBUF_REASSEMBLY_H
#define NETBUF_REASSEMBLY_H

#include "boot/lib.h"

enum {
    REASSEMBLY_BYTES = 65536,   /* of a slot: a datagram less its IP header, and room behind it */
    REASSEMBLY_MAX_SLOTS = 256, /* each new fragment's slot is looked for among all */
    REASSEMBLY_FRAGMENTS = 128,
};

#define REASSEMBLY_NS 5000000000ull

/* Which datagram a fragment is of (RFC 791, section 3.2; RFC 8200, section 4.5). IPv4 addresses
 * have the form ::ffff:a.b.c.d, see reassembly_ipv4_address. There are no gaps between fields. */
struct reassembly_key {
    uint8_t source[16], destination[16];
    uint32_t identification;
    uint32_t protocol; /* IPv4's; for IPv6 0 and the first fragment's next header tells it */
};

_Static_assert(sizeof(struct reassembly_key) == 40, "a key is compared as a whole");

/* Writes an IPv4 address as ::ffff:a.b.c.d (RFC 4291, section 2.5.5.2). */
static inline void reassembly_ipv4_address(uint8_t to[16], uint32_t address)
{
    memset(to, 0, 10);
    memset(to + 10, 0xff, 2);
    store_be32(to + 12, address);
}

struct reassembly_fragment {
    struct reassembly_key key;
    const uint8_t *bytes; /* may be packet memory: it is read once */
    uint32_t len;
    uint32_t offset;    /* of the first byte, a multiple of 8 */
    uint32_t max_bytes; /* the datagram's end may lie here at most: 65535 less the IP header */
    bool more;          /* others follow behind it */
    uint8_t protocol;   /* kept of the fragment with offset 0, for reassembly_whole */
};

/* What became of a fragment. */
enum reassembly_result {
    REASSEMBLY_WHOLE,   /* the datagram is complete */
    REASSEMBLY_KEPT,    /* others are still to come */
    REASSEMBLY_AGAIN,   /* it had come before */
    REASSEMBLY_SHAPE,   /* it is empty, ends behind max_bytes, or isn't the last and has a length
                           that is no multiple of 8 */
    REASSEMBLY_OVERLAP, /* another one has some of its bytes: the datagram is dropped */
    REASSEMBLY_END,     /* another one says that the datagram ends elsewhere: it is dropped */
    REASSEMBLY_MANY,    /* more than REASSEMBLY_FRAGMENTS: the datagram is dropped */
    REASSEMBLY_REST,    /* of a datagram that was dropped */
    REASSEMBLY_NO_ROOM, /* all slots have whole datagrams that weren't released yet */
    REASSEMBLY_RESULTS
};

/* A datagram that was put together. Behind it are readable bytes up to the slot's end. */
struct reassembly_whole {
    uint8_t *bytes; /* until reassembly_release; aligned to a cache line */
    uint32_t len;
    uint8_t protocol;
};

struct reassembly;

/* Bytes of memory that so many slots take, aligned to a cache line. */
size_t reassembly_bytes(uint32_t slots);

/* In zeroed memory; 1 to REASSEMBLY_MAX_SLOTS slots. `seed` should be unguessable. */
struct reassembly *reassembly_create(void *memory, uint32_t slots, uint64_t seed);

/* Adds a fragment; *whole is set with REASSEMBLY_WHOLE only. now_ns is clock_ns(). */
enum reassembly_result reassembly_add(struct reassembly *r,
                                      const struct reassembly_fragment *fragment, uint64_t now_ns,
                                      struct reassembly_whole *whole);

/* Gives back a slot of a whole datagram: bytes is what reassembly_add gave, or any byte of it. */
void reassembly_release(struct reassembly *r, const uint8_t *bytes);

/* Gives up datagrams whose time is over. reassembly_add does it, too. */
void reassembly_tick(struct reassembly *r, uint64_t now_ns);

/* Datagrams that were given up before they were complete, dropped ones aside. */
struct reassembly_stats {
    uint64_t wholes;  /* put together */
    uint64_t late;    /* given up: their time was over */
    uint64_t crowded; /* given up for another one: no slot was free */
    uint64_t share;   /* given up for another one of the same source, which had its share */
};

const struct reassembly_stats *reassembly_stats(const struct reassembly *r);

#endif
