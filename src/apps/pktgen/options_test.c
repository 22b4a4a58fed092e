/* SPDX-License-Identifier: BSD-2-Clause */
/* options_test.c - settings that contradict each other are told apart from those that don't. */
#include "apps/pktgen/options.h"
#include "boot/test.h"

/* As the defaults leave them. */
static struct options defaults(enum options_mode mode)
{
    struct options o = {.seq = true, .burst = 32, .interval_ns = 1};

    o.mode.chosen = mode;
    o.sizes.times_set = o.csum.times_set = 1;
    o.dst_mac.times_set = o.src_ip.times_set = o.dst_ip.times_set = 1;
    o.src_port.times_set = o.dst_port.times_set = 1;
    return o;
}

TEST(options_defaults_are_fine_in_every_mode)
{
    for (int mode = OPTIONS_TX; mode <= OPTIONS_PINGPONG; mode++) {
        struct options o = defaults(mode);
        CHECK(!options_problem(&o));
    }
}

#define CHECK_OPTIONS(mode, change, fine)                                                          \
    do {                                                                                           \
        struct options o = defaults(mode);                                                         \
        o.change;                                                                                  \
        CHECK_EQ(options_problem(&o) == NULL, fine);                                               \
    } while (0)

TEST(options_for_other_modes_are_refused)
{
    CHECK_OPTIONS(OPTIONS_TX, rate.per_s = 1, true);
    CHECK_OPTIONS(OPTIONS_RX, rate.per_s = 1, false);
    CHECK_OPTIONS(OPTIONS_FWD, rate.per_s = 1, false);
    CHECK_OPTIONS(OPTIONS_PINGPONG, rate.per_s = 1, false);
    CHECK_OPTIONS(OPTIONS_RX, sizes.times_set = 2, false);
    CHECK_OPTIONS(OPTIONS_LATENCY, sizes.times_set = 2, true);
    CHECK_OPTIONS(OPTIONS_RX, src_mac.times_set = 1, false);
    CHECK_OPTIONS(OPTIONS_FWD, dst_port.times_set = 2, false);
    CHECK_OPTIONS(OPTIONS_FWD, csum.times_set = 2, false);
    CHECK_OPTIONS(OPTIONS_TX, idle_ns = 1, false);
    CHECK_OPTIONS(OPTIONS_RX, idle_ns = 1, true);
    CHECK_OPTIONS(OPTIONS_LATENCY, window = 4, false);
    CHECK_OPTIONS(OPTIONS_PINGPONG, window = 4, true);
    CHECK_OPTIONS(OPTIONS_LATENCY, seq = false, false);
    CHECK_OPTIONS(OPTIONS_TX, seq = false, true);
}

TEST(options_warmup_needs_time)
{
    struct options o = defaults(OPTIONS_TX);

    o.warmup_ns = 5;
    CHECK(!options_problem(&o));
    o.duration_ns = 5;
    CHECK(options_problem(&o));
    o.duration_ns = 6;
    CHECK(!options_problem(&o));
    o.count = 1;
    CHECK(options_problem(&o));
}

TEST(options_are_shared_by_cores)
{
    struct options o = defaults(OPTIONS_TX);

    o.cores = 4;
    o.queues = 1;
    CHECK(!options_problem(&o));
    o.count = o.rate.per_s = 4;
    CHECK(!options_problem(&o));
    o.count = 3;
    CHECK(options_problem(&o));
    o.count = 4;
    o.rate.per_s = 3;
    CHECK(options_problem(&o));
    o = defaults(OPTIONS_RX);
    o.cores = 4;
    o.count = 1; /* which core gets it isn't said */
    CHECK(!options_problem(&o));
    o.queues = 2;
    CHECK(options_problem(&o));
}
