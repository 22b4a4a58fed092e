/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arithmetic_test.c - tests kvload's histogram, key patterns, values and numbers. Prints `ok NAME`
 * for each, ends with 1 at the first that fails.
 */
#include "check.h"
#include "histogram.h"
#include "pattern.h"
#include "text.h"
#include "value.h"

#include <math.h>

enum { DRAWS = 2000000 };

static struct histogram a, b;
static struct rng rng = {42};

static void histogram_buckets_follow_each_other(void)
{
    for (uint32_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        CHECK(histogram_bucket(histogram_top(i)) == i);
        CHECK(histogram_bucket(histogram_top(i) + 1) == i + 1);
    }
    CHECK(histogram_bucket(UINT64_MAX) == HISTOGRAM_BUCKETS - 1);
    for (uint64_t ns = 1; ns < 1ull << 40; ns = ns * 9 / 8 + 1) {
        uint64_t top = histogram_top(histogram_bucket(ns));
        CHECK(top >= ns && (double)(top - ns) <= (double)ns / 128);
    }
}

static void histogram_percentiles_are_ranks(void)
{
    a = b = (struct histogram){0};
    CHECK(histogram_percentile(&a, 50) == 0);
    for (uint64_t ns = 1; ns <= 100; ns++)
        histogram_add(ns % 2 ? &a : &b, ns);
    histogram_merge(&a, &b);
    CHECK(a.count == 100 && a.sum == 5050 && a.min == 1 && a.max == 100);
    CHECK(histogram_percentile(&a, 50) == 50);
    CHECK(histogram_percentile(&a, 99) == 99);
    CHECK(histogram_percentile(&a, 99.9) == 100);
    CHECK(histogram_percentile(&a, 0) == 1);
    histogram_add(&a, 1000003);
    CHECK(histogram_percentile(&a, 100) == 1000003);
    b = (struct histogram){0};
    histogram_merge(&a, &b);
    CHECK(a.min == 1);
}

/* Pearson's statistic of draws in `cells` cells, divided by the degrees of freedom: near 1 if the
 * draws are as expected. */
static double deviation(const uint64_t *seen, const double *expected, uint32_t cells)
{
    double sum = 0;

    for (uint32_t i = 0; i < cells; i++)
        sum += ((double)seen[i] - expected[i]) * ((double)seen[i] - expected[i]) / expected[i];
    return sum / (cells - 1);
}

static void zipf_is_zipfs_law(void)
{
    static const double exponents[] = {0.5, 0.99, 1, 1.3};
    enum { KEYS = 1000 };
    for (uint32_t e = 0; e < 4; e++) {
        uint64_t seen[KEYS] = {0};
        double expected[KEYS], total = 0;
        struct pattern pattern;
        pattern_init(&pattern, 'Z', KEYS, 0, 0, exponents[e]);
        for (uint32_t i = 0; i < DRAWS; i++) {
            uint64_t key = pattern_next(&pattern, &rng);
            CHECK(key < KEYS);
            seen[key]++;
        }
        for (uint32_t k = 0; k < KEYS; k++)
            total += pow(k + 1, -exponents[e]);
        for (uint32_t k = 0; k < KEYS; k++)
            expected[k] = DRAWS * pow(k + 1, -exponents[e]) / total;
        double off = deviation(seen, expected, KEYS);
        CHECK(off > 0.75 && off < 1.25);
    }
    struct pattern one;
    pattern_init(&one, 'Z', 1, 0, 0, 0.99);
    CHECK(pattern_next(&one, &rng) == 0);
}

static void gaussian_is_a_normal_distribution(void)
{
    struct pattern pattern;
    double sum = 0, squares = 0;
    uint64_t within = 0;

    pattern_init(&pattern, 'G', 10001, 3000, 400, 0);
    for (uint32_t i = 0; i < DRAWS; i++) {
        double off = (double)pattern_next(&pattern, &rng) - 3000;
        sum += off;
        squares += off * off;
        within += fabs(off) <= 400;
    }
    CHECK(fabs(sum / DRAWS) < 2);
    CHECK(fabs(sqrt(squares / DRAWS) - 400) < 2);
    CHECK(fabs((double)within / DRAWS - 0.6827) < 0.003);
    pattern_init(&pattern, 'G', 100, 0, 0, 0);
    CHECK(pattern.median == 49.5 && fabs(pattern.stddev - 100 / 6.) < 1e-9);
    for (uint32_t i = 0; i < DRAWS; i++)
        CHECK(pattern_next(&pattern, &rng) < 100);
}

