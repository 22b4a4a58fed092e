/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of virtio-net's receive interrupts. */
#include "netdev/virtio/virtio_fake_test.h"

enum { FRAME = 100, DESCS = 16 };

static struct netbuf *bufs[NETDEV_MAX_BURST];

static uint32_t receive_all(void)
{
    uint32_t count = netdev_rx_burst(fake_dev, 0, bufs, NETDEV_MAX_BURST);

    netbuf_free_bulk(bufs, count);
    return count;
}

static void begin(bool with_event_idx)
{
    fake_begin();
    if (!with_event_idx) {
        fake.features &= ~VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
        CHECK_EQ(fake_examine(), 0);
    }
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
}

static void comes(void)
{
    CHECK(fake_receive(NULL, 0, FRAME));
}

static int arm(bool on)
{
    return netdev_rx_intr(fake_dev, 0, on);
}

FAKE_TEST(virtio_net_interrupts_who_armed_and_nobody_else)
{
    const struct fake_queue *rx = &fake.queues[VIRTIO_NET_RX];

    for (uint32_t with = 0; with < 2; with++) {
        begin(with);
        comes();
        CHECK_EQ(rx->interrupts, 0);
        CHECK_EQ(receive_all(), 1);
        for (uint32_t i = 0; i < 100; i++) {
            const uint32_t before = rx->interrupts;
            CHECK_EQ(arm(true), 0);
            CHECK(rx->armed);
            comes();
            CHECK_EQ(rx->interrupts, before + 1);
            CHECK_EQ(arm(false), 0);
            CHECK(!rx->armed);
            CHECK_EQ(arm(false), 0); /* once more is no harm */
            comes();
            comes();
            CHECK_EQ(rx->interrupts, before + 1);
            CHECK_EQ(receive_all(), 3);
        }
        fake_end();
    }
}

FAKE_TEST(virtio_net_arming_tells_of_packets_that_wait)
{
    const struct fake_queue *rx = &fake.queues[VIRTIO_NET_RX];

    for (uint32_t with = 0; with < 2; with++) {
        begin(with);
        comes(); /* before */
        CHECK_EQ(arm(true), NETDEV_EAGAIN);
        CHECK(!rx->armed);
        comes();
        CHECK_EQ(rx->interrupts, 0); /* it isn't armed */
        CHECK_EQ(receive_all(), 2);
        fake.on_arm = comes; /* in between */
        CHECK_EQ(arm(true), NETDEV_EAGAIN);
        CHECK_EQ(receive_all(), 1);
        CHECK_EQ(arm(true), 0);
        CHECK_EQ(arm(true), 0); /* and again, as nothing came */
        comes();
        CHECK_EQ(rx->interrupts, 1);
        CHECK_EQ(arm(true), NETDEV_EAGAIN);
        CHECK_EQ(receive_all(), 1);
        fake_end();
    }
}

FAKE_TEST(virtio_net_without_interrupts_polls)
{
    begin(true);
    fake.never_interrupts = true;
    CHECK_EQ(arm(true), NETDEV_ENOTSUP);
    comes();
    CHECK_EQ(fake.queues[VIRTIO_NET_RX].interrupts, 0);
    CHECK_EQ(receive_all(), 1);
    fake_end();
    CHECK_EQ(arm(true), NETDEV_ESTATE);
}

FAKE_TEST(virtio_net_stays_armed_when_the_device_comes_back)
{
    const struct fake_queue *rx = &fake.queues[VIRTIO_NET_RX];

    for (uint32_t with = 0; with < 2; with++) {
        begin(with);
        CHECK_EQ(arm(true), 0);
        fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        CHECK(netdev_recover(fake_dev));
        comes();
        CHECK_EQ(rx->interrupts, 1);
        CHECK_EQ(receive_all(), 1);
        CHECK_EQ(arm(false), 0);
        fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        fake_net.lost.next_try_ns = 0;
        CHECK(netdev_recover(fake_dev));
        comes();
        CHECK_EQ(rx->interrupts, 0);
        CHECK_EQ(arm(true), NETDEV_EAGAIN);
        CHECK_EQ(receive_all(), 1);
        CHECK_EQ(arm(true), 0);
        fake_end(); /* which disarms */
        CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
        comes();
        CHECK_EQ(rx->interrupts, 0);
        fake_end();
    }
}

/* Arming a queue whose ring is broken says first that a burst has to look, and later, when that was
 * counted, lets the app wait. */
FAKE_TEST(virtio_net_arming_a_queue_that_broke)
{
    begin(true);
    fake_use(VIRTIO_NET_RX, 9999, 60);
    CHECK_EQ(arm(true), NETDEV_EAGAIN); /* there is something, which a burst looks at */
    CHECK_EQ(receive_all(), 0);
    CHECK_EQ(fake_rx_drops(NETDEV_DROP_BAD_ID), 1);
    CHECK_EQ(arm(true), 0);
    CHECK_EQ(arm(false), 0);
    fake_end();
}
