/* device_stats.c - the lines of `stats netdev`; see device_stats.h. */
#include "apps/udpkv/device_stats.h"

/* Counters of drops: "STAT rx0:drop_no_buf 3". */
static void show_drops(struct reply *reply, const char *part, const char *const *names,
                       const uint64_t *drops, uint32_t count)
{
    char prefix[16];

    format(prefix, sizeof prefix, "%s:drop_", part);
    for (uint32_t i = 0; i < count; i++)
        text_show_number(reply, prefix, names[i], drops[i]);
}

static void show_queue(struct reply *reply, const char *part,
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

void device_stats_show(const void *whose, struct reply *reply)
{
    const struct device_stats *d = whose;
    struct netdev_queue_stats queue;
    struct netdev_info info;

    netdev_info(d->dev, &info);
    text_show_text(reply, "", "driver", info.driver);
    text_show_text(reply, "", "place", info.where);
    text_show_number(reply, "", "mtu", info.mtu_bytes);
    if (netdev_rxq_stats(d->dev, 0, &queue))
        show_queue(reply, "rx0", &queue);
    if (netdev_txq_stats(d->dev, 0, &queue))
        show_queue(reply, "tx0", &queue);
    text_show_number(reply, "tx0:", "drop_no_room", *d->tx_dropped);
    text_show_number(reply, "idle:", "waits", d->idle->waits);
    text_show_number(reply, "idle:", "averted", d->idle->averted);
    text_show_number(reply, "idle:", "interrupts", boot_interrupts());
    text_show_number(reply, "inet:", "arp_replies", d->inet->arp_replies);
    text_show_number(reply, "inet:", "echo_replies", d->inet->echo_replies);
    show_drops(reply, "inet", inet_drop_names, d->inet->drops, INET_DROP_REASONS);
}
