/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of inet6_fragment.c: fragments that are put together, those that can't be, and errors. */
#include "netbuf/inet6_test.h"

/* A fragment of what make_udp6 made: `len` bytes from `at` on. */
static enum inet_verdict input_fragment(uint32_t payload_len, uint32_t at, uint32_t len, bool more,
                                        uint32_t room)
{
    uint8_t header[8] = {0, 0, 0, 0, 1, 2, 3, 4};

    make_udp6(payload_len);
    memmove(raw + 54, raw + 54 + at, len);
    raw_len = 54 + len;
    store_be16(header + 2, (uint16_t)(at | more));
    insert(IPV6_NEXT_FRAGMENT, header, 8);
    return input6(0, room);
}

TEST(inet6_fragments_are_put_together)
{
    static uint64_t memory[(1 << 18) / 8] __attribute__((aligned(CACHE_LINE)));

    init6();
    CHECK_EQ(input_fragment(300, 0, 160, true, 400), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_IP6_FRAGMENT], 1);
    CHECK(reassembly_bytes(2) <= sizeof memory);
    inet.reassembly = reassembly_create(memory, 2, 1);
    CHECK_EQ(input_fragment(300, 160, 148, false, 400), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_KEPT], 1);
    CHECK_EQ(input_fragment(300, 0, 160, true, 400), INET_UDP);
    CHECK_EQ(got.payload_len, 300);
    CHECK(got.payload[299] == (uint8_t)(299 * 7 + 1) && got.payload == packet.data + 62);
    CHECK_EQ(input_fragment(1800, 0, 1000, true, 400), INET_DROPPED); /* more than a packet holds */
    CHECK_EQ(input_fragment(1800, 1000, 808, false, 400), INET_UDP_LARGE);
    CHECK_EQ(got.payload_len, 1800);
    CHECK(got.from.family == INET_IPV6 && ipv6_equal(&got.from.ip6, &peer));
    inet_release(&inet, &got);
    CHECK_EQ(inet.udp_packets, 2);
}

/* A host that puts two datagrams at a time together. */
static void init_with_slots6(void)
{
    static uint64_t memory[(1 << 18) / 8] __attribute__((aligned(CACHE_LINE)));

    init6();
    memset(memory, 0, sizeof memory);
    inet.reassembly = reassembly_create(memory, 2, 1);
}

/* A fragment of `len` bytes of what a header of this kind begins. */
static enum inet_verdict input_piece(uint8_t kind, const uint8_t *bytes, uint32_t at, uint32_t len,
                                     bool more)
{
    uint8_t header[8] = {0, 0, 0, 0, 1, 2, 3, 4};

    make_ip6(kind, len);
    memcpy(raw + 54, bytes, len);
    store_be16(header + 2, (uint16_t)(at | more));
    insert(IPV6_NEXT_FRAGMENT, header, sizeof header);
    return input6(0, 100);
}

/* The fragment is answered by a Parameter Problem that quotes all of it; one of ICMPv6 by none. */
static void check_wrong(uint8_t kind, const uint8_t *bytes, uint32_t at, uint32_t len, bool more,
                        uint8_t code, uint8_t pointer)
{
    init_with_slots6();
    CHECK_EQ(input_piece(kind, bytes, at, len, more), INET_REPLY);
    CHECK_EQ(inet.errors, 1);
    CHECK_EQ(packet.len, 62 + raw_len - 14);
    CHECK_EQ(memcmp(packet.data + 62, raw + 14, raw_len - 14), 0);
    memcpy(raw, packet.data, packet.len);
    raw_len = packet.len;
    CHECK(icmp6->type == ICMP6_PROBLEM && icmp6->code == code && icmp6->rest[3] == pointer);
    CHECK(ipv6_equal(&ip6->destination_address, &peer) && ipv6_equal(&ip6->source_address, &ours));
    CHECK(memcmp(eth->destination, peer_mac, 6) == 0 && memcmp(eth->source, our_mac, 6) == 0);
    const uint16_t was = icmp6->checksum;
    seal6();
    CHECK_EQ(icmp6->checksum, was);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_KEPT], 0);
    CHECK_EQ(input_piece(IPV6_NEXT_ICMP, bytes, at, len, more), INET_DROPPED);
    CHECK_EQ(inet.errors, 1);
}

