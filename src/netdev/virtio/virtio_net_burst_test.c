/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of how virtio-net's bursts begin, end and mix; with a device that keeps to the rules. */
#include "netdev/virtio/virtio_fake_test.h"

enum { FRAME = 100 };

static void check_next_sent(uint8_t first, uint32_t frame_bytes)
{
    static uint8_t frame[2048];
    struct virtio_net_hdr_v1 header;
    uint32_t len;

    CHECK(fake_sent(&header, frame, &len));
    CHECK_EQ(len, frame_bytes);
    CHECK(fake_counts_up(frame, first, MIN(len, (uint32_t)FRAME)));
}

/* A chain of two pieces, of FRAME bytes each. */
static struct netbuf *chain_of_two(uint8_t first)
{
    struct netbuf *packet = fake_packet(first, FRAME);

    netbuf_chain(packet, fake_packet(0, FRAME));
    return packet;
}

/* As long as packets wait, a burst of more than four ends with a line of descriptors. */
FAKE_TEST(virtio_net_bursts_end_with_a_line_of_descriptors)
{
    struct netbuf *bufs[NETDEV_MAX_BURST];
    uint32_t got, total = 0;

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 64, 8), 0);
    for (uint8_t i = 0; i < 50; i++)
        CHECK(fake_receive(NULL, i, FRAME));
    CHECK_EQ(netdev_rx_burst(fake_dev, 0, bufs, 3), 3);
    CHECK_EQ(netdev_rx_burst(fake_dev, 0, bufs + 3, 8), 5); /* descriptors 3 to 7 */
    CHECK_EQ(netdev_rx_burst(fake_dev, 0, bufs + 8, 5), 4);
    CHECK_EQ(netdev_rx_burst(fake_dev, 0, bufs + 12, 32), 32);
    CHECK(netdev_rx_more(fake_dev, 0) > 0);
    for (total = 44; (got = netdev_rx_burst(fake_dev, 0, bufs + total, 32)) > 0; total += got)
        CHECK_IN_TIME();
    CHECK_EQ(total, 50); /* the line that the device has begun isn't held back */
    CHECK_EQ(netdev_rx_more(fake_dev, 0), 0);
    for (uint8_t i = 0; i < 50; i++)
        CHECK(fake_counts_up(bufs[i]->data, i, FRAME));
    netbuf_free_bulk(bufs, total);
    fake_end();
}

FAKE_TEST(virtio_net_sends_chains_among_single_packets_in_their_order)
{
    struct netbuf *bufs[5];

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    for (uint32_t round = 0; round < 40; round++) {
        bufs[0] = chain_of_two(10);
        bufs[1] = fake_packet(20, FRAME);
        bufs[2] = fake_packet(30, 5); /* too short: dropped */
        bufs[3] = chain_of_two(40);
        bufs[4] = fake_packet(50, FRAME);
        CHECK_EQ(netdev_tx_burst(fake_dev, 0, bufs, 5), 5);
        check_next_sent(10, 2 * FRAME);
        check_next_sent(20, FRAME);
        check_next_sent(40, 2 * FRAME);
        check_next_sent(50, FRAME);
        CHECK_EQ(fake_tx_drops(NETDEV_DROP_BAD_META), round + 1);
    }
    fake_end();
}

/* A burst ends at the first packet for which there is no room, though a later one would fit. */
FAKE_TEST(virtio_net_overtakes_no_chain_without_room)
{
    struct netdev_queue_stats stats;
    struct netbuf *bufs[5];

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 4), 0);
    for (uint8_t i = 0; i < 3; i++)
        bufs[i] = fake_packet(i, FRAME);
    bufs[3] = chain_of_two(3);
    bufs[4] = fake_packet(4, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, bufs, 5), 3);
    CHECK_EQ(netdev_tx_room(fake_dev, 0), 1);
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, bufs + 3, 2), 0);
    CHECK(netdev_txq_stats(fake_dev, 0, &stats));
    CHECK_EQ(stats.bursts, 1);
    for (uint8_t i = 0; i < 3; i++)
        check_next_sent(i, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, bufs + 3, 2), 2);
    check_next_sent(3, 2 * FRAME);
    check_next_sent(4, FRAME);
    fake_end();
}

/* That a packet was changed is a hint about caches: what is sent, and what stays of it, is alike.
 */
FAKE_TEST(virtio_net_sends_changed_packets_as_any)
{
    struct netbuf *bufs[2];

    fake_begin();
    CHECK_EQ(fake_start(fake_pool(), 16, 16), 0);
    bufs[0] = fake_packet(7, FRAME);
    bufs[1] = chain_of_two(8);
    bufs[0]->flags = bufs[1]->flags = NETBUF_CHANGED;
    CHECK_EQ(netdev_tx_burst(fake_dev, 0, bufs, 2), 2);
    check_next_sent(7, FRAME);
    check_next_sent(8, 2 * FRAME);
    CHECK_EQ(netdev_tx_reclaim(fake_dev, 0), 2);
    bufs[0] = netbuf_alloc(fake_pool());
    CHECK_EQ(bufs[0]->flags, 0);
    netbuf_free(bufs[0]);
    fake_end();
}
