/* SPDX-License-Identifier: BSD-2-Clause */
/* pace_test.c - the rate, with a clock of our own. */
#include "apps/pktgen/pace.h"
#include "boot/test.h"

#define HZ 2700000000ull

static uint64_t random_state = 1;

static uint64_t random_cycles(uint64_t n)
{
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (random_state >> 33) % n;
}

/* Packets in `cycles`, asked for every `step` cycles on average. */
static uint64_t count_packets(struct pace *p, uint64_t cycles, uint64_t step, uint32_t wire_bits)
{
    uint64_t packets = 0;

    for (uint64_t now = 0; now < cycles; now += 1 + random_cycles(2 * step))
        while (now < cycles && pace_take(p, now, wire_bits))
            packets++;
    return packets;
}

TEST(pace_keeps_odd_rates_without_drift)
{
    static const uint64_t rates[] = {1, 3, 999, 7919, 100003};
    struct pace p;

    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        pace_init(&p, &(struct value_rate){.per_s = rates[i]}, HZ, 0);
        uint64_t packets = count_packets(&p, 10 * HZ, 100000, 0);
        CHECK(packets >= 10 * rates[i] - 10 && packets <= 10 * rates[i] + 10);
        CHECK_EQ(p.skipped_cycles, 0);
    }
}

TEST(pace_counts_bits_on_the_wire)
{
    struct pace p;

    pace_init(&p, &(struct value_rate){.per_s = 10000000000, .bits = true}, HZ, 0);
    uint64_t packets = count_packets(&p, HZ / 100, 1000, 1538 * 8); /* 812743 packets a second */
    CHECK(packets >= 8126 && packets <= 8129);
}

TEST(pace_spaces_evenly)
{
    struct pace p;
    uint64_t last = 0;

    pace_init(&p, &(struct value_rate){.per_s = 1000000}, HZ, 0);
    CHECK(pace_take(&p, 0, 0));
    for (uint64_t now = 0; now < HZ / 1000; now += 50)
        if (pace_take(&p, now, 0)) {
            CHECK(now - last >= 2700 - 50 && now - last <= 2700 + 50);
            last = now;
        }
    CHECK(last > HZ / 1000 - 3000);
}

TEST(pace_makes_up_for_a_short_stall_and_not_for_a_long_one)
{
    struct pace p;
    uint32_t burst = 0;

    pace_init(&p, &(struct value_rate){.per_s = 1000}, HZ, 0);
    while (pace_take(&p, HZ / 20, 0))
        burst++;
    CHECK_EQ(burst, 51);
    for (burst = 0; pace_take(&p, HZ, 0);)
        burst++;
    CHECK_EQ(burst, 1);
    CHECK(p.skipped_cycles > HZ * 9 / 10 && p.skipped_cycles < HZ);
}

TEST(pace_is_no_limit_without_a_rate)
{
    struct pace p;

    pace_init(&p, &(struct value_rate){0}, HZ, 5);
    for (int i = 0; i < 1000; i++)
        CHECK(pace_take(&p, 0, 0));
}
