/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of inet_frame.c: tags of VLANs, and padding. */
#include "netbuf/inet_test.h"

enum { VLAN = 7, PRIORITY = 5 << 13, ROOM = 100 };

/* Puts a tag into the frame in `raw`. */
static void tag(uint16_t control)
{
    memmove(raw + 16, raw + 12, raw_len - 12);
    store_be16(raw + 12, ETH_TYPE_VLAN);
    store_be16(raw + 14, control);
    raw_len += 4;
}

/* Takes it out again, from the frame in `packet` to raw; which it was. */
static uint16_t untag(void)
{
    CHECK_EQ(load_be16(packet.data + 12), ETH_TYPE_VLAN);
    memcpy(raw, packet.data, 12);
    memcpy(raw + 12, packet.data + 16, packet.len - 16u);
    raw_len = packet.len - 4u;
    return load_be16(packet.data + 14);
}

/* The host of init(), in a VLAN. */
static void init_in_vlan(void)
{
    init();
    inet.vlan = VLAN;
    inet.plain_mac_number = INET_NO_MAC_NUMBER;
    inet.finish_below = UINT32_MAX;
}

TEST(inet_frame_with_a_priority_only_is_taken_as_untagged)
{
    for (int priority = 0; priority < 2; priority++) {
        init();
        make_udp(9);
        tag(priority ? PRIORITY : 0);
        CHECK_EQ(input(0, ROOM), INET_UDP);
        CHECK(got.payload == packet.data + INET_UDP_HEADROOM && got.payload_len == 9);
        inet_udp_build(&inet, &packet, &got.from, 40, false);
        CHECK_EQ(packet.len, INET_UDP_HEADROOM + 40);
        CHECK_EQ(load_be16(packet.data + 12), ETH_TYPE_IPV4); /* the answer has none */
        make_arp(ARP_OP_REQUEST);
        eth_mac_copy(eth->destination, everybody);
        tag(priority ? PRIORITY : 0);
        CHECK_EQ(input(0, ROOM), INET_REPLY);
        CHECK_EQ(load_be16(packet.data + 12), ETH_TYPE_ARP);
        make_ping(5);
        tag(priority ? PRIORITY : 0);
        CHECK_EQ(input(0, ROOM), INET_REPLY);
        CHECK_EQ(packet.len, 60);
    }
}

TEST(inet_frame_of_another_vlan_is_dropped)
{
    make_udp(9);
    tag(VLAN);
    CHECK_DROP("eth_vlan");
    make_udp(9);
    tag(0);
    tag(0); /* one tag is taken off */
    CHECK_DROP("eth_type");
    for (raw_len = 14; raw_len < 18; raw_len++)
        CHECK_DROP("eth_short");
}

TEST(inet_frame_in_a_vlan_is_the_only_one_taken)
{
    static const uint16_t others[] = {0, PRIORITY, VLAN + 1, VLAN | 0x800};

    init_in_vlan();
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        make_udp(9);
        tag(others[i]);
        CHECK_EQ(input(0, ROOM), INET_DROPPED);
    }
    CHECK_EQ(inet.drops[INET_DROP_ETH_VLAN], 2);
    CHECK_EQ(inet.drops[INET_DROP_ETH_NO_VLAN], 2);
    make_udp(9);
    CHECK_EQ(input(0, ROOM), INET_DROPPED);
    make_arp(ARP_OP_REQUEST);
    CHECK_EQ(input(0, ROOM), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_ETH_NO_VLAN], 4);
    make_udp(9);
    tag(VLAN | PRIORITY);
    CHECK_EQ(input(0, ROOM), INET_UDP);
}

TEST(inet_frame_in_a_vlan_is_tagged)
{
    init_in_vlan();
    make_arp(ARP_OP_REQUEST);
    tag(VLAN);
    CHECK_EQ(input(0, ROOM), INET_REPLY);
    CHECK_EQ(packet.len, 64); /* padded as if without a tag: who takes the tag off needn't pad */
    CHECK_EQ(untag(), VLAN);
    CHECK_EQ(be16(arp->op), ARP_OP_REPLY);
    make_ping(300);
    tag(VLAN);
    CHECK_EQ(input(0, ROOM), INET_REPLY);
    CHECK_EQ(packet.len, 42 + 300 + 4);
    CHECK_EQ(untag(), VLAN);
    CHECK_EQ(icmp->type, ICMP_ECHO_REPLY);
    CHECK_EQ(csum_fold(csum_add(0, icmp, 308)), 0xffff);
    CHECK(memcmp(eth->destination, peer_mac, 6) == 0 && memcmp(eth->source, our_mac, 6) == 0);
    inet_arrived(&inet);
    packet = (struct netbuf){.data = buffer + 64, .start = buffer, .buf_bytes = 256};
    CHECK(inet_next_packet(&inet, 1, &packet));
    CHECK_EQ(packet.len, 64);
    CHECK_EQ(untag(), VLAN);
    CHECK_EQ(be32(arp->spa), OUR_IP);
}

TEST(inet_frame_in_a_vlan_has_its_checksum_behind_the_tag)
{
    static const uint16_t received[] = {0, NETBUF_CSUM_GOOD, NETBUF_CSUM_PARTIAL};

    for (uint32_t i = 0; i < 6; i++) {
        const bool offload = i % 2;
        init_in_vlan();
        make_udp(i < 2 ? 4 : 50);
        if (i >= 2)
            udp->checksum ^= 1; /* only the flag says that it is whole */
        tag(VLAN);
        input(0, ROOM);
        memcpy(packet.data = buffer + 100, raw, raw_len);
        packet.len = (uint16_t)raw_len;
        packet.flags = i < 2 ? 0 : received[1 + (i & 1)];
        packet.csum_start = 38;
        CHECK_EQ(inet_input(&inet, &packet, &got), INET_UDP);
        inet_udp_build(&inet, &packet, &got.from, got.payload_len, offload);
        if (offload) { /* what the device does */
            CHECK_EQ(packet.flags, NETBUF_CSUM_PARTIAL);
            CHECK_EQ(packet.csum_start, 38);
            uint16_t sum = csum_finish(csum_add(0, packet.data + 38, packet.len - 38u));
            memcpy(packet.data + packet.csum_start + packet.csum_offset, &sum, 2);
        }
        CHECK_EQ(packet.len, i < 2 ? 64 : 42 + 50 + 4);
        CHECK_EQ(untag(), VLAN);
        uint32_t len = be16(udp->length);
        uint64_t pseudo = csum_pseudo(OUR_IP, PEER_IP, IPV4_PROTOCOL_UDP, (uint16_t)len);
        CHECK_EQ(csum_fold(csum_add(pseudo, udp, len)), 0xffff);
    }
}
