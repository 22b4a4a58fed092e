/* SPDX-License-Identifier: BSD-2-Clause */
/* loop.c - the loop; see loop.h. */
#include "apps/pktgen/loop.h"
#include "apps/pktgen/reflect.h"
#include "apps/pktgen/team.h"

enum {
    PER_S_CHORES = 1000,
    PER_S_FORWARD = 10, /* a forwarded packet waits 100 ms for room; not for ever, as two reflectors
                           could each wait for the other's ring to have room */
    PER_S_ANSWER = 10,  /* pingpong gives an answer up after 100 ms */
};

static void next_queue(struct loop *l)
{
    if (++l->queue == l->queue_end)
        l->queue = l->queue_first;
}

/* Its own numbers that came back to it. */
static const struct account *own_account(const struct loop *l)
{
    return &l->receive.accounts[l->stream];
}

/* Free descriptors of all its transmit queues. */
static uint32_t tx_room(const struct loop *l)
{
    uint32_t room = 0;

    for (uint16_t q = l->queue_first; q < l->queue_end; q++)
        room += netdev_tx_room(l->dev, q);
    return room;
}

/* --- steps: each returns how many packets it moved ----------------------------------------------
 */

static uint32_t flush(struct loop *l)
{
    struct loop_outbox *out = &l->out;

    if (out->at == out->end) {
        netdev_tx_reclaim(l->dev, l->queue);
        return 0;
    }
    uint32_t n = netdev_tx_burst(l->dev, l->queue, out->bufs + out->at, out->end - out->at);
    out->at += n;
    return n;
}

/* How many packets the window of pingpong has room for. */
static uint64_t window_room(struct loop *l)
{
    uint64_t window = MAX(l->options->window, 1u);
    uint64_t back = account_unique(own_account(l)) + l->written_off;
    uint64_t in_flight = l->made - MIN(l->made, back);

    if (in_flight >= window && l->now - l->last_moved > l->hz / PER_S_ANSWER) {
        l->written_off = l->made - account_unique(own_account(l));
        in_flight = 0;
    }
    return window - MIN(window, in_flight);
}

/* How many packets are to be made now. */
static uint32_t count_due(struct loop *l)
{
    uint64_t max = MIN(l->options->burst, (uint64_t)netbuf_pool_free_count(l->tx_pool));
    uint32_t n = 0;

    if (l->count)
        max = MIN(max, l->count - l->made);
    if (l->options->mode.chosen == OPTIONS_PINGPONG)
        max = MIN(max, window_room(l));
    if (l->pace.interval == 0)
        return (uint32_t)max;
    while (n < max && pace_take(&l->pace, l->now,
                                (traffic_next_bytes(&l->traffic, n) + PACKET_WIRE_EXTRA) * 8))
        n++;
    return n;
}

static uint32_t step_send(struct loop *l)
{
    struct loop_outbox *out = &l->out;

    if (out->at == out->end) {
        out->at = 0;
        out->end = netbuf_alloc_bulk(l->tx_pool, out->bufs, count_due(l));
        traffic_fill(&l->traffic, out->bufs, out->end);
        l->made += out->end;
    }
    return flush(l);
}

/* At most a burst, and no more than are still wanted. */
static uint32_t rx_burst(struct loop *l, struct netbuf **bufs)
{
    uint64_t max = l->options->burst;

    if (l->count && !options_sends(l->options))
        max = MIN(max, l->count - l->received);
    uint32_t n = netdev_rx_burst(l->dev, l->queue, bufs, (uint32_t)max);
    l->received += n;
    return n;
}

static uint32_t step_receive(struct loop *l)
{
    struct netbuf *in[NETDEV_MAX_BURST];
    uint32_t n = rx_burst(l, in);

    if (n > 0)
        receive_burst(&l->receive, in, n, l->receive.timed ? clock_cycles() : 0);
    return n;
}

static uint32_t step_forward(struct loop *l)
{
    struct loop_outbox *out = &l->out;

    if (out->at < out->end) {
        uint32_t n = flush(l);
        if (n == 0 && l->now - out->since > l->hz / PER_S_FORWARD) {
            l->forward_drops += out->end - out->at;
            netbuf_free_bulk(out->bufs + out->at, out->end - out->at);
            out->at = out->end;
        }
        return n;
    }
    out->at = 0;
    out->end = rx_burst(l, out->bufs);
    out->since = l->now;
    for (uint32_t i = 0; i < out->end; i++)
        prefetch_to_write(out->bufs[i]->data);
    for (uint32_t i = 0; i < out->end; i++)
        reflect(out->bufs[i]);
    return flush(l);
}

