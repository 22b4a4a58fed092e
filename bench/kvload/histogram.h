/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * histogram.h - a log-linear histogram of nanoseconds: 128 steps between one power of two and the
 * next, so that what it tells is off by less than 0.8 %; below 128 ns it is exact. Up to 2^40 ns
 * (18 minutes), which also takes what is longer.
 */
#ifndef KVLOAD_HISTOGRAM_H
#define KVLOAD_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_STEP_BITS = 7,
    HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS,
    HISTOGRAM_MAX_BITS = 40,
    HISTOGRAM_BUCKETS = (HISTOGRAM_MAX_BITS - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS,
};

struct histogram {
    uint64_t count, sum, min, max; /* min is 0 as long as there is nothing */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline uint32_t histogram_bucket(uint64_t ns)
{
    if (ns >> HISTOGRAM_MAX_BITS)
        return HISTOGRAM_BUCKETS - 1;
    if (ns < HISTOGRAM_STEPS)
        return (uint32_t)ns;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(ns) - HISTOGRAM_STEP_BITS;
    return (shift << HISTOGRAM_STEP_BITS) + (uint32_t)(ns >> shift);
}

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
    h->buckets[histogram_bucket(ns)]++;
    h->sum += ns;
    if (ns < h->min || h->count == 0)
        h->min = ns;
    if (ns > h->max)
        h->max = ns;
    h->count++;
}

/* The highest value that falls into a bucket. */
uint64_t histogram_top(uint32_t bucket);

void histogram_merge(struct histogram *to, const struct histogram *from);

/* The value that `percent` of the values don't exceed; 0 if there are none. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

#endif
