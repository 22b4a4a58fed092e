/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of netfront with back ends that break the protocol of the rings: it drops, counts and goes
 * on, or lets the queue stand still; every buffer comes back. */
#include "netdev/netfront/netback_fake_test.h"
#include "netdev/received_test.h"

enum { FRAME = 100, DESCS = 64 };

static struct netbuf *bufs[NETDEV_MAX_BURST];

static void begin(void)
{
    netback_begin();
    CHECK_EQ(netback_start(1, DESCS), 0);
}

/* The next receive request's answer, with what the test wants in it. */
static void answer_next(int32_t status, uint16_t offset, uint16_t flags)
{
    struct netback_slot slot;

    CHECK(netback_next(0, &slot));
    slot.status = (int16_t)status;
    slot.offset = offset;
    slot.flags = flags;
    netback_answer(0, 1, slot);
}

/* The packets answered so far are dropped for this reason, the next one isn't. */
static void check_dropped(enum netdev_drop reason, uint64_t count)
{
    netback_publish_rx(0);
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS), 0);
    CHECK_EQ(fake_drops_rx(reason), count);
    CHECK(netback_send(0, 5, FRAME, 0));
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS), 1);
    CHECK(bufs[0]->len == FRAME && !bufs[0]->next && fake_counts(bufs[0]->data, 5, FRAME));
    netbuf_free(bufs[0]);
    CHECK_EQ(fake_drops_rx(reason), count);
}

static void check_rx_broken(void)
{
    CHECK_EQ(fake_drops_rx(NETDEV_DROP_BAD_ID), 1);
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS), 0);
    CHECK_EQ(netdev_rx_more(fake_vif, 0), 0);
    CHECK_EQ(fake_drops_rx(NETDEV_DROP_BAD_ID), 1);
    netback_end();
}

TEST(netfront_drops_lengths_that_cannot_be)
{
    static const struct {
        int32_t status;
        uint16_t offset;
    } bad[] = {{0, 0}, {13, 0}, {4097, 0}, {4096, 1}, {1, 4096}, {100, 65535}, {32767, 0}};

    begin();
    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++) {
        answer_next(bad[i].status, bad[i].offset, 0);
        check_dropped(NETDEV_DROP_BAD_LEN, i + 1);
    }
    netback_end();
}

/* An app may write as much behind `data` as it asked for, however short the packet is. */
TEST(netfront_moves_what_lies_late_in_its_page)
{
    const uint32_t headroom = netbuf_pool_conf(fake_pages())->headroom_bytes;
    static const uint16_t offsets[] = {1, 64, 65, 100, 150, 2048, PAGE_SIZE - FRAME};

    begin();
    for (uint32_t i = 0; i < ARRAY_LEN(offsets); i++) {
        answer_next(FRAME, offsets[i], NETRXF_more_data);
        answer_next(FRAME, offsets[i], 0);
        netback_publish_rx(0);
        CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS), 1);
        check_received(bufs[0], 0);
        CHECK_EQ(netbuf_headroom(bufs[0]), MIN((uint32_t)offsets[i], headroom));
        CHECK(bufs[0]->len == FRAME && fake_counts(bufs[0]->data, 1, FRAME));
        CHECK(bufs[0]->next->len == FRAME && fake_counts(bufs[0]->next->data, 1, FRAME));
        netbuf_free(bufs[0]);
    }
    netback_end();
}

/* Whoever changes a header does so in the first piece. */
TEST(netfront_drops_a_header_in_pieces)
{
    begin();
    answer_next(13, 0, NETRXF_more_data);
    answer_next(FRAME, 0, 0);
    check_dropped(NETDEV_DROP_BAD_LEN, 1);
    answer_next(1, PAGE_SIZE - 1, NETRXF_more_data);
    answer_next(FRAME, 0, 0);
    check_dropped(NETDEV_DROP_BAD_LEN, 2);
    netback_end();
}

