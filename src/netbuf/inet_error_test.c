/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of inet_error.c: which packets an ICMP error answers, what is in it, and how many go out.
 */
#include "boot/boot.h"
#include "netbuf/inet_test.h"

enum { ROOM = 100, QUOTED = 14 + 20 + 8, QUOTED_MAX = 576 - 28 };

/* `packet` is an error about the packet that was in raw. */
static void check_error(uint8_t code, uint32_t quoted)
{
    static uint8_t before[14 + QUOTED_MAX];

    memcpy(before, raw, sizeof before);
    CHECK_EQ(packet.len, MAX(QUOTED + quoted, 60u));
    CHECK_EQ(packet.flags, 0);
    memcpy(raw, packet.data, packet.len);
    CHECK(memcmp(eth->destination, peer_mac, 6) == 0 && memcmp(eth->source, our_mac, 6) == 0);
    CHECK_EQ(csum_fold(csum_add_20(0, ip)), 0xffff);
    CHECK(be32(ip->source_address) == OUR_IP && be32(ip->destination_address) == PEER_IP);
    CHECK_EQ(ip->protocol, IPV4_PROTOCOL_ICMP);
    CHECK_EQ(be16(ip->total_length), 28 + quoted);
    CHECK(icmp->type == 3 && icmp->code == code);
    CHECK_EQ(csum_fold(csum_add(0, icmp, 8 + quoted)), 0xffff);
    CHECK(icmp->identifier == 0 && icmp->sequence_number == 0);
    CHECK_EQ(memcmp(raw + QUOTED, before + 14, quoted), 0);
}

TEST(inet_error_tells_that_a_port_is_closed)
{
    for (uint32_t len = 0; len < 1400; len += 1 + len / 3) {
        init();
        make_udp(len);
        CHECK_EQ(input(0, ROOM), INET_UDP);
        CHECK_EQ(inet_refuse(&inet, &packet, &got), INET_REPLY);
        check_error(3, MIN(28 + len, (uint32_t)QUOTED_MAX));
    }
    inet.mtu_bytes = 300;
    make_udp(272);
    CHECK_EQ(input(0, ROOM), INET_UDP);
    CHECK_EQ(inet_refuse(&inet, &packet, &got), INET_REPLY);
    check_error(3, 300 - 28);
}

TEST(inet_error_tells_that_a_protocol_is_not_spoken)
{
    for (uint32_t len = 20; len < 40; len++) { /* TCP, and what is too short for it */
        init();
        make_udp(100);
        ip->protocol = 6;
        ip->total_length = be16((uint16_t)len);
        ip->header_checksum = 0;
        ip->header_checksum = csum_finish(csum_add_20(0, ip));
        CHECK_EQ(input(0, ROOM), INET_REPLY);
        CHECK_EQ(inet.errors, 1);
        check_error(2, len);
    }
}

TEST(inet_error_answers_no_error_no_fragment_and_no_group)
{
    init();
    make_ping(40);
    icmp->type = 3;
    seal();
    CHECK_EQ(input(0, ROOM), INET_DROPPED);
    make_udp(40);
    ip->protocol = 6;
    ip->flags_fragment_offset = be16(0x2000);
    seal();
    CHECK_EQ(input(0, ROOM), INET_DROPPED);
    make_udp(40);
    ip->protocol = 6;
    ip->destination_address = be32(IPV4_BROADCAST);
    seal();
    CHECK_EQ(input(0, ROOM), INET_DROPPED);
    make_udp(40);
    eth_mac_copy(eth->destination, everybody);
    CHECK_EQ(input(0, ROOM), INET_DROPPED);
    CHECK_EQ(inet.errors, 0);
    make_udp(40); /* and where there is no room for one */
    CHECK_EQ(input(0, 20), INET_UDP);
    CHECK_EQ(inet_refuse(&inet, &packet, &got), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_UDP_REFUSED], 1);
}

TEST(inet_error_rate_is_bounded)
{
    enum { PACKETS = 1000 };
    const uint64_t start_ns = clock_ns();
    uint64_t sent = 0;

    init();
    for (uint32_t i = 0; i < PACKETS; i++) {
        make_udp(9);
        CHECK_EQ(input(0, ROOM), INET_UDP);
        sent += inet_refuse(&inet, &packet, &got) == INET_REPLY;
    }
    const uint64_t period_ns = 1000000000ull / INET_ERRORS_A_SECOND;
    const uint64_t more = (clock_ns() - start_ns) / period_ns;
    CHECK(sent >= INET_ERRORS_AT_ONCE && sent <= INET_ERRORS_AT_ONCE + more + 1);
    CHECK_EQ(inet.errors, sent);
    CHECK_EQ(inet.drops[INET_DROP_ICMP_RATE], PACKETS - sent);
}
