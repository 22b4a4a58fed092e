/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * histogram.h - how often each value was seen, with a relative error of at most 1/128.
 *
 * Values below 256 have a bucket each. Above, every power of two is cut into 128 buckets of equal
 * width: 256 to 511 in steps of 2, 512 to 1023 in steps of 4, and so on.
 */
#ifndef PKTGEN_HISTOGRAM_H
#define PKTGEN_HISTOGRAM_H

#include "boot/lib.h"

enum {
    HISTOGRAM_SUB_BITS = 7, /* 128 buckets a power of two */
    HISTOGRAM_VALUE_BITS = 44,
    HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

/* All zeroes is an empty one. */
struct histogram {
    uint64_t count, sum;
    uint64_t min, max; /* exact */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* A value over 44 bits counts as the largest of them. */
void histogram_add(struct histogram *h, uint64_t value);

/* Adds all that another one has seen. */
void histogram_add_all(struct histogram *h, const struct histogram *of);

/* The value that `parts` of a million are not above: 500000 is the median, 999000 p99.9. It is the
 * end of its bucket. 0 if nothing was seen. */
uint64_t histogram_quantile(const struct histogram *h, uint32_t parts);

#endif
