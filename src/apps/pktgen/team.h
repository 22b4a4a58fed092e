/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * team.h - the loops of several cores as one run: what of it each core does, when all of it is
 * done, and the sum of what they counted.
 *
 * Each loop belongs to its core, and no other core writes its counters. The leader, which is core
 * 0's loop, reads those of all loops a thousand times a second, and every loop does at the end.
 * Mostly there is one core, and a team of one loop.
 */
#ifndef PKTGEN_TEAM_H
#define PKTGEN_TEAM_H

#include "apps/pktgen/loop.h"
#include "boot/boot.h"

struct team {
    struct loop *loops[BOOT_CORES_MAX];
    uint32_t count;
    bool stop __attribute__((aligned(CACHE_LINE))); /* the leader says that the run is over */
};

/* Gives loop number `core` its share of a count and a rate, its queues, and its stream of numbers.
 * options and team are set. How many packets each core will receive isn't known in advance, so of
 * several loops that receive none has a count of its own, and the leader stops them. */
void team_share(struct loop *l, uint32_t core);

static inline bool team_leads(const struct loop *l)
{
    return l == l->team->loops[0];
}

/* Has every loop done its share? */
bool team_done(const struct team *t);

/* For the leader: have all loops together received the count, or nothing for the time of the key
 * idle? */
bool team_received_enough(const struct loop *leader);

/* Are there packets that were sent and haven't come back? */
bool team_awaits_answers(const struct team *t);

/* Counters of all queues at this moment. */
void team_sample(const struct team *t, uint64_t now, struct report_sample *s);

/* The whole run, when all loops have ended. */
void team_result(const struct team *t, struct report_run *run);

#endif
