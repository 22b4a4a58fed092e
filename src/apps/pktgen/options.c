/* SPDX-License-Identifier: BSD-2-Clause */
/* options.c - settings that contradict each other; see options.h. */
#include "apps/pktgen/options.h"

enum { GIVEN = 2 }; /* times a key was set: first to its default, then by the command line */

static RUNS_SELDOM bool traffic_given(const struct options *o)
{
    const struct value_range *const ranges[] = {&o->dst_mac, &o->src_ip, &o->dst_ip, &o->src_port,
                                                &o->dst_port};

    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        if (ranges[i]->times_set >= GIVEN)
            return true;
    return o->src_mac.times_set > 0 || /* its default is the device's */
           o->sizes.times_set >= GIVEN || o->csum.times_set >= GIVEN;
}

RUNS_SELDOM const char *options_problem(const struct options *o)
{
    const bool pingpong = o->mode.chosen == OPTIONS_PINGPONG;

    if (!options_sends(o) && (o->rate.per_s || traffic_given(o)))
        return "rate, size, csum, src.mac, dst.mac, src.ip, dst.ip, src.port and dst.port are for "
               "packets that are made, and mode=rx and mode=fwd make none";
    if (options_sends(o) && o->idle_ns)
        return "idle is for mode=rx and mode=fwd; the other modes end by count or duration";
    if (pingpong && o->rate.per_s)
        return "mode=pingpong sends when an answer comes, so it has no rate; use mode=latency";
    if (!pingpong && o->window)
        return "window, the packets in flight, is for mode=pingpong";
    if (options_round_trip(o) && !o->seq)
        return "seq=off is not possible with mode=latency and mode=pingpong: packets that come "
               "back are known by their numbers";
    if (o->warmup_ns && o->count)
        return "warmup leaves the first packets out of the summary and count counts all; use "
               "warmup with duration";
    if (o->warmup_ns && o->duration_ns && o->warmup_ns >= o->duration_ns)
        return "warmup is part of duration and must be shorter";
    if (o->cores > 1 && o->queues > 1)
        return "queues is for one core, which serves them in turn; with several cores each has a "
               "queue pair of its own";
    if (o->cores > 1 && options_sends(o) &&
        ((o->count && o->count < o->cores) || (o->rate.per_s && o->rate.per_s < o->cores)))
        return "count and rate are shared by the cores and must be at least one for each";
    return NULL;
}
