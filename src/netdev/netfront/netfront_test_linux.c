/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of netfront's data path with a back end that keeps to the protocol. */
#include "netbuf/checksum.h"
#include "netdev/netfront/netback_fake_test.h"

enum { FRAME = 100, DESCS = 64 };

static struct netbuf *bufs[NETDEV_MAX_BURST];
static uint8_t frame[65536];

static void begin(void)
{
    netback_begin();
    CHECK_EQ(netback_start(1, DESCS), 0);
}

static uint32_t notified(uint32_t port)
{
    return fake_xen.ports[port].notified;
}

TEST(netfront_receives)
{
    begin();
    for (uint32_t round = 0; round < 20; round++) { /* around the ring several times */
        for (uint8_t i = 0; i < DESCS; i++)
            CHECK(netback_send(0, i, FRAME, 0));
        CHECK(!netback_send(0, 0, FRAME, 0));
        CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS - 4), DESCS - 4);
        CHECK_EQ(netdev_rx_more(fake_vif, 0), 4);
        CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs + DESCS - 4, DESCS), 4);
        CHECK_EQ(netdev_rx_more(fake_vif, 0), 0);
        for (uint8_t i = 0; i < DESCS; i++)
            CHECK(bufs[i]->len == FRAME && bufs[i]->flags == 0 && !bufs[i]->next &&
                  fake_counts(bufs[i]->data, i, FRAME));
        netbuf_free_bulk(bufs, DESCS);
    }
    netback_end();
}

TEST(netfront_receives_chains_and_passes_over_hashes)
{
    struct netback_slot slot;

    begin();
    CHECK(netback_next(0, &slot));
    slot.status = 4096;
    slot.flags = NETRXF_more_data | NETRXF_extra_info;
    netback_answer(0, 0, slot);
    CHECK(netback_send_extra(0, XEN_NETIF_EXTRA_TYPE_HASH, 0));
    netback_publish_rx(0);
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, 4), 0); /* the rest isn't there yet */
    CHECK(netback_next(0, &slot));
    slot.status = 1000;
    netback_answer(0, 0, slot);
    netback_publish_rx(0);
    CHECK(netback_send(0, 9, FRAME, 0));
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, 4), 2);
    CHECK_EQ(netbuf_packet_pieces(bufs[0]), 2);
    CHECK_EQ(netbuf_packet_len(bufs[0]), 5096);
    CHECK(fake_counts(bufs[0]->data, 0, 4096) && fake_counts(bufs[0]->next->data, 0, 1000));
    CHECK(fake_counts(bufs[1]->data, 9, FRAME));
    netbuf_free_bulk(bufs, 2);
    netback_end();
}

TEST(netfront_refills_what_is_missing)
{
    struct netbuf_pool *pool = fake_pages();
    struct netbuf *taken[FAKE_POOL];
    struct netback_slot slot;

    begin();
    uint32_t rest = netbuf_alloc_bulk(pool, taken, FAKE_POOL);
    for (uint32_t i = 0; i < DESCS; i++)
        CHECK(netback_send(0, 0, FRAME, 0));
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS), DESCS);
    CHECK_EQ(fake_drops_rx(NETDEV_DROP_NO_BUF), 1);
    CHECK(!netback_next(0, &slot));
    CHECK(fake_vif->rxq[0]->empty);
    netbuf_free_bulk(bufs, DESCS);
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS), 0);
    CHECK(!fake_vif->rxq[0]->empty);
    for (uint32_t i = 0; i < DESCS; i++)
        CHECK(netback_send(0, 0, FRAME, 0));
    netbuf_free_bulk(taken, rest);
    netback_end();
    CHECK_EQ(fake_drops_rx(NETDEV_DROP_STOP), DESCS); /* received, never asked for */
}

TEST(netfront_sends_from_any_pool)
{
    uint16_t flags;

    begin();
    for (uint32_t round = 0; round < 20; round++) {
        for (uint8_t i = 0; i < 40; i++)
            bufs[i] = fake_count_up(i % 2 ? fake_small() : fake_pages(), i, FRAME);
        CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs, 40), 40);
        CHECK_EQ(netdev_tx_room(fake_vif, 0), DESCS - 40);
        for (uint8_t i = 0; i < 40; i++) {
            CHECK_EQ(netback_sent(0, frame, &flags), FRAME);
            CHECK(flags == 0 && fake_counts(frame, i, FRAME));
        }
        CHECK_EQ(netback_sent(0, frame, &flags), 0);
        CHECK_EQ(netdev_tx_reclaim(fake_vif, 0), 40);
        CHECK_EQ(netdev_tx_room(fake_vif, 0), DESCS);
    }
    netback_end();
}

