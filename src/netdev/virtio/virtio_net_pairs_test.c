/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of several queue pairs: numbers, commands and steering, good devices and bad ones. */
#include "netdev/virtio/virtio_fake_test.h"

enum { DESCS = 16, FRAME = 100, PAIRS = 4 };

static const uint64_t mq = VIRTIO_BIT(VIRTIO_NET_F_MQ), rss = VIRTIO_BIT(VIRTIO_NET_F_RSS);

static int start(uint16_t pairs)
{
    struct netbuf_pool *pools[NETDEV_MAX_QUEUE_PAIRS];

    for (uint32_t q = 0; q < NETDEV_MAX_QUEUE_PAIRS; q++)
        pools[q] = fake_pool();
    return fake_start_pairs(pools, pairs, DESCS);
}

/* A device with so many pairs. */
static void begin(uint16_t pairs)
{
    fake_begin();
    fake.config.max_virtqueue_pairs = pairs;
    fake.config.rss_max_key_size = 40;
    fake.config.rss_max_indirection_table_length = 128;
    fake.config.supported_hash_types = 0x1ff;
    CHECK_EQ(fake_examine(), 0);
}

static uint32_t pairs_max(void)
{
    struct netdev_info info;

    netdev_info(fake_dev, &info);
    return info.queue_pairs_max;
}

/* What comes on a queue is received from it alone, and what is sent to it goes out there. */
static void check_traffic(uint16_t pairs)
{
    struct netbuf *packet;
    struct virtio_net_hdr_v1 header;
    uint8_t frame[FRAME];
    uint32_t len;

    for (uint16_t q = 0; q < pairs; q++) {
        CHECK(fake_receive_on((uint16_t)(2 * q), NULL, (uint8_t)(3 * q), FRAME));
        for (uint16_t other = 0; other < pairs; other++)
            if (other != q)
                CHECK_EQ(netdev_rx_burst(fake_dev, other, &packet, 1), 0);
        CHECK_EQ(netdev_rx_burst(fake_dev, q, &packet, 1), 1);
        CHECK(fake_counts_up(packet->data, (uint8_t)(3 * q), FRAME));
        CHECK_EQ(netdev_tx_burst(fake_dev, q, &packet, 1), 1);
        for (uint16_t other = 0; other < pairs; other++)
            CHECK_EQ(fake_sent_on((uint16_t)(2 * other + 1), &header, frame, &len), other == q);
        CHECK(len == FRAME && fake_counts_up(frame, (uint8_t)(3 * q), len));
        CHECK_EQ(netdev_tx_reclaim(fake_dev, q), 1);
    }
}

FAKE_TEST(virtio_net_several_pairs)
{
    begin(NETDEV_MAX_QUEUE_PAIRS);
    CHECK_EQ(pairs_max(), NETDEV_MAX_QUEUE_PAIRS);
    CHECK_EQ(start(NETDEV_MAX_QUEUE_PAIRS), 0);
    CHECK_EQ(fake.driver_features & (mq | rss), mq);
    CHECK_EQ(fake.pairs, NETDEV_MAX_QUEUE_PAIRS);
    check_traffic(NETDEV_MAX_QUEUE_PAIRS);
    CHECK_EQ(netdev_set_promisc(fake_dev, true), 0); /* on the control queue behind the last */
    CHECK_EQ(fake.promisc, 1);
    fake_end();
}

/* The device's pairs that aren't used stay off; one pair needs no command and no feature. */
FAKE_TEST(virtio_net_another_number_of_pairs_after_stop)
{
    static const uint16_t numbers[] = {4, 2, 1, 3, 8, 1};
    uint32_t commands = 0;

    begin(NETDEV_MAX_QUEUE_PAIRS);
    for (uint32_t i = 0; i < ARRAY_LEN(numbers); i++) {
        const uint16_t pairs = numbers[i];
        CHECK_EQ(start(pairs), 0);
        CHECK_EQ(fake.pairs, pairs);
        CHECK_EQ(fake.pairs_commands, commands += pairs > 1);
        CHECK_EQ(fake.driver_features & mq, pairs > 1 ? mq : 0);
        for (uint16_t q = pairs; q < NETDEV_MAX_QUEUE_PAIRS; q++)
            CHECK(pairs == 1 || !fake.queues[2 * q].enabled);
        check_traffic(pairs);
        CHECK(!netdev_rxq_stats(fake_dev, pairs, &(struct netdev_queue_stats){0}));
        fake_end();
    }
}

