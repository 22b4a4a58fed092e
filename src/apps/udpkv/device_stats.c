/* SPDX-License-Identifier: BSD-2-Clause */
/* device_stats.c - the lines of `stats netdev`; see device_stats.h. */
#include "apps/udpkv/device_stats.h"

/* Counters of drops: "STAT rx0:drop_no_buf 3". */
static RUNS_SELDOM void show_drops(struct reply *reply, const char *part, const char *const *names,
                                   const uint64_t *drops, uint32_t count)
{
    char prefix[16];

    format(prefix, sizeof prefix, "%s:drop_", part);
    for (uint32_t i = 0; i < count; i++)
        text_show_number(reply, prefix, names[i], drops[i]);
}

static RUNS_SELDOM void show_queue(struct reply *reply, const char *part,
                                   const struct netdev_queue_stats *stats)
{
    char prefix[16];

    format(prefix, sizeof prefix, "%s:", part);
    text_show_number(reply, prefix, "packets", stats->packets);
    text_show_number(reply, prefix, "bytes", stats->bytes);
    text_show_number(reply, prefix, "bursts", stats->bursts);
    text_show_number(reply, prefix, "kicks", stats->kicks);
    show_drops(reply, part, netdev_drop_names, stats->drops, NETDEV_DROP_REASONS);
}

static RUNS_SELDOM void show_pair(struct reply *reply, const struct device_stats *d, uint16_t q)
{
    struct netdev_queue_stats queue;
    char part[8];

    format(part, sizeof part, "rx%u", q);
    if (netdev_rxq_stats(d->dev, q, &queue))
        show_queue(reply, part, &queue);
    format(part, sizeof part, "tx%u", q);
    if (netdev_txq_stats(d->dev, q, &queue))
        show_queue(reply, part, &queue);
}

static RUNS_SELDOM void show_inets(struct reply *reply, const struct device_stats *d)
{
    uint64_t arp_replies = 0, nd_replies = 0, echo_replies = 0, errors = 0;
    uint64_t drops[INET_DROP_REASONS] = {0};

    for (uint32_t i = 0; i < d->queue_pairs; i++) {
        arp_replies += d->inets[i]->arp_replies;
        nd_replies += d->inets[i]->nd_replies;
        echo_replies += d->inets[i]->echo_replies;
        errors += d->inets[i]->errors;
        for (uint32_t r = 0; r < INET_DROP_REASONS; r++)
            drops[r] += d->inets[i]->drops[r];
    }
    text_show_number(reply, "inet:", "arp_replies", arp_replies);
    text_show_number(reply, "inet:", "nd_replies", nd_replies);
    text_show_number(reply, "inet:", "echo_replies", echo_replies);
    text_show_number(reply, "inet:", "errors", errors);
    show_drops(reply, "inet", inet_drop_names, drops, INET_DROP_REASONS);
}

static RUNS_SELDOM void show_idle(struct reply *reply, const struct device_stats *d)
{
    uint64_t waits = 0, averted = 0, interrupts = 0;

    for (uint32_t i = 0; i < d->queue_pairs; i++) {
        waits += d->idles[i]->waits;
        averted += d->idles[i]->averted;
        interrupts += d->idles[i]->interrupts;
    }
    text_show_text(reply, "idle:", "mode", netdev_idle_mode());
    text_show_number(reply, "idle:", "waits", waits);
    text_show_number(reply, "idle:", "averted", averted);
    text_show_number(reply, "idle:", "interrupts", interrupts);
}

RUNS_SELDOM void device_stats_show(const void *whose, struct reply *reply)
{
    const struct device_stats *d = whose;
    struct netdev_info info;

    netdev_info(d->dev, &info);
    text_show_text(reply, "", "driver", info.driver);
    text_show_text(reply, "", "place", info.where);
    text_show_number(reply, "", "mtu", info.mtu_bytes);
    for (uint16_t q = 0; q < d->queue_pairs; q++)
        show_pair(reply, d, q);
    show_idle(reply, d);
    show_inets(reply, d);
}
