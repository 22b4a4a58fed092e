/* SPDX-License-Identifier: BSD-2-Clause */
/* pattern.c - see pattern.h. */
#include "pattern.h"

#include <math.h>

/* A share of 1, times 2^64. */
static uint64_t scaled(double share)
{
    return share >= 1 ? UINT64_MAX : (uint64_t)(share * 0x1p64);
}

/* Cuts keys 1 to count into pieces; weights[i] is how often all keys of piece i are proposed. */
static void cut_pieces(struct pattern *pattern, double *weights)
{
    uint64_t width = 1, next;

    pattern->piece_count = 0;
    for (uint64_t first = 1; first <= pattern->count; first = next) {
        struct pattern_piece *piece = &pattern->pieces[pattern->piece_count];
        if (first == 2 * PATTERN_PIECES_AN_OCTAVE * width)
            width *= 2;
        uint64_t left = pattern->count - first + 1;
        *piece = (struct pattern_piece){.first = first, .count = left < width ? left : width};
        next = first + piece->count;
        piece->sure = scaled(pow((double)first / (double)(next - 1), pattern->exponent));
        weights[pattern->piece_count++] =
            (double)piece->count * pow((double)first, -pattern->exponent);
    }
}

/* Vose's tables: each piece with less than the mean weight is filled up from one with more. */
static void share_out(struct pattern *pattern, double *weights)
{
    uint32_t small[PATTERN_MAX_PIECES] = {0}, large[PATTERN_MAX_PIECES] = {0};
    uint32_t n = pattern->piece_count, smalls = 0, larges = 0;
    double total = 0;

    for (uint32_t i = 0; i < n; i++)
        total += weights[i];
    for (uint32_t i = 0; i < n; i++) {
        weights[i] *= n / total;
        pattern->pieces[i].keep = UINT64_MAX;
        pattern->pieces[i].other = i;
        if (weights[i] < 1)
            small[smalls++] = i;
        else
            large[larges++] = i;
    }
    while (smalls > 0 && larges > 0) {
        uint32_t from = large[larges - 1], to = small[--smalls];
        pattern->pieces[to].keep = scaled(weights[to]);
        pattern->pieces[to].other = from;
        weights[from] -= 1 - weights[to];
        if (weights[from] < 1) {
            larges--;
            small[smalls++] = from;
        }
    }
}

void pattern_init(struct pattern *pattern, char kind, uint64_t count, double median, double stddev,
                  double exponent)
{
    *pattern = (struct pattern){.kind = kind, .count = count, .exponent = exponent};
    pattern->median = median > 0 ? median : ((double)count - 1) / 2;
    pattern->stddev = stddev > 0 ? stddev : (double)count / 6;
    if (kind != 'Z')
        return;
    double weights[PATTERN_MAX_PIECES];
    cut_pieces(pattern, weights);
    share_out(pattern, weights);
}

/* Box and Muller's polar method, without the second number: keys outside the range are drawn anew.
 */
uint64_t pattern_gaussian(struct pattern *pattern, struct rng *rng)
{
    for (;;) {
        double u = 2 * rng_unit(rng) - 1, v = 2 * rng_unit(rng) - 1, s = u * u + v * v;
        if (s >= 1 || s == 0)
            continue;
        double key = pattern->median + pattern->stddev * u * sqrt(-2 * log(s) / s);
        if (key > -0.5 && key < (double)pattern->count - 0.5)
            return (uint64_t)(key + 0.5);
    }
}

bool pattern_keeps(const struct pattern *pattern, const struct pattern_piece *piece, uint64_t k,
                   uint64_t fraction)
{
    double share = pow((double)piece->first / (double)(piece->first + k), pattern->exponent);

    return fraction < scaled(share);
}
