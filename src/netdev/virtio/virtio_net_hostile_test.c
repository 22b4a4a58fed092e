/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of virtio-net with devices that break the rules: nothing they write may hurt, no wait is
 * without an end, and after stop every buffer is back. */
#include "boot/boot.h"
#include "netdev/virtio/virtio_fake_test.h"

enum { FRAME = 100, DESCS = 16 };

static struct netbuf *bufs[NETDEV_MAX_BURST];

static void begin(void)
{
    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
}

static uint32_t receive(void)
{
    return netdev_rx_burst(fake_dev, 0, bufs, NETDEV_MAX_BURST);
}

static void send_one(void)
{
    struct netbuf *packet = fake_packet(0, FRAME);

    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1);
}

/* The receive queue stands still, and comes back by stop and start. */
static void check_rx_broken(void)
{
    CHECK(fake_net.rx->base.broken);
    CHECK_EQ(fake_rx_drops(NETDEV_DROP_BAD_ID), 1);
    CHECK_EQ(netdev_rx_more(fake_dev, 0), 0);
    fake_receive(NULL, 0, FRAME);
    CHECK_EQ(receive(), 0);
    CHECK_EQ(fake_rx_drops(NETDEV_DROP_BAD_ID), 1);
    fake_end();
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    CHECK(fake_receive(NULL, 0, FRAME));
    CHECK_EQ(receive(), 1);
    netbuf_free(bufs[0]);
    fake_end();
}

FAKE_TEST(virtio_net_rx_id_outside_the_ring)
{
    static const uint32_t ids[] = {DESCS, UINT16_MAX, UINT32_MAX, 1u << 31 | DESCS};

    for (uint32_t i = 0; i < ARRAY_LEN(ids); i++) {
        begin();
        CHECK(fake_receive(NULL, 0, FRAME));
        fake_use(VIRTIO_NET_RX, ids[i], 100);
        CHECK_EQ(receive(), 1); /* the good one before it isn't lost */
        netbuf_free(bufs[0]);
        check_rx_broken();
    }
}

FAKE_TEST(virtio_net_rx_id_twice)
{
    uint32_t id;

    begin();
    CHECK(fake_take(VIRTIO_NET_RX, &id));
    fake_use(VIRTIO_NET_RX, id, FRAME);
    fake_use(VIRTIO_NET_RX, id, FRAME);
    CHECK_EQ(receive(), 1);
    netbuf_free(bufs[0]);
    check_rx_broken();
}

FAKE_TEST_ON(VRING_SPLIT, virtio_net_rx_used_index_runs_away)
{
    static const uint16_t runs[] = {DESCS + 1, 0x7fff, 0x8000, UINT16_MAX};

    for (uint32_t i = 0; i < ARRAY_LEN(runs); i++) {
        begin();
        fake_used(VIRTIO_NET_RX)->idx = runs[i];
        CHECK_EQ(receive(), 0);
        check_rx_broken();
    }
}

FAKE_TEST(virtio_net_rx_lengths_that_can_not_be)
{
    static const uint32_t lens[] = {0, 11, 12, 25, 2048 - 64 + 12 + 1, 65536 + 100, UINT32_MAX};
    uint32_t id, got = 0;

    begin();
    for (uint32_t i = 0; i < ARRAY_LEN(lens); i++) {
        CHECK(fake_take(VIRTIO_NET_RX, &id));
        fake_use(VIRTIO_NET_RX, id, lens[i]);
    }
    CHECK(fake_receive(NULL, 9, FRAME));
    CHECK_EQ(receive(), 1);
    CHECK(fake_counts_up(bufs[0]->data, 9, FRAME));
    netbuf_free(bufs[0]);
    CHECK_EQ(fake_rx_drops(NETDEV_DROP_BAD_LEN), ARRAY_LEN(lens));
    while (fake_receive(NULL, 0, FRAME))
        got++;
    CHECK_EQ(got, DESCS); /* what was dropped is back in the ring */
    fake_end();
}

FAKE_TEST(virtio_net_rx_absurd_number_of_buffers)
{
    static const uint16_t counts[] = {0, 3, 65, UINT16_MAX};
    struct virtio_net_hdr_v1 h = {0};

    fake_begin();
    CHECK_EQ(fake_start(fake_small_pool(), 32, DESCS), 0);
    for (uint32_t i = 0; i < ARRAY_LEN(counts); i++) {
        h.num_buffers = counts[i];
        CHECK(fake_receive(&h, 0, FRAME));
        CHECK_EQ(receive(), 0);
        CHECK_EQ(fake_rx_drops(NETDEV_DROP_BAD_META), i + 1);
    }
    h.num_buffers = 1;
    CHECK(fake_receive(&h, 0, FRAME));
    CHECK_EQ(receive(), 1);
    netbuf_free(bufs[0]);
    fake_end();
}

