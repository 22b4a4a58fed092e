/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop.h - the end of a loop's turn, the same for every app. An app's loop is: receive, step, send,
 * end of turn.
 *
 *     netdev_loop_init(&loop);
 *     netdev_loop_add(&loop, dev, q);                 each queue pair that the loop serves
 *     netdev_loop_host(&loop, dev, q, &inet, pool);   if it has an IP address
 *     netdev_loop_serves(&loop, say);                 prints "serves ..." once that is in use
 *     while (!boot_stopping()) {
 *         uint32_t came = netdev_rx_burst(dev, q, in, BURST);
 *         uint32_t n = step(in, came, out);
 *         netdev_send(dev, q, out, n, NETDEV_PATIENCE_NS);
 *         netdev_loop_turn(&loop, came > 0);
 *     }
 *
 * netdev_loop_turn looks after the link and starts a lost device again, announces the host's
 * address when the link comes up and asks for its neighbours, gives sent buffers back to their
 * pools, runs the app's timers, and sleeps when nothing comes (idle.h has the keys). With several
 * cores each has a loop of its own.
 */
#ifndef NETDEV_LOOP_H
#define NETDEV_LOOP_H

#include "boot/boot.h"
#include "netbuf/inet.h"
#include "netdev/idle.h"
#include "netdev/netdev.h"

/*
 * Something to be done later, at the end of a turn: run(timer) is called once, soon after
 * clock_ns() has got to due_ns. It may send packets, and set this or other timers:
 * netdev_loop_at(timer->loop, timer, timer->due_ns + period_ns) has it run again and again without
 * drifting. The app owns the timer, which is mostly a part of a larger struct, and leaves it in
 * place.
 */
struct netdev_timer {
    void (*run)(struct netdev_timer *timer);
    void *arg;                 /* the app's */
    uint64_t due_ns;           /* of clock_ns(), for run to read; netdev_loop_at sets it */
    bool is_set;               /* it will run, unless due_ns is NETDEV_TIMER_NEVER */
    struct netdev_timer *next; /* in the loop's list */
    struct netdev_loop *loop;
};

#define NETDEV_TIMER_NEVER UINT64_MAX

/* The host that a loop speaks for; dev is NULL if there is none. */
struct netdev_loop_host {
    struct netdev *dev;
    uint16_t q;
    uint32_t arrivals; /* of dev that inet has been told of */
    struct inet *inet;
    struct netbuf_pool *pool;
    struct netdev_timer timer;
    void (*say)(void); /* what is served */
    uint32_t said_ip;  /* for this address; 0: nothing since there was none */
};

/* One for each core's loop. */
struct netdev_loop {
    uint64_t rest_cycles;    /* when timers were looked at last */
    uint64_t due_cycles;     /* one of them is due so many cycles later */
    uint64_t turn_cycles;    /* when the last turn ended */
    uint64_t cycles_busy;    /* of turns that moved packets; for stats */
    uint64_t cycles_total;   /* of all turns, waits included */
    const bool *has_packets; /* the host wants to send something at once */
    bool turn_is_busy;       /* for a timer's run */
    bool look_is_late;       /* it was due in a busy turn; the next one that isn't does it */
    struct netdev_timer *timers;
    struct netdev_timer look; /* at the link */
    struct netdev_loop_host host;
    struct inet *follower; /* another core's part of the host that core 0's loop speaks for */
    struct netdev_idle idle;
};

void netdev_loop_init(struct netdev_loop *loop);

/* The loop receives from pair q of dev, which is started. Core 0's loop has every device that any
 * loop has: it is core 0 that looks at links and starts a device again. A device that was stopped
 * is left alone until it is started again. */
void netdev_loop_add(struct netdev_loop *loop, struct netdev *dev, uint16_t q);

/* The loop sends what inet has to send by itself, on pair q of dev, in buffers of pool: it begins
 * with the announcement, at once. One host a loop; with several cores
 * core 0's loop is the one for it. */
void netdev_loop_host(struct netdev_loop *loop, struct netdev *dev, uint16_t q, struct inet *inet,
                      struct netbuf_pool *pool);

/* On core 0, behind netdev_loop_host: calls say() whenever the host's first address came into use:
 * at once if it is, else by and by, as an address that DHCP gives. What is waited for meanwhile,
 * and what became of an address, is said by the loop itself. */
void netdev_loop_serves(struct netdev_loop *loop, void (*say)(void));

/* The loop of another core, before it runs: its part of the host, `inet`, has the addresses that
 * `host` has, which core 0's loop speaks for. */
void netdev_loop_join(struct netdev_loop *loop, struct inet *inet, struct inet *host);

/* Has the loop run the timer when clock_ns() is due_ns; NETDEV_TIMER_NEVER calls it off. A first
 * call makes it the loop's: `run` is set. */
void netdev_loop_at(struct netdev_loop *loop, struct netdev_timer *timer, uint64_t due_ns);

/* What a turn does if it moved nothing, or if a timer is due. */
void netdev_loop_rest(struct netdev_loop *loop, bool busy);

/*
 * The end of a turn, which moved packets or has some to send (busy) or not: only received packets
 * and timers end a sleep. A busy turn costs a look at the cycle counter and a few loads.
 */
static inline void netdev_loop_turn(struct netdev_loop *loop, bool busy)
{
    const uint64_t now = clock_cycles(), cycles = now - loop->turn_cycles;

    loop->turn_cycles = now;
    loop->cycles_total += cycles;
    if (likely(busy)) {
        loop->cycles_busy += cycles;
        loop->idle.quiet = false;
        if (likely(now - loop->rest_cycles < loop->due_cycles && !*loop->has_packets))
            return;
    }
    netdev_loop_rest(loop, busy);
}

#endif
