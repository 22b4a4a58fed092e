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

#include <stdbool.h>
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

/*
 * Z draws by rejection: the keys are cut into pieces, 16 between one power of two and the next, and
 * all keys of a piece are proposed as often as Zipf's law wants its first one. A proposed key is
 * kept by its true chance over that of the first, which is seldom computed, as it is nearly 1. The
 * piece is drawn by M. D. Vose's alias method ("A linear algorithm for generating random numbers
 * with a given distribution", 1991).
 */
struct pattern_piece {
    uint64_t keep; /* a draw of this piece whose fraction, times 2^64, isn't below goes to other */
    uint64_t sure; /* the chance, times 2^64, that even the last key of the piece is kept with */
    uint64_t first, count; /* keys, counted from 1 */
    uint32_t other;
};

enum { PATTERN_PIECES_AN_OCTAVE = 16, PATTERN_MAX_PIECES = 64 * PATTERN_PIECES_AN_OCTAVE };

struct pattern {
    char kind; /* one of the letters above */
    uint64_t count, next;
    double median, stddev; /* G */
    double exponent;       /* Z */
    uint32_t piece_count;
    struct pattern_piece pieces[PATTERN_MAX_PIECES];
};

/* median and stddev of 0 are memtier's defaults: the middle of the range, and a sixth of it. */
void pattern_init(struct pattern *pattern, char kind, uint64_t count, double median, double stddev,
                  double exponent);

uint64_t pattern_gaussian(struct pattern *pattern, struct rng *rng);

/* Is key number k of a piece kept, if its fraction, times 2^64, wasn't sure? */
bool pattern_keeps(const struct pattern *pattern, const struct pattern_piece *piece, uint64_t k,
                   uint64_t fraction);

static inline uint64_t pattern_zipf(const struct pattern *pattern, struct rng *rng)
{
    for (;;) {
        /* Of a random number times a count the whole part is one of so many, and the fraction is
         * random again. */
        unsigned __int128 draw = (unsigned __int128)rng_next(rng) * pattern->piece_count;
        const struct pattern_piece *piece = &pattern->pieces[draw >> 64];
        if ((uint64_t)draw >= piece->keep)
            piece = &pattern->pieces[piece->other];
        draw = (unsigned __int128)rng_next(rng) * piece->count;
        uint64_t k = (uint64_t)(draw >> 64);
        if (__builtin_expect((uint64_t)draw < piece->sure, 1) ||
            pattern_keeps(pattern, piece, k, (uint64_t)draw))
            return piece->first - 1 + k;
    }
}

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
