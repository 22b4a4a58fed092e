/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of boot_wait, as boot.h promises it on every platform. */
#include "boot/boot.h"
#include "boot/console.h"
#include "boot/test.h"

TEST(wait_for_the_past_ends_at_once)
{
    for (int i = 0; i < 1000; i++) {
        boot_wait(0);
        boot_wait(clock_ns());
    }
}

TEST(wait_lasts_to_its_deadline)
{
    console_flush(); /* text that is kept for it shortens a wait */
    for (uint64_t ns = 1000; ns <= 16000000; ns *= 2) {
        uint64_t interrupts = boot_interrupts(), deadline_ns = clock_ns() + ns;
        boot_wait(deadline_ns);
        CHECK(clock_ns() >= deadline_ns || boot_interrupts() != interrupts);
    }
}

/* Deadlines that come just before, while and just after the processor goes to sleep. */
TEST(wait_ends_a_thousand_times)
{
    for (uint64_t i = 0; i < 1000; i++)
        boot_wait(clock_ns() + i * 37 % 1000 * 50);
}