static uint32_t step(struct loop *l)
{
    uint32_t moved = 0;

    switch ((enum options_mode)l->options->mode.chosen) {
    case OPTIONS_TX:
        return step_send(l);
    case OPTIONS_RX:
        return step_receive(l);
    case OPTIONS_FWD:
        return step_forward(l);
    case OPTIONS_LATENCY:
    case OPTIONS_PINGPONG:
        moved = step_send(l);
        return moved + step_receive(l);
    }
    return moved;
}

/* --- chores -------------------------------------------------------------------------------------
 */

/* What came before counts for the sequence numbers only. */
static void end_warmup(struct loop *l)
{
    l->warm = true;
    l->first_moved = 0;
    memset(&l->receive.latency, 0, sizeof l->receive.latency);
    loop_sample(l, &l->base);
}

/* A character on a serial line may stop the loop for 30 us and a line for milliseconds, in which a
 * receive ring overflows. So a line goes out a character at a time. */
static void write_some(struct loop *l, uint32_t len)
{
    len = MIN(len, l->line_end - l->line_at);
    boot_console_write(l->line + l->line_at, len);
    l->line_at += len;
}

/* When it is time to: each look stops the loop for some 100 us on a KVM without hardware's help. */
static void look_at_link(struct loop *l)
{
    if (l->now < l->next_link_look)
        return;
    l->next_link_look = l->now + value_cycles(l->idle.wake_ns, l->hz);
    bool down = !netdev_recover(l->dev);

    if (down != l->link_down && team_leads(l)) {
        write_some(l, LOOP_LINE);
        print("pktgen: link %s.\n", down ? "down" : "up");
    }
    l->link_down = down;
}

static void make_line(struct loop *l)
{
    struct report_sample s;

    write_some(l, LOOP_LINE);
    team_sample(l->team, l->now, &s);
    size_t len = report_line(l->line, LOOP_LINE, l->options, l->hz, &l->last_line, &s);
    l->line_at = 0;
    l->line_end = (uint32_t)MIN(len, (size_t)LOOP_LINE - 1);
    l->last_line = s;
}

/* Has so much time passed since the moment? Never if there is no limit. */
static bool passed(const struct loop *l, uint64_t since, uint64_t limit_ns)
{
    return limit_ns && l->now - since >= value_cycles(limit_ns, l->hz);
}

/* The one sign of a queue that the other end doesn't serve; the link is up all the same. */
static void tell_if_stuck(struct loop *l)
{
    if (l->told_stuck || l->link_down || l->out.at >= l->out.end ||
        l->now - MAX(l->last_moved, l->start) < l->hz)
        return;
    l->told_stuck = true;
    write_some(l, LOOP_LINE);
    print("pktgen: the device has taken nothing from transmit queue %u for a second; see that its "
          "other end runs and serves so many queue pairs.\n",
          l->queue);
}

/* All that a burst need not know of, once in a millisecond. True at the end of the run. */
static bool chores(struct loop *l)
{
    const struct options *o = l->options;

    l->next_chores = l->now + l->hz / PER_S_CHORES;
    if (!l->warm && l->now - l->start >= value_cycles(o->warmup_ns, l->hz))
        end_warmup(l);
    look_at_link(l);
    tell_if_stuck(l);
    if (o->interval_ns && l->now >= l->next_line && team_leads(l)) {
        l->next_line += value_cycles(o->interval_ns, l->hz);
        make_line(l);
    }
    if (l->line_at < l->line_end)
        write_some(l, 1);
    if (team_leads(l) &&
        (boot_stopping() || passed(l, l->start, o->duration_ns) || team_received_enough(l)))
        store_release(&l->team->stop, true);
    return load_acquire(&l->team->stop);
}

/* --- sleep --------------------------------------------------------------------------------------
 */

static void begin_idle(struct loop *l)
{
    netdev_idle_init(&l->idle);
    if (options_round_trip(l->options))
        l->idle.limit = UINT64_MAX;
    else if (!options_sends(l->options)) /* what comes in while we only send wakes nobody */
        for (uint16_t q = l->queue_first; q < l->queue_end; q++)
            netdev_idle_add(&l->idle, l->dev, q);
}

/* Has the loop something to do, though its last step moved nothing? */
static bool has_work(const struct loop *l)
{
    return l->out.at < l->out.end || (options_sends(l->options) && l->pace.interval == 0);
}

/* Brings a moment forward to `since` + limit_ns. Not if there is no limit. */
static void no_later(const struct loop *l, uint64_t *moment, uint64_t since, uint64_t limit_ns)
{
    if (limit_ns)
        *moment = MIN(*moment, since + value_cycles(limit_ns, l->hz));
}

