/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of netfront's receive interrupts. */
#include "netdev/netfront/netback_fake_test.h"

enum { FRAME = 100, DESCS = 64 };

static struct netbuf *bufs[NETDEV_MAX_BURST];

static void begin(void)
{
    netback_begin();
    CHECK_EQ(netback_start(1, DESCS), 0);
}

static const struct fake_port *port(void)
{
    return &fake_xen.ports[netback.queues[0].rx_port];
}

static void packet_comes(void)
{
    CHECK(netback_send(0, 0, FRAME, 0));
}

static uint32_t receive_burst(void)
{
    uint32_t count = netdev_rx_burst(fake_vif, 0, bufs, NETDEV_MAX_BURST);

    netbuf_free_bulk(bufs, count);
    return count;
}

static int arm(bool on)
{
    return netdev_rx_intr(fake_vif, 0, on);
}

TEST(netfront_interrupts_who_armed_once)
{
    begin();
    uint32_t before = port()->notified;
    CHECK(!port()->awake);
    for (uint32_t i = 0; i < 100; i++) {
        CHECK_EQ(arm(true), 0);
        CHECK(port()->awake && !port()->pending);
        packet_comes();
        CHECK(port()->pending);
        packet_comes();
        CHECK_EQ(port()->notified, ++before);
        CHECK_EQ(arm(false), 0);
        CHECK(!port()->awake);
        CHECK_EQ(arm(false), 0); /* once more is no harm */
        packet_comes();
        CHECK_EQ(port()->notified, before);
        CHECK_EQ(receive_burst(), 3);
    }
    CHECK_EQ(arm(true), 0);
    CHECK_EQ(arm(false), 0);
    packet_comes(); /* disarmed before anything came */
    CHECK_EQ(port()->notified, before);
    CHECK_EQ(receive_burst(), 1);
    netback_end();
}

TEST(netfront_arming_tells_of_packets_that_wait)
{
    begin();
    packet_comes();
    const uint32_t before = port()->notified;
    CHECK_EQ(arm(true), NETDEV_EAGAIN);
    CHECK(!port()->awake);
    packet_comes();
    CHECK_EQ(port()->notified, before); /* it isn't armed */
    CHECK_EQ(receive_burst(), 2);
    CHECK_EQ(arm(true), 0);
    packet_comes();
    CHECK_EQ(receive_burst(), 1);
    CHECK_EQ(arm(true), 0);  /* still armed, and now again */
    CHECK(!port()->pending); /* the event of a packet that was received wakes nobody */
    packet_comes();
    CHECK_EQ(port()->notified, before + 2);
    CHECK_EQ(receive_burst(), 1);
    netback_end();
}

/* Behind the first slot of a packet, the next one is waited for. */
TEST(netfront_arming_in_the_middle_of_a_packet)
{
    begin();
    CHECK(netback_send(0, 0, FRAME, NETRXF_more_data));
    CHECK_EQ(receive_burst(), 0);
    CHECK_EQ(arm(true), 0);
    CHECK(!port()->pending);
    packet_comes();
    CHECK(port()->pending);
    CHECK_EQ(arm(true), NETDEV_EAGAIN);
    CHECK_EQ(receive_burst(), 1);
    netback_end();
}

TEST(netfront_stays_armed_when_the_back_end_comes_back)
{
    begin();
    CHECK_EQ(arm(true), 0);
    netback_detach();
    CHECK(!fake_vif_link_up());
    CHECK_EQ(arm(true), 0); /* and can be armed with nobody there */
    netback_attach(FAKE_OTHER_BACK, 1);
    for (uint32_t i = 0; i < 5 && !fake_vif_link_up(); i++)
        continue;
    CHECK(fake_vif_link_up());
    CHECK(port()->awake);
    packet_comes();
    CHECK(port()->pending);
    CHECK_EQ(arm(true), NETDEV_EAGAIN);
    CHECK_EQ(receive_burst(), 1);
    netback_end();
}

/* Responses that there were no requests for: a burst finds out, and the queue can be waited for. */
TEST(netfront_arming_a_queue_that_broke)
{
    begin();
    netback.queues[0].rx->rsp_prod += DESCS + 1;
    CHECK_EQ(arm(true), NETDEV_EAGAIN);
    CHECK_EQ(fake_drops_rx(NETDEV_DROP_BAD_ID), 1);
    CHECK_EQ(receive_burst(), 0);
    CHECK_EQ(arm(true), 0);
    CHECK_EQ(arm(false), 0);
    netback.queues[0].rx->rsp_prod -= DESCS + 1;
    netback_end();
}
