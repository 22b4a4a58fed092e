/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of idle.h: when a loop sleeps, and what it looks at before. */
#include "boot/boot.h"
#include "netdev/idle.h"
#include "netdev/virtio/virtio_fake_test.h"

enum { FRAME = 100, DESCS = 16, QUEUES = 3, SOON_NS = 1000000 };

#define LONG_NS 10000000000ull

static struct netdev_idle idle;
static struct netbuf *bufs[NETDEV_MAX_BURST];

/* --- which queues are armed ------------------------------------------------------------------- */

/* A device of three queues, of which one may have packets or no interrupts. */
static struct {
    struct netdev dev;
    struct netdev_queue rx[QUEUES];
    bool armed[QUEUES];
    uint32_t arms, reclaimed;
    int errors[QUEUES];
} mock;

static int mock_rx_intr(struct netdev *dev, uint16_t q, bool on)
{
    CHECK(dev == &mock.dev && q < QUEUES);
    mock.arms += on;
    mock.armed[q] = on && mock.errors[q] == 0;
    return on ? mock.errors[q] : 0;
}

static uint32_t mock_reclaim(struct netdev_queue *q)
{
    uint32_t n = mock.reclaimed;

    (void)q;
    mock.reclaimed = 0;
    return n;
}

static void mock_info(struct netdev *dev, struct netdev_info *info)
{
    (void)dev;
    info->driver = "idle_test";
}

static void begin_mock(uint16_t queues)
{
    static const struct netdev_ops ops = {
        .info = mock_info, .rx_intr = mock_rx_intr, .tx_reclaim = mock_reclaim};

    memset(&mock, 0, sizeof mock);
    mock.dev = (struct netdev){.ops = &ops, .state = NETDEV_STARTED, .queue_pairs = QUEUES};
    for (uint32_t q = 0; q < QUEUES; q++)
        mock.dev.rxq[q] = &mock.rx[q];
    netdev_idle_init(&idle);
    for (uint16_t q = 0; q < queues; q++)
        netdev_idle_add(&idle, &mock.dev, q);
    idle.limit = 0;
}

static void sleep_once(void)
{
    if (netdev_idle_due(&idle, false, clock_cycles()))
        netdev_idle_sleep(&idle, clock_ns() + SOON_NS);
    for (uint32_t q = 0; q < QUEUES; q++)
        CHECK(!mock.armed[q]);
}

TEST(idle_arms_its_queues_and_sleeps_until_the_deadline)
{
    begin_mock(QUEUES);
    const uint64_t start_ns = clock_ns(), interrupts = boot_interrupts();
    sleep_once();
    CHECK_EQ(mock.arms, QUEUES);
    CHECK_EQ(idle.waits, 1);
    CHECK(clock_ns() >= start_ns + SOON_NS || boot_interrupts() > interrupts);
    begin_mock(0); /* deadlines alone */
    sleep_once();
    CHECK_EQ(mock.arms, 0);
    CHECK_EQ(idle.waits, 1);
}

TEST(idle_does_not_sleep_when_a_queue_has_packets)
{
    for (uint32_t q = 0; q < QUEUES; q++) {
        begin_mock(QUEUES);
        mock.errors[q] = NETDEV_EAGAIN;
        sleep_once();
        CHECK_EQ(mock.arms, q + 1);
        CHECK_EQ(idle.waits, 0);
        CHECK_EQ(idle.averted, 1);
        mock.errors[q] = 0;
        sleep_once();
        CHECK_EQ(idle.waits, 1);
    }
}

TEST(idle_polls_what_has_no_interrupts)
{
    begin_mock(QUEUES);
    mock.errors[2] = NETDEV_ENOTSUP;
    sleep_once();
    CHECK_EQ(mock.arms, 3);
    for (uint32_t i = 0; i < 100; i++)
        sleep_once(); /* it has learned that */
    CHECK_EQ(mock.arms, 3);
    CHECK_EQ(idle.waits, 0);
}

/* What comes back from sending may be what the receive ring needs. */
TEST(idle_takes_a_turn_when_buffers_came_back)
{
    begin_mock(1);
    mock.reclaimed = 5;
    sleep_once();
    CHECK_EQ(mock.arms, 0);
    sleep_once();
    CHECK_EQ(idle.waits, 1);
}

/* What would fill it comes back without an interrupt. */
TEST(idle_does_not_sleep_for_long_beside_an_empty_ring)
{
    for (uint32_t q = 0; q < QUEUES; q++) {
        begin_mock(QUEUES);
        mock.rx[q].empty = true;
        const uint64_t deadline_ns = clock_ns() + LONG_NS;
        netdev_idle_sleep(&idle, deadline_ns);
        CHECK(clock_ns() < deadline_ns);
        CHECK_EQ(idle.waits, 1);
    }
}

/* --- when ------------------------------------------------------------------------------------- */

TEST(idle_is_due_after_a_time_of_quiet)
{
    begin_mock(1);
    idle.limit = clock_cycles_hz() / 1000;
    for (uint32_t round = 0; round < 3; round++) {
        const uint64_t start = clock_cycles();
        CHECK(!netdev_idle_due(&idle, true, clock_cycles()));
        while (!netdev_idle_due(&idle, false, clock_cycles()))
            CHECK_IN_TIME();
        CHECK(clock_cycles() - start >= idle.limit);
        CHECK(netdev_idle_due(&idle, false, clock_cycles())); /* and stays so */
    }
    CHECK(!netdev_idle_due(&idle, true, clock_cycles())); /* until something moves */
    CHECK(!netdev_idle_due(&idle, false, clock_cycles()));
    idle.limit = 0;
    CHECK(!netdev_idle_due(&idle, true, clock_cycles()));
    CHECK(netdev_idle_due(&idle, false, clock_cycles()));
    idle.limit = UINT64_MAX;
    CHECK(!netdev_idle_due(&idle, false, clock_cycles()));
}

/* --- with a driver ---------------------------------------------------------------------------- */

static void comes(void)
{
    CHECK(fake_receive(NULL, 0, FRAME));
}

/* A turn of a loop that sleeps; the packets that came. */
static uint32_t turn(void)
{
    uint32_t came = netdev_rx_burst(fake_dev, 0, bufs, NETDEV_MAX_BURST);

    netbuf_free_bulk(bufs, came);
    if (netdev_idle_due(&idle, came > 0, clock_cycles()))
        netdev_idle_sleep(&idle, clock_ns() + SOON_NS);
    return came;
}

FAKE_TEST(idle_loses_no_packet_that_comes_while_it_arms)
{
    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    netdev_idle_init(&idle);
    netdev_idle_add(&idle, fake_dev, 0);
    idle.limit = 0;
    for (uint32_t i = 0; i < 50; i++) {
        fake.on_arm = comes;
        CHECK_EQ(turn(), 0);
        CHECK_EQ(turn(), 1);
    }
    CHECK_EQ(idle.waits, 0);
    CHECK_EQ(idle.averted, 50);
    CHECK_EQ(turn(), 0);
    CHECK_EQ(idle.waits, 1);
    CHECK_EQ(fake.queues[VIRTIO_NET_RX].interrupts, 0); /* it was never armed when one came */
    CHECK(!fake.queues[VIRTIO_NET_RX].armed);
    comes();
    CHECK_EQ(fake.queues[VIRTIO_NET_RX].interrupts, 0); /* nor is it now */
    CHECK_EQ(turn(), 1);
    fake_end();
}