TEST(netfront_drops_errors)
{
    static const int32_t errors[] = {NETIF_RSP_ERROR, NETIF_RSP_DROPPED, -32768};

    begin();
    for (uint32_t i = 0; i < ARRAY_LEN(errors); i++) {
        answer_next(errors[i], 0, 0);
        check_dropped(NETDEV_DROP_BAD_META, i + 1);
    }
    netback_end();
}

TEST(netfront_drops_a_chain_whole)
{
    begin();
    answer_next(FRAME, 0,
                NETRXF_more_data); /* one bad piece in the middle, at the front, at the end */
    answer_next(-1, 0, NETRXF_more_data);
    answer_next(FRAME, 0, 0);
    check_dropped(NETDEV_DROP_BAD_META, 1);
    answer_next(-1, 0, NETRXF_more_data);
    answer_next(FRAME, 0, 0);
    check_dropped(NETDEV_DROP_BAD_META, 2);
    answer_next(FRAME, 0, NETRXF_more_data);
    answer_next(5000, 0, 0);
    check_dropped(NETDEV_DROP_BAD_LEN, 1);
    for (uint32_t i = 0; i < 40; i++) /* more pieces than there can be */
        answer_next(FRAME, 0, i < 39 ? NETRXF_more_data : 0);
    check_dropped(NETDEV_DROP_BAD_META, 3);
    for (uint32_t i = 0; i < 18; i++) /* more bytes than there can be */
        answer_next(4096, 0, i < 17 ? NETRXF_more_data : 0);
    check_dropped(NETDEV_DROP_BAD_LEN, 2);
    netback_end();
}

TEST(netfront_never_takes_extra_info_for_packets)
{
    static const uint8_t types[] = {XEN_NETIF_EXTRA_TYPE_NONE,      XEN_NETIF_EXTRA_TYPE_GSO,
                                    XEN_NETIF_EXTRA_TYPE_MCAST_ADD, XEN_NETIF_EXTRA_TYPE_MCAST_DEL,
                                    XEN_NETIF_EXTRA_TYPE_MAX,       255};

    begin();
    for (uint32_t i = 0; i < ARRAY_LEN(types); i++) {
        answer_next(FRAME, 0, NETRXF_extra_info | NETRXF_more_data);
        netback_send_extra(0, XEN_NETIF_EXTRA_TYPE_HASH, XEN_NETIF_EXTRA_FLAG_MORE);
        netback_send_extra(0, types[i], 0);
        answer_next(FRAME, 0, 0);
        check_dropped(NETDEV_DROP_BAD_META, i + 1);
    }
    answer_next(FRAME, 0, NETRXF_gso_prefix | NETRXF_more_data);
    answer_next(FRAME, 0, 0);
    check_dropped(NETDEV_DROP_BAD_META, ARRAY_LEN(types) + 1);
    netback_end();
}

TEST(netfront_extra_info_without_end_breaks_the_queue)
{
    begin();
    answer_next(FRAME, 0, NETRXF_extra_info);
    for (uint32_t i = 0; i < 20; i++)
        netback_send_extra(0, XEN_NETIF_EXTRA_TYPE_HASH, XEN_NETIF_EXTRA_FLAG_MORE);
    netback_publish_rx(0);
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS), 0);
    check_rx_broken();
}

TEST(netfront_wrong_receive_id_breaks_the_queue)
{
    static const uint16_t wrong[] = {1, 255, 256, 65535};

    for (uint32_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct netback_slot slot;
        begin();
        CHECK(netback_next(0, &slot));
        slot.id = wrong[i];
        slot.status = FRAME;
        netback_answer(0, 0, slot);
        netback_publish_rx(0);
        CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS), 0);
        check_rx_broken();
    }
}

