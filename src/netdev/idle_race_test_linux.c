/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of idle.h against a device in a thread of its own, which sends single packets at random
 * moments around those in which the loop arms its queue and goes to sleep. Each must be received
 * before a deadline that is far: a wake-up that got lost would be met by nothing else.
 *
 * `selftest only=idle_race wakeups=1000000` sends more than a usual run does.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "boot/boot.h"
#include "boot/linux/linux.h"
#include "netdev/idle.h"
#include "netdev/virtio/virtio_fake_test.h"

enum { FRAME = 60, DESCS = 64, AUTO_CYCLES = 10000 };
#define DEADLINE_NS 20000000000ull
#define NEVER_NS    (4 * DEADLINE_NS) /* the loop wakes by itself only then */

static uint64_t wakeups;
BOOT_KEY_RANGE("wakeups", boot_parse_u64, &wakeups, "2000", "packets",
               "how many packets the tests idle_race_* send", 1, 1ull << 40);

static struct {
    int fd;         /* the device's interrupt */
    uint64_t limit; /* cycles of quiet before the loop arms */
    uint64_t received;
    bool lost, full; /* a packet wasn't received; there was no buffer for one */
} race;

static cpu_set_t allowed; /* processors */

static void interrupt(void)
{
    eventfd_write(race.fd, 1);
}

/* Waits until all that was sent has been received. */
static bool is_received(uint64_t sent)
{
    const uint64_t deadline_ns = clock_ns() + DEADLINE_NS;

    for (uint32_t looks = 1; load_acquire(&race.received) < sent; looks++)
        if (looks % 256 == 0) {
            sched_yield();
            if (clock_ns() >= deadline_ns)
                return false;
        }
    return true;
}

/* Cycles from one packet to the next: half the time a few, at most 64 to 16384; half the time so
 * much that the loop is about to arm. */
static uint64_t draw_gap(void)
{
    static uint64_t random = 88172645463325252ull;

    random ^= random << 13; /* xorshift64 */
    random ^= random >> 7;
    random ^= random << 17;
    const uint64_t some = (random >> 16) % (64ull << (random >> 4) % 9);
    return random & 1 ? some : race.limit - race.limit / 8 + some;
}

/* Threads that wake each other are put on one processor by the kernel, where nothing happens at the
 * same time: so the device takes the last of those that there are, and the loop the others. */
static void part(bool is_device)
{
    cpu_set_t mine = allowed;
    int last = CPU_SETSIZE - 1;

    while (!CPU_ISSET(last, &allowed))
        last--;
    if (is_device) {
        CPU_ZERO(&mine);
        CPU_SET(last, &mine);
    } else if (CPU_COUNT(&mine) > 1) {
        CPU_CLR(last, &mine);
    }
    CHECK(sched_setaffinity(0, sizeof mine, &mine) == 0);
}

static void *play_device(void *unused)
{
    part(true);
    for (uint64_t sent = 1; sent <= wakeups; sent++) {
        const uint64_t gap = draw_gap(), start = clock_cycles();
        while (clock_cycles() - start < gap)
            continue;
        race.full = !fake_receive(NULL, 0, FRAME);
        race.lost = race.full || !is_received(sent);
        if (race.lost) {
            interrupt(); /* so that the loop ends, too */
            break;
        }
    }
    return unused;
}

/* The loop: as an app's. */
static void receive_all(struct netdev_idle *idle)
{
    struct netbuf *bufs[DESCS];

    while (race.received < wakeups && !race.lost) {
        uint32_t came = netdev_rx_burst(fake_dev, 0, bufs, DESCS);
        netbuf_free_bulk(bufs, came);
        store_release(&race.received, race.received + came);
        if (netdev_idle_due(idle, came > 0, clock_cycles()))
            netdev_idle_sleep(idle, clock_ns() + NEVER_NS);
        if (race.received == wakeups)
            break;
    }
}

static void run(bool with_event_idx, uint64_t limit)
{
    struct netdev_idle idle;
    pthread_t device;

    fake_begin();
    if (!with_event_idx) {
        fake.features &= ~VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
        CHECK_EQ(fake_examine(), 0);
    }
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    race.received = 0;
    race.lost = race.full = false;
    race.limit = limit;
    race.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(race.fd >= 0);
    linux_wait_fd(race.fd, true);
    fake.on_interrupt = interrupt;
    netdev_idle_init(&idle);
    netdev_idle_add(&idle, fake_dev, 0);
    idle.limit = limit;
    CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    CHECK(pthread_create(&device, NULL, play_device, NULL) == 0);
    part(false);
    receive_all(&idle);
    pthread_join(device, NULL);
    sched_setaffinity(0, sizeof allowed, &allowed);
    linux_wait_fd(race.fd, false);
    close(race.fd);
    fake_end();
    print("idle_race: %lu of %lu packets; slept %lu times, %lu times a packet came before it "
          "could.\n",
          race.received, wakeups, idle.waits, idle.averted);
    CHECK(!race.full && !race.lost);
    CHECK(idle.waits > 0);
}

FAKE_TEST(idle_race_by_flags)
{
    run(false, 0);
}

FAKE_TEST(idle_race_by_index)
{
    run(true, 0);
}

FAKE_TEST(idle_race_after_a_while)
{
    run(true, AUTO_CYCLES);
}
