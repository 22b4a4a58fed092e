/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * idle.h - what a loop does when no packets come: look again, or sleep until one does. For every
 * app alike, with three keys of the command line, which each app that uses this file has:
 *
 *     mode=auto      polls while packets come, and sleeps after idle.us without any (the default)
 *     mode=poll      looks for packets all the time: the shortest answers, and a whole processor
 *     mode=intr      sleeps whenever there are none
 *     idle.us=100    microseconds
 *     idle.wake=100  milliseconds: nobody sleeps longer; no more than 100 with several queue pairs
 *
 * A loop calls netdev_idle at the end of each turn:
 *
 *     netdev_idle_init(&idle, dev, 0, 1);
 *     while (!boot_stopping()) {
 *         uint32_t came = netdev_rx_burst(dev, 0, packets, BURST);
 *         ...
 *         netdev_idle(&idle, came > 0, next_look_ns);
 *     }
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

/* The key idle.wake: how often an app looks at its link, and so how long it sleeps at most, as then
 * it also hears of boot_stopping. */
extern uint64_t netdev_idle_wake_ns;

/* One for each loop; the core that runs it is the one that waits. */
struct netdev_idle {
    struct netdev *dev;
    uint16_t first_q, queues; /* receive queues that the loop serves */
    bool quiet;               /* the last turn moved nothing */
    uint64_t quiet_since;     /* the first such turn, in cycles */
    uint64_t limit;           /* so many cycles of quiet, then it sleeps; UINT64_MAX: never */
    uint64_t waits;           /* times that it slept */
    uint64_t averted;         /* times that packets came while it was about to */
    uint64_t interrupts;      /* that the core had taken when it woke up last */
};

/* For a started device and `queues` of its receive queues from first_q on; with none it sleeps
 * until deadlines alone. */
void netdev_idle_init(struct netdev_idle *idle, struct netdev *dev, uint16_t first_q,
                      uint16_t queues);

/* For netdev_idle, after a turn that moved nothing. True if it is time to sleep. */
static inline bool netdev_idle_is_due(struct netdev_idle *idle)
{
    const uint64_t now = clock_cycles();

    if (!idle->quiet) {
        idle->quiet = true;
        idle->quiet_since = now;
    }
    return now - idle->quiet_since >= idle->limit;
}

/* The two halves of netdev_idle, for a loop whose deadline costs something to find out. The end of
 * a turn, which moved packets or has some to send (busy) or not: true if it is time to sleep. */
static inline bool netdev_idle_due(struct netdev_idle *idle, bool busy)
{
    if (busy) {
        idle->quiet = false;
        return false;
    }
    return netdev_idle_is_due(idle);
}

/* Arms, looks once more, sleeps until a packet comes or clock_ns() is deadline_ns, disarms. May
 * return early. If the device can only be polled it says so on the console, once, and returns. */
void netdev_idle_sleep(struct netdev_idle *idle, uint64_t deadline_ns);

/*
 * The end of a turn: sleeps if it is time to, until deadline_ns at most: when the app wants to look
 * at the link again. A busy turn costs a store, one that moved nothing a look at the cycle counter.
 */
static inline void netdev_idle(struct netdev_idle *idle, bool busy, uint64_t deadline_ns)
{
    if (unlikely(netdev_idle_due(idle, busy)))
        netdev_idle_sleep(idle, deadline_ns);
}

/* The key mode: "auto", "poll" or "intr". */
const char *netdev_idle_mode(void);

/* Prints "app: slept 12 times, woken by 10 interrupts." for the sum over a few loops. */
void netdev_idle_print(uint64_t waits, uint64_t interrupts);

#endif