TEST(netfront_runaway_index_breaks_the_queue)
{
    static const uint32_t runaway[] = {DESCS + 1, 256, 257, 1u << 31, UINT32_MAX};

    for (uint32_t i = 0; i < ARRAY_LEN(runaway); i++) {
        begin();
        netback.queues[0].rx->rsp_prod = runaway[i];
        CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS), 0);
        check_rx_broken();
        begin();
        bufs[0] = fake_count_up(fake_pages(), 0, FRAME);
        CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs, 1), 1);
        netback.queues[0].tx->rsp_prod = runaway[i];
        CHECK_EQ(netdev_tx_reclaim(fake_vif, 0), 0);
        CHECK_EQ(fake_drops_tx(NETDEV_DROP_BAD_ID), 1);
        CHECK_EQ(netdev_tx_room(fake_vif, 0), 0);
        netback_end();
        CHECK_EQ(fake_drops_tx(NETDEV_DROP_STOP), 1);
    }
}

TEST(netfront_wrong_transmit_id_breaks_the_queue)
{
    begin();
    for (uint32_t i = 0; i < 4; i++)
        bufs[i] = fake_count_up(fake_pages(), 0, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs, 4), 4);
    struct netback_slot slot;
    CHECK(netback_take(0, &slot));
    netback_done(0, slot.id, 0);
    netback_done(0, slot.id, 0); /* twice */
    netback_publish_tx(0);
    CHECK_EQ(netdev_tx_reclaim(fake_vif, 0), 1);
    CHECK_EQ(fake_drops_tx(NETDEV_DROP_BAD_ID), 1);
    bufs[0] = fake_count_up(fake_pages(), 0, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs, 1), 0);
    netbuf_free(bufs[0]);
    netback_end();
    CHECK_EQ(fake_drops_tx(NETDEV_DROP_STOP), 3);
    begin();
    bufs[0] = fake_count_up(fake_pages(), 0, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs, 1), 1);
    netback_done(0, 256, 0);
    netback_publish_tx(0);
    CHECK_EQ(netdev_tx_reclaim(fake_vif, 0), 0);
    CHECK_EQ(fake_drops_tx(NETDEV_DROP_BAD_ID), 1);
    netback_end();
}

TEST(netfront_counts_packets_that_the_back_end_refused)
{
    static const int16_t refusals[] = {NETIF_RSP_ERROR, NETIF_RSP_DROPPED, NETIF_RSP_NULL, 77};
    struct netback_slot slot;

    begin();
    for (uint32_t i = 0; i < ARRAY_LEN(refusals); i++) {
        bufs[0] = fake_count_up(fake_pages(), 0, FRAME);
        CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs, 1), 1);
        CHECK(netback_take(0, &slot));
        netback_done(0, slot.id, refusals[i]);
        netback_publish_tx(0);
        CHECK_EQ(netdev_tx_reclaim(fake_vif, 0), 1);
        CHECK_EQ(fake_drops_tx(NETDEV_DROP_BAD_META), i + 1);
    }
    netback_end();
}

/* A packet that was begun and not ended doesn't outlive the connection. */
TEST(netfront_forgets_half_a_packet)
{
    begin();
    answer_next(FRAME, 0, NETRXF_more_data);
    netback_publish_rx(0);
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS), 0);
    netback_say("state", "6");
    CHECK(fake_vif_link_up());
    CHECK_EQ(fake_drops_rx(NETDEV_DROP_STOP), 1);
    CHECK(netback_send(0, 5, FRAME, 0));
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS), 1);
    CHECK(!bufs[0]->next && fake_counts(bufs[0]->data, 5, FRAME));
    netbuf_free(bufs[0]);
    netback_end();
}

/* A broken queue works again once the back end has made a new connection. */
TEST(netfront_recovers_from_a_broken_protocol)
{
    begin();
    netback.queues[0].rx->rsp_prod = 1000;
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS), 0);
    CHECK_EQ(fake_drops_rx(NETDEV_DROP_BAD_ID), 1);
    netback_say("state", "5");
    CHECK(fake_vif_link_up());
    CHECK(netback_send(0, 5, FRAME, 0));
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS), 1);
    netbuf_free(bufs[0]);
    netback_end();
}
