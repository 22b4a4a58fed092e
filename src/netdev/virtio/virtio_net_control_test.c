/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of virtio-net's control side with a device that keeps to the rules. */
#include "netdev/virtio/virtio_fake_test.h"

FAKE_TEST(virtio_net_tells_what_the_device_has)
{
    struct netdev_info info;

    fake_begin();
    netdev_info(fake_dev, &info);
    CHECK_EQ(memcmp(info.mac, fake.config.mac, 6), 0);
    CHECK_EQ(info.mtu_bytes, 1500);
    CHECK_EQ(info.queue_pairs_max, 1);
    CHECK_EQ(info.rx_descs_max, 256);
    CHECK_EQ(info.headroom_bytes, 12);
    CHECK_EQ(info.offloads, NETDEV_OFFLOAD_SG | NETDEV_OFFLOAD_RX_CSUM | NETDEV_OFFLOAD_TX_CSUM);
    CHECK_EQ(info.state, NETDEV_FOUND);
    CHECK_STR(info.where, "fake 0");
    CHECK_EQ(fake.status, 0); /* left in reset */
    fake_end();
}

FAKE_TEST(virtio_net_makes_a_mac_if_the_device_has_none)
{
    struct netdev_info info;

    fake_begin();
    fake.features &= ~VIRTIO_BIT(VIRTIO_NET_F_MAC);
    memset(fake_net.mac, 0, 6);
    CHECK_EQ(fake_examine(), 0);
    netdev_info(fake_dev, &info);
    CHECK_EQ(info.mac[0] & 3, 2); /* locally administered, one station's */
    fake_end();
}

FAKE_TEST(virtio_net_takes_only_features_it_can_serve)
{
    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 64, 64), 0);
    CHECK(fake.driver_features & VIRTIO_BIT(VIRTIO_F_VERSION_1));
    CHECK(fake.driver_features & VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM));
    CHECK(fake.driver_features & VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM));
    CHECK(fake.driver_features & VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX));
    CHECK_EQ(fake.driver_features &
                 (VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_MQ) |
                  VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC)),
             0);
    fake_end();
}

FAKE_TEST(virtio_net_open_starts_with_defaults)
{
    fake_begin();
    CHECK_EQ(netdev_open(fake_dev, fake_pool(), ~0u), 0);
    CHECK_EQ(fake.queues[VIRTIO_NET_RX].place.size, 256);
    CHECK_EQ(netbuf_pool_free_count(fake_pool()), FAKE_POOL - 256);
    fake_end();
    CHECK_EQ(netdev_open(fake_dev, fake_small_pool(), 0), 0); /* a ring that the pool can fill */
    CHECK_EQ(fake.queues[VIRTIO_NET_RX].place.size, FAKE_SMALL_POOL);
    fake_end();
}

FAKE_TEST(virtio_net_merges_if_the_device_insists)
{
    fake_begin();
    fake.needs_mergeable = true;
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    CHECK(fake.driver_features & VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF));
    fake_end();
}

FAKE_TEST(virtio_net_wants_buffers_for_a_whole_frame)
{
    struct netdev_info info;

    fake_begin();
    fake.features &= ~VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF);
    CHECK_EQ(fake_examine(), 0);
    netdev_info(fake_dev, &info);
    CHECK_EQ(info.rx_buf_min_bytes, 1518);
    CHECK_EQ(fake_start(fake_small_pool(), 16, 16), NETDEV_EINVAL);
    CHECK_EQ(netdev_set_mtu(fake_dev, 68), 0);
    CHECK_EQ(fake_start(fake_small_pool(), 16, 16), 0);
    fake_end();
}

FAKE_TEST(virtio_net_promiscuous_mode)
{
    fake_begin();
    CHECK_EQ(netdev_set_promisc(fake_dev, true), NETDEV_ESTATE);
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    for (uint32_t i = 0; i < 20; i++) {
        CHECK_EQ(netdev_set_promisc(fake_dev, i % 2 == 0), 0);
        CHECK_EQ(fake.promisc, i + 1);
        CHECK_EQ(fake.promisc_on, i % 2 == 0);
    }
    fake.refuses_commands = true;
    CHECK_EQ(netdev_set_promisc(fake_dev, true), NETDEV_EDEVICE);
    fake_end();
    fake.refuses_commands = false;
    fake.hides_control = true;
    CHECK_EQ(fake_examine(), 0);
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    CHECK_EQ(netdev_set_promisc(fake_dev, true), 0);
    fake_end();
    fake.features &= ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX);
    CHECK_EQ(fake_examine(), 0);
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    CHECK_EQ(netdev_set_promisc(fake_dev, true), NETDEV_ENOTSUP);
    fake_end();
}

/* Starts with the rings that the key says; returns the kind, or what start says. */
static int start_with(enum virtio_net_rings rings)
{
    virtio_net_rings = rings;
    int error = fake_start(fake_pool(), 16, 16);
    virtio_net_rings = VIRTIO_NET_RINGS_AUTO;
    int kind = fake_net.rx->ring.kind;
    fake_end();
    return error ? error : kind;
}

FAKE_TEST_ON(VRING_SPLIT, virtio_net_rings_of_a_device_with_split_only)
{
    fake_begin();
    CHECK_EQ(start_with(VIRTIO_NET_RINGS_AUTO), VRING_SPLIT);
    CHECK_EQ(start_with(VIRTIO_NET_RINGS_SPLIT), VRING_SPLIT);
    CHECK_EQ(start_with(VIRTIO_NET_RINGS_PACKED), NETDEV_ENOTSUP);
    CHECK_EQ(start_with(VIRTIO_NET_RINGS_AUTO), VRING_SPLIT);
}

FAKE_TEST_ON(VRING_PACKED, virtio_net_rings_of_a_device_with_both)
{
    fake_begin();
    CHECK_EQ(start_with(VIRTIO_NET_RINGS_AUTO), VRING_PACKED);
    CHECK_EQ(start_with(VIRTIO_NET_RINGS_SPLIT), VRING_SPLIT);
    CHECK_EQ(start_with(VIRTIO_NET_RINGS_PACKED), VRING_PACKED);
}

FAKE_TEST(virtio_net_counts_packets_that_nobody_asked_for)
{
    static const struct virtio_net_hdr_v1 none = {0};
    struct netbuf *bufs[NETDEV_MAX_BURST];
    struct netdev_queue_stats stats;

    fake_begin();
    CHECK_EQ(fake_start(fake_small_pool(), 64, 16), 0);
    CHECK(fake_receive(NULL, 0, 100));
    CHECK_EQ(netdev_rx_burst(fake_dev, 0, bufs, NETDEV_MAX_BURST), 1);
    netbuf_free(bufs[0]);
    for (uint8_t i = 0; i < 3; i++)
        CHECK(fake_receive(NULL, i, 1000)); /* in several buffers each */
    CHECK(fake_receive(&none, 0, 100));
    fake_end();
    CHECK(netdev_rxq_stats(fake_dev, 0, &stats));
    CHECK_EQ(stats.drops[NETDEV_DROP_STOP], 3);
    CHECK_EQ(stats.drops[NETDEV_DROP_BAD_META], 1);
    CHECK(stats.packets == 1 && stats.bytes == 100);
}