FAKE_TEST(virtio_net_recovers_all_pairs)
{
    struct netdev_queue_stats stats;
    struct netbuf *packet;

    begin(PAIRS);
    CHECK_EQ(start(PAIRS), 0);
    for (uint32_t round = 1; round <= 3; round++) {
        check_traffic(PAIRS);
        for (uint16_t q = 0; q < PAIRS; q++) {
            packet = fake_packet(0, FRAME);
            CHECK_EQ(netdev_tx_burst(fake_dev, q, &packet, 1), 1);
        }
        fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        fake_net.lost.next_try_ns = 0;
        CHECK(netdev_recover(fake_dev));
        CHECK_EQ(fake.pairs, PAIRS);
        CHECK_EQ(fake.pairs_commands, round + 1);
        for (uint16_t q = 0; q < PAIRS; q++) {
            CHECK(netdev_txq_stats(fake_dev, q, &stats));
            CHECK_EQ(stats.drops[NETDEV_DROP_STOP], round);
        }
    }
    check_traffic(PAIRS);
    fake_end();
}

/* It is back, but refuses to use more than one pair: then it isn't back. */
FAKE_TEST(virtio_net_recovers_only_with_all_pairs)
{
    begin(PAIRS);
    CHECK_EQ(start(PAIRS), 0);
    fake.refuses_commands = true;
    fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    for (uint32_t tries = 0; tries < 3; tries++) {
        fake_net.lost.next_try_ns = 0;
        CHECK(!netdev_recover(fake_dev));
    }
    CHECK(!netdev_recover(fake_dev));
    fake.refuses_commands = false;
    fake_net.lost.next_try_ns = 0;
    CHECK(netdev_recover(fake_dev));
    check_traffic(PAIRS);
    fake_end();
}

FAKE_TEST(virtio_net_numbers_of_pairs_that_can_not_be)
{
    static const uint16_t numbers[] = {0, 1, 129, 0x8000, 0x8001, 65535};

    for (uint32_t i = 0; i < ARRAY_LEN(numbers); i++) {
        begin(numbers[i]);
        CHECK_EQ(pairs_max(), 1);
        CHECK_EQ(start(2), NETDEV_EINVAL);
        CHECK_EQ(start(1), 0);
        CHECK_EQ(fake.driver_features & mq, 0);
        check_traffic(1);
        CHECK_EQ(netdev_set_promisc(fake_dev, true), 0);
        fake_end();
    }
    begin(128); /* the most that a transport drives; we use eight */
    CHECK_EQ(pairs_max(), NETDEV_MAX_QUEUE_PAIRS);
    CHECK_EQ(start(2), NETDEV_EDEVICE); /* this device has no queue 256, where control would be */
    CHECK_EQ(start(1), 0);
    check_traffic(1);
    fake_end();
}

FAKE_TEST(virtio_net_without_a_control_queue_has_one_pair)
{
    begin(PAIRS);
    fake.features &= ~(VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX));
    CHECK_EQ(fake_examine(), 0);
    CHECK_EQ(pairs_max(), 1);
    fake.base.all_pairs = true; /* unless the transport needs no command */
    CHECK_EQ(fake_examine(), 0);
    CHECK_EQ(pairs_max(), PAIRS);
    CHECK_EQ(start(PAIRS), 0);
    CHECK_EQ(fake.driver_features & mq, mq);
    CHECK_EQ(fake.pairs_commands, 0);
    check_traffic(PAIRS);
    fake_end();
    fake.features &= ~mq;
    CHECK_EQ(fake_examine(), 0);
    CHECK_EQ(pairs_max(), 1);
    fake_end();
}

