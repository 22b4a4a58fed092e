/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop.h - the loop: steps that move bursts, and chores between them.
 *
 * loop_run goes on until a limit of the options is reached or the operator ends it. Then it waits,
 * at most a second, for what is on its way, so that a count means packets that were sent. With
 * several cores each runs a loop of its own (team.h); core 0's decides when the run is over.
 *
 * With nothing to do it sleeps as the key idle.mode says (idle.h): rx and fwd until a packet comes,
 * tx with a rate until shortly before the next one is due. latency and pingpong never do, as waking
 * up would be part of what they measure.
 */
#ifndef PKTGEN_LOOP_H
#define PKTGEN_LOOP_H

#include "apps/pktgen/fill.h"
#include "apps/pktgen/options.h"
#include "apps/pktgen/pace.h"
#include "apps/pktgen/report.h"
#include "apps/pktgen/traffic.h"
#include "netdev/idle.h"

enum {
    LOOP_LINE = 320,  /* bytes of a line a second */
    LOOP_DESCS = 256, /* of a ring, if nobody asks for another size */
};

/* Packets that wait for room in the transmit ring. */
struct loop_outbox {
    struct netbuf *bufs[NETDEV_MAX_BURST];
    uint32_t at, end;
    uint64_t since; /* in cycles */
};

struct team;

/* One core's loop. The caller sets the first part, of which team_share sets the second; all else is
 * zero at first. */
struct loop {
    const struct options *options;
    struct team *team;           /* of which this is one */
    struct netdev *dev;          /* started */
    struct netbuf_pool *tx_pool; /* prefilled by traffic; unused by modes that make no packets */
    uint64_t hz;                 /* cycles a second */
    struct traffic traffic;      /* ready, for modes that make packets */
    struct receive receive;

    uint64_t count;                  /* packets to send or receive; 0: no limit here */
    struct value_rate rate;          /* to send at */
    uint16_t queue_first, queue_end; /* pairs that it serves in turn */
    uint32_t stream;                 /* of the numbers that it sends */

    struct netdev_idle idle;
    struct pace pace;
    struct loop_outbox out;
    uint16_t queue;          /* of the pair whose turn it is */
    uint32_t tx_room_full;   /* descriptors that are free when nothing is in flight */
    uint64_t made, received; /* packets */
    uint64_t written_off;    /* pingpong: packets that are no longer waited for */
    uint64_t forward_drops;
    struct fill fill;    /* rx, fwd: the time between two looks, when the first found little */
    uint64_t now, start; /* in cycles, as all moments here */
    uint64_t next_chores, next_line, next_link_look;
    uint64_t first_moved, last_moved, busy_cycles;
    bool warm, link_down, told_stuck;
    bool done; /* its count is reached; the other loops look at it */
    struct report_sample base, last_line;
    char line[LOOP_LINE]; /* from line_at to line_end still to be written */
    uint32_t line_at, line_end;
} __attribute__((aligned(CACHE_LINE)));

void loop_run(struct loop *l);

/* Counters of the loop's queues. */
void loop_sample(const struct loop *l, struct report_sample *s);

#endif
