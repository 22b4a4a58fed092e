/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the steps by which a device is started and reset, with devices that stop in between. */
#include "boot/boot.h"
#include "netdev/virtio/virtio_fake_test.h"

enum { FRAME = 100, DESCS = 16 };

/* A device that has DESCS buffers to receive into, and one to send. */
static void begin_and_send(void)
{
    struct netbuf *packet;

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    packet = fake_packet(0, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1);
}

FAKE_TEST(virtio_net_device_that_never_resets)
{
    begin_and_send();
    uint64_t start_ns = clock_ns();
    fake.never_resets = true;
    CHECK_EQ(netdev_stop(fake_dev), 0);
    for (uint32_t tries = 0; tries < 2; tries++) { /* it may still write to what it has */
        CHECK_EQ(netbuf_pool_free_count(fake_pool()), FAKE_POOL - DESCS - 1);
        CHECK_EQ(netdev_configure(fake_dev, &(struct netdev_conf){.queue_pairs = 1}),
                 NETDEV_ETIMEOUT);
    }
    CHECK(clock_ns() - start_ns < 20000000000ull); /* it did end */
    CHECK_EQ(fake_net.base.state, NETDEV_FOUND);
    CHECK_EQ(fake.given_up, 0);
    fake_reset_at_last();
    CHECK(netbuf_pool_whole(fake_pool()));
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    fake_end();
}

FAKE_TEST(virtio_net_device_that_never_resets_is_kept_from_memory)
{
    begin_and_send();
    fake.never_resets = fake.can_stop_dma = true;
    fake_end(); /* every buffer is back */
    CHECK_EQ(netdev_configure(fake_dev, &(struct netdev_conf){.queue_pairs = 1}), NETDEV_ETIMEOUT);
    fake_reset_at_last();
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    fake_end();
}

/* As QEMU does when it can't map a ring. */
FAKE_TEST(virtio_net_device_that_needs_a_reset_before_it_begins)
{
    fake_begin();
    fake.hates_queues = true;
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), NETDEV_EDEVICE);
    CHECK_EQ(fake.given_up, 1);
    CHECK_EQ(fake.status, 0);
    fake.hates_queues = false;
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    fake_end();
}

FAKE_TEST(virtio_net_features_that_went_since_it_was_examined)
{
    fake_begin();
    fake.features &= ~VIRTIO_BIT(VIRTIO_NET_F_CSUM);
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), NETDEV_ENOTSUP);
    CHECK_EQ(fake.driver_features, 0);
    CHECK_EQ(fake.given_up, 1);
    fake.features |= VIRTIO_BIT(VIRTIO_NET_F_CSUM);
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    fake_end();
}
