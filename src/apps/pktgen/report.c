/* SPDX-License-Identifier: BSD-2-Clause */
/* report.c - what pktgen says; see report.h. */
#include "apps/pktgen/report.h"
#include "apps/pktgen/packet.h"
#include "netdev/idle.h"

enum { NUMBER_TEXT = 32, BITS = 8 };

static const char *const forward_drop_names[] = {"tx_full"};

/* The quantiles that are told, in parts of a million. */
static const struct {
    const char *name;
    uint32_t parts;
} quantiles[] = {
    {"p50", 500000}, {"p90", 900000}, {"p99", 990000}, {"p99.9", 999000}, {"p99.99", 999900},
};

/* value / 10^digits as text: decimal(text, 12345, 3) is 12.345. */
static RUNS_SELDOM const char *decimal(char text[NUMBER_TEXT], uint64_t value, unsigned digits)
{
    uint64_t scale = 1;

    for (unsigned i = 0; i < digits; i++)
        scale *= 10;
    size_t len = format(text, NUMBER_TEXT, "%lu.", value / scale);
    for (scale /= 10; scale > 0 && len + 1 < NUMBER_TEXT; scale /= 10)
        len += format(text + len, NUMBER_TEXT - len, "%lu", value / scale % 10);
    return text;
}

/* What one direction did. */
struct flow {
    const char *name;
    const struct netdev_queue_stats *to;
    uint64_t packets, bytes, wire_bits, bursts, kicks;
    uint64_t pps, wire_bps;
};

static RUNS_SELDOM struct flow flow_between(const char *name, const struct netdev_queue_stats *from,
                                            const struct netdev_queue_stats *to, uint64_t hz,
                                            uint64_t cycles)
{
    struct flow f = {.name = name, .to = to};

    f.packets = to->packets - from->packets;
    f.bytes = to->bytes - from->bytes;
    f.bursts = to->bursts - from->bursts;
    f.kicks = to->kicks - from->kicks;
    f.wire_bits = (f.bytes + f.packets * PACKET_WIRE_EXTRA) * BITS;
    f.pps = value_ratio(f.packets, hz, cycles);
    f.wire_bps = value_ratio(f.wire_bits, hz, cycles);
    return f;
}

/* The directions of a mode: out, in, or both. */
static RUNS_SELDOM uint32_t flows_of_mode(struct flow out[2], const struct options *o, uint64_t hz,
                                          const struct report_sample *from,
                                          const struct report_sample *to)
{
    const uint64_t cycles = to->now_cycles - from->now_cycles;
    uint32_t n = 0;

    if (o->mode.chosen != OPTIONS_RX)
        out[n++] = flow_between("tx", &from->tx, &to->tx, hz, cycles);
    if (o->mode.chosen != OPTIONS_TX)
        out[n++] = flow_between("rx", &from->rx, &to->rx, hz, cycles);
    return n;
}

static RUNS_SELDOM uint64_t all_drops(const struct netdev_queue_stats *stats)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < NETDEV_DROP_REASONS; i++)
        sum += stats->drops[i];
    return sum;
}

/* Tenths of a cycle a packet. */
static RUNS_SELDOM uint64_t packet_cycles(const struct report_sample *from,
                                          const struct report_sample *to)
{
    uint64_t packets = MAX(to->tx.packets - from->tx.packets, to->rx.packets - from->rx.packets);

    return value_ratio(to->busy_cycles - from->busy_cycles, 10, packets);
}

RUNS_SELDOM size_t report_line(char *text, size_t size, const struct options *o, uint64_t hz,
                               const struct report_sample *from, const struct report_sample *to)
{
    char mpps[NUMBER_TEXT], gbps[NUMBER_TEXT], each[NUMBER_TEXT], fill[NUMBER_TEXT];
    uint64_t drops =
        all_drops(&to->rx) + all_drops(&to->tx) - all_drops(&from->rx) - all_drops(&from->tx);
    struct flow f[2];
    uint32_t n = flows_of_mode(f, o, hz, from, to);
    size_t len = format(text, size, "pktgen:");

    for (uint32_t i = 0; i < n && len < size; i++)
        len +=
            format(text + len, size - len, " %s %s Mpps %s Gbit/s on the wire, bursts of %s;",
                   f[i].name, decimal(mpps, f[i].pps, 6), decimal(gbps, f[i].wire_bps / 1000000, 3),
                   decimal(fill, value_ratio(f[i].packets, 10, f[i].bursts), 1));
    if (len < size)
        len += format(text + len, size - len, " %s cycles a packet, %lu drops\n",
                      decimal(each, packet_cycles(from, to), 1), drops);
    return len;
}

/* --- the summary --------------------------------------------------------------------------------
 */

/* Numbers that were sent and never came: those below the highest that came, and for our own packets
 * also those above it. */
static RUNS_SELDOM uint64_t count_lost(const struct report_run *run)
{
    const struct account_sum *a = &run->numbers;

    return options_round_trip(run->options) ? run->made - MIN(run->made, a->unique) : a->missing;
}

static RUNS_SELDOM bool counts_numbers(const struct options *o)
{
    return o->seq && (o->mode.chosen == OPTIONS_RX || options_round_trip(o));
}

static RUNS_SELDOM uint64_t run_ns(const struct report_run *run)
{
    return value_ns(run->to.now_cycles - run->from.now_cycles, run->hz);
}

static RUNS_SELDOM void text_latency(const struct report_run *run)
{
    const struct histogram *h = run->latency;
    char us[NUMBER_TEXT];

    print("pktgen: latency in us: min %s", decimal(us, value_ns(h->min, run->hz), 3));
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
        print(", %s %s", quantiles[i].name,
              decimal(us, value_ns(histogram_quantile(h, quantiles[i].parts), run->hz), 3));
    print(", max %s; %lu packets.\n", decimal(us, value_ns(h->max, run->hz), 3), h->count);
}