/* It wrote no header: what stands in the buffer is from a packet before. */
FAKE_TEST(virtio_net_rx_length_without_a_header)
{
    const struct virtio_net_hdr_v1 stale = {.num_buffers = 3};
    struct fake_piece piece;
    uint32_t id;

    fake_begin();
    CHECK_EQ(fake_start(fake_small_pool(), 32, DESCS), 0);
    for (uint32_t len = 0; len < VIRTIO_NET_HEADER; len += VIRTIO_NET_HEADER - 1) {
        CHECK(fake_take(VIRTIO_NET_RX, &id));
        CHECK_EQ(fake_chain(VIRTIO_NET_RX, id, &piece, 1), 1);
        memcpy(piece.addr, &stale, sizeof stale);
        fake_use(VIRTIO_NET_RX, id, len);
        CHECK(fake_receive(NULL, 0, FRAME) && fake_receive(NULL, 1, FRAME));
        CHECK_EQ(receive(), 2); /* they are no pieces of it */
        netbuf_free_bulk(bufs, 2);
    }
    CHECK_EQ(fake_rx_drops(NETDEV_DROP_BAD_LEN), 2);
    fake_end();
}

FAKE_TEST(virtio_net_rx_later_piece_is_bad)
{
    static const uint32_t lens[] = {0, FAKE_SMALL_BUF - 64 + 12 + 1, UINT32_MAX};
    struct virtio_net_hdr_v1 h = {.num_buffers = 3};
    uint32_t id;

    fake_begin();
    CHECK_EQ(fake_start(fake_small_pool(), 32, DESCS), 0);
    for (uint32_t i = 0; i < ARRAY_LEN(lens); i++) {
        CHECK(fake_receive(&h, 0, FRAME));
        CHECK(fake_take(VIRTIO_NET_RX, &id));
        fake_use(VIRTIO_NET_RX, id, lens[i]);
        CHECK(fake_take(VIRTIO_NET_RX, &id));
        fake_use(VIRTIO_NET_RX, id, 50);
        CHECK_EQ(receive(), 0);
        CHECK_EQ(fake_rx_drops(NETDEV_DROP_BAD_META), i + 1);
    }
    CHECK(fake_receive(&h, 0, FRAME));
    fake_use(VIRTIO_NET_RX, UINT32_MAX, 50); /* the ring breaks inside a packet */
    CHECK_EQ(receive(), 0);
    CHECK(fake_net.rx->base.broken);
    fake_end();
}

FAKE_TEST(virtio_net_tx_id_never_sent)
{
    struct netbuf *packet;
    uint32_t id;

    begin();
    send_one();
    CHECK(fake_take(VIRTIO_NET_TX, &id));
    fake_use(VIRTIO_NET_TX, (id + 1) % DESCS, 0);
    CHECK_EQ(netdev_tx_reclaim(fake_dev, 0), 0);
    CHECK_EQ(fake_tx_drops(NETDEV_DROP_BAD_ID), 1);
    CHECK_EQ(netdev_tx_room(fake_dev, 0), 0);
    packet = fake_packet(0, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 0); /* stands still */
    netbuf_free(packet);
    fake_end();
    CHECK_EQ(fake_tx_drops(NETDEV_DROP_STOP), 1);
}

FAKE_TEST_ON(VRING_SPLIT, virtio_net_tx_id_inside_a_chain)
{
    struct netbuf *packet = fake_packet(0, FRAME);
    uint32_t head;

    begin();
    netbuf_chain(packet, fake_packet(0, FRAME));
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1);
    CHECK(fake_take(VIRTIO_NET_TX, &head));
    fake_use(VIRTIO_NET_TX, fake_desc(VIRTIO_NET_TX, head)->next, 0);
    CHECK_EQ(netdev_tx_reclaim(fake_dev, 0), 0);
    CHECK(fake_net.tx->base.broken);
    fake_end();
}

FAKE_TEST_ON(VRING_SPLIT, virtio_net_tx_used_index_runs_away)
{
    begin();
    send_one();
    fake_used(VIRTIO_NET_TX)->idx = 2;
    CHECK_EQ(netdev_tx_reclaim(fake_dev, 0), 0);
    CHECK(fake_net.tx->base.broken);
    fake_end();
}

