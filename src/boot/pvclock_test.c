/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the clock page's arithmetic, and of pages that a host should not have left. */
#include "boot/boot.h"
#include "boot/pvclock.h"
#include "boot/test.h"

#define HALF 0x80000000u /* a factor of one half */

static struct vcpu_time_info page(uint32_t mul, int8_t shift)
{
    return (struct vcpu_time_info){.version = 2,
                                   .tsc_timestamp = 1000,
                                   .system_time = 5000,
                                   .tsc_to_system_mul = mul,
                                   .tsc_shift = shift};
}

TEST(pvclock_scales_cycles)
{
    struct vcpu_time_info t = page(HALF, 0);
    CHECK_EQ(pvclock_ns_at(&t, 1000), 5000);
    CHECK_EQ(pvclock_ns_at(&t, 1200), 5100);
    t = page(HALF, 3);
    CHECK_EQ(pvclock_ns_at(&t, 1200), 5800);
    t = page(HALF, -1);
    CHECK_EQ(pvclock_ns_at(&t, 1200), 5050);
}

TEST(pvclock_scales_years_of_cycles)
{
    struct vcpu_time_info t = page(0x55555555, 0); /* 3 GHz */
    uint64_t year_ns = 365ull * 24 * 3600 * 1000000000;
    uint64_t ns = pvclock_ns_at(&t, 1000 + 3 * year_ns) - 5000;
    CHECK(ns > year_ns - 100000000 && ns <= year_ns);
}

/* A vcpu may be moved to a processor whose counter is a little behind. */
TEST(pvclock_does_not_go_below_the_page)
{
    struct vcpu_time_info t = page(HALF, 0);
    CHECK_EQ(pvclock_ns_at(&t, 999), 5000);
    CHECK_EQ(pvclock_ns_at(&t, 0), 5000);
}

TEST(pvclock_survives_a_page_that_cannot_be)
{
    struct vcpu_time_info t = page(HALF, 127);
    CHECK_EQ(pvclock_ns_at(&t, 2000), 5000);
    CHECK_EQ(pvclock_cycles_hz(&t), 0);
    t = page(0, 0);
    CHECK_EQ(pvclock_cycles_hz(&t), 0);
    t = page(HALF, -128);
    CHECK_EQ(pvclock_cycles_hz(&t), 0);
    t.version = 3; /* being written, for ever */
    CHECK_EQ(pvclock_ns(&t), 5000);
}

TEST(pvclock_tells_the_frequency)
{
    struct vcpu_time_info t = page(HALF, 0);
    CHECK_EQ(pvclock_cycles_hz(&t), 2000000000);
    t = page(HALF, 1);
    CHECK_EQ(pvclock_cycles_hz(&t), 1000000000);
    t = page(HALF, -1);
    CHECK_EQ(pvclock_cycles_hz(&t), 4000000000);
}

TEST(pvclock_tells_whether_cores_agree)
{
    struct vcpu_time_info t = page(HALF, 0);
    uint8_t *flags = (uint8_t *)&t.tsc_shift + 1;

    CHECK(!pvclock_is_stable(&t));
    *flags = 2; /* the machine was stopped */
    CHECK(!pvclock_is_stable(&t));
    *flags = 3;
    CHECK(pvclock_is_stable(&t));
}

TEST(pvclock_tells_once_that_the_machine_was_stopped)
{
    struct vcpu_time_info t = page(HALF, 0);
    uint8_t *flags = (uint8_t *)&t.tsc_shift + 1;

    CHECK(!pvclock_was_stopped(&t));
    *flags = 3;
    CHECK(pvclock_was_stopped(&t));
    CHECK(!pvclock_was_stopped(&t));
    CHECK_EQ(*flags, 1);
}

static uint64_t cores_latest_ns;
static bool went_back[BOOT_CORES_MAX];

/* Each core has a clock of its own, some behind others; together they never go back. */
static void read_forward(uint32_t core)
{
    uint64_t last_ns = 0;

    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t latest_ns = __atomic_load_n(&cores_latest_ns, __ATOMIC_ACQUIRE);
        uint64_t ns = pvclock_forward(&cores_latest_ns, 10 * i + 1000 * core);
        went_back[core] |= ns < latest_ns || ns < last_ns;
        last_ns = ns;
    }
}

TEST(pvclock_of_cores_that_differ_goes_forward)
{
    boot_run(read_forward);
    for (uint32_t core = 0; core < boot_cores(); core++)
        CHECK(!went_back[core]);
    CHECK_EQ(pvclock_forward(&cores_latest_ns, 5), 99990 + 1000 * (boot_cores() - 1));
    CHECK_EQ(pvclock_forward(&cores_latest_ns, 1 << 30), 1 << 30);
}
