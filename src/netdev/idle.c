/* SPDX-License-Identifier: BSD-2-Clause */
/* idle.c - sleeping when no packets come; see idle.h. */
#include "netdev/idle.h"

#define EMPTY_NS 1000000ull /* no longer asleep while a receive ring is empty */

/*
 * idle.us is 100 because waking up costs about that where it costs most. On a KVM that emulates
 * ring 0, half of the answers of a loop that slept came 80 to 100 us later than of one that polled
 * (requests 100 us apart over QEMU's user network); on TCG it was 10 us, and a host process slept
 * in ppoll for 20 us longer than it had to. Who polls for as long as waking up would take, and only
 * then sleeps, never spends more than twice the time, or the processor, of the best choice.
 */
static enum { MODE_AUTO, MODE_POLL, MODE_INTR } mode;
static const char *const mode_names[] = {
    [MODE_AUTO] = "auto", [MODE_POLL] = "poll", [MODE_INTR] = "intr"};
static uint64_t idle_us, wake_ms;

static RUNS_SELDOM const char *parse_mode(const struct boot_key *key, const char *text)
{
    (void)key;
    for (uint32_t i = 0; i < ARRAY_LEN(mode_names); i++)
        if (strcmp(text, mode_names[i]) == 0) {
            mode = i;
            return NULL;
        }
    return "auto, poll or intr";
}

BOOT_KEY("idle.mode", parse_mode, NULL, "auto", "",
         "when no packets come: poll looks for them all the time, intr sleeps until one does, auto "
         "polls for idle.us and then sleeps");
BOOT_KEY_RANGE("idle.us", boot_parse_u64, &idle_us, "100", "us",
               "idle.mode=auto sleeps when no packet came for so long", 0, 1000000);

BOOT_KEY_RANGE("idle.wake", boot_parse_u64, &wake_ms, "100", "ms",
               "look at the link so often, and sleep no longer: then the image also hears that it "
               "shall end",
               1, 60000);

RUNS_SELDOM void netdev_idle_init(struct netdev_idle *idle)
{
    const uint64_t limits[] = {
        [MODE_AUTO] = clock_cycles_hz() / 1000 * idle_us / 1000,
        [MODE_POLL] = UINT64_MAX,
        [MODE_INTR] = 0,
    };

    *idle = (struct netdev_idle){.limit = limits[mode], .wake_ns = wake_ms * 1000000};
}

RUNS_SELDOM void netdev_idle_add(struct netdev_idle *idle, struct netdev *dev, uint16_t q)
{
    assert(idle->count < NETDEV_IDLE_QUEUES && q < dev->queue_pairs);
    if (dev->queue_pairs > 1)
        idle->wake_ns = MIN(idle->wake_ns, NETDEV_LOOK_NS);
    idle->queues[idle->count++] = (struct netdev_idle_queue){.dev = dev, .q = q};
}

static void disarm_first(struct netdev_idle *idle, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        netdev_rx_intr(idle->queues[i].dev, idle->queues[i].q, false);
}

static void poll_from_now_on(struct netdev_idle *idle, struct netdev *dev)
{
    struct netdev_info info;

    idle->limit = UINT64_MAX;
    netdev_info(dev, &info);
    print("%s: %s at %s has no interrupts that can be used, so it is polled.\n", boot_app,
          info.driver, info.where);
}

/* Arms all queues, or none: false. */
static bool arm_all(struct netdev_idle *idle)
{
    for (uint32_t i = 0; i < idle->count; i++) {
        const struct netdev_idle_queue *queue = &idle->queues[i];
        int error = netdev_rx_intr(queue->dev, queue->q, true);
        if (!error || error == NETDEV_ESTATE) /* from a stopped device nothing comes */
            continue;
        disarm_first(idle, i);
        if (error == NETDEV_ENOTSUP)
            poll_from_now_on(idle, queue->dev);
        idle->averted += error == NETDEV_EAGAIN;
        return false;
    }
    return true;
}

void netdev_idle_sleep(struct netdev_idle *idle, uint64_t deadline_ns)
{
    for (uint32_t i = 0; i < idle->count; i++) {
        const struct netdev_idle_queue *queue = &idle->queues[i];
        /* What was sent and comes back may be what a receive ring lacks: the next turn refills it.
         * Nothing tells when it comes back, and into an empty ring no packet comes. */
        if (netdev_tx_reclaim(queue->dev, queue->q) > 0)
            return;
        if (queue->dev->state == NETDEV_STARTED && queue->dev->rxq[queue->q]->empty)
            deadline_ns = MIN(deadline_ns, clock_ns() + EMPTY_NS);
    }
    if (!arm_all(idle))
        return;
    idle->waits++;
    boot_wait(deadline_ns);
    idle->interrupts = boot_interrupts();
    disarm_first(idle, idle->count);
}

RUNS_SELDOM const char *netdev_idle_mode(void)
{
    return mode_names[mode];
}

RUNS_SELDOM void netdev_idle_print(uint64_t waits, uint64_t interrupts)
{
    print("%s: slept %lu times, woken by %lu interrupts.\n", boot_app, waits, interrupts);
}
