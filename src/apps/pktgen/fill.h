/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fill.h - how long a loop that found little leaves its rings alone, so that bursts fill.
 *
 * The other end writes one descriptor after the other, and each look at one takes its cache line
 * away. Under load it is best not to look before a burst, or several, has come: the loop then takes
 * them in full bursts, and the other end writes on undisturbed. A lone packet must not be held up
 * for that, so the time depends on the rate at which packets came in the last window.
 */
#ifndef PKTGEN_FILL_H
#define PKTGEN_FILL_H

#include "boot/lib.h"

enum { FILL_LOAD = 24 }; /* packets in long_cycles that are load: 2.4 million a second in 10 us */

struct fill {
    uint64_t short_cycles; /* to leave the rings alone without load */
    uint64_t long_cycles;  /* and at most under load, which is also how long a window is at least */
    uint32_t ring_half;    /* descriptors: under load a ring gets no fuller meanwhile */
    uint64_t since;        /* when the window began, in cycles */
    uint64_t packets;      /* that came in it */
    uint64_t wait_cycles;  /* to leave the rings alone, by the window before */
};

static inline void fill_init(struct fill *f, uint64_t short_cycles, uint64_t long_cycles,
                             uint32_t ring_descs, uint64_t now)
{
    *f = (struct fill){
        .short_cycles = short_cycles,
        .long_cycles = long_cycles,
        .ring_half = ring_descs / 2,
        .since = now,
        .wait_cycles = short_cycles,
    };
}

/* A look found so many packets. */
static inline void fill_came(struct fill *f, uint32_t packets)
{
    f->packets += packets;
}

/* Cycles to leave the rings alone from now on. */
static inline uint64_t fill_wait(struct fill *f, uint64_t now)
{
    const uint64_t cycles = now - f->since;

    if (cycles < f->long_cycles)
        return f->wait_cycles;
    f->wait_cycles = f->short_cycles;
    if (f->packets * f->long_cycles >= FILL_LOAD * cycles && f->packets > 0) {
        const uint64_t fills = cycles * f->ring_half / f->packets;
        f->wait_cycles = MAX(f->short_cycles, MIN(f->long_cycles, fills));
    }
    f->since = now;
    f->packets = 0;
    return f->wait_cycles;
}

#endif
