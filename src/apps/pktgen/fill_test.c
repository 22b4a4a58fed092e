/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of how long pktgen leaves its rings alone. */
#include "apps/pktgen/fill.h"
#include "boot/test.h"

enum { SHORT = 500, LONG = 15000 };

/* Packets come evenly, one each `apart` cycles; the loop looks whenever its wait is over. Returns
 * the wait after so many looks. */
static uint64_t wait_at(struct fill *f, uint64_t *now, uint64_t apart, uint32_t ring_descs,
                        uint32_t looks)
{
    uint64_t wait = f->wait_cycles, seen = *now / apart;

    for (uint32_t i = 0; i < looks; i++) {
        *now += wait;
        fill_came(f, (uint32_t)MIN(*now / apart - seen, (uint64_t)ring_descs));
        seen = *now / apart;
        wait = fill_wait(f, *now);
    }
    return wait;
}

TEST(fill_waits_long_under_load_only)
{
    struct fill f;
    uint64_t now = 1000000;

    fill_init(&f, SHORT, LONG, 256, now);
    CHECK_EQ(fill_wait(&f, now), SHORT);
    CHECK_EQ(wait_at(&f, &now, 2500, 256, 1000), SHORT); /* a million a second at 2.5 GHz */
    CHECK_EQ(wait_at(&f, &now, 700, 256, 1000), SHORT);
    CHECK_EQ(wait_at(&f, &now, 250, 256, 1000), LONG); /* ten million */
    CHECK_EQ(wait_at(&f, &now, 2500, 256, 10), SHORT); /* and it is over at once */
    CHECK_EQ(wait_at(&f, &now, 125, 256, 1000), LONG);
    now += 1000000000; /* a pause without a look */
    CHECK_EQ(wait_at(&f, &now, 1000000000, 256, 1), SHORT);
}

/* A ring that is smaller than what comes in the long wait must not stand full meanwhile: the other
 * end would have to wait. */
TEST(fill_waits_no_longer_than_half_a_ring_takes)
{
    struct fill f;
    uint64_t now = 1000000, wait;

    fill_init(&f, SHORT, LONG, 64, now);
    wait = wait_at(&f, &now, 100, 64, 1000);
    CHECK(wait >= 25 * 100 && wait <= 35 * 100); /* 32 packets, one each 100 cycles */
    wait = wait_at(&f, &now, 10, 64, 1000);
    CHECK_EQ(wait, SHORT); /* in which more come than half the ring holds */
}

TEST(fill_has_no_load_if_it_may_not_wait_for_it)
{
    struct fill f;
    uint64_t now = 1000000;

    fill_init(&f, SHORT, 0, 256, now);
    CHECK_EQ(wait_at(&f, &now, 100, 256, 100), SHORT);
    fill_init(&f, 0, 0, 256, now);
    CHECK_EQ(fill_wait(&f, now), 0);
    fill_came(&f, 100);
    CHECK_EQ(fill_wait(&f, now), 0);
}
