/* SPDX-License-Identifier: BSD-2-Clause */
/* pace.c - when the next packet is due; see pace.h. */
#include "apps/pktgen/pace.h"

enum { BEHIND_MAX_DIVISOR = 10 }; /* of a second */

RUNS_SELDOM void pace_init(struct pace *p, const struct value_rate *rate, uint64_t hz, uint64_t now)
{
    *p = (struct pace){.due = now, .bits = rate->bits};
    p->behind_max_cycles = hz / BEHIND_MAX_DIVISOR;
    if (rate->per_s == 0)
        return;
    /* The rest is less than the rate, at most 2^40, so shifting it doesn't overflow. */
    uint64_t whole = hz / rate->per_s, rest = hz % rate->per_s;
    p->interval = whole << PACE_FRACTION_BITS | (rest << PACE_FRACTION_BITS) / rate->per_s;
    p->interval = MAX(p->interval, 1u);
}

void pace_skip(struct pace *p, uint64_t now)
{
    p->skipped_cycles += now - p->due;
    p->due = now;
    p->fraction = 0;
}
