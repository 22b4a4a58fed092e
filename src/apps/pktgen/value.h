/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * value.h - what pktgen's keys hold, and the parsers for BOOT_KEY that read it from text.
 */
#ifndef PKTGEN_VALUE_H
#define PKTGEN_VALUE_H

#include "boot/boot.h"

enum {
    VALUE_SIZE_MIN = 60,   /* Ethernet's smallest frame without its CRC */
    VALUE_SIZE_MAX = 3968, /* what a buffer of 4096 bytes holds beside a headroom of 128 */
    VALUE_SIZES_MAX = VALUE_SIZE_MAX - VALUE_SIZE_MIN + 1,
};

/* One word of several. */
struct value_choice {
    const char *const *words; /* NULL behind the last */
    const char *expected;     /* "one of tx, rx" */
    uint32_t chosen;          /* index in words */
    uint32_t times_set;       /* 1: the default; 2: the command line, too */
};

/* Values from first to last, both included. */
struct value_range {
    uint64_t first, last;
    uint32_t times_set;
};

/* Frame sizes in bytes, without the CRC, in the order in which packets take them. */
struct value_sizes {
    uint16_t *bytes; /* room for VALUE_SIZES_MAX */
    uint32_t count;
    uint32_t times_set;
};

struct value_rate {
    uint64_t per_s; /* 0: as fast as it goes */
    bool bits;      /* bits on the wire, not packets */
};

const char *value_parse_choice(const struct boot_key *key, const char *text);  /* value_choice */
const char *value_parse_count(const struct boot_key *key, const char *text);   /* uint64_t */
const char *value_parse_seconds(const struct boot_key *key, const char *text); /* uint64_t, in ns */
const char *value_parse_rate(const struct boot_key *key, const char *text);    /* value_rate */
const char *value_parse_sizes(const struct boot_key *key, const char *text);   /* value_sizes */

/* value_range of numbers, of IPv4 addresses in host order, of MAC addresses whose first byte is
 * the highest of 48 bits. */
const char *value_parse_ports(const struct boot_key *key, const char *text);
const char *value_parse_ips(const struct boot_key *key, const char *text);
const char *value_parse_macs(const struct boot_key *key, const char *text);

/* Part `part` of `parts` of a range, which together are the range and don't overlap; all of it if
 * it has fewer values. */
struct value_range value_share(const struct value_range *range, uint32_t part, uint32_t parts);

/* amount * scale / over, without overflow on the way; 0 if over is 0. Loses low bits of both only
 * when amount * scale would not fit. */
uint64_t value_ratio(uint64_t amount, uint64_t scale, uint64_t over);

/* Cycles of a counter of hz, in nanoseconds. */
static inline uint64_t value_ns(uint64_t cycles, uint64_t hz)
{
    return cycles / hz * 1000000000ull + cycles % hz * 1000000000ull / hz;
}

/* Nanoseconds in cycles of a counter of hz; UINT64_MAX if they don't fit. */
uint64_t value_cycles(uint64_t ns, uint64_t hz);

#endif