/* Packets for sending are granted to be read only, and once. */
TEST(netfront_grants_each_pool_once)
{
    begin();
    CHECK_EQ(xen_grants_used(), FAKE_POOL + 2);
    for (uint32_t i = 0; i < 8; i++) {
        bufs[0] = fake_count_up(fake_small(), 0, FRAME);
        CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs, 1), 1);
    }
    CHECK_EQ(xen_grants_used(), FAKE_POOL + 2 + FAKE_POOL / 8);
    for (uint32_t ref = 1; ref < FAKE_GRANTS; ref++) {
        const struct fake_grant *g = &fake_xen.grants[ref];
        size_t bytes;
        const uint8_t *small = netbuf_pool_memory(fake_small(), &bytes);
        CHECK(!g->used || g->readonly == (g->page >= small && g->page < small + bytes));
    }
    netback_end();
    CHECK_EQ(fake_drops_tx(NETDEV_DROP_STOP), 8);
}

TEST(netfront_drops_packets_that_cannot_be_granted)
{
    uint16_t flags;

    netback_begin();
    fake_xen.grants_max = FAKE_POOL + 2 + FAKE_POOL / 8 - 1;
    CHECK_EQ(netback_start(1, DESCS), 0);
    bufs[0] = fake_count_up(fake_small(), 0, FRAME);
    bufs[1] = fake_count_up(fake_pages(), 1, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs, 2), 2);
    CHECK_EQ(fake_drops_tx(NETDEV_DROP_BAD_META), 1);
    CHECK_EQ(netback_sent(0, frame, &flags), FRAME);
    CHECK(fake_counts(frame, 1, FRAME));
    netback_end();
}

TEST(netfront_sends_chains)
{
    uint16_t flags;

    begin();
    struct netbuf *packet = fake_count_up(fake_small(), 0, 64);
    netbuf_chain(packet, fake_count_up(fake_pages(), 64, 192));
    netbuf_chain(packet, fake_count_up(fake_pages(), 0, 256));
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, &packet, 1), 1);
    CHECK_EQ(netdev_tx_room(fake_vif, 0), DESCS - 3);
    CHECK_EQ(netback_sent(0, frame, &flags), 512);
    CHECK(fake_counts(frame, 0, 512));
    CHECK_EQ(netdev_tx_reclaim(fake_vif, 0), 1);
    /* More pieces than a back end takes go as one, if they fit. */
    packet = fake_count_up(fake_pages(), 0, 16);
    for (uint32_t i = 1; i < 30; i++)
        netbuf_chain(packet, fake_count_up(fake_small(), (uint8_t)(16 * i), 16));
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, &packet, 1), 1);
    CHECK_EQ(netback_sent(0, frame, &flags), 480);
    CHECK(fake_counts(frame, 0, 480));
    netback_end();
}

TEST(netfront_drops_what_cannot_be_sent)
{
    begin();
    bufs[0] = fake_count_up(fake_pages(), 0, 13);
    bufs[1] = fake_count_up(fake_pages(), 0, 1519);
    bufs[2] = fake_count_up(fake_pages(), 0, FRAME);
    netbuf_chain(bufs[2], fake_count_up(fake_small(), 0, 0));
    bufs[3] = fake_count_up(fake_pages(), 0, FRAME);
    bufs[3]->flags = NETBUF_CSUM_PARTIAL;
    bufs[3]->csum_start = FRAME - 1;
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs, 4), 4);
    CHECK_EQ(fake_drops_tx(NETDEV_DROP_BAD_META), 4);
    CHECK_EQ(netdev_tx_room(fake_vif, 0), DESCS);
    bufs[0] = fake_count_up(fake_pages(), 0, 1518); /* the MTU of 1500, a header and a tag */
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs, 1), 1);
    CHECK_EQ(fake_drops_tx(NETDEV_DROP_BAD_META), 4);
    netback_end();
}

TEST(netfront_full_transmit_ring_takes_no_more)
{
    begin();
    for (uint32_t i = 0; i < DESCS + 2; i++)
        bufs[i] = fake_count_up(fake_pages(), 0, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs, DESCS - 1), DESCS - 1);
    netbuf_chain(bufs[DESCS], bufs[DESCS + 1]);
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs + DESCS, 1), 0); /* two pieces, room for one */
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs + DESCS - 1, 1), 1);
    CHECK_EQ(netdev_tx_room(fake_vif, 0), 0);
    netbuf_free(bufs[DESCS]);
    netback_end();
    CHECK_EQ(fake_drops_tx(NETDEV_DROP_STOP), DESCS);
}

/* --- checksums ------------------------------------------------------------------------------ */

/* A frame of UDP with `extra` bytes before its IP header; its sum holds the pseudo header's only.
 */
static struct netbuf *udp(bool ipv6, uint32_t tag)
{
    struct netbuf *nb = fake_count_up(fake_pages(), 3, FRAME);
    uint8_t *ip = nb->data + 14 + tag;

    store_be16(nb->data + 12, 0x8100);
    store_be16(ip - 2, ipv6 ? 0x86dd : 0x0800);
    ip[0] = ipv6 ? 0x60 : 0x46; /* options of four bytes */
    ip[ipv6 ? 6 : 9] = 17;
    nb->flags = NETBUF_CSUM_PARTIAL;
    nb->csum_start = (uint16_t)(14 + tag + (ipv6 ? 40 : 24));
    nb->csum_offset = 6;
    store_be16(nb->data + nb->csum_start + 6, 0x1234);
    return nb;
}

