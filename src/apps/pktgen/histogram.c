/* SPDX-License-Identifier: BSD-2-Clause */
/* histogram.c - how often each value was seen; see histogram.h. */
#include "apps/pktgen/histogram.h"

enum { SUB = 1 << HISTOGRAM_SUB_BITS, MILLION = 1000000 };

static uint32_t bucket_of(uint64_t value)
{
    if (value < 2 * SUB)
        return (uint32_t)value;
    uint32_t shift = 63 - HISTOGRAM_SUB_BITS - (uint32_t)__builtin_clzll(value);
    return (shift << HISTOGRAM_SUB_BITS) + (uint32_t)(value >> shift);
}

/* The largest value that falls into a bucket. */
static RUNS_SELDOM uint64_t bucket_end(uint32_t bucket)
{
    if (bucket < 2 * SUB)
        return bucket;
    uint32_t shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    return ((uint64_t)(bucket % SUB + SUB + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    value = MIN(value, (1ull << HISTOGRAM_VALUE_BITS) - 1);
    if (h->count == 0 || value < h->min)
        h->min = value;
    h->max = MAX(h->max, value);
    h->count++;
    h->sum += value;
    h->buckets[bucket_of(value)]++;
}

RUNS_SELDOM uint64_t histogram_quantile(const struct histogram *h, uint32_t parts)
{
    /* How many values must not be above it, rounded up; in two steps, so that no count overflows.
     */
    uint64_t wanted =
        h->count / MILLION * parts + (h->count % MILLION * parts + MILLION - 1) / MILLION;
    uint64_t seen = 0;

    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= wanted && seen > 0)
            return MIN(bucket_end(i), h->max);
    }
    return h->max;
}

RUNS_SELDOM void histogram_add_all(struct histogram *h, const struct histogram *of)
{
    if (of->count == 0)
        return;
    h->min = h->count ? MIN(h->min, of->min) : of->min;
    h->max = MAX(h->max, of->max);
    h->count += of->count;
    h->sum += of->sum;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        h->buckets[i] += of->buckets[i];
}
