/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of virtio-net with a device that keeps to the rules: virtio_net_hostile_test.c has others.
 */
#include "netdev/virtio/virtio_fake_test.h"

enum { FRAME = 100 };

/* Sends and has the device take it all; returns how many the queue took. */
static uint32_t send(uint32_t n, uint16_t len)
{
    struct netbuf *bufs[NETDEV_MAX_BURST];

    for (uint32_t i = 0; i < n; i++)
        bufs[i] = fake_packet((uint8_t)i, len);
    uint32_t sent = netdev_tx_burst(fake_dev, 0, bufs, n);
    netbuf_free_bulk(bufs + sent, n - sent);
    return sent;
}

static uint32_t receive(struct netbuf **bufs)
{
    return netdev_rx_burst(fake_dev, 0, bufs, NETDEV_MAX_BURST);
}

FAKE_TEST(virtio_net_leaves_offloads_that_nobody_wants)
{
    const struct netdev_conf conf = {.queue_pairs = 1};
    const struct netdev_rxq_conf rx = {.pool = fake_pool()};
    const struct netdev_txq_conf tx = {0};
    struct netbuf *packet;

    fake_begin();
    CHECK_EQ(netdev_configure(fake_dev, &conf), 0);
    CHECK_EQ(netdev_rxq_setup(fake_dev, 0, &rx), 0);
    CHECK_EQ(netdev_txq_setup(fake_dev, 0, &tx), 0);
    CHECK_EQ(netdev_start(fake_dev), 0);
    CHECK_EQ(fake.driver_features &
                 (VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM)),
             0);
    packet = fake_packet(0, FRAME); /* chains and partial checksums can't be sent now */
    netbuf_chain(packet, fake_packet(0, FRAME));
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1);
    packet = fake_packet(0, FRAME);
    packet->flags = NETBUF_CSUM_PARTIAL;
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1);
    CHECK_EQ(fake_tx_drops(NETDEV_DROP_BAD_META), 2);
    fake_end();
}

FAKE_TEST(virtio_net_packets_go_both_ways_over_many_wraps)
{
    static uint8_t frame[2048];
    struct netbuf *bufs[NETDEV_MAX_BURST];
    struct netdev_queue_stats stats;
    struct virtio_net_hdr_v1 header;
    uint32_t len, rounds = 70000 / 7;

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 8), 0);
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint8_t i = 0; i < 7; i++)
            CHECK(fake_receive(NULL, i, 60u + i));
        CHECK_EQ(receive(bufs), 7);
        for (uint8_t i = 0; i < 7; i++) {
            CHECK_EQ(bufs[i]->len, 60 + i);
            CHECK(fake_counts_up(bufs[i]->data, i, bufs[i]->len));
        }
        CHECK_EQ(netdev_tx_burst(fake_dev, 0, bufs, 7), 7); /* and back, in the same buffers */
        for (uint8_t i = 0; i < 7; i++) {
            CHECK(fake_sent(&header, frame, &len));
            CHECK_EQ(len, 60 + i);
            CHECK(fake_counts_up(frame, i, len));
            CHECK(header.flags == 0 && header.gso_type == 0 && header.num_buffers == 0);
        }
    }
    CHECK(netdev_rxq_stats(fake_dev, 0, &stats));
    CHECK_EQ(stats.packets, rounds * 7);
    CHECK_EQ(stats.bytes, rounds * (7 * 60 + 21));
    CHECK_EQ(stats.bursts, rounds);
    CHECK(netdev_txq_stats(fake_dev, 0, &stats));
    CHECK_EQ(stats.packets, rounds * 7);
    CHECK_EQ(stats.bytes, rounds * (7 * 60 + 21));
    fake_end();
}

FAKE_TEST(virtio_net_completions_in_any_order)
{
    uint32_t ids[8];

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 8), 0);
    for (uint32_t round = 0; round < 20; round++) {
        CHECK_EQ(send(8, FRAME), 8);
        for (uint32_t i = 0; i < 8; i++)
            CHECK(fake_take(VIRTIO_NET_TX, &ids[i]));
        for (uint32_t i = 0; i < 8; i++)
            fake_use(VIRTIO_NET_TX, ids[(i * 5 + round) % 8], 0);
        CHECK_EQ(netdev_tx_reclaim(fake_dev, 0), 8);
        CHECK_EQ(netdev_tx_room(fake_dev, 0), 8);
    }
    fake_end();
}