static void check_sent_sum(struct netbuf *nb, uint16_t wanted_flags)
{
    const uint32_t start = nb->csum_start;
    uint16_t flags;

    CHECK_EQ(netdev_tx_burst(fake_vif, 0, &nb, 1), 1);
    CHECK_EQ(netback_sent(0, frame, &flags), FRAME);
    CHECK_EQ(flags, wanted_flags);
    if (wanted_flags)
        CHECK_EQ(load_be16(frame + start + 6), 0x1234);
    else /* 0x1234 and its complement take each other away */
        CHECK_EQ(be16(csum_fold(csum_add(be16(0x1234), frame + start, FRAME - start))), 0xffff);
}

TEST(netfront_leaves_checksums_that_the_back_end_finds)
{
    const uint16_t blank = NETTXF_csum_blank | NETTXF_data_validated;

    begin();
    check_sent_sum(udp(false, 0), blank);
    check_sent_sum(udp(true, 0), blank);
    check_sent_sum(udp(false, 4), 0);
    CHECK_EQ(netdev_stop(fake_vif), 0);
    netback_say("feature-ipv6-csum-offload", "0");
    CHECK_EQ(netback_start(1, DESCS), 0);
    check_sent_sum(udp(true, 0), 0);
    check_sent_sum(udp(false, 0), blank);
    netback_end();
}

TEST(netfront_receives_checksums)
{
    struct netback_slot slot;

    begin();
    CHECK(netback_send(0, 0, FRAME, NETRXF_data_validated));
    for (uint32_t i = 0; i < 4; i++) {
        struct netbuf *nb = udp(i & 1, i & 2 ? 4 : 0);
        CHECK(netback_next(0, &slot));
        CHECK(netback_send(0, 0, FRAME, NETRXF_csum_blank | NETRXF_data_validated));
        memcpy(fake_page(slot.ref, FAKE_BACK, true), nb->data, FRAME);
        netbuf_free(nb);
    }
    CHECK(netback_send(0, 0, FRAME, NETRXF_csum_blank)); /* of nothing that has one */
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, 8), 5);
    CHECK_EQ(bufs[0]->flags, NETBUF_CSUM_GOOD);
    for (uint32_t i = 0; i < 4; i++) {
        const struct netbuf *nb = bufs[i + 1];
        CHECK_EQ(nb->flags, NETBUF_CSUM_PARTIAL);
        CHECK_EQ(nb->csum_start, 14 + (i & 2 ? 4 : 0) + (i & 1 ? 40 : 24));
        CHECK_EQ(nb->csum_offset, 6);
    }
    CHECK_EQ(fake_drops_rx(NETDEV_DROP_BAD_META), 1);
    netbuf_free_bulk(bufs, 5);
    netback_end();
}

/* --- events --------------------------------------------------------------------------------- */

TEST(netfront_notifies_only_when_asked)
{
    begin();
    struct netback_queue *b = &netback.queues[0];
    uint32_t before = notified(b->tx_port);
    uint16_t flags;
    bufs[0] = fake_count_up(fake_pages(), 0, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs, 1), 1); /* a new ring asks for the first */
    CHECK_EQ(notified(b->tx_port), before + 1);
    for (uint32_t i = 0; i < 4; i++)
        bufs[i] = fake_count_up(fake_pages(), 0, FRAME);
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs, 2), 2);
    CHECK_EQ(notified(b->tx_port), before + 1);
    b->tx->req_event = b->tx->req_prod + 2;
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, bufs + 2, 2), 2);
    CHECK_EQ(notified(b->tx_port), before + 2);
    before = notified(b->rx_port);
    while (netback_sent(0, frame, &flags))
        CHECK_IN_TIME();
    for (uint32_t i = 0; i < 3; i++)
        CHECK(netback_send(0, 0, FRAME, 0));
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, 8), 3);
    netbuf_free_bulk(bufs, 3);
    CHECK_EQ(notified(b->rx_port), before); /* nor did the back end tell us: we poll */
    b->rx->req_event = b->rx->req_prod + 1;
    CHECK(netback_send(0, 0, FRAME, 0));
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, 8), 1);
    netbuf_free(bufs[0]);
    CHECK_EQ(notified(b->rx_port), before + 1);
    netback_end();
}

TEST(netfront_gives_way_once_nothing_moves)
{
    begin();
    for (int i = 0; i < 3; i++)
        CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, 8), 0);
    CHECK_EQ(fake_xen.yields, 0);
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, 8), 0);
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, 8), 0);
    CHECK_EQ(fake_xen.yields, 2);
    CHECK(netback_send(0, 0, FRAME, 0));
    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, 8), 1);
    netbuf_free(bufs[0]);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, 8), 0);
    CHECK_EQ(fake_xen.yields, 2);
    netback_end();
}
