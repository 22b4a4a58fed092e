/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of IPv6: headers, extension headers, echo, UDP. */
#include "netbuf/inet6_test.h"

static void check_ping(uint32_t len)
{
    make_ping6(len);
    CHECK_EQ(input6(0, 0), INET_REPLY);
    CHECK_EQ(packet.len, raw_len);
    memcpy(raw, packet.data, packet.len);
    CHECK(memcmp(eth->destination, peer_mac, 6) == 0 && memcmp(eth->source, our_mac, 6) == 0);
    CHECK(ipv6_equal(&ip6->destination_address, &peer) && ipv6_equal(&ip6->source_address, &ours));
    CHECK_EQ(icmp6->type, ICMP6_ECHO_REPLY);
    CHECK(len == 0 || (raw[62] == 0x5a && raw[raw_len - 1] == 0x5a));
    const uint16_t was = icmp6->checksum;
    seal6();
    CHECK_EQ(icmp6->checksum, was);
}

TEST(inet6_answers_pings)
{
    init6();
    check_ping(0);
    check_ping(1);
    check_ping(1432);
    CHECK_EQ(inet.echo_replies, 3);
}

TEST(inet6_answers_pings_to_all_nodes_from_an_address_of_its_own)
{
    init6();
    make_ping6(8);
    ip6->destination_address = ipv6_all_nodes;
    write_group_mac(&ipv6_all_nodes);
    seal6();
    CHECK_EQ(input6(0, 0), INET_REPLY);
    memcpy(raw, packet.data, packet.len);
    CHECK(ipv6_equal(&ip6->source_address, &ours));
    make_ping6(8); /* from another network, of which it has no address */
    ip6->source_address = (struct ipv6_address){.bytes = {0x20, 1, 0xd, 0xb8, [15] = 1}};
    ip6->destination_address = ipv6_all_nodes;
    write_group_mac(&ipv6_all_nodes);
    seal6();
    CHECK_DROP6("ip6_group");
}

static void check_udp(uint16_t flags, uint32_t len)
{
    CHECK_EQ(input6(flags, 0), INET_UDP);
    CHECK(got.from.family == INET_IPV6 && got.from.port == 40000 && got.from.local_port == 11211);
    CHECK(ipv6_equal(&got.from.ip6, &peer) && ipv6_equal(&got.from.local_ip6, &ours));
    CHECK(got.payload == packet.data + inet_udp_headroom(&got.from));
    CHECK_EQ(got.payload_len, len);
    CHECK(len == 0 || got.payload[len - 1] == (uint8_t)((len - 1) * 7 + 1));
}

TEST(inet6_udp_comes_and_is_answered)
{
    init6();
    for (uint32_t len = 0; len < 1452; len += 121) {
        make_udp6(len);
        check_udp(0, len);
        inet_udp_build(&inet, &packet, &got.from, len, false);
        CHECK_EQ(packet.len, raw_len);
        memcpy(raw, packet.data, packet.len);
        CHECK_EQ(be16(udp6->destination_port), 40000);
        CHECK(ipv6_equal(&ip6->destination_address, &peer));
        CHECK_EQ(ip6->hop_limit, INET6_HOP_LIMIT);
        const uint16_t was = udp6->checksum;
        seal6();
        CHECK_EQ(udp6->checksum, was);
        inet_udp_build(&inet, &packet, &got.from, len, true);
        CHECK(packet.flags == NETBUF_CSUM_PARTIAL && packet.csum_start == 54 &&
              packet.csum_offset == 6);
    }
}

TEST(inet6_udp_must_have_a_checksum)
{
    make_udp6(9);
    udp6->checksum = 0;
    CHECK_DROP6("udp_no_checksum");
    CHECK_STR(why6(NETBUF_CSUM_GOOD), "udp_no_checksum");
    udp6->checksum = 1;
    CHECK_DROP6("udp_checksum");
    CHECK_STR(why6(NETBUF_CSUM_GOOD), "");
    udp6->checksum = 0; /* it is left to who puts it on a wire */
    CHECK_STR(why6(NETBUF_CSUM_PARTIAL), "");
}