FAKE_TEST(virtio_net_full_ring_takes_what_fits)
{
    static uint8_t frame[2048];
    struct virtio_net_hdr_v1 header;
    uint32_t len;

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 8), 0);
    CHECK_EQ(netdev_tx_room(fake_dev, 0), 8);
    CHECK_EQ(send(10, FRAME), 8);
    CHECK_EQ(netdev_tx_room(fake_dev, 0), 0);
    CHECK_EQ(send(1, FRAME), 0);
    CHECK(fake_sent(&header, frame, &len));
    CHECK_EQ(send(3, FRAME), 1); /* what is finished makes room at once */
    CHECK_EQ(send(0, FRAME), 0);
    fake_end();
}

FAKE_TEST(virtio_net_reclaim_without_sending)
{
    static uint8_t frame[2048];
    struct virtio_net_hdr_v1 header;
    uint32_t len, free = netbuf_pool_free_count(fake_pool());

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    CHECK_EQ(send(5, FRAME), 5);
    CHECK_EQ(netdev_tx_reclaim(fake_dev, 0), 0);
    CHECK_EQ(netbuf_pool_free_count(fake_pool()), free - 16 - 5);
    while (fake_sent(&header, frame, &len))
        CHECK_IN_TIME();
    CHECK_EQ(netdev_tx_reclaim(fake_dev, 0), 5);
    CHECK_EQ(netbuf_pool_free_count(fake_pool()), free - 16);
    CHECK_EQ(netdev_tx_room(fake_dev, 0), 16);
    fake_end();
}

FAKE_TEST(virtio_net_burst_limits_and_more)
{
    struct netbuf *bufs[NETDEV_MAX_BURST];

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    for (uint8_t i = 0; i < 10; i++)
        CHECK(fake_receive(NULL, i, FRAME));
    CHECK_EQ(netdev_rx_burst(fake_dev, 0, bufs, 4), 4);
    CHECK_EQ(netdev_rx_more(fake_dev, 0), fake_kind == VRING_PACKED ? 1 : 6);
    CHECK_EQ(netdev_rx_burst(fake_dev, 0, bufs + 4, UINT32_MAX), 6);
    CHECK_EQ(netdev_rx_more(fake_dev, 0), 0);
    CHECK_EQ(netdev_rx_burst(fake_dev, 0, bufs + 10, 4), 0);
    CHECK_EQ(netdev_rx_burst(fake_dev, 1, bufs + 10, 4), 0); /* no such queue */
    netbuf_free_bulk(bufs, 10);
    fake_end();
}

FAKE_TEST(virtio_net_kicks_at_most_once_a_burst)
{
    struct netbuf *bufs[NETDEV_MAX_BURST];
    struct netdev_queue_stats stats;

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    struct fake_queue *tx = &fake.queues[VIRTIO_NET_TX], *rx = &fake.queues[VIRTIO_NET_RX];
    CHECK_EQ(rx->kicks, 1); /* the ring was filled */
    CHECK_EQ(send(7, FRAME), 7);
    CHECK_EQ(tx->kicks, 1);
    CHECK_EQ(send(0, FRAME), 0);
    CHECK_EQ(netdev_tx_reclaim(fake_dev, 0), 0);
    CHECK_EQ(tx->kicks, 1);
    fake_needs_no_kicks(VIRTIO_NET_TX);
    CHECK_EQ(send(3, FRAME), 3);
    CHECK_EQ(tx->kicks, 1);
    CHECK_EQ(receive(bufs), 0); /* nothing was added */
    CHECK_EQ(rx->kicks, 1);
    for (uint8_t i = 0; i < 5; i++)
        CHECK(fake_receive(NULL, i, FRAME));
    netbuf_free_bulk(bufs, receive(bufs));
    CHECK_EQ(rx->kicks, 2);
    fake_needs_no_kicks(VIRTIO_NET_RX);
    CHECK(fake_receive(NULL, 0, FRAME));
    netbuf_free_bulk(bufs, receive(bufs));
    CHECK_EQ(rx->kicks, 2);
    CHECK(netdev_txq_stats(fake_dev, 0, &stats));
    CHECK_EQ(stats.kicks, 1);
    fake_end();
}