/* All of a packed ring marked as used: one packet twice, and the others are still the device's. */
FAKE_TEST_ON(VRING_PACKED, virtio_net_rx_everything_used_at_once)
{
    static const uint16_t flags[] = {VRING_PACKED_AVAIL | VRING_PACKED_USED, UINT16_MAX};

    for (uint32_t i = 0; i < ARRAY_LEN(flags); i++) {
        begin();
        for (uint32_t at = 0; at < DESCS; at++) {
            struct vring_packed_desc *slot = fake_slots(VIRTIO_NET_RX) + at;
            slot->id = 5;
            slot->len = VIRTIO_NET_HEADER + FRAME;
            slot->flags = flags[i];
        }
        CHECK_EQ(receive(), 1);
        netbuf_free(bufs[0]);
        check_rx_broken();
    }
}

/* The queue looks at what the device wrote into a descriptor, not at what it had written itself. */
FAKE_TEST_ON(VRING_PACKED, virtio_net_slots_overwritten_by_the_device)
{
    struct netbuf *packet = fake_packet(0, FRAME);
    uint32_t id;

    begin();
    netbuf_chain(packet, fake_packet(0, FRAME));
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1);
    CHECK(fake_take(VIRTIO_NET_TX, &id));
    for (uint32_t at = 0; at < DESCS; at++) {
        fake_slots(VIRTIO_NET_TX)[at].addr = fake_slots(VIRTIO_NET_RX)[at].addr = UINT64_MAX;
        fake_slots(VIRTIO_NET_TX)[at].len = fake_slots(VIRTIO_NET_RX)[at].len = UINT32_MAX;
    }
    fake_use(VIRTIO_NET_TX, id, UINT32_MAX);
    CHECK_EQ(netdev_tx_reclaim(fake_dev, 0), 1);
    CHECK_EQ(netdev_tx_room(fake_dev, 0), DESCS);
    CHECK(fake_take(VIRTIO_NET_RX, &id));
    fake_use(VIRTIO_NET_RX, id, FRAME);
    CHECK_EQ(receive(), 1);
    netbuf_free(bufs[0]);
    fake_end();
}

FAKE_TEST_ON(VRING_SPLIT, virtio_net_descriptors_overwritten_by_the_device)
{
    struct netbuf *packet = fake_packet(0, FRAME);
    uint32_t id;

    begin();
    netbuf_chain(packet, fake_packet(0, FRAME));
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1);
    CHECK(fake_take(VIRTIO_NET_TX, &id));
    memset(fake_desc(VIRTIO_NET_TX, 0), 0xff, DESCS * sizeof(struct vring_desc));
    memset(fake_desc(VIRTIO_NET_RX, 0), 0xff, DESCS * sizeof(struct vring_desc));
    fake_use(VIRTIO_NET_TX, id, UINT32_MAX);
    CHECK_EQ(netdev_tx_reclaim(fake_dev, 0), 1);
    CHECK_EQ(netdev_tx_room(fake_dev, 0), DESCS);
    CHECK(fake_take(VIRTIO_NET_RX, &id));
    fake_use(VIRTIO_NET_RX, id, FRAME);
    CHECK_EQ(receive(), 1);
    netbuf_free(bufs[0]);
    fake_end();
}

/* --- control -------------------------------------------------------------------------------- */

FAKE_TEST(virtio_net_configure_again_after_it_failed)
{
    fake_begin();
    fake.refuses_features = true;
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), NETDEV_EDEVICE);
    CHECK_EQ(fake_net.base.state, NETDEV_FOUND);
    CHECK_EQ(fake.status, 0);
    CHECK_EQ(netdev_start(fake_dev), NETDEV_ESTATE);
    fake.refuses_features = false;
    fake.refuses_queues = true;
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), NETDEV_EDEVICE);
    CHECK_EQ(fake_net.base.state, NETDEV_FOUND);
    fake_end();
    fake.refuses_queues = false;
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    fake_end();
}

