/* SPDX-License-Identifier: BSD-2-Clause */
/* loop.c - the end of a loop's turn; see loop.h. */
#include "netdev/loop.h"

static const bool no_packets = false;

/* --- timers -------------------------------------------------------------------------------------
 */

/* The timers are few, and seldom due: a list without an order. */
static uint64_t first_due_ns(const struct netdev_loop *loop)
{
    uint64_t due_ns = NETDEV_TIMER_NEVER;

    for (const struct netdev_timer *timer = loop->timers; timer; timer = timer->next)
        if (timer->is_set)
            due_ns = MIN(due_ns, timer->due_ns);
    return due_ns;
}

static void run_timers(struct netdev_loop *loop)
{
    const uint64_t second_ns = 1000000000ull;
    struct netdev_timer *next;

    /* The cycles first: who is held up in between is early then, and not late. */
    loop->rest_cycles = clock_cycles();
    const uint64_t now_ns = clock_ns();
    for (struct netdev_timer *timer = loop->timers; timer; timer = next) {
        next = timer->next;
        if (!timer->is_set || timer->due_ns > now_ns)
            continue;
        timer->is_set = false;
        timer->run(timer);
    }
    /* Cycles and nanoseconds drift apart: a timer that is far is looked at again in a second. */
    const uint64_t due_ns = MIN(first_due_ns(loop), now_ns + second_ns);
    const uint64_t in_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    loop->due_cycles = in_ns * (clock_cycles_hz() / 1000000) / 1000;
}

static bool in_list(const struct netdev_loop *loop, const struct netdev_timer *wanted)
{
    const struct netdev_timer *timer = loop->timers;

    while (timer && timer != wanted)
        timer = timer->next;
    return timer;
}

void netdev_loop_at(struct netdev_loop *loop, struct netdev_timer *timer, uint64_t due_ns)
{
    if (!in_list(loop, timer)) {
        timer->loop = loop;
        timer->next = loop->timers;
        loop->timers = timer;
    }
    timer->due_ns = due_ns;
    timer->is_set = true;
    loop->due_cycles = 0; /* the next turn finds out anew */
}

/* --- links and hosts ----------------------------------------------------------------------------
 */

static bool has_room(const struct netdev_loop_host *host)
{
    if (netdev_tx_room(host->dev, host->q) == 0)
        netdev_tx_reclaim(host->dev, host->q);
    return netdev_tx_room(host->dev, host->q) > 0;
}

/* Says what the host's address became. */
static RUNS_SELDOM void tell_address(struct netdev_loop_host *host)
{
    const uint32_t ip = inet_has_address(host->inet) ? host->inet->prefix.address : 0;

    inet_tell_dhcp(host->inet);
    if (ip == host->said_ip)
        return;
    host->said_ip = ip;
    if (ip != 0 && host->say)
        host->say();
}

/* Sends what the host has to send by itself; tries again later if there is no link, no room or no
 * buffer. */
static RUNS_SELDOM void host_send(struct netdev_timer *timer)
{
    struct netdev_loop *loop = timer->loop;
    struct netdev_loop_host *host = &loop->host;
    uint64_t due_ns = clock_ns() + loop->idle.wake_ns;
    struct netbuf *nb;

    loop->has_packets = &no_packets;
    while (netdev_link_up(host->dev) && has_room(host) && (nb = netbuf_alloc(host->pool))) {
        if (!inet_next_packet(host->inet, clock_ns(), nb)) {
            netbuf_free(nb);
            loop->has_packets = &host->inet->has_packets;
            due_ns = host->inet->due_ns;
            if (host->inet->shared.has_followers) /* it looks what they have for it, too */
                due_ns = MIN(due_ns, clock_ns() + loop->idle.wake_ns);
            break;
        }
        netdev_send(host->dev, host->q, &nb, 1, 0);
    }
    tell_address(host);
    netdev_loop_at(loop, timer, due_ns);
}

/* Tells the host of it if its link came. */
static void look_at_arrivals(struct netdev_loop *loop)
{
    struct netdev_loop_host *host = &loop->host;

    if (!host->dev || host->arrivals == host->dev->arrivals)
        return;
    host->arrivals = host->dev->arrivals;
    inet_arrived(host->inet);
    host_send(&host->timer);
}

/* A look at a device's registers may take 100 us, where their reads are emulated. So core 0 does it
 * in a turn that moved nothing, and in a busy one only when there was none of these for a second.
 * On other cores it is a look at memory. */
