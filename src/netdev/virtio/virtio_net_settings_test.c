/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of what a device is told or asks for: its address, announcements, and room for its MTU. */
#include "netdev/virtio/virtio_fake_test.h"

enum { DESCS = 16, FRAME = 100 };

static const uint64_t announce = VIRTIO_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE);
static const uint64_t mac_addr = VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);
static const uint64_t mtu = VIRTIO_BIT(VIRTIO_NET_F_MTU);

/* --- announcements -------------------------------------------------------------------------- */

FAKE_TEST(virtio_net_announces_when_the_device_asks)
{
    fake_begin();
    fake.features |= announce;
    CHECK_EQ(fake_examine(), 0);
    fake.config.status |= VIRTIO_NET_S_ANNOUNCE;
    CHECK(netdev_recover(fake_dev)); /* not started: nobody is there to announce it */
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    const uint32_t before = fake_dev->arrivals;
    for (uint32_t times = 1; times <= 3; times++) {
        fake.config.status |= VIRTIO_NET_S_ANNOUNCE;
        for (uint32_t looks = 0; looks < 3; looks++)
            CHECK(netdev_recover(fake_dev));
        CHECK_EQ(fake_dev->arrivals, before + times);
        CHECK_EQ(fake.announcements, times);
        CHECK_EQ(fake.config.status, VIRTIO_NET_S_LINK_UP);
    }
    fake_end();
}

/* It is announced once, and no look at the link waits for the device again. */
FAKE_TEST(virtio_net_announcements_that_can_not_be_acknowledged)
{
    fake_begin();
    fake.features |= announce;
    CHECK_EQ(fake_examine(), 0);
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    CHECK(netdev_recover(fake_dev));
    for (uint32_t round = 0; round < 2; round++) {
        const uint32_t before = fake_dev->arrivals, commands = fake.announcements;
        fake.refuses_commands = true;
        fake.config.status |= VIRTIO_NET_S_ANNOUNCE;
        for (uint32_t looks = 0; looks < 3; looks++)
            CHECK(netdev_recover(fake_dev));
        CHECK_EQ(fake_dev->arrivals, before + 1);
        CHECK_EQ(fake.announcements, commands + 1);
        fake.config.status = VIRTIO_NET_S_LINK_UP; /* it asks no more, and then again */
        fake.refuses_commands = false;
        CHECK(netdev_recover(fake_dev));
    }
    fake_end();
    fake.features &= ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);
    CHECK_EQ(fake_examine(), 0);
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    CHECK_EQ(fake.driver_features & announce, 0);
    fake_end();
}

/* --- the address ---------------------------------------------------------------------------- */

static void begin_without_mac(uint64_t features)
{
    fake_begin();
    fake.features &= ~VIRTIO_BIT(VIRTIO_NET_F_MAC);
    fake.features |= features;
    memset(fake_net.mac, 0, 6);
    CHECK_EQ(fake_examine(), 0);
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
}

FAKE_TEST(virtio_net_tells_the_device_the_address_that_it_made)
{
    begin_without_mac(mac_addr);
    for (uint32_t round = 0; round < 2; round++) {
        CHECK_EQ(memcmp(fake.mac, fake_net.mac, 6), 0);
        CHECK_EQ(fake.promisc, 0);
        fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        fake_net.lost.next_try_ns = 0;
        CHECK(netdev_recover(fake_dev));
    }
    fake_end();
    fake.refuses_commands = true;
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), NETDEV_EDEVICE);
    fake_end();
    fake_begin(); /* one with an address isn't told */
    fake.features |= mac_addr;
    CHECK_EQ(fake_examine(), 0);
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    CHECK_EQ(fake.driver_features & mac_addr, 0);
    fake_end();
}

/* A device that can't be told lets all through; else nothing would come. */
FAKE_TEST(virtio_net_is_promiscuous_if_the_device_can_not_know_its_address)
{
    begin_without_mac(0);
    CHECK(fake.promisc == 1 && fake.promisc_on);
    CHECK_EQ(netdev_set_promisc(fake_dev, false), 0);
    CHECK(fake.promisc == 2 && fake.promisc_on);
    fake_end();
    fake.features &= ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX);
    CHECK_EQ(fake_examine(), 0);
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    CHECK_EQ(fake.promisc, 2);
    fake_end();
}

/* IPv6's neighbours ask by group, which a device that filters would keep away. */
FAKE_TEST(virtio_net_asks_for_frames_to_groups)
{
    fake_begin();
    for (uint32_t round = 0; round < 2; round++) { /* and again when the device begins anew */
        fake.allmulti_on = false;
        CHECK_EQ(round == 0 ? fake_start(fake_pool(), DESCS, DESCS) : !netdev_recover(fake_dev), 0);
        CHECK(fake.allmulti_on && fake.promisc == 0);
        fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        fake_net.lost.next_try_ns = 0;
    }
    fake_end();
    fake.refuses_commands = true; /* it is used as it is */
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    fake_end();
}

/* --- the MTU -------------------------------------------------------------------------------- */

/* Buffers that hold the device's frames, or a promise less (section 5.1.4.1). */
FAKE_TEST(virtio_net_promises_room_for_the_mtu_only_if_there_is)
{
    fake_begin();
    CHECK_EQ(fake_start(fake_small_pool(), DESCS, DESCS), 0);
    CHECK_EQ(fake.driver_features & mtu, mtu); /* a ring of 16 * 192 bytes */
    fake_end();
    CHECK_EQ(fake_start(fake_small_pool(), 8, DESCS), 0);
    CHECK_EQ(fake.driver_features & mtu, mtu); /* 8 * 192: 1536 */
    fake_end();
    CHECK_EQ(fake_start(fake_small_pool(), 4, DESCS), NETDEV_EINVAL); /* would wait for ever */
    CHECK_EQ(netdev_set_mtu(fake_dev, 700), 0);
    CHECK_EQ(fake_start(fake_small_pool(), 4, DESCS), 0);
    CHECK_EQ(fake.driver_features & mtu, 0);
    fake_end();
    fake.features &= ~VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF);
    CHECK_EQ(fake_examine(), 0);
    CHECK_EQ(netdev_set_mtu(fake_dev, 100), 0);
    CHECK_EQ(fake_start(fake_small_pool(), DESCS, DESCS), 0);
    CHECK_EQ(fake.driver_features & mtu, 0);
    fake_end();
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    CHECK_EQ(fake.driver_features & mtu, mtu);
    fake_end();
}

/* A buffer is a page at most. */
FAKE_TEST(virtio_net_mtu_beyond_a_buffer)
{
    struct netdev_info info;

    fake_begin();
    fake.config.mtu = 9000;
    CHECK_EQ(fake_examine(), 0);
    netdev_info(fake_dev, &info);
    CHECK_EQ(info.mtu_bytes, 9000);
    fake.features &= ~VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF);
    CHECK_EQ(fake_examine(), 0);
    netdev_info(fake_dev, &info);
    CHECK_EQ(info.mtu_bytes, 3950);
    CHECK_EQ(info.mtu_max_bytes, 3950);
    CHECK_EQ(info.rx_buf_min_bytes, 3968);
    CHECK_EQ(netdev_set_mtu(fake_dev, 1500), 0);
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    CHECK_EQ(fake.driver_features & mtu, 0);
    fake_end();
}