TEST(inet6_headers_that_can_not_be)
{
    CHECK_BROKEN6(make_udp6(9), (void)0, "");
    make_udp6(9);
    raw_len = 53;
    CHECK_DROP6("ip6_short");
    CHECK_BROKEN6(make_udp6(9), ip6->version_class = 0x40, "ip6_version");
    make_udp6(9);
    ip6->payload_length = 0;
    CHECK_DROP6("ip6_length");
    ip6->payload_length = be16(18);
    CHECK_DROP6("ip6_length");
    CHECK_BROKEN6(make_udp6(9), ip6->destination_address.bytes[15]++, "ip6_destination");
    CHECK_BROKEN6(make_udp6(9), ip6->source_address = ours, "ip6_source");
    CHECK_BROKEN6(make_udp6(9), ip6->source_address = ipv6_all_nodes, "ip6_source");
    CHECK_BROKEN6(make_udp6(9), ip6->source_address = ipv6_nobody, "ip6_source");
    CHECK_BROKEN6(make_ping6(9), ip6->source_address = ipv6_nobody, "ip6_source");
    CHECK_BROKEN6(make_udp6(9), ip6->next_header = 6, "ip6_protocol");
    CHECK_BROKEN6(make_udp6(9), ip6->next_header = IPV6_NEXT_NONE, "ip6_protocol");
    CHECK_BROKEN6(make_udp6(9), udp6->source_port = 0, "udp_port");
    CHECK_BROKEN6(make_udp6(9), write_group_mac(&ipv6_all_nodes), "ip6_group");
    CHECK_BROKEN6(make_udp6(9), ip6->destination_address = ipv6_all_nodes, "ip6_group");
    CHECK_BROKEN6(make_ping6(9), ip6->destination_address = ipv6_all_routers, "ip6_group");
    make_udp6(9);
    udp6->length = be16(7);
    CHECK_DROP6("udp_length");
    udp6->length = be16(18);
    CHECK_DROP6("udp_length");
    CHECK_BROKEN6(make_ping6(9), icmp6->type = 127, "icmp6_type");
    CHECK_BROKEN6(make_ping6(9), icmp6->code = 1, "icmp6_type");
    make_ping6(9);
    icmp6->checksum++;
    CHECK_DROP6("icmp6_checksum");
    make_ip6(IPV6_NEXT_ICMP, 7);
    ip6->payload_length = be16(7);
    CHECK_DROP6("icmp6_short");
}

TEST(inet6_sources_that_no_host_has)
{
    static const struct ipv6_address bad[] = {
        {.bytes = {[15] = 0}},                                                      /* nobody's */
        {.bytes = {[15] = 1}},                                                      /* loopback */
        {.bytes = {[10] = 0xff, 0xff, 10, 0, 2, 2}},                                /* IPv4's */
        {.bytes = {0xff, 2, [15] = 9}},                                             /* a group's */
        {.bytes = {0xfe, 0x80, [8] = 0x50, 0x54, 0, 0xff, 0xfe, 0x12, 0x34, 0x56}}, /* ours */
        {.bytes = {0xfd, [15] = 7}}, /* another of ours */
    };

    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++)
        for (int kind = 0; kind < 3; kind++) {
            static const uint8_t first[8] = {0, 0, 0, 1, 1, 2, 3, 4};
            init6();
            inet6.own[1] = (struct inet6_own){.prefix = {bad[5], 64}, .state = INET6_VALID};
            if (kind == 0)
                make_udp6(8);
            else
                make_ping6(8);
            ip6->source_address = bad[i];
            seal6();
            if (kind == 2)
                insert(IPV6_NEXT_FRAGMENT, first, sizeof first);
            CHECK_EQ(input6(0, 64), INET_DROPPED);
            CHECK_EQ(inet.drops[INET_DROP_IP6_SOURCE], 1);
        }
}

TEST(inet6_is_not_there_if_nobody_started_it)
{
    inet_init(&inet, our_mac, INET_NO_ADDRESS);
    make_udp6(9);
    CHECK_EQ(input6(0, 0), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_ETH_TYPE], 1);
    inet6_init(&inet6, &inet, IPV6_MIN_MTU - 1);
    CHECK(!inet.inet6);
    inet6_init(&inet6, &inet, IPV6_MIN_MTU);
    CHECK(inet.inet6 == &inet6);
}

