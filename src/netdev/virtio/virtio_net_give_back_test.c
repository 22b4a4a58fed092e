/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of a device that is wanted back by who runs the machine, and comes again. */
#include "netdev/virtio/virtio_fake_test.h"

enum { FRAME = 100, DESCS = 16 };

static struct virtio_transport_ops ops;
static bool wanted, there;
static uint32_t given;

static bool is_wanted(struct virtio_transport *t)
{
    (void)t;
    return wanted;
}

static bool is_there(struct virtio_transport *t)
{
    (void)t;
    return there;
}

static void take_device(struct virtio_transport *t)
{
    CHECK_EQ(t->ops->status(t), 0);                           /* it is reset ... */
    CHECK_EQ(netbuf_pool_free_count(fake_pool()), FAKE_POOL); /* ... and has no buffer */
    given++;
    wanted = there = false;
}

static void begin(void)
{
    fake_begin();
    ops = *fake.base.ops;
    ops.present = is_there;
    ops.wanted_back = is_wanted;
    ops.give_back = take_device;
    fake.base.ops = &ops;
    wanted = false;
    there = true;
    given = 0;
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
}

static bool link_up(void)
{
    fake_net.lost.next_try_ns = 0;
    return netdev_recover(fake_dev);
}

FAKE_TEST(virtio_net_gives_a_device_back)
{
    struct netbuf *packet, *bufs[DESCS];

    begin();
    CHECK(link_up());
    packet = fake_packet(0, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1);
    wanted = true;
    CHECK(!link_up() && !netdev_link_up(fake_dev));
    CHECK_EQ(given, 1);
    CHECK_EQ(fake_tx_drops(NETDEV_DROP_STOP), 1);
    CHECK(!link_up());
    packet = fake_packet(0, FRAME);
    const uint32_t kicks = fake.queues[VIRTIO_NET_TX].kicks;
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 0);
    CHECK_EQ(netdev_rx_burst(fake_dev, 0, bufs, DESCS), 0);
    CHECK_EQ(fake.queues[VIRTIO_NET_TX].kicks, kicks);
    const uint32_t arrivals = fake_dev->arrivals;
    there = true;
    CHECK(link_up() && netdev_link_up(fake_dev));
    CHECK(fake_dev->arrivals > arrivals);
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1);
    CHECK(fake_receive(NULL, 7, FRAME));
    CHECK_EQ(netdev_rx_burst(fake_dev, 0, bufs, DESCS), 1);
    CHECK(fake_counts_up(bufs[0]->data, 7, FRAME));
    netbuf_free(bufs[0]);
    CHECK_EQ(given, 1);
    fake_end();
}

TEST(virtio_net_is_stopped_while_its_device_is_away)
{
    begin();
    wanted = true;
    CHECK(!link_up());
    fake_end();
}

/* A device that doesn't reset in time can't be given: it is tried again, and begins anew if nobody
 * wants it any more. */
TEST(virtio_net_keeps_a_device_that_does_not_reset)
{
    struct netbuf *packet;

    begin();
    fake.never_resets = true;
    wanted = true;
    CHECK(!link_up());
    CHECK_EQ(given, 0);
    wanted = false; /* as its transport says of one that it has told to reset */
    CHECK(!link_up());
    packet = fake_packet(0, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 0);
    fake.never_resets = false;
    CHECK(link_up());
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1);
    fake_end();
}

TEST(virtio_net_leaves_a_device_with_another_address_alone)
{
    begin();
    wanted = true;
    CHECK(!link_up());
    there = true;
    fake.config.mac[5] ^= 1;
    CHECK(!link_up() && !link_up());
    CHECK(fake.status & VIRTIO_CONFIG_S_FAILED);
    fake.config.mac[5] ^= 1;
    CHECK(link_up());
    fake_end();
}

/* The same of one that was swapped between two looks. */
TEST(virtio_net_leaves_a_device_that_was_swapped_alone)
{
    struct netbuf *packet;

    begin();
    fake.config.mac[5] ^= 1;
    fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    CHECK(!link_up());
    packet = fake_packet(0, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 0);
    netbuf_free(packet);
    fake_end();
}
