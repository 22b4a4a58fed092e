/* SPDX-License-Identifier: BSD-2-Clause */
/* histogram_test.c - the error stays in its bounds. */
#include "apps/pktgen/histogram.h"
#include "boot/test.h"

static struct histogram h;

static void clear_histogram(void)
{
    memset(&h, 0, sizeof h);
}

TEST(histogram_of_nothing)
{
    clear_histogram();
    CHECK_EQ(histogram_quantile(&h, 500000), 0);
}

TEST(histogram_one_value_is_told_within_its_error)
{
    for (uint64_t v = 0; v < 1ull << HISTOGRAM_VALUE_BITS; v = v * 5 / 4 + 1) {
        clear_histogram();
        histogram_add(&h, v);
        histogram_add(&h, (1ull << HISTOGRAM_VALUE_BITS) - 1); /* else max would be the answer */
        uint64_t told = histogram_quantile(&h, 500000);
        CHECK(told >= v && told - v <= v / 128);
    }
}

TEST(histogram_quantiles_of_a_ramp)
{
    static const uint32_t parts[] = {1, 500000, 900000, 990000, 999000, 999900, 1000000};

    clear_histogram();
    for (uint64_t v = 1; v <= 100000; v++)
        histogram_add(&h, v);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        uint64_t want = ((uint64_t)parts[i] * 100000 + 999999) / 1000000;
        uint64_t told = histogram_quantile(&h, parts[i]);
        CHECK(told >= want && told - want <= want / 128);
    }
    CHECK_EQ(h.min, 1);
    CHECK_EQ(h.max, 100000);
    CHECK_EQ(histogram_quantile(&h, 1000000), 100000);
    CHECK_EQ(h.sum, 5000050000ll);
}

TEST(histogram_takes_any_value)
{
    clear_histogram();
    histogram_add(&h, UINT64_MAX);
    histogram_add(&h, 1ull << HISTOGRAM_VALUE_BITS);
    CHECK_EQ(h.buckets[HISTOGRAM_BUCKETS - 1], 2);
    CHECK_EQ(histogram_quantile(&h, 999999), (1ll << HISTOGRAM_VALUE_BITS) - 1);
}

TEST(histogram_adds_another_one)
{
    static struct histogram other;

    clear_histogram();
    memset(&other, 0, sizeof other);
    histogram_add_all(&h, &other);
    CHECK(h.count == 0 && h.min == 0 && h.max == 0);
    for (uint64_t v = 1; v <= 1000; v++)
        histogram_add(v % 3 ? &h : &other, v);
    histogram_add_all(&h, &other);
    CHECK(h.count == 1000 && h.min == 1 && h.max == 1000 && h.sum == 500500);
    CHECK_EQ(histogram_quantile(&h, 100000), 100);
    clear_histogram();
    histogram_add_all(&h, &other);
    CHECK(h.count == 333 && h.min == 3 && h.max == 999);
}
