/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of what a host sends by itself: announcements, and questions for neighbours. */
#include "netbuf/inet_test.h"

#define SECOND_NS 1000000000ull

enum { FAR_IP = 0xc0000201, GATEWAY_IP = 0x0a000201 };

static uint64_t now_ns;
static uint8_t mac[ETH_MAC_BYTES];

static void begin(void)
{
    init();
    now_ns = 5 * SECOND_NS;
}

/* The next packet, in raw; 0 if there is none, else whom it asks for. */
static uint32_t sent(void)
{
    packet = (struct netbuf){.data = buffer, .start = buffer, .buf_bytes = 128};
    if (!inet_next_packet(&inet, now_ns, &packet))
        return 0;
    CHECK_EQ(packet.len, 60); /* padded */
    memcpy(raw, packet.data, 42);
    CHECK_EQ(be16(arp->op), ARP_OP_REQUEST);
    CHECK(memcmp(eth->destination, everybody, 6) == 0 && be32(arp->spa) == OUR_IP);
    return be32(arp->tpa);
}

static enum inet_neighbour resolve(uint32_t to)
{
    return inet_resolve(&inet, to, GATEWAY_IP, now_ns, mac);
}

/* A neighbour says that it has the address. */
static void answer(uint32_t from, uint8_t last_byte)
{
    make_arp(ARP_OP_REPLY);
    arp->spa = be32(from);
    arp->sha[5] = last_byte;
    CHECK_EQ(input(0, 0), INET_DROPPED);
}

TEST(inet_arp_announces_twice_whenever_the_link_came)
{
    begin();
    CHECK_EQ(sent(), 0);
    for (uint32_t time = 0; time < 3; time++) {
        inet_arrived(&inet);
        CHECK(inet.has_packets);
        CHECK_EQ(sent(), OUR_IP);
        CHECK_EQ(sent(), 0);
        CHECK(!inet.has_packets);
        CHECK_EQ(inet.due_ns, now_ns + 2 * SECOND_NS);
        now_ns = inet.due_ns;
        CHECK_EQ(sent(), OUR_IP);
        CHECK_EQ(sent(), 0);
        CHECK(inet.due_ns == UINT64_MAX);
    }
}

TEST(inet_arp_asks_three_times_and_then_waits)
{
    begin();
    for (uint32_t round = 0; round < 2; round++) {
        CHECK_EQ(resolve(PEER_IP), INET_ASKING);
        for (uint32_t request = 0; request < 3; request++) {
            CHECK_EQ(sent(), PEER_IP);
            CHECK_EQ(sent(), 0);
            CHECK_EQ(resolve(PEER_IP), INET_ASKING);
            CHECK_EQ(inet.due_ns, now_ns + SECOND_NS);
            now_ns = inet.due_ns;
        }
        CHECK_EQ(sent(), 0);
        CHECK_EQ(resolve(PEER_IP), INET_SILENT);
        now_ns += 19 * SECOND_NS;
        CHECK_EQ(resolve(PEER_IP), INET_SILENT);
        now_ns += SECOND_NS;
    }
    answer(PEER_IP, 7); /* late is better than never */
    CHECK_EQ(resolve(PEER_IP), INET_KNOWN);
    CHECK_EQ(mac[5], 7);
}

TEST(inet_arp_takes_what_it_heard_and_asks_again_after_a_minute)
{
    begin();
    answer(PEER_IP, 7);
    now_ns += 3600 * SECOND_NS;
    CHECK_EQ(resolve(PEER_IP), INET_KNOWN);
    CHECK_EQ(sent(), PEER_IP); /* it was heard some time ago, so it is asked, too */
    answer(PEER_IP, 7);
    now_ns += 1;
    CHECK_EQ(sent(), 0);
    now_ns += 60 * SECOND_NS;
    CHECK_EQ(resolve(PEER_IP), INET_KNOWN); /* and meanwhile uses what it has */
    CHECK(inet.has_packets);
    CHECK_EQ(sent(), PEER_IP);
    answer(PEER_IP, 8);
    CHECK_EQ(resolve(PEER_IP), INET_KNOWN);
    CHECK_EQ(mac[5], 8);
    CHECK_EQ(sent(), 0);
    now_ns += 60 * SECOND_NS;
    CHECK_EQ(resolve(PEER_IP), INET_KNOWN);
    for (uint32_t request = 0; request < 3; request++, now_ns += SECOND_NS)
        CHECK_EQ(sent(), PEER_IP);
    CHECK_EQ(sent(), 0);
    CHECK_EQ(resolve(PEER_IP), INET_SILENT); /* it has gone */
}

TEST(inet_arp_learns_of_a_known_neighbour_from_any_packet)
{
    begin();
    answer(PEER_IP, 7);
    make_arp(ARP_OP_REQUEST); /* its announcement, which isn't about us: RFC 826's merge */
    arp->tpa = arp->spa;
    arp->sha[5] = 9;
    CHECK_EQ(input(0, 0), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_ARP_TARGET], 1);
    CHECK(knows(PEER_IP, mac) && mac[5] == 9);
}

TEST(inet_arp_goes_by_the_gateway_to_other_networks)
{
    begin();
    CHECK_EQ(inet_resolve(&inet, FAR_IP, 0, now_ns, mac), INET_NO_WAY);
    CHECK_EQ(resolve(FAR_IP), INET_ASKING);
    CHECK_EQ(sent(), GATEWAY_IP);
    answer(GATEWAY_IP, 3);
    CHECK_EQ(resolve(FAR_IP), INET_KNOWN);
    CHECK_EQ(mac[5], 3);
    CHECK_EQ(resolve(OUR_IP), INET_NO_WAY); /* nobody's neighbour: ourselves, all, a group */
    CHECK_EQ(resolve(0x0a0002ff), INET_NO_WAY);
    CHECK_EQ(inet_resolve(&inet, FAR_IP, 0xe0000001, now_ns, mac), INET_NO_WAY);
    CHECK_EQ(sent(), 0);
}

/* Strangers who send ARP packets, however many, push out no neighbour that was asked for. */
TEST(inet_arp_keeps_whom_it_asked_for)
{
    const uint32_t first = 0x0a000220;

    begin();
    for (uint32_t i = 0; i < INET_ARP_ASKED; i++) {
        CHECK_EQ(resolve(first + i), INET_ASKING);
        CHECK_EQ(sent(), first + i);
        answer(first + i, (uint8_t)i);
    }
    for (uint32_t i = 0; i < 3 * INET_ARP_ENTRIES; i++)
        answer(0x0a000260 + i % 100, 0xff);
    for (uint32_t i = 0; i < INET_ARP_ASKED; i++) {
        CHECK_EQ(resolve(first + i), INET_KNOWN);
        CHECK_EQ(mac[5], i);
    }
    CHECK_EQ(resolve(first + INET_ARP_ASKED), INET_ASKING); /* one more takes another's place */
    CHECK_EQ(sent(), first + INET_ARP_ASKED);
    CHECK(!knows(first, mac));
    CHECK(knows(first + 1, mac));
    CHECK_EQ(inet.arp_asked, INET_ARP_ASKED);
    answer(0x0a000280, 5); /* likewise one that was heard */
    CHECK_EQ(resolve(0x0a000280), INET_KNOWN);
    CHECK_EQ(sent(), 0x0a000280);
    CHECK(!knows(first + 1, mac));
    CHECK_EQ(inet.arp_asked, INET_ARP_ASKED);
}