/* Whatever became of the kicks before. */
FAKE_TEST(virtio_net_kicks_again_when_the_link_is_looked_at)
{
    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t looks = 0; looks < 3; looks++)
            CHECK(netdev_recover(fake_dev));
        const uint32_t rx = fake.queues[VIRTIO_NET_RX].kicks, tx = fake.queues[VIRTIO_NET_TX].kicks;
        fake_needs_no_kicks(VIRTIO_NET_TX);
        struct netbuf *packet = fake_packet(0, FRAME);
        CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1);
        CHECK_EQ(fake.queues[VIRTIO_NET_TX].kicks, tx);
        for (uint32_t looks = 0; looks < 3; looks++)
            CHECK(netdev_recover(fake_dev));
        CHECK_EQ(fake.queues[VIRTIO_NET_TX].kicks, tx + 1); /* once: nothing was posted since */
        CHECK_EQ(fake.queues[VIRTIO_NET_RX].kicks, rx);
        struct virtio_net_hdr_v1 header;
        uint8_t frame[FRAME];
        uint32_t len;
        CHECK(fake_sent(&header, frame, &len));
    }
    fake_end();
}

FAKE_TEST(virtio_net_dry_pool_recovers)
{
    static struct netbuf *held[FAKE_POOL];
    struct netbuf *bufs[NETDEV_MAX_BURST];

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    uint32_t count = netbuf_alloc_bulk(fake_pool(), held, FAKE_POOL);
    CHECK_EQ(count, FAKE_POOL - 16);
    for (uint8_t i = 0; i < 16; i++)
        CHECK(fake_receive(NULL, i, FRAME));
    CHECK_EQ(receive(bufs), 16);
    CHECK_EQ(fake_rx_drops(NETDEV_DROP_NO_BUF), 1);
    CHECK(!fake_receive(NULL, 0, FRAME)); /* the ring is dry */
    CHECK(fake_dev->rxq[0]->empty);
    uint32_t kicks = fake.queues[VIRTIO_NET_RX].kicks;
    CHECK_EQ(receive(bufs), 0);
    CHECK_EQ(fake.queues[VIRTIO_NET_RX].kicks, kicks); /* nothing was added */
    CHECK_EQ(fake_rx_drops(NETDEV_DROP_NO_BUF), 2);
    netbuf_free_bulk(bufs, 3);
    CHECK_EQ(receive(bufs), 0); /* fills what it can although nothing came */
    CHECK_EQ(fake_rx_drops(NETDEV_DROP_NO_BUF), 3);
    CHECK(!fake_dev->rxq[0]->empty);
    for (uint8_t i = 0; i < 3; i++)
        CHECK(fake_receive(NULL, i, FRAME));
    CHECK(!fake_receive(NULL, 3, FRAME));
    netbuf_free_bulk(bufs + 3, 13);
    netbuf_free_bulk(held, count);
    netbuf_free_bulk(bufs, receive(bufs));
    for (uint8_t i = 0; i < 16; i++)
        CHECK(fake_receive(NULL, i, FRAME)); /* the ring has its full size again */
    CHECK(!fake_receive(NULL, 16, FRAME));
    fake_end();
}

FAKE_TEST(virtio_net_checksum_flags_received)
{
    struct virtio_net_hdr_v1 h = {.num_buffers = 1};
    struct netbuf *bufs[NETDEV_MAX_BURST];

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    CHECK(fake_receive(&h, 0, FRAME));
    h.flags = VIRTIO_NET_HDR_F_DATA_VALID;
    CHECK(fake_receive(&h, 0, FRAME));
    h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    h.csum_start = 34;
    h.csum_offset = FRAME - 34 - 2; /* the sum is the frame's last two bytes */
    CHECK(fake_receive(&h, 0, FRAME));
    CHECK_EQ(receive(bufs), 3);
    CHECK_EQ(bufs[0]->flags, 0);
    CHECK_EQ(bufs[1]->flags, NETBUF_CSUM_GOOD);
    CHECK_EQ(bufs[2]->flags, NETBUF_CSUM_PARTIAL);
    CHECK_EQ(bufs[2]->csum_start, 34);
    CHECK_EQ(bufs[2]->csum_offset, FRAME - 36);
    netbuf_free_bulk(bufs, 3);
    h.csum_offset++; /* half outside */
    CHECK(fake_receive(&h, 0, FRAME));
    h.csum_start = UINT16_MAX;
    h.csum_offset = UINT16_MAX;
    CHECK(fake_receive(&h, 0, FRAME));
    h = (struct virtio_net_hdr_v1){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .num_buffers = 1};
    CHECK(fake_receive(&h, 0, FRAME));
    CHECK_EQ(receive(bufs), 0);
    CHECK_EQ(fake_rx_drops(NETDEV_DROP_BAD_META), 3);
    fake_end();
}