TEST(inet6_fragments_that_can_not_be_are_told)
{
    static uint8_t bytes[200] = {IPV6_NEXT_UDP, 1}; /* a header of 16 bytes */
    static uint8_t within[16] = {IPV6_NEXT_UDP};    /* one of 8, and UDP's */

    check_wrong(IPV6_NEXT_UDP, bytes, 0, 161, true, 0, 4); /* at Payload Length */
    check_wrong(IPV6_NEXT_UDP, bytes, 800, 7, true, 0, 4);
    check_wrong(IPV6_NEXT_UDP, bytes, 65528, 8, false, 0, 42); /* at Fragment Offset */
    check_wrong(IPV6_NEXT_UDP, bytes, 65400, 136, true, 0, 42);
    check_wrong(IPV6_NEXT_DESTINATION, bytes, 0, 8, true, 3, 0); /* the header is cut */
    check_wrong(IPV6_NEXT_DESTINATION, bytes, 0, 16, true, 3, 0);
    check_wrong(IPV6_NEXT_HOP_BY_HOP, within, 0, 16, true, 3, 0); /* and may not stand here */
    init_with_slots6();
    CHECK_EQ(input_piece(IPV6_NEXT_DESTINATION, within, 0, 16, true), INET_DROPPED);
    CHECK_EQ(input_piece(IPV6_NEXT_UDP, bytes, 65528, 7, false), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_KEPT], 2);
    CHECK_EQ(input_piece(IPV6_NEXT_UDP, bytes, 800, 0, true), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_SHAPE], 1);
    CHECK_EQ(inet.errors, 0);
    for (uint32_t i = 0; i < 1000; i++)
        input_piece(IPV6_NEXT_UDP, bytes, 0, 161, true);
    CHECK(inet.errors >= INET_ERRORS_AT_ONCE && inet.errors < 500);
    CHECK_EQ(inet.drops[INET_DROP_ICMP_RATE], 1000 - inet.errors);
}

TEST(inet6_fragment_that_is_all_of_its_datagram_is_alone)
{
    init_with_slots6();
    CHECK_EQ(input_fragment(300, 0, 160, true, 400), INET_DROPPED);
    CHECK_EQ(input_fragment(40, 0, 48, false, 400), INET_UDP); /* the same identification */
    CHECK_EQ(got.payload_len, 40);
    CHECK_EQ(input_fragment(300, 160, 148, false, 400), INET_UDP); /* and no harm done */
    CHECK_EQ(got.payload_len, 300);
}

TEST(inet6_fragments_that_contradict_each_other_end_the_datagram)
{
    init_with_slots6();
    CHECK_EQ(input_fragment(300, 0, 160, true, 400), INET_DROPPED);
    CHECK_EQ(input_fragment(300, 152, 80, true, 400), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_OVERLAP], 1);
    CHECK_EQ(input_fragment(300, 160, 148, false, 400), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_REST], 1);
    init_with_slots6();
    CHECK_EQ(input_fragment(300, 160, 148, false, 400), INET_DROPPED);
    CHECK_EQ(input_fragment(300, 160, 100, false, 400), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_END], 1);
    CHECK_EQ(inet.errors, 0);
}

TEST(inet6_refuses_datagrams_that_were_put_together)
{
    static uint8_t whole[14 + 40 + 8 + 1800];
    static const uint32_t sizes[] = {300, 1200, 1800};

    init_with_slots6();
    for (uint32_t i = 0; i < ARRAY_LEN(sizes); i++) {
        const uint32_t len = sizes[i], last = (len - 192) & ~7u;
        make_udp6(len);
        memcpy(whole, raw, raw_len);
        CHECK_EQ(input_fragment(len, 0, last, true, 0), INET_DROPPED);
        const enum inet_verdict verdict = input_fragment(len, last, 8 + len - last, false, 1600);
        CHECK_EQ(verdict, len > 1452 ? INET_UDP_LARGE : INET_UDP);
        CHECK_EQ(inet_refuse(&inet, &packet, &got), INET_REPLY);
        if (verdict == INET_UDP_LARGE)
            inet_release(&inet, &got);
        const uint32_t quoted = MIN(40 + 8 + len, 1232u);
        CHECK_EQ(packet.len, 62 + quoted);
        CHECK_EQ(memcmp(packet.data + 62, whole + 14, quoted), 0);
        memcpy(raw, packet.data, packet.len);
        raw_len = packet.len;
        CHECK(icmp6->type == ICMP6_UNREACHABLE && icmp6->code == ICMP6_UNREACHABLE_PORT);
        const uint16_t was = icmp6->checksum;
        seal6();
        CHECK_EQ(icmp6->checksum, was);
    }
    CHECK_EQ(inet.errors, ARRAY_LEN(sizes));
}

TEST(inet6_large_datagrams_must_have_a_checksum)
{
    static uint8_t bytes[1808];

    init_with_slots6();
    *(struct udp_header *)bytes =
        (struct udp_header){be16(40000), be16(11211), be16(sizeof bytes), 0};
    CHECK_EQ(input_piece(IPV6_NEXT_UDP, bytes, 0, 1000, true), INET_DROPPED);
    CHECK_EQ(input_piece(IPV6_NEXT_UDP, bytes + 1000, 1000, 808, false), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_UDP_NO_CHECKSUM], 1);
}