/* When the loop has to do something by itself, in cycles. */
static uint64_t next_work(const struct loop *l)
{
    const struct options *o = l->options;
    uint64_t next = l->next_link_look;

    if (o->interval_ns && team_leads(l))
        next = MIN(next, l->next_line);
    if (options_sends(o)) /* awake in time: a rate is kept to the microsecond */
        next = MIN(next, l->pace.due - l->idle.limit);
    if (!l->warm)
        no_later(l, &next, l->start, o->warmup_ns);
    no_later(l, &next, l->start, o->duration_ns);
    /* What is past, other loops still receive. */
    if (l->received > 0 && !passed(l, l->last_moved, o->idle_ns))
        no_later(l, &next, l->last_moved, o->idle_ns);
    return next;
}

static void go_to_sleep(struct loop *l)
{
    write_some(l, LOOP_LINE);
    const uint64_t next = next_work(l), now = clock_cycles();
    if ((int64_t)(next - now) > 0)
        netdev_idle_sleep(&l->idle, clock_ns() + value_ns(next - now, clock_cycles_hz()));
    l->now = clock_cycles();
}

/* --- the run ------------------------------------------------------------------------------------
 */

/* Is the count reached, and all of it with the device? Who leads, or waits for packets that come
 * back, goes on until all loops say so. */
static bool complete(struct loop *l)
{
    uint64_t done = options_sends(l->options) ? l->made : l->received;

    if (l->count == 0 || done < l->count || l->out.at < l->out.end)
        return false;
    store_release(&l->done, true);
    return (!team_leads(l) && !options_round_trip(l->options)) || team_done(l->team);
}

/* Takes note of what the step that began at l->now moved. */
static void note_moved(struct loop *l, uint64_t after)
{
    if (l->first_moved == 0)
        l->first_moved = l->now;
    l->last_moved = after;
    l->busy_cycles += after - l->now;
}

/* For at most a second: sends what waits for room, has the device finish, lets answers come. */
static void finish(struct loop *l)
{
    const uint64_t end = clock_cycles() + l->hz;

    while ((l->now = clock_cycles()) < end) {
        bool answers = options_round_trip(l->options) && team_awaits_answers(l->team);
        uint32_t moved = flush(l);
        if (answers)
            moved += step_receive(l);
        next_queue(l);
        look_at_link(l);
        if (moved > 0)
            l->last_moved = l->now;
        if (l->out.at == l->out.end && !answers && tx_room(l) >= l->tx_room_full)
            break;
    }
    if (options_sends(l->options)) /* these the device never got */
        l->made -= l->out.end - l->out.at;
    else
        l->forward_drops += l->out.end - l->out.at;
    netbuf_free_bulk(l->out.bufs + l->out.at, l->out.end - l->out.at);
    l->out.at = l->out.end;
    write_some(l, LOOP_LINE);
}

/* Little came, so the other side is at work: some time without looks at the ring leaves it the
 * cache lines that it writes, and, if it runs on the same core's other thread, the core. Returns
 * when it is over. It is a time, as one `pause` takes 30 cycles of the counter on one processor and
 * 60 or 140 on others. */
static inline uint64_t give_way(struct loop *l, uint64_t since)
{
    const uint64_t wait = fill_wait(&l->fill, since);
    uint64_t now = since;

    while (now - since < wait) {
        __builtin_ia32_pause();
        now = clock_cycles();
    }
    return now;
}

void loop_run(struct loop *l)
{
    const struct options *o = l->options;

    l->tx_room_full = tx_room(l);
    l->start = l->now = clock_cycles();
    fill_init(&l->fill, value_cycles(o->wait_ns, l->hz), value_cycles(o->wait_load_ns, l->hz),
              o->rx_descs ? (uint32_t)o->rx_descs : LOOP_DESCS, l->now);
    l->last_moved = l->now;
    l->next_line = l->now + value_cycles(o->interval_ns, l->hz);
    pace_init(&l->pace, &l->rate, l->hz, l->now);
    begin_idle(l);
    for (uint32_t i = 0; i < PACKET_STREAMS; i++)
        account_init(&l->receive.accounts[i], !options_sends(o));
    loop_sample(l, &l->base);
    if (team_leads(l))
        team_sample(l->team, l->now, &l->last_line);
    while (!complete(l)) {
        if (unlikely(l->now >= l->next_chores) && chores(l))
            break;
        uint32_t moved = step(l);
        uint64_t after = clock_cycles();
        if (moved > 0)
            note_moved(l, after);
        fill_came(&l->fill, moved);
        if (moved < o->burst / 2 && !options_sends(o))
            after = give_way(l, after);
        next_queue(l);
        l->now = after;
        if (unlikely(netdev_idle_due(&l->idle, moved > 0 || has_work(l), after)))
            go_to_sleep(l);
    }
    finish(l);
}