FAKE_TEST(virtio_net_command_without_an_answer)
{
    uint32_t id;

    begin();
    fake.silent = true;
    CHECK_EQ(netdev_set_promisc(fake_dev, true), NETDEV_ETIMEOUT);
    CHECK_EQ(netdev_set_promisc(fake_dev, true), NETDEV_ETIMEOUT);
    CHECK(fake_take(VIRTIO_NET_CONTROL, &id)); /* the answer comes late */
    fake_use(VIRTIO_NET_CONTROL, id, 1);
    CHECK(!fake_take(VIRTIO_NET_CONTROL, &id)); /* the second was never posted */
    fake.silent = false;
    CHECK_EQ(netdev_set_promisc(fake_dev, true), 0);
    CHECK_EQ(fake.promisc, 1);
    fake.silent = true;
    CHECK_EQ(netdev_set_promisc(fake_dev, true), NETDEV_ETIMEOUT);
    fake_use(VIRTIO_NET_CONTROL, VIRTIO_NET_DESCS_MIN, 1); /* no such command */
    CHECK_EQ(netdev_set_promisc(fake_dev, true), NETDEV_EDEVICE);
    CHECK_EQ(netdev_set_promisc(fake_dev, true), NETDEV_EDEVICE);
    fake_end();
}

FAKE_TEST(virtio_net_refuses_devices_that_are_not_modern)
{
    fake_begin();
    fake.features &= ~VIRTIO_BIT(VIRTIO_F_VERSION_1);
    CHECK_EQ(fake_examine(), NETDEV_EDEVICE);
    CHECK(fake.status & VIRTIO_CONFIG_S_FAILED);
    fake_end();
}

FAKE_TEST(virtio_net_config_that_never_holds_still)
{
    fake_begin();
    fake.never_still = true;
    CHECK(netdev_recover(fake_dev)); /* one field is read as it is */
    CHECK_EQ(fake_examine(), NETDEV_EDEVICE);
    fake_end();
}

FAKE_TEST(virtio_net_mtu_nonsense_is_ignored)
{
    static const uint16_t mtus[] = {0, 1, 67};
    struct netdev_info info;

    fake_begin();
    for (uint32_t i = 0; i < ARRAY_LEN(mtus); i++) {
        fake.config.mtu = mtus[i];
        CHECK_EQ(fake_examine(), 0);
        netdev_info(fake_dev, &info);
        CHECK_EQ(info.mtu_bytes, 1500);
        CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
        CHECK_EQ(fake.driver_features & VIRTIO_BIT(VIRTIO_NET_F_MTU), 0);
        fake_end();
    }
    fake.config.mtu = UINT16_MAX;
    CHECK_EQ(fake_examine(), 0);
    netdev_info(fake_dev, &info);
    CHECK_EQ(info.mtu_max_bytes, UINT16_MAX);
    fake_end();
}

FAKE_TEST(virtio_net_queue_sizes_that_can_not_be)
{
    struct netdev_info info;

    fake_begin();
    fake.queue_max[VIRTIO_NET_RX] = 255; /* not a power of two */
    fake.queue_max[VIRTIO_NET_TX] = UINT32_MAX;
    CHECK_EQ(fake_examine(), 0);
    netdev_info(fake_dev, &info);
    CHECK_EQ(info.rx_descs_max, 128);
    CHECK_EQ(info.tx_descs_max, VIRTIO_NET_DESCS_MAX);
    fake.queue_max[VIRTIO_NET_CONTROL] = 0;
    CHECK_EQ(fake_examine(), 0);
    CHECK_EQ(fake_start(fake_pool(), DESCS, DESCS), 0);
    CHECK_EQ(netdev_set_promisc(fake_dev, true), NETDEV_EDEVICE);
    fake_end();
    fake.queue_max[VIRTIO_NET_RX] = 0;
    CHECK_EQ(fake_examine(), NETDEV_EDEVICE);
    CHECK(fake.status & VIRTIO_CONFIG_S_FAILED);
    fake_end();
}

FAKE_TEST(virtio_net_group_address_is_not_used)
{
    struct netdev_info info;

    fake_begin();
    memset(fake.config.mac, 0xff, 6);
    CHECK_EQ(fake_examine(), 0);
    netdev_info(fake_dev, &info);
    CHECK_EQ(info.mac[0] & 3, 2);
    fake_end();
}

FAKE_TEST(virtio_net_device_that_is_gone)
{
    begin();
    fake.never_resets = true;
    fake.status = 0xff;
    CHECK(!netdev_recover(fake_dev));
    CHECK(!netdev_recover(fake_dev));
    struct netbuf *packet = fake_packet(0, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 0); /* it was told to reset */
    netbuf_free(packet);
    CHECK_EQ(netdev_set_promisc(fake_dev, true), NETDEV_EDEVICE);
    CHECK_EQ(receive(), 0);
    CHECK_EQ(netdev_stop(fake_dev), 0);
    fake_reset_at_last();
    fake_end();
}