RUNS_SELDOM void report_text(const struct report_run *run)
{
    const struct options *o = run->options;
    const struct account_sum *a = &run->numbers;
    char s[NUMBER_TEXT], mpps[NUMBER_TEXT], gbps[NUMBER_TEXT], fill[NUMBER_TEXT];
    struct flow f[2];
    uint32_t n = flows_of_mode(f, o, run->hz, &run->from, &run->to);

    for (uint32_t i = 0; i < n; i++)
        print("pktgen: %s %lu packets, %lu bytes, %lu bits on the wire in %s s: %s Mpps, %s "
              "Gbit/s; bursts of %s packets, %lu kicks.\n",
              f[i].name, f[i].packets, f[i].bytes, f[i].wire_bits,
              decimal(s, run_ns(run) / 1000, 6), decimal(mpps, f[i].pps, 6),
              decimal(gbps, f[i].wire_bps / 1000, 6),
              decimal(fill, value_ratio(f[i].packets, 10, f[i].bursts), 1), f[i].kicks);
    print("pktgen: %s cycles a packet.\n", decimal(s, packet_cycles(&run->from, &run->to), 1));
    netdev_idle_print(run->to.waits - run->from.waits, run->to.interrupts - run->from.interrupts);
    if (run->skipped_cycles)
        print("pktgen: the rate was not kept: %s s are missing, in which the queue was full or the "
              "machine stood still.\n",
              decimal(s, value_ns(run->skipped_cycles, run->hz) / 1000, 6));
    if (counts_numbers(o))
        print("pktgen: %lu numbered packets: %lu lost, %lu reordered, %lu duplicates, %lu stale; "
              "%lu without a number.\n",
              a->unique, count_lost(run), a->reordered, a->duplicates, a->stale, run->unnumbered);
    if (options_round_trip(o))
        text_latency(run);
    if (o->mode.chosen == OPTIONS_FWD)
        netdev_print_drops("forwarding", forward_drop_names, &run->forward_drops, 1);
    netdev_print_drops("receive queue", netdev_drop_names, run->to.rx.drops, NETDEV_DROP_REASONS);
    netdev_print_drops("transmit queue", netdev_drop_names, run->to.tx.drops, NETDEV_DROP_REASONS);
}

static RUNS_SELDOM void json_flow(const struct flow *f)
{
    char mpps[NUMBER_TEXT], gbps[NUMBER_TEXT], fill[NUMBER_TEXT];

    print(",\"%s\":{\"packets\":%lu,\"bytes\":%lu,\"wire_bits\":%lu,\"mpps\":%s,\"wire_gbps\":%s,"
          "\"bursts\":%lu,\"burst_fill\":%s,\"kicks\":%lu,\"drops\":{",
          f->name, f->packets, f->bytes, f->wire_bits, decimal(mpps, f->pps, 6),
          decimal(gbps, f->wire_bps / 1000, 6), f->bursts,
          decimal(fill, value_ratio(f->packets, 10, f->bursts), 1), f->kicks);
    for (uint32_t i = 0; i < NETDEV_DROP_REASONS; i++)
        print("%s\"%s\":%lu", i ? "," : "", netdev_drop_names[i], f->to->drops[i]);
    print("}}");
}

static RUNS_SELDOM void json_latency(const struct report_run *run)
{
    const struct histogram *h = run->latency;

    print(",\"latency_ns\":{\"count\":%lu,\"min\":%lu", h->count, value_ns(h->min, run->hz));
    for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
        print(",\"%s\":%lu", quantiles[i].name,
              value_ns(histogram_quantile(h, quantiles[i].parts), run->hz));
    print(",\"max\":%lu,\"mean\":%lu}", value_ns(h->max, run->hz),
          value_ns(h->count ? h->sum / h->count : 0, run->hz));
}

RUNS_SELDOM void report_json(const struct report_run *run)
{
    const struct options *o = run->options;
    const struct account_sum *a = &run->numbers;
    char text[NUMBER_TEXT];
    struct flow f[2];
    uint32_t n = flows_of_mode(f, o, run->hz, &run->from, &run->to);

    print("{\"app\":\"pktgen\",\"mode\":\"%s\",\"platform\":\"%s\",\"driver\":\"%s\","
          "\"burst\":%lu,\"cores\":%u,\"seconds\":%s",
          o->mode.words[o->mode.chosen], boot_platform, run->info->driver, o->burst, o->cores,
          decimal(text, run_ns(run), 9));
    for (uint32_t i = 0; i < n; i++)
        json_flow(&f[i]);
    print(",\"cycles_per_packet\":%s,\"cycles_per_second\":%lu",
          decimal(text, packet_cycles(&run->from, &run->to), 1), run->hz);
    print(",\"waits\":%lu,\"interrupts\":%lu", run->to.waits - run->from.waits,
          run->to.interrupts - run->from.interrupts);
    print(",\"skipped_seconds\":%s", decimal(text, value_ns(run->skipped_cycles, run->hz), 9));
    if (counts_numbers(o))
        print(",\"sequence\":{\"first\":%lu,\"unique\":%lu,\"lost\":%lu,\"reordered\":%lu,"
              "\"duplicates\":%lu,\"stale\":%lu,\"unnumbered\":%lu}",
              a->first, a->unique, count_lost(run), a->reordered, a->duplicates, a->stale,
              run->unnumbered);
    if (options_round_trip(o))
        json_latency(run);
    if (o->mode.chosen == OPTIONS_FWD)
        print(",\"forward_drops\":{\"%s\":%lu}", forward_drop_names[0], run->forward_drops);
    print("}\n");
}
