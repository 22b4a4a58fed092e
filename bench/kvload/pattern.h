/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pattern.h - which key comes next: memtier_benchmark's key patterns over the numbers 0 to count-1.
 *
 *   R  uniformly random
 *   S  one after the other, from the first to the last and again
 *   P  as S: memtier gives each connection a range of its own with it; here each thread has that
 *      with every pattern (see load.h)
 *   G  normal distribution around a median, cut off at the ends
 *   Z  Zipf's law: number k comes in proportion to 1 / (k + 1)^exponent
 */
#ifndef KVLOAD_PATTERN_H
#define KVLOAD_PATTERN_H

#include <stdint.h>

struct rng {
    uint64_t state;
};

/* splitmix64: every 64-bit number once before the first comes again. */
static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* 0 to n - 1, each as often up to n / 2^64. */
static inline uint64_t rng_below(struct rng *rng, uint64_t n)
{
    return (uint64_t)((unsigned __int128)rng_next(rng) * n >> 64);
}

/* At least 0 and less than 1. */
static inline double rng_unit(struct rng *rng)
{
    return (double)(rng_next(rng) >> 11) * 0x1p-53;
}

struct pattern {
    char kind; /* one of the letters above */
    uint64_t count, next;
    double median, stddev; /* G */
    /* Z: what rejection-inversion needs (W. Hoermann, G. Derflinger, "Rejection-inversion to
     * generate variates from monotone discrete distributions", 1996), computed once. */
    double exponent, integral_first, integral_last, sure;
};

/* median and stddev of 0 are memtier's defaults: the middle of the range, and a sixth of it. */
void pattern_init(struct pattern *pattern, char kind, uint64_t count, double median, double stddev,
                  double exponent);

uint64_t pattern_gaussian(struct pattern *pattern, struct rng *rng);
uint64_t pattern_zipf(struct pattern *pattern, struct rng *rng);

static inline uint64_t pattern_next(struct pattern *pattern, struct rng *rng)
{
    uint64_t key;

    switch (pattern->kind) {
    case 'R':
        return rng_below(rng, pattern->count);
    case 'G':
        return pattern_gaussian(pattern, rng);
    case 'Z':
        return pattern_zipf(pattern, rng);
    default:
        key = pattern->next++;
        if (pattern->next == pattern->count)
            pattern->next = 0;
        return key;
    }
}

#endif
