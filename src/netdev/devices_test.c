/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of all devices that the machine has, for tests from outside: with only=devices_ selftest
 * does nothing else. In a run of all tests this file's name has it come before the files that
 * register devices of their own; there usually are none then.
 */
#include "boot/boot.h"
#include "boot/test.h"
#include "netdev/netdev.h"

enum { BUFS = 64, FRAME_BYTES = 60, PATIENCE_NS = 2000000000 };

TEST(devices_are_listed)
{
    const uint32_t count = netdev_probe();
    struct netdev_info info;

    for (uint32_t i = 0; i < count; i++) {
        netdev_info(netdev_get(i), &info);
        CHECK(info.queue_pairs_max >= 1 && !(info.mac[0] & 1));
        print("device %u: %02x:%02x:%02x:%02x:%02x:%02x, %s at %s\n", i, info.mac[0], info.mac[1],
              info.mac[2], info.mac[3], info.mac[4], info.mac[5], info.driver, info.where);
    }
    CHECK(!netdev_get(count));
}

/* To all, from the device, of an Ethernet type that is free for experiments. */
static struct netbuf *frame_of(struct netbuf_pool *pool, const uint8_t mac[6])
{
    struct netbuf *frame = netbuf_alloc(pool);

    CHECK(netbuf_append(frame, FRAME_BYTES));
    memset(frame->data, 0, FRAME_BYTES);
    memset(frame->data, 0xff, 6);
    memcpy(frame->data + 6, mac, 6);
    store_be16(frame->data + 12, 0x88b5);
    return frame;
}

/* All are in use at the same time, and each sends a frame that has its address. */
TEST(devices_send_side_by_side)
{
    struct netbuf_pool *rx[NETDEV_MAX], *tx[NETDEV_MAX];
    const uint32_t count = netdev_probe();
    struct netdev_info info;

    for (uint32_t i = 0; i < count; i++) {
        netdev_info(netdev_get(i), &info);
        rx[i] = netdev_pool_create(&info, "received", BUFS, info.rx_buf_min_bytes);
        tx[i] = netdev_pool_create(&info, "sent", BUFS, FRAME_BYTES);
        CHECK_EQ(netdev_open(netdev_get(i), rx[i], 0), 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        netdev_info(netdev_get(i), &info);
        struct netbuf *frame = frame_of(tx[i], info.mac);
        CHECK_EQ(netdev_tx_burst(netdev_get(i), 0, &frame, 1), 1);
    }
    const uint64_t deadline_ns = clock_ns() + PATIENCE_NS;
    for (uint32_t i = 0; i < count; i++) {
        struct netdev_queue_stats stats;
        while (netbuf_pool_free_count(tx[i]) < BUFS && clock_ns() < deadline_ns)
            netdev_tx_reclaim(netdev_get(i), 0);
        CHECK_EQ(netbuf_pool_free_count(tx[i]), BUFS);
        CHECK(netdev_txq_stats(netdev_get(i), 0, &stats) && stats.packets == 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQ(netdev_stop(netdev_get(i)), 0);
        CHECK(netbuf_pool_whole(rx[i]) && netbuf_pool_whole(tx[i]));
    }
}
