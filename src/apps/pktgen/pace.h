/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pace.h - when the next packet is due, by the processor's cycle counter.
 *
 * With every packet that is taken the next one becomes due later: by 1/rate for packets a second,
 * by its wire bits/rate for bits a second. The moment has a fraction of a cycle, so that rounding
 * doesn't make the rate drift. A loop that asks often sends single packets, evenly spaced; one that
 * comes late finds several due and sends a burst.
 */
#ifndef PKTGEN_PACE_H
#define PKTGEN_PACE_H

#include "apps/pktgen/value.h"

enum { PACE_FRACTION_BITS = 24 };

struct pace {
    uint64_t interval; /* cycles a unit, fixed point; 0: always due */
    uint64_t due;      /* when the next packet is due, in cycles */
    uint64_t fraction; /* the same: its fraction of a cycle */
    uint64_t behind_max_cycles;
    uint64_t skipped_cycles; /* that the rate was paused for, see pace_skip */
    bool bits;               /* a unit is a bit on the wire, not a packet */
};

/* The first packet is due at `now`. hz: of the cycle counter. */
void pace_init(struct pace *p, const struct value_rate *rate, uint64_t hz, uint64_t now);

/* Makes the next packet due at `now`. pace_take does so after a pause of over a tenth of a second,
 * so that the packets of that time aren't sent all at once. */
void pace_skip(struct pace *p, uint64_t now);

/* Is a packet with so many bits on the wire due? If so, it counts as sent, and the next one is due
 * later. */
static inline bool pace_take(struct pace *p, uint64_t now, uint32_t wire_bits)
{
    if (p->interval == 0)
        return true;
    if ((int64_t)(now - p->due) < 0)
        return false;
    if (unlikely(now - p->due > p->behind_max_cycles))
        pace_skip(p, now);
    unsigned __int128 step =
        (unsigned __int128)p->interval * (p->bits ? wire_bits : 1) + p->fraction;
    p->due += (uint64_t)(step >> PACE_FRACTION_BITS);
    p->fraction = (uint64_t)step & ((1u << PACE_FRACTION_BITS) - 1);
    return true;
}

#endif
