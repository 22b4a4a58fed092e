/* SPDX-License-Identifier: BSD-2-Clause */
/* team.c - the loops of several cores as one run; see team.h. */
#include "apps/pktgen/team.h"

/* Part `core` of `whole`: the first ones take what doesn't divide evenly. */
static RUNS_SELDOM uint64_t part(const struct team *t, uint64_t whole, uint32_t core)
{
    return whole / t->count + (core < whole % t->count);
}

RUNS_SELDOM void team_share(struct loop *l, uint32_t core)
{
    const struct options *o = l->options;
    const bool alone = l->team->count == 1;

    l->stream = core;
    l->queue_first = l->queue = (uint16_t)core;
    l->queue_end = (uint16_t)(alone ? MAX(o->queues, 1u) : core + 1);
    l->rate = o->rate;
    l->rate.per_s = part(l->team, o->rate.per_s, core);
    if (alone || options_sends(o))
        l->count = part(l->team, o->count, core);
}

bool team_done(const struct team *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (!load_acquire(&t->loops[i]->done))
            return false;
    return true;
}

bool team_received_enough(const struct loop *leader)
{
    const struct team *t = leader->team;
    const struct options *o = leader->options;
    uint64_t received = 0, last_moved = 0;

    for (uint32_t i = 0; i < t->count; i++) {
        received += load_acquire(&t->loops[i]->received);
        last_moved = MAX(last_moved, load_acquire(&t->loops[i]->last_moved));
    }
    if (t->count > 1 && !options_sends(o) && o->count && received >= o->count)
        return true; /* one loop counts for itself, to the packet */
    return received > 0 && o->idle_ns && last_moved < leader->now &&
           leader->now - last_moved >= value_cycles(o->idle_ns, leader->hz);
}

static uint64_t made(const struct team *t)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < t->count; i++)
        sum += load_acquire(&t->loops[i]->made);
    return sum;
}

static RUNS_SELDOM void sum_numbers(const struct team *t, struct account_sum *sum)
{
    const struct account *accounts[BOOT_CORES_MAX];

    *sum = (struct account_sum){0};
    for (uint32_t stream = 0; stream < PACKET_STREAMS; stream++) {
        for (uint32_t i = 0; i < t->count; i++)
            accounts[i] = &t->loops[i]->receive.accounts[stream];
        account_add_stream(sum, accounts, t->count);
    }
}

bool team_awaits_answers(const struct team *t)
{
    struct account_sum numbers;

    sum_numbers(t, &numbers);
    return numbers.unique < made(t);
}

/* --- counters ----------------------------------------------------------------------------------
 */

static RUNS_SELDOM void add_stats(struct netdev_queue_stats *sum,
                                  const struct netdev_queue_stats *of)
{
    sum->packets += of->packets;
    sum->bytes += of->bytes;
    sum->bursts += of->bursts;
    sum->kicks += of->kicks;
    for (uint32_t i = 0; i < NETDEV_DROP_REASONS; i++)
        sum->drops[i] += of->drops[i];
}

static RUNS_SELDOM void add_sample(struct report_sample *sum, const struct report_sample *of)
{
    sum->busy_cycles += of->busy_cycles;
    sum->waits += of->waits;
    sum->interrupts += of->interrupts;
    add_stats(&sum->rx, &of->rx);
    add_stats(&sum->tx, &of->tx);
}

RUNS_SELDOM void loop_sample(const struct loop *l, struct report_sample *s)
{
    struct netdev_queue_stats of;

    *s = (struct report_sample){.now_cycles = l->now,
                                .busy_cycles = l->busy_cycles,
                                .waits = l->idle.waits,
                                .interrupts = l->idle.interrupts};
    for (uint16_t q = l->queue_first; q < l->queue_end; q++) {
        if (netdev_rxq_stats(l->dev, q, &of))
            add_stats(&s->rx, &of);
        if (netdev_txq_stats(l->dev, q, &of))
            add_stats(&s->tx, &of);
    }
}

RUNS_SELDOM void team_sample(const struct team *t, uint64_t now, struct report_sample *s)
{
    struct report_sample of;

    *s = (struct report_sample){.now_cycles = now};
    for (uint32_t i = 0; i < t->count; i++) {
        loop_sample(t->loops[i], &of);
        add_sample(s, &of);
    }
}

RUNS_SELDOM void team_result(const struct team *t, struct report_run *run)
{
    struct loop *leader = t->loops[0];
    struct histogram *latency = &leader->receive.latency;
    uint64_t first = UINT64_MAX, last = 0;

    run->options = leader->options;
    run->hz = leader->hz;
    run->latency = latency;
    run->made = made(t);
    sum_numbers(t, &run->numbers);
    for (uint32_t i = 0; i < t->count; i++) {
        const struct loop *l = t->loops[i];
        first = l->first_moved ? MIN(first, l->first_moved) : first;
        last = MAX(last, l->last_moved);
        add_sample(&run->from, &l->base);
        run->unnumbered += l->receive.unnumbered;
        run->forward_drops += l->forward_drops;
        run->skipped_cycles = MAX(run->skipped_cycles, l->pace.skipped_cycles);
        if (l != leader)
            histogram_add_all(latency, &l->receive.latency);
    }
    run->from.now_cycles = MIN(first, last);
    team_sample(t, last, &run->to);
}