FAKE_TEST(virtio_net_checksum_left_to_the_device)
{
    static uint8_t frame[2048];
    struct netbuf *packet = fake_packet(0, FRAME);
    struct virtio_net_hdr_v1 header;
    uint32_t len;

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    packet->flags = NETBUF_CSUM_PARTIAL;
    packet->csum_start = 34;
    packet->csum_offset = 6;
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1);
    CHECK(fake_sent(&header, frame, &len));
    CHECK_EQ(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    CHECK_EQ(header.csum_start, 34);
    CHECK_EQ(header.csum_offset, 6);
    packet = fake_packet(0, FRAME);
    packet->flags = NETBUF_CSUM_PARTIAL;
    packet->csum_start = FRAME - 1;
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1);
    CHECK_EQ(fake_tx_drops(NETDEV_DROP_BAD_META), 1);
    CHECK(!fake_sent(&header, frame, &len));
    fake_end();
}

FAKE_TEST(virtio_net_sends_chains)
{
    static uint8_t frame[4096];
    struct virtio_net_hdr_v1 header;
    struct netbuf *packet;
    uint32_t len;

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 8), 0);
    for (uint32_t round = 0; round < 50; round++) {
        packet = fake_packet(0, 100);
        netbuf_chain(packet, fake_packet(100, 50));
        netbuf_chain(packet, fake_packet(150, 200));
        CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1);
        CHECK_EQ(netdev_tx_room(fake_dev, 0), 5);
        CHECK(fake_sent(&header, frame, &len));
        CHECK_EQ(len, 350);
        CHECK(fake_counts_up(frame, 0, len));
        CHECK_EQ(netdev_tx_reclaim(fake_dev, 0), 1);
        CHECK_EQ(netdev_tx_room(fake_dev, 0), 8);
    }
    CHECK_EQ(send(6, FRAME), 6); /* a chain that doesn't fit now stays the app's */
    packet = fake_packet(0, 100);
    netbuf_chain(packet, fake_packet(100, 50));
    netbuf_chain(packet, fake_packet(150, 50));
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 0);
    for (uint32_t i = 0; i < 6; i++)
        netbuf_chain(packet, fake_packet(0, 20));
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, &packet, 1), 1); /* and one of 9 pieces never will */
    CHECK_EQ(fake_tx_drops(NETDEV_DROP_BAD_META), 1);
    fake_end();
}

FAKE_TEST(virtio_net_drops_what_can_not_be_sent)
{
    static const uint8_t tag[] = {0x81, 0x00};
    struct netbuf *bufs[9];
    struct netdev_queue_stats stats;

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    bufs[0] = fake_packet(0, 0);
    bufs[1] = fake_packet(0, 13);
    bufs[2] = fake_packet(0, 1515);
    bufs[3] = fake_packet(0, FRAME);
    CHECK(netbuf_prepend(bufs[3], 64 - 11) != NULL); /* 11 bytes of headroom left */
    bufs[4] = fake_packet(0, 1519);
    memcpy(bufs[4]->data + 12, tag, sizeof tag);
    bufs[5] = fake_packet(0, 13); /* the tag that would be there isn't in the first piece */
    memcpy(bufs[5]->data + 12, tag, sizeof tag);
    netbuf_chain(bufs[5], fake_packet(0, 1505));
    bufs[6] = fake_packet(0, 1518);
    memcpy(bufs[6]->data + 12, tag, sizeof tag);
    bufs[7] = fake_packet(0, 1514);
    bufs[8] = fake_packet(0, 14);
    CHECK(netbuf_prepend(bufs[8], 1) != NULL); /* its header begins at an odd address */
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, bufs, 9), 9);
    CHECK(netdev_txq_stats(fake_dev, 0, &stats));
    CHECK_EQ(stats.drops[NETDEV_DROP_BAD_META], 6);
    CHECK_EQ(stats.packets, 3);
    CHECK_EQ(stats.bytes, 1518 + 1514 + 15);
    fake_end();
}