FAKE_TEST(virtio_net_pairs_that_are_refused)
{
    begin(PAIRS);
    fake.refuses_commands = true;
    CHECK_EQ(start(PAIRS), NETDEV_EDEVICE);
    CHECK_EQ(fake_net.base.state, NETDEV_FOUND);
    CHECK(netbuf_pool_whole(fake_pool()));
    CHECK_EQ(start(1), 0);
    fake_end();
    fake.refuses_commands = false;
    fake.silent = true;
    CHECK_EQ(start(PAIRS), NETDEV_ETIMEOUT);
    CHECK(netbuf_pool_whole(fake_pool()));
    fake.silent = false;
    fake.queue_max[5] = DESCS / 2; /* a queue that is smaller than the first ones */
    CHECK_EQ(start(PAIRS), NETDEV_EDEVICE);
    fake.queue_max[5] = 0;
    CHECK_EQ(start(PAIRS), NETDEV_EDEVICE);
    CHECK(netbuf_pool_whole(fake_pool()));
    CHECK_EQ(start(2), 0);
    check_traffic(2);
    fake_end();
}

/* --- steering ------------------------------------------------------------------------------------
 */

static uint16_t le16_at(uint32_t offset)
{
    return (uint16_t)(fake.rss[offset] | fake.rss[offset + 1] << 8);
}

FAKE_TEST(virtio_net_steers_by_hash)
{
    uint8_t key[40];

    begin(PAIRS);
    fake.features |= rss;
    CHECK_EQ(fake_examine(), 0);
    for (uint16_t pairs = 2; pairs <= PAIRS; pairs += 2) {
        CHECK_EQ(start(pairs), 0);
        CHECK_EQ(fake.driver_features & (mq | rss), mq | rss);
        CHECK_EQ(fake.rss_bytes, 8 + 2 * 128 + 2 + 1 + 40);
        CHECK(le16_at(0) == 0x3f && le16_at(2) == 0); /* addresses and ports, IPv4 and IPv6 */
        CHECK(le16_at(4) == 127 && le16_at(6) == 0);
        for (uint32_t i = 0; i < 128; i++)
            CHECK_EQ(le16_at(8 + 2 * i), i % pairs);
        CHECK_EQ(le16_at(264), pairs);
        CHECK_EQ(fake.rss[266], sizeof key);
        CHECK(pairs == 2 || memcmp(fake.rss + 267, key, sizeof key) != 0);
        memcpy(key, fake.rss + 267, sizeof key);
        check_traffic(pairs);
        fake_end();
    }
    CHECK_EQ(start(1), 0);
    CHECK_EQ(fake.driver_features & (mq | rss), 0);
    fake_end();
    CHECK_EQ(start(PAIRS), 0);
    fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    CHECK(netdev_recover(fake_dev));
    CHECK(fake.rss_bytes > 0);
    check_traffic(PAIRS);
    fake_end();
    fake.refuses_commands = true;
    CHECK_EQ(start(PAIRS), NETDEV_EDEVICE);
    fake_end();
}

FAKE_TEST(virtio_net_steering_that_can_not_be)
{
    static const struct {
        uint32_t types;
        uint16_t table;
        uint8_t key;
    } limits[] = {{0x3f, 128, 39}, {0x3f, 128, 0}, {0x3f, 127, 40},
                  {0x3f, 0, 40},   {0, 128, 40},   {~0x3fu, 128, 40}};

    begin(PAIRS);
    fake.features |= rss;
    for (uint32_t i = 0; i < ARRAY_LEN(limits); i++) {
        fake.config.supported_hash_types = limits[i].types;
        fake.config.rss_max_indirection_table_length = limits[i].table;
        fake.config.rss_max_key_size = limits[i].key;
        CHECK_EQ(fake_examine(), 0);
        CHECK_EQ(start(PAIRS), 0);
        CHECK_EQ(fake.driver_features & (mq | rss), mq);
        CHECK_EQ(fake.pairs, PAIRS);
        CHECK_EQ(fake.rss_bytes, 0);
        fake_end();
    }
    fake.config.supported_hash_types = ~0u;
    fake.config.rss_max_indirection_table_length = UINT16_MAX;
    fake.config.rss_max_key_size = UINT8_MAX;
    CHECK_EQ(fake_examine(), 0);
    CHECK_EQ(start(PAIRS), 0);
    CHECK_EQ(le16_at(0), 0x3f);
    CHECK_EQ(le16_at(4), 127);
    fake_end();
}