static void random_is_uniform_and_sequences_are_in_order(void)
{
    enum { KEYS = 1000 };
    uint64_t seen[KEYS] = {0};
    double expected[KEYS];
    struct pattern pattern;

    pattern_init(&pattern, 'R', KEYS, 0, 0, 0);
    for (uint32_t i = 0; i < DRAWS; i++)
        seen[pattern_next(&pattern, &rng)]++; /* ASan sees a key outside the range */
    for (uint32_t k = 0; k < KEYS; k++)
        expected[k] = (double)DRAWS / KEYS;
    double off = deviation(seen, expected, KEYS);
    CHECK(off > 0.75 && off < 1.25);
    for (const char *kind = "SP"; *kind; kind++) {
        pattern_init(&pattern, *kind, 7, 0, 0, 0);
        for (uint32_t i = 0; i < 30; i++)
            CHECK(pattern_next(&pattern, &rng) == i % 7);
    }
}

static void a_value_is_known_by_every_byte(void)
{
    uint8_t bytes[VALUE_MAX + 32];

    for (uint32_t len = 0; len <= 70; len++) {
        value_write(bytes, 123456, 7, len);
        CHECK(value_matches(bytes, 123456, 7, len));
        for (uint32_t i = 0; i < len; i++) {
            for (uint32_t bit = 1; bit < 256; bit <<= 1) {
                bytes[i] ^= (uint8_t)bit;
                CHECK(!value_matches(bytes, 123456, 7, len));
                bytes[i] ^= (uint8_t)bit;
            }
        }
        CHECK(len < 8 || !value_matches(bytes, 123456, 8, len));
        CHECK(len < 8 || !value_matches(bytes, 123457, 7, len));
    }
}

static void sizes_come_as_often_as_they_should(void)
{
    struct value_sizes range = {.min = 10, .max = 19};
    struct value_sizes list = {.count = 2, .min = 32, .max = 100};
    uint64_t seen[10] = {0}, small = 0;
    double expected[10];

    list.entries[0].len = 32, list.entries[0].below = (uint32_t)(0.25 * 4294967296.);
    list.entries[1].len = 100, list.entries[1].below = UINT32_MAX;
    for (uint32_t i = 0; i < DRAWS; i++) {
        uint32_t len = value_len(&range, i / 10, (uint16_t)(i % 10));
        CHECK(len >= 10 && len <= 19);
        seen[len - 10]++;
        small += value_len(&list, i, 1) == 32;
    }
    for (uint32_t k = 0; k < 10; k++)
        expected[k] = DRAWS / 10.;
    CHECK(deviation(seen, expected, 10) < 4);
    CHECK(fabs((double)small / DRAWS - 0.25) < 0.002);
}

static void numbers_are_written_and_read(void)
{
    char ours[32], libcs[32];
    uint64_t number = 0;

    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t len = text_number(ours, number);
        CHECK(len == (uint32_t)snprintf(libcs, sizeof libcs, "%llu", (unsigned long long)number));
        CHECK(memcmp(ours, libcs, len) == 0);
        number = i < 11000 ? i : rng_next(&rng) >> (i % 64);
    }
    for (uint32_t five = 10000; five < 100000; five++) {
        text_five(ours, five);
        CHECK(text_read_five((uint8_t *)ours) == five);
    }
    CHECK(text_read_five((const uint8_t *)"1234   ") == UINT32_MAX);
    CHECK(text_read_five((const uint8_t *)"-1234   ") == UINT32_MAX);
}

int main(void)
{
    RUN(histogram_buckets_follow_each_other);
    RUN(histogram_percentiles_are_ranks);
    RUN(zipf_is_zipfs_law);
    RUN(gaussian_is_a_normal_distribution);
    RUN(random_is_uniform_and_sequences_are_in_order);
    RUN(a_value_is_known_by_every_byte);
    RUN(sizes_come_as_often_as_they_should);
    RUN(numbers_are_written_and_read);
    return 0;
}