FAKE_TEST(virtio_net_merges_receive_buffers)
{
    const uint32_t room = FAKE_SMALL_BUF - 64;
    struct netbuf *bufs[NETDEV_MAX_BURST];
    static uint8_t frame[2048];

    fake_begin();
    CHECK_EQ(fake_start(fake_small_pool(), 64, 16), 0);
    CHECK(fake.driver_features & VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF));
    for (uint32_t round = 0; round < 20; round++) {
        CHECK(fake_receive(NULL, 3, 1514));
        CHECK(fake_receive(NULL, 5, FRAME));
        CHECK(fake_receive(NULL, 7, room + 1));
        CHECK_EQ(receive(bufs), 3);
        CHECK_EQ(netbuf_packet_len(bufs[0]), 1514);
        CHECK_EQ(netbuf_packet_pieces(bufs[0]), 1 + (1514 - room + room + 11) / (room + 12));
        CHECK_EQ(netbuf_packet_pieces(bufs[1]), 1);
        CHECK_EQ(netbuf_packet_pieces(bufs[2]), 2);
        uint32_t at = 0;
        for (struct netbuf *nb = bufs[0]; nb; at += nb->len, nb = nb->next)
            memcpy(frame + at, nb->data, nb->len);
        CHECK(fake_counts_up(frame, 3, 1514));
        netbuf_free_bulk(bufs, 3);
    }
    fake_end();
}

FAKE_TEST(virtio_net_starts_again_with_other_settings)
{
    struct netbuf *bufs[NETDEV_MAX_BURST];
    struct netdev_queue_stats stats;
    void *memory = NULL;

    fake_begin();
    for (uint32_t round = 0; round < 12; round++) {
        const uint16_t descs = (uint16_t)(256 >> round % 3);
        CHECK_EQ(fake_start(round % 2 ? fake_small_pool() : fake_pool(), descs >> 1, descs), 0);
        CHECK(round == 0 || fake_net.tx->memory == memory); /* the largest memory is kept */
        memory = fake_net.tx->memory;
        CHECK_EQ(send(9, FRAME), 9);
        for (uint8_t i = 0; i < 5; i++)
            CHECK(fake_receive(NULL, i, FRAME));
        CHECK_EQ(netdev_rx_burst(fake_dev, 0, bufs, 2), 2);
        netbuf_free_bulk(bufs, 2);
        fake_end(); /* with 9 packets out, 3 unread and a full receive ring */
        CHECK_EQ(fake_tx_drops(NETDEV_DROP_STOP), 9);
        CHECK_EQ(fake_rx_drops(NETDEV_DROP_STOP), 3);
        CHECK(netdev_rxq_stats(fake_dev, 0, &stats));
        CHECK_EQ(stats.packets, 2);
        CHECK_EQ(receive(bufs), 0);
    }
}

FAKE_TEST(virtio_net_link_and_mtu)
{
    struct netdev_info info;

    fake_begin();
    CHECK(netdev_recover(fake_dev));
    fake.config.status = 0;
    CHECK(!netdev_recover(fake_dev));
    CHECK_EQ(netdev_set_mtu(fake_dev, 67), NETDEV_EINVAL);
    CHECK_EQ(netdev_set_mtu(fake_dev, 1501), NETDEV_EINVAL);
    CHECK_EQ(netdev_set_mtu(fake_dev, 576), 0);
    netdev_info(fake_dev, &info);
    CHECK_EQ(info.mtu_bytes, 576);
    CHECK_EQ(info.mtu_max_bytes, 1500);
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    CHECK_EQ(netdev_set_mtu(fake_dev, 1500), NETDEV_ESTATE);
    CHECK_EQ(send(1, 590), 1);
    CHECK_EQ(send(1, 591), 1);
    CHECK_EQ(fake_tx_drops(NETDEV_DROP_BAD_META), 1);
    fake_end();
}
