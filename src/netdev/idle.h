/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * idle.h - what a loop does when no packets come: look again, or sleep until one does. For every
 * app alike, with three keys of the command line, which each app that uses this file has:
 *
 *     idle.mode=auto  polls while packets come, and sleeps after idle.us without any (the default)
 *     idle.mode=poll  looks for packets all the time: the shortest answers, and a whole processor
 *     idle.mode=intr  sleeps whenever there are none
 *     idle.us=100     microseconds
 *     idle.wake=100   milliseconds: nobody sleeps longer; no more than 100 with several queue pairs
 *
 * netdev/loop.h's netdev_loop_turn does this for an app. A loop of another kind sleeps by itself:
 *
 *     netdev_idle_init(&idle);
 *     netdev_idle_add(&idle, dev, q);             for each queue whose packets shall wake it
 *     ... at the end of a turn:
 *     if (netdev_idle_due(&idle, came > 0, clock_cycles()))
 *         netdev_idle_sleep(&idle, deadline_ns);
 *
 * Nothing is lost: a queue is armed, looked at once more, and only then is there a wait, which ends
 * by the next packet (netdev_rx_intr, boot_wait). There is at most one interrupt a wait, and with
 * auto at most one wait in idle.us: no storm. Only received packets end a wait, so whoever still
 * has something to send that found no room must say that it is busy.
 */
#ifndef NETDEV_IDLE_H
#define NETDEV_IDLE_H

#include "boot/boot.h"
#include "netdev/netdev.h"

enum { NETDEV_IDLE_QUEUES = NETDEV_MAX * NETDEV_MAX_QUEUE_PAIRS };

/* One for each loop; the core that runs it is the one that waits. */
struct netdev_idle {
    bool quiet;           /* the last turn moved nothing */
    uint64_t quiet_since; /* the first such turn, in cycles */
    uint64_t limit;       /* so many cycles of quiet, then it sleeps; UINT64_MAX: never */
    uint64_t wake_ns;    /* how often the loop looks at its link, and so how long it sleeps at most:
                            the key idle.wake, and no more than NETDEV_LOOK_NS with several pairs */
    uint64_t waits;      /* times that it slept */
    uint64_t averted;    /* times that packets came while it was about to */
    uint64_t interrupts; /* that the core had taken when it woke up last */
    uint32_t count;      /* queues */
    struct netdev_idle_queue {
        struct netdev *dev;
        uint16_t q;
    } queues[NETDEV_IDLE_QUEUES];
};

/* With the policy of the keys and no queue yet: it sleeps until deadlines alone. */
void netdev_idle_init(struct netdev_idle *idle);

/* Pair q of dev, which is configured, belongs to the loop: its packets end a wait. */
void netdev_idle_add(struct netdev_idle *idle, struct netdev *dev, uint16_t q);

/* The end of a turn, which moved packets or has some to send (busy) or not; `now` is
 * clock_cycles(). True if it is time to sleep. */
static inline bool netdev_idle_due(struct netdev_idle *idle, bool busy, uint64_t now)
{
    if (busy) {
        idle->quiet = false;
        return false;
    }
    if (!idle->quiet) {
        idle->quiet = true;
        idle->quiet_since = now;
    }
    return now - idle->quiet_since >= idle->limit;
}

/* Arms, looks once more, sleeps until a packet comes or clock_ns() is deadline_ns, disarms. May
 * return early. If a device can only be polled it says so on the console, once, and returns. */
void netdev_idle_sleep(struct netdev_idle *idle, uint64_t deadline_ns);

/* The key idle.mode: "auto", "poll" or "intr". */
const char *netdev_idle_mode(void);

/* Prints "app: slept 12 times, woken by 10 interrupts." for the sum over a few loops. */
void netdev_idle_print(uint64_t waits, uint64_t interrupts);

#endif
