/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options.h - what the command line asks for, as a whole.
 */
#ifndef PKTGEN_OPTIONS_H
#define PKTGEN_OPTIONS_H

#include "apps/pktgen/value.h"

enum options_mode {
    OPTIONS_TX,
    OPTIONS_RX,
    OPTIONS_FWD,
    OPTIONS_LATENCY,
    OPTIONS_PINGPONG,
};

struct options {
    struct value_choice mode, csum, report; /* enum options_mode; enum traffic_csum; text, json */
    struct value_sizes sizes;
    struct value_range src_mac, dst_mac, src_ip, dst_ip, src_port, dst_port;
    struct value_rate rate;
    bool seq;
    uint64_t burst, window;
    uint64_t count, duration_ns, idle_ns, warmup_ns; /* 0: none */
    uint64_t interval_ns;
    uint64_t wait_ns;                  /* rx, fwd: after a burst less than half full */
    uint64_t wait_load_ns;             /* the same under load, at most */
    uint64_t queues;                   /* pairs, which take turns on one core */
    uint32_t cores;                    /* each with a pair of its own */
    uint64_t tx_descs, rx_descs, pool; /* 0: chosen by the driver, or to fit the rings */
};

static inline bool options_sends(const struct options *o)
{
    return o->mode.chosen != OPTIONS_RX && o->mode.chosen != OPTIONS_FWD;
}

/* Sends and waits for the same packets to come back. */
static inline bool options_round_trip(const struct options *o)
{
    return o->mode.chosen == OPTIONS_LATENCY || o->mode.chosen == OPTIONS_PINGPONG;
}

/* What contradicts itself, as a sentence, or NULL. */
const char *options_problem(const struct options *o);

#endif