static RUNS_SELDOM void look_at_links(struct netdev_timer *timer)
{
    const uint64_t postpone_ns = 1000000000ull;
    struct netdev_loop *loop = timer->loop;

    if (loop->turn_is_busy && !loop->look_is_late && boot_core() == 0) {
        loop->look_is_late = true;
        netdev_loop_at(loop, timer, clock_ns() + postpone_ns);
        return;
    }
    loop->look_is_late = false;
    for (uint32_t i = 0; i < loop->idle.count; i++) {
        const struct netdev_idle_queue *queue = &loop->idle.queues[i];
        if (i == 0 || queue->dev != loop->idle.queues[i - 1].dev)
            netdev_recover(queue->dev);
        netdev_tx_reclaim(queue->dev, queue->q);
    }
    look_at_arrivals(loop);
    if (loop->follower)
        inet_follow(loop->follower);
    netdev_loop_at(loop, timer, clock_ns() + loop->idle.wake_ns);
}

/* --- the turn -----------------------------------------------------------------------------------
 */

RUNS_SELDOM void netdev_loop_init(struct netdev_loop *loop)
{
    *loop = (struct netdev_loop){
        .has_packets = &no_packets, .turn_cycles = clock_cycles(), .look_is_late = true};
    netdev_idle_init(&loop->idle);
    loop->look.run = look_at_links;
    netdev_loop_at(loop, &loop->look, 0);
}

RUNS_SELDOM void netdev_loop_add(struct netdev_loop *loop, struct netdev *dev, uint16_t q)
{
    netdev_idle_add(&loop->idle, dev, q);
}

RUNS_SELDOM void netdev_loop_host(struct netdev_loop *loop, struct netdev *dev, uint16_t q,
                                  struct inet *inet, struct netbuf_pool *pool)
{
    assert(!loop->host.dev); /* one for each loop */
    loop->host = (struct netdev_loop_host){
        .dev = dev, .q = q, .inet = inet, .pool = pool, .timer = {.run = host_send}};
    loop->has_packets = &inet->has_packets;
    netdev_loop_at(loop, &loop->host.timer, NETDEV_TIMER_NEVER);
    inet_tell(inet);
    look_at_links(&loop->look); /* so neighbours know it before the app says that it serves */
}

RUNS_SELDOM void netdev_loop_serves(struct netdev_loop *loop, void (*say)(void))
{
    struct netdev_loop_host *host = &loop->host;
    char ip[IPV4_TEXT_BYTES];

    host->say = say;
    host->said_ip = 0;
    if (!inet_has_address(host->inet) && host->inet->by_dhcp)
        print("%s: asks a DHCP server for an address, and answers nobody by IPv4 before.\n",
              boot_app);
    else if (!inet_has_address(host->inet) && host->inet->prefix.address)
        print("%s: looks for some 7 s whether another host has %s, and doesn't use it before.\n",
              boot_app, ipv4_format(ip, host->inet->prefix.address));
    tell_address(host);
}

RUNS_SELDOM void netdev_loop_join(struct netdev_loop *loop, struct inet *inet, struct inet *host)
{
    inet_join(host, inet);
    loop->follower = inet;
}

static void do_rest(struct netdev_loop *loop, bool busy)
{
    const uint64_t now = clock_cycles();
    const bool sleepy = netdev_idle_due(&loop->idle, busy, now);

    loop->turn_is_busy = busy;
    for (uint32_t i = 0; i < loop->idle.count && !busy; i++)
        netdev_tx_reclaim(loop->idle.queues[i].dev, loop->idle.queues[i].q);
    if (loop->look_is_late && !busy)
        look_at_links(&loop->look);
    if (now - loop->rest_cycles >= loop->due_cycles)
        run_timers(loop);
    if (*loop->has_packets)
        host_send(&loop->host.timer);
    if (sleepy && !*loop->has_packets)
        netdev_idle_sleep(&loop->idle, first_due_ns(loop));
}

void netdev_loop_rest(struct netdev_loop *loop, bool busy)
{
    do_rest(loop, busy);
    /* All this, a sleep in particular, is no part of the turn that follows, which may be busy. */
    const uint64_t now = clock_cycles();
    loop->cycles_total += now - loop->turn_cycles;
    loop->turn_cycles = now;
}
