/* SPDX-License-Identifier: BSD-2-Clause */
/* pattern.c - see pattern.h. */
#include "pattern.h"

#include <math.h>

/* The integral of x^-exponent, which is a logarithm where the exponent is 1, and its inverse.
 * expm1 and log1p keep them exact near there. */
static double integral(double exponent, double x)
{
    double log_x = log(x), t = (1 - exponent) * log_x;

    return fabs(t) < 1e-8 ? log_x * (1 + t / 2) : expm1(t) / (1 - exponent);
}

static double integral_inverse(double exponent, double y)
{
    double t = y * (1 - exponent);

    if (t < -1) /* by rounding only */
        t = -1;
    return fabs(t) < 1e-8 ? exp(y * (1 - t / 2)) : exp(log1p(t) / (1 - exponent));
}

void pattern_init(struct pattern *pattern, char kind, uint64_t count, double median, double stddev,
                  double exponent)
{
    *pattern = (struct pattern){.kind = kind, .count = count, .exponent = exponent};
    pattern->median = median > 0 ? median : ((double)count - 1) / 2;
    pattern->stddev = stddev > 0 ? stddev : (double)count / 6;
    if (kind != 'Z')
        return;
    pattern->integral_first = integral(exponent, 1.5) - 1;
    pattern->integral_last = integral(exponent, (double)count + 0.5);
    pattern->sure = 2 - integral_inverse(exponent, integral(exponent, 2.5) - pow(2, -exponent));
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

uint64_t pattern_zipf(struct pattern *pattern, struct rng *rng)
{
    for (;;) {
        double u = pattern->integral_last +
                   rng_unit(rng) * (pattern->integral_first - pattern->integral_last);
        double x = integral_inverse(pattern->exponent, u), k = floor(x + 0.5);
        k = k < 1 ? 1 : k > (double)pattern->count ? (double)pattern->count : k;
        if (k - x <= pattern->sure ||
            u >= integral(pattern->exponent, k + 0.5) - pow(k, -pattern->exponent))
            return (uint64_t)k - 1;
    }
}