TEST(inet6_passes_extension_headers_over)
{
    static const uint8_t padded[8] = {0, 0, 1, 4}, pad1[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t routing[8] = {0, 0, 4, 0}, alone[8] = {0, 0, 0, 0, 1, 2, 3, 4};

    init6();
    make_udp6(30);
    insert(IPV6_NEXT_DESTINATION, pad1, 8);
    insert(IPV6_NEXT_FRAGMENT, alone, 8);  /* all of a datagram */
    insert(IPV6_NEXT_ROUTING, routing, 8); /* that has arrived */
    insert(IPV6_NEXT_HOP_BY_HOP, padded, 8);
    check_udp(0, 30);
    inet_udp_build(&inet, &packet, &got.from, 30, false);
    CHECK_EQ(packet.len, 54 + 8 + 30);
    make_udp6(30);
    udp6->checksum = 0; /* left to us: csum_start is where the datagram lies */
    insert(IPV6_NEXT_DESTINATION, pad1, 8);
    insert(IPV6_NEXT_DESTINATION, pad1, 8);
    CHECK_STR(why6(NETBUF_CSUM_PARTIAL), "udp_no_checksum"); /* csum_start 54 isn't */
}

TEST(inet6_extension_headers_leave_an_answer_its_room)
{
    static const uint8_t padded[240] = {0, 29, 1, 236};

    init6();
    for (uint32_t i = 1; i <= INET6_EXTENSIONS; i++) {
        make_udp6(9);
        for (uint32_t n = 0; n < i; n++)
            insert(IPV6_NEXT_DESTINATION, padded, sizeof padded);
        check_udp(0, 9);
        CHECK_EQ(netbuf_headroom(&packet), sizeof buffer - raw_len);
    }
}

TEST(inet6_extension_headers_that_can_not_be)
{
    uint8_t header[264] = {0};
    static const uint8_t actions[] = {0x40, 0x80, 0xc2};

    for (uint32_t i = 0; i < sizeof actions; i++) {
        make_udp6(9);
        header[2] = actions[i];
        header[3] = 4;
        insert(IPV6_NEXT_DESTINATION, header, 8);
        CHECK_DROP6("ip6_option");
    }
    make_udp6(9); /* an unknown one that may be skipped */
    header[2] = 0x1e;
    insert(IPV6_NEXT_HOP_BY_HOP, header, 8);
    CHECK_DROP6("");
    make_udp6(9); /* behind another one */
    insert(IPV6_NEXT_HOP_BY_HOP, header, 8);
    insert(IPV6_NEXT_DESTINATION, header, 8);
    CHECK_DROP6("ip6_extension");
    for (uint8_t len = 5; len < 8; len++) { /* an option that is longer than its header */
        make_udp6(9);
        header[3] = len;
        insert(IPV6_NEXT_DESTINATION, header, 8);
        CHECK_DROP6("ip6_extension");
    }
    memset(header, 0, sizeof header);
    header[3] = header[4] = header[5] = header[6] = 0;
    header[7] = 0x1e; /* a type without a length */
    make_udp6(9);
    insert(IPV6_NEXT_DESTINATION, header, 8);
    CHECK_DROP6("ip6_extension");
    make_udp6(9); /* it ends behind the packet */
    header[7] = 0;
    header[1] = 2;
    insert(IPV6_NEXT_DESTINATION, header, 8);
    CHECK_DROP6("ip6_extension");
    header[1] = 31; /* the longest one that is looked at, and one more */
    make_udp6(9);
    insert(IPV6_NEXT_DESTINATION, header, 256);
    CHECK_DROP6("");
    header[1] = 32;
    make_udp6(9);
    insert(IPV6_NEXT_DESTINATION, header, 264);
    CHECK_DROP6("ip6_extension");
    make_ip6(IPV6_NEXT_DESTINATION, 7);
    ip6->payload_length = be16(7);
    CHECK_DROP6("ip6_extension");
}

TEST(inet6_extension_headers_are_bounded)
{
    static const uint8_t header[8];

    for (uint32_t count = INET6_EXTENSIONS; count <= INET6_EXTENSIONS + 1; count++) {
        make_udp6(9);
        for (uint32_t i = 0; i < count; i++)
            insert(IPV6_NEXT_DESTINATION, header, 8);
        CHECK_DROP6(count == INET6_EXTENSIONS ? "" : "ip6_extension");
    }
}

TEST(inet6_refuses_to_be_a_router)
{
    static const struct {
        uint8_t header[8];
        const char *word;
    } cases[] = {{{0, 0, 0, 0}, "ip6_routing"},
                 {{0, 0, 0, 1}, "ip6_routing"},
                 {{0, 0, 3, 1}, "ip6_routing"},
                 {{0, 0, 3, 0}, ""}};

    for (uint32_t i = 0; i < ARRAY_LEN(cases); i++) {
        make_udp6(9);
        insert(IPV6_NEXT_ROUTING, cases[i].header, 8);
        CHECK_DROP6(cases[i].word);
    }
}

TEST(inet6_refuses_datagrams_for_closed_ports)
{
    init6();
    for (uint32_t len = 0; len < 1452; len += 363) { /* the longest ones are quoted in part */
        make_udp6(len);
        CHECK_EQ(input6(0, 64), INET_UDP);
        CHECK_EQ(inet_refuse(&inet, &packet, &got), INET_REPLY);
        const uint32_t quoted = MIN(raw_len - 14, 1232u);
        CHECK_EQ(packet.len, 62 + quoted);
        CHECK(memcmp(packet.data + 62, raw + 14, quoted) == 0);
        memcpy(raw, packet.data, packet.len);
        raw_len = packet.len;
        CHECK(icmp6->type == ICMP6_UNREACHABLE && icmp6->code == ICMP6_UNREACHABLE_PORT);
        CHECK(ipv6_equal(&ip6->destination_address, &peer) && memcmp(raw, peer_mac, 6) == 0);
        const uint16_t was = icmp6->checksum;
        seal6();
        CHECK_EQ(icmp6->checksum, was);
    }
    uint32_t sent = 4;
    for (uint32_t i = 0; i < 1000; i++) {
        make_udp6(1);
        CHECK_EQ(input6(0, 64), INET_UDP);
        sent += inet_refuse(&inet, &packet, &got) == INET_REPLY;
    }
    CHECK_EQ(inet.errors, sent);
    CHECK_EQ(inet.drops[INET_DROP_ICMP_RATE], 1004 - sent);
    CHECK(sent < 500);
}

static uint64_t random_state6;

static uint32_t random_below6(uint32_t limit)
{
    random_state6 ^= random_state6 << 13;
    random_state6 ^= random_state6 >> 7;
    random_state6 ^= random_state6 << 17;
    return (uint32_t)(random_state6 >> 32) % limit;
}

/* A good packet with some bytes changed, maybe another length, and maybe right checksums. */
static void make_random6(void)
{
    static const uint8_t kinds[] = {IPV6_NEXT_HOP_BY_HOP, IPV6_NEXT_ROUTING, IPV6_NEXT_FRAGMENT,
                                    IPV6_NEXT_DESTINATION};
    uint8_t header[32];
    const uint32_t dice = random_below6(7);

    if (dice < 2)
        make_udp6(random_below6(100));
    else if (dice == 2)
        make_ping6(random_below6(100));
    else if (dice == 3)
        make_probe(&ours);
    else if (dice == 4)
        make_query((uint16_t)random_below6(1 << 16));
    else
        make_nd((uint8_t)(ICMP6_ROUTER_ADVERTISEMENT + random_below6(3)), &ours);
    for (uint32_t n = random_below6(4); n > 0; n--) {
        static const uint8_t bytes[] = {0, 0xff};
        const uint32_t how = random_below6(4), len = 1 + random_below6(4);
        memset(raw + random_below6(raw_len), how < 2 ? bytes[how] : (int)random_below6(256), len);
    }
    if (random_below6(8) == 0)
        raw_len = random_below6(160);
    if (raw_len >= 62 && random_below6(4))
        seal6();
    for (uint32_t n = random_below6(4); raw_len >= 62 && n > 1; n--) {
        for (uint32_t i = 0; i < sizeof header; i++)
            header[i] = random_below6(2) ? 0 : (uint8_t)random_below6(256);
        header[1] = (uint8_t)random_below6(4);
        insert(kinds[random_below6(4)], header, 8u + header[1] * 8u);
    }
}

TEST(inet6_survives_anything)
{
    enum { PACKETS = 100000 };
    static uint64_t memory[(1 << 18) / 8] __attribute__((aligned(CACHE_LINE)));
    const uint8_t *end = buffer + sizeof buffer;
    uint32_t verdicts[4] = {0}, reasons = 0;

    random_state6 = 88172645463325252;
    memset(memory, 0, sizeof memory);
    init6();
    inet.reassembly = reassembly_create(memory, 2, 1);
    for (uint32_t i = 0; i < PACKETS; i++) {
        make_random6();
        const enum inet_verdict verdict = input6((uint16_t)random_below6(4), random_below6(2) * 40);
        verdicts[verdict]++;
        CHECK(packet.data >= buffer && packet.data + packet.len <= end);
        if (verdict == INET_UDP)
            CHECK(got.payload == packet.data + 62 && got.payload + got.payload_len <= end);
        if (verdict == INET_UDP)
            inet_udp_build(&inet, &packet, &got.from, got.payload_len, random_below6(2));
        if (verdict == INET_UDP_LARGE)
            inet_release(&inet, &got);
    }
    for (uint32_t i = INET_DROP_UDP_NO_CHECKSUM; i < INET_DROP_REASONS; i++)
        reasons += inet.drops[i] > 0;
    CHECK(verdicts[INET_UDP] > PACKETS / 50 && verdicts[INET_REPLY] > PACKETS / 50);
    CHECK_EQ(reasons, INET_DROP_REASONS - INET_DROP_UDP_NO_CHECKSUM - 1); /* with reassembly */
}
