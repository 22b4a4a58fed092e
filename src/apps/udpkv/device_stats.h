/* SPDX-License-Identifier: BSD-2-Clause */
/* device_stats.h - what `stats netdev` shows: the device, its queues, and what went no further in
 * inet.h's part of the way. */
#ifndef UDPKV_DEVICE_STATS_H
#define UDPKV_DEVICE_STATS_H

#include "apps/udpkv/text.h"
#include "netbuf/inet.h"
#include "netdev/idle.h"
#include "netdev/netdev.h"

struct device_stats {
    struct netdev *dev;
    uint32_t queue_pairs; /* each with a core's inet.h part, whose counters are shown as sums */
    const struct inet *inets[NETDEV_MAX_QUEUE_PAIRS];
    const struct netdev_idle *idles[NETDEV_MAX_QUEUE_PAIRS];
};

/* A text_part's `show`; whose is a struct device_stats. */
void device_stats_show(const void *whose, struct reply *reply);

#endif
