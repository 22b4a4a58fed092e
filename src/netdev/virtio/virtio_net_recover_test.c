/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of devices that go away, or ask for a reset, while they are used. */
#include "netdev/virtio/virtio_fake_test.h"

enum { FRAME = 100, DESCS = 16 };

static void begin(void)
{
    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
}

static void send(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct netbuf *packet = fake_packet(0, FRAME);
        if (netdev_tx_burst(fake_dev, 0, &packet, 1) == 0)
            netbuf_free(packet);
    }
}

/* Packets go both ways, as many as the rings hold. */
static void check_traffic(void)
{
    struct netbuf *bufs[DESCS];
    struct virtio_net_hdr_v1 header;
    uint8_t frame[FRAME];
    uint32_t len;

    for (uint8_t i = 0; i < DESCS; i++)
        CHECK(fake_receive(NULL, i, FRAME));
    CHECK(!fake_receive(NULL, 0, FRAME));
    CHECK_EQ(netdev_rx_burst(fake_dev, 0, bufs, DESCS), DESCS);
    CHECK(fake_counts_up(bufs[3]->data, 3, FRAME));
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, bufs, DESCS), DESCS);
    for (uint8_t i = 0; i < DESCS; i++) {
        CHECK(fake_sent(&header, frame, &len));
        CHECK(len == FRAME && fake_counts_up(frame, i, len));
    }
}

/* As if so much time had passed that the next look at the link is a try. */
static bool link_up(void)
{
    fake_net.lost.next_try_ns = 0;
    return netdev_recover(fake_dev);
}

TEST(virtio_net_recovers_and_counts_what_was_lost)
{
    struct netdev_queue_stats before, after;
    struct virtio_net_hdr_v1 header;
    uint8_t frame[FRAME];
    uint32_t len;

    begin();
    for (uint32_t round = 0; round < 3; round++) {
        uint64_t features = fake.driver_features;
        check_traffic();
        CHECK(netdev_txq_stats(fake_dev, 0, &before));
        send(DESCS);
        CHECK(fake_sent(&header, frame, &len)); /* went out in time, though nobody saw it yet */
        CHECK(fake_receive(NULL, 0, FRAME) && fake_receive(NULL, 0, FRAME)); /* never read */
        fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        CHECK(link_up());
        CHECK_EQ(fake.driver_features, features);
        CHECK_EQ(fake_tx_drops(NETDEV_DROP_STOP), (DESCS - 1) * (round + 1));
        CHECK_EQ(fake_rx_drops(NETDEV_DROP_STOP), 2 * (round + 1));
        CHECK(netdev_txq_stats(fake_dev, 0, &after));
        CHECK_EQ(after.packets, before.packets + DESCS);
        CHECK_EQ(netdev_tx_room(fake_dev, 0), DESCS);
    }
    check_traffic();
    fake_end();
}

/* Back within one look at the link, which was never seen down: the neighbours are told all the
 * same, as a switch between may have forgotten the address, or another machine has the device now.
 */
TEST(virtio_net_recovers_and_is_announced)
{
    begin();
    CHECK(link_up());
    for (uint32_t round = 0; round < 3; round++) {
        const uint32_t arrivals = fake_dev->arrivals;
        CHECK(link_up());
        CHECK_EQ(fake_dev->arrivals, arrivals);
        fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        CHECK(link_up());
        CHECK_EQ(fake_dev->arrivals, arrivals + 1);
    }
    fake_end();
}

TEST(virtio_net_recovers_from_a_broken_protocol)
{
    begin();
    fake_use(VIRTIO_NET_TX, 5, 0); /* was never given it */
    send(1);
    CHECK_EQ(fake_tx_drops(NETDEV_DROP_BAD_ID), 1);
    CHECK_EQ(netdev_tx_room(fake_dev, 0), 0);
    fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    CHECK(link_up());
    check_traffic();
    fake_end();
}

TEST(virtio_net_tries_to_recover_a_few_times_a_second)
{
    begin();
    fake.refuses_features = true;
    fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    CHECK(!link_up());
    uint32_t resets = fake.resets;
    fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    for (uint32_t i = 0; i < 1000; i++)
        CHECK(!netdev_recover(fake_dev));
    CHECK_EQ(fake.resets, resets);
    fake.refuses_features = false;
    CHECK(link_up());
    CHECK(netdev_recover(fake_dev));
    check_traffic();
    fake_end();
}

TEST(virtio_net_recovers_only_to_what_is_in_use)
{
    begin();
    send(3);
    fake.features &= ~VIRTIO_BIT(VIRTIO_NET_F_CSUM);
    fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    CHECK(!link_up());
    CHECK(fake.status & VIRTIO_CONFIG_S_FAILED);
    CHECK_EQ(fake_tx_drops(NETDEV_DROP_STOP), 3); /* it is reset, and has none of them any more */
    send(1);                                      /* kicks nobody */
    CHECK_EQ(netdev_set_promisc(fake_dev, true), NETDEV_EDEVICE);
    fake.features |= VIRTIO_BIT(VIRTIO_NET_F_CSUM);
    fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    CHECK(link_up());
    check_traffic();
    fake_end();
}

TEST(virtio_net_recovers_no_device_with_another_address)
{
    begin();
    for (uint32_t round = 0; round < 2; round++) {
        fake.config.mac[5] ^= 1;
        fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        CHECK_EQ(link_up(), round == 1);
        CHECK_EQ(!(fake.status & VIRTIO_CONFIG_S_FAILED), round == 1);
    }
    check_traffic();
    fake_end();
}

/* Without rings both queues stand still; whatever the app does then, nothing is lost twice. */
TEST(virtio_net_recovers_after_it_got_no_rings)
{
    struct netbuf *bufs[DESCS];

    begin();
    send(5);
    fake.refuses_queues = true;
    fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    for (uint32_t tries = 0; tries < 3; tries++) {
        CHECK(!link_up());
        send(3);
        CHECK_EQ(netdev_rx_burst(fake_dev, 0, bufs, DESCS), 0);
        CHECK_EQ(netdev_tx_reclaim(fake_dev, 0), 0);
        CHECK_EQ(netdev_tx_room(fake_dev, 0), 0);
        CHECK_EQ(netdev_set_promisc(fake_dev, true), NETDEV_EDEVICE);
        fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    }
    CHECK_EQ(fake_tx_drops(NETDEV_DROP_STOP), 5);
    fake.refuses_queues = false;
    CHECK(link_up());
    check_traffic();
    fake.refuses_queues = true;
    fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    CHECK(!link_up());
    fake_end(); /* stop without rings */
}

/* It has its rings, and began; then it refuses to be as it was. */
TEST(virtio_net_recovers_only_with_its_mode)
{
    struct netbuf *bufs[DESCS];

    begin();
    CHECK_EQ(netdev_set_promisc(fake_dev, true), 0);
    fake.refuses_commands = true;
    for (uint32_t tries = 0; tries < 3; tries++) {
        fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        CHECK(!link_up());
        CHECK(fake.status & VIRTIO_CONFIG_S_FAILED);
        send(3);
        CHECK_EQ(netdev_rx_burst(fake_dev, 0, bufs, DESCS), 0);
    }
    fake.refuses_commands = false;
    CHECK(link_up());
    check_traffic();
    fake_end();
}

TEST(virtio_net_recovers_nothing_that_is_not_started)
{
    begin();
    CHECK_EQ(netdev_stop(fake_dev), 0);
    fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    uint32_t resets = fake.resets;
    CHECK(!link_up());
    CHECK_EQ(fake.resets, resets);
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    check_traffic();
    fake_end();
}

TEST(virtio_net_recovers_with_the_mode_that_was_set)
{
    begin();
    fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    CHECK(link_up());
    CHECK_EQ(fake.promisc, 0); /* the app never asked */
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_EQ(netdev_set_promisc(fake_dev, i % 2 == 0), 0);
        fake.promisc_on = i % 2; /* what a reset does to it is the device's business */
        fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        CHECK(link_up());
        CHECK_EQ(fake.promisc, 2 * (i + 1));
        CHECK_EQ(fake.promisc_on, i % 2 == 0);
    }
    fake_end();
}
