/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of neighbour discovery, and of how addresses become ours and cease to be. */
#include "netbuf/inet6_test.h"

static const struct ipv6_address other = {.bytes = {0xfe, 0x80, [15] = 7}};
static const struct ipv6_address routed = {
    .bytes = {0x20, 1, 0xd, 0xb8, [8] = 0x50, 0x54, 0, 0xff, 0xfe, 0x12, 0x34, 0x56}};

/* Appends an option: its type, its length in 8 bytes, and zeros. */
static uint8_t *append_option(uint8_t type, uint8_t length)
{
    uint8_t *option = raw + raw_len;

    option[0] = type;
    option[1] = length;
    raw_len += length ? length * 8u : 8;
    seal6();
    return option;
}

/* --- answering ----------------------------------------------------------------------------------
 */

static void check_advertisement(const struct ipv6_address *to, uint8_t flags)
{
    static const uint8_t option[] = {ND_OPTION_TARGET_MAC, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56};

    memcpy(raw, packet.data, packet.len);
    raw_len = packet.len;
    CHECK_EQ(raw_len, 54 + 32);
    CHECK_EQ(ip6->hop_limit, 255);
    CHECK(ipv6_equal(&ip6->destination_address, to));
    CHECK(ipv6_equal(&ip6->source_address, &ours) && ipv6_equal(&nd->target, &ours));
    CHECK(nd->type == ICMP6_NEIGHBOUR_ADVERTISEMENT && nd->code == 0);
    CHECK_EQ(nd->flags, flags);
    CHECK(memcmp(raw + 78, option, sizeof option) == 0);
    const uint16_t was = nd->checksum;
    seal6();
    CHECK_EQ(nd->checksum, was);
}

TEST(inet_nd_answers_who_asks)
{
    init6();
    make_nd(ICMP6_NEIGHBOUR_SOLICITATION, &ours); /* to us: are we still there? */
    CHECK_EQ(input6(0, 64), INET_REPLY);
    check_advertisement(&peer, ND_SOLICITED | ND_OVERRIDE);
    CHECK(memcmp(eth->destination, peer_mac, 6) == 0);
    make_nd(ICMP6_NEIGHBOUR_SOLICITATION, &ours); /* to the group of those who may be it */
    ip6->destination_address = ipv6_solicited_node(&ours);
    write_group_mac(&ip6->destination_address);
    append_option(ND_OPTION_SOURCE_MAC, 1);
    CHECK_EQ(input6(0, 0), INET_REPLY);
    check_advertisement(&peer, ND_SOLICITED | ND_OVERRIDE);
    make_probe(&ours); /* by who wants the address */
    CHECK_EQ(input6(0, 64), INET_REPLY);
    check_advertisement(&ipv6_all_nodes, ND_OVERRIDE);
    static const uint8_t all[] = {0x33, 0x33, 0, 0, 0, 1};
    CHECK(memcmp(eth->destination, all, 6) == 0);
    CHECK_EQ(inet.nd_replies, 3);
    CHECK(inet6_has(&inet6, &ours));
}

TEST(inet_nd_needs_room_for_its_answer)
{
    init6();
    make_nd(ICMP6_NEIGHBOUR_SOLICITATION, &ours);
    CHECK_EQ(input6(0, 7), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_ROOM], 1);
    CHECK_EQ(input6(0, 8), INET_REPLY);
}

#define SOLICITATION make_nd(ICMP6_NEIGHBOUR_SOLICITATION, &ours)

TEST(inet_nd_solicitations_that_can_not_be)
{
    CHECK_BROKEN6(SOLICITATION, ip6->hop_limit = 254, "nd_hops");
    CHECK_BROKEN6(SOLICITATION, nd->code = 1, "nd_format");
    CHECK_BROKEN6(SOLICITATION, raw_len--, "nd_format");
    CHECK_BROKEN6(SOLICITATION, nd->target = ipv6_all_nodes, "nd_format");
    CHECK_BROKEN6(SOLICITATION, nd->target = other, "nd_target");
    CHECK_BROKEN6(SOLICITATION, append_option(200, 0), "nd_format");
    CHECK_BROKEN6(SOLICITATION, append_option(200, 2), "");
    CHECK_BROKEN6(SOLICITATION, (append_option(200, 2), raw_len--), "nd_format");
    CHECK_BROKEN6(SOLICITATION, raw_len++, "nd_format");
    CHECK_BROKEN6(make_probe(&ours), ip6->destination_address = ipv6_all_nodes, "nd_format");
    CHECK_BROKEN6(make_probe(&ours), append_option(ND_OPTION_SOURCE_MAC, 1), "nd_format");
    CHECK_BROKEN6(make_probe(&ours), append_option(14, 1), ""); /* a nonce (RFC 7527) */
    CHECK_BROKEN6(SOLICITATION, ip6->source_address = ours, "nd_conflict");
    static const uint8_t all_of_it[8] = {0, 0, 0, 0, 1, 2, 3, 4};
    SOLICITATION; /* in a fragment, though it is the only one */
    insert(IPV6_NEXT_FRAGMENT, all_of_it, sizeof all_of_it);
    CHECK_DROP6("nd_format");
    SOLICITATION;
    nd->checksum++;
    CHECK_DROP6("icmp6_checksum");
    make_ip6(IPV6_NEXT_ICMP, 1300);
    nd->type = ICMP6_NEIGHBOUR_SOLICITATION;
    nd->target = ours;
    seal6();
    CHECK_DROP6("nd_format");
}

#define ADVERTISEMENT(address) make_nd(ICMP6_NEIGHBOUR_ADVERTISEMENT, address)

TEST(inet_nd_hears_advertisements)
{
    CHECK_BROKEN6(ADVERTISEMENT(&other), (void)0, "nd_advert");
    CHECK_BROKEN6(ADVERTISEMENT(&ours), (void)0, "nd_conflict");
    CHECK_BROKEN6(ADVERTISEMENT(&ours), ip6->source_address = ours, "nd_conflict");
    CHECK(inet6_has(&inet6, &ours)); /* it stays ours (RFC 4862, section 5.4.4) */
    CHECK_BROKEN6(ADVERTISEMENT(&other), ip6->hop_limit = 64, "nd_hops");
    CHECK_BROKEN6(ADVERTISEMENT(&other), raw_len--, "nd_format");
    CHECK_BROKEN6(ADVERTISEMENT(&other), nd->target = ipv6_all_nodes, "nd_format");
    CHECK_BROKEN6(ADVERTISEMENT(&other), ip6->source_address = ipv6_nobody, "nd_format");
    CHECK_BROKEN6(ADVERTISEMENT(&other), append_option(2, 0), "nd_format");
    ADVERTISEMENT(&other);
    nd->flags = ND_SOLICITED;
    ip6->destination_address = ipv6_all_nodes;
    write_group_mac(&ipv6_all_nodes);
    seal6();
    CHECK_DROP6("nd_format");
}

TEST(inet_nd_flood_of_made_up_sources_is_answered_and_kept_nowhere)
{
    init6();
    static struct inet6 before;
    before = inet6;
    for (uint32_t i = 0; i < 10000; i++) {
        SOLICITATION;
        memcpy(ip6->source_address.bytes + 12, &i, sizeof i);
        ip6->source_address.bytes[8] = 1;
        memcpy(eth->source + 2, &i, sizeof i);
        seal6();
        CHECK_EQ(input6(0, 64), INET_REPLY);
        CHECK(memcmp(packet.data, eth->source, 6) == 0);
    }
    CHECK(memcmp(&before, &inet6, sizeof before) == 0);
    CHECK(!inet.has_packets);
}

/* --- duplicates ---------------------------------------------------------------------------------
 */

static void check_probe(const struct ipv6_address *address)
{
    const struct ipv6_address group = ipv6_solicited_node(address);

    CHECK_EQ(nd->type, ICMP6_NEIGHBOUR_SOLICITATION);
    CHECK(ipv6_equal(&nd->target, address));
    CHECK(ipv6_equal(&ip6->destination_address, &group));
    CHECK(ipv6_equal(&ip6->source_address, &ipv6_nobody));
    CHECK(raw_len == 78 && ip6->hop_limit == 255);
    CHECK(eth->destination[0] == 0x33 && memcmp(eth->destination + 2, group.bytes + 12, 4) == 0);
}

TEST(inet_nd_probes_then_announces_then_asks_routers)
{
    begin6();
    CHECK(inet.has_packets);
    CHECK(next6(1) && check_report(&ipv6_nobody, &ours));
    CHECK(next6(1));
    check_probe(&ours);
    make_ping6(1); /* it isn't ours yet */
    CHECK_EQ(input6(0, 0), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_IP6_DESTINATION], 1);
    CHECK(!next6(SECOND_NS));
    CHECK_EQ(inet.due_ns, SECOND_NS + 1);
    CHECK(next6(SECOND_NS + 1));
    packet.data = raw;
    check_advertisement(&ipv6_all_nodes, ND_OVERRIDE);
    CHECK(next6(SECOND_NS + 1) && check_report(&ours, &ours));
    CHECK(next6(SECOND_NS + 1));
    CHECK_EQ(icmp6->type, ICMP6_ROUTER_SOLICITATION);
    CHECK(ipv6_equal(&ip6->destination_address, &ipv6_all_routers));
    CHECK(ipv6_equal(&ip6->source_address, &ours) && raw[62] == ND_OPTION_SOURCE_MAC);
    uint32_t announcements = 0, reports = 0, questions = 0;
    for (uint64_t now = SECOND_NS + 2; now <= 3 * SECOND_NS + 2; now += SECOND_NS / 10)
        while (next6(now)) {
            announcements += icmp6->type == ICMP6_NEIGHBOUR_ADVERTISEMENT;
            reports += is_report();
            questions += icmp6->type == ICMP6_ROUTER_SOLICITATION;
        }
    CHECK(announcements == 1 && reports == 1 && questions == 0);
    CHECK(!next6(4 * SECOND_NS) && inet.due_ns == inet6.solicit_ns); /* there is nothing else */
}

TEST(inet_nd_gives_an_address_up_that_another_host_has)
{
    for (uint32_t how = 0; how < 2; how++) {
        begin6();
        CHECK(next6(1) && next6(1));
        if (how == 0)
            make_probe(&ours);
        else
            ADVERTISEMENT(&ours);
        CHECK_EQ(input6(0, 64), INET_DROPPED);
        CHECK_EQ(inet.drops[INET_DROP_ND_CONFLICT], 1);
        CHECK(!next6(5 * SECOND_NS)); /* without it there is no IPv6 */
        CHECK(!inet6_has(&inet6, &ours));
        SOLICITATION;
        CHECK_EQ(input6(0, 64), INET_DROPPED);
        inet_arrived(&inet); /* elsewhere nobody may have it */
        CHECK(next6(6 * SECOND_NS) && check_report(&ipv6_nobody, &ours));
        CHECK(next6(6 * SECOND_NS));
        check_probe(&ours);
        next6(8 * SECOND_NS);
        CHECK(inet6_has(&inet6, &ours));
    }
}

TEST(inet_nd_tells_once_that_another_host_has_an_address_in_use)
{
    init6();
    for (uint32_t i = 0; i < 3; i++) {
        ADVERTISEMENT(&ours);
        if (i == 1) { /* from there about another one */
            ADVERTISEMENT(&other);
            ip6->source_address = ours;
            seal6();
        }
        CHECK_EQ(input6(0, 64), INET_DROPPED);
        CHECK(inet6.own[0].is_contested && inet.has_packets);
        CHECK_EQ(inet6.own[0].is_contest_told, i > 0);
        const uint8_t lines = inet6.lines;
        pass6(20 * SECOND_NS);
        CHECK_EQ(inet6.lines, lines - (i == 0));
        CHECK(inet6_has(&inet6, &ours));
    }
    CHECK_EQ(inet.drops[INET_DROP_ND_CONFLICT], 3);
}

TEST(inet_nd_who_asks_for_a_tentative_address_gets_no_answer)
{
    begin6();
    CHECK(next6(1) && next6(1));
    SOLICITATION;
    CHECK_EQ(input6(0, 64), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_ND_TARGET], 1);
    CHECK(!next6(SECOND_NS / 2));
    next6(2 * SECOND_NS);
    CHECK(inet6_has(&inet6, &ours));
}

TEST(inet_nd_announces_its_address_when_the_link_comes_again)
{
    init6();
    inet_arrived(&inet);
    CHECK(inet6_has(&inet6, &ours)); /* and answers meanwhile */
    CHECK(next6(20 * SECOND_NS) && check_report(&ours, &ours));
    CHECK(next6(20 * SECOND_NS));
    packet.data = raw;
    check_advertisement(&ipv6_all_nodes, ND_OVERRIDE);
}

/* --- routers ------------------------------------------------------------------------------------
 */

static void make_router(void)
{
    make_ip6(IPV6_NEXT_ICMP, 16);
    icmp6->type = ICMP6_ROUTER_ADVERTISEMENT;
    ip6->destination_address = ipv6_all_nodes;
    write_group_mac(&ipv6_all_nodes);
    seal6();
}

static struct nd_option_prefix *make_router_of(uint32_t valid_s)
{
    make_router();
    struct nd_option_prefix *option = (struct nd_option_prefix *)append_option(ND_OPTION_PREFIX, 4);
    option->prefix_len = 64;
    option->flags = ND_PREFIX_ON_LINK | ND_PREFIX_AUTONOMOUS;
    option->valid_s = be32(valid_s);
    option->prefix = (struct ipv6_address){.bytes = {0x20, 1, 0xd, 0xb8}};
    seal6();
    return option;
}

static void hear(uint64_t now_ns)
{
    seal6();
    CHECK_EQ(input6(0, 0), INET_DROPPED);
    pass6(now_ns);
}

TEST(inet_nd_makes_addresses_for_routers_prefixes)
{
    init6();
    make_router_of(100);
    hear(20 * SECOND_NS);
    CHECK_EQ(inet.drops[INET_DROP_ND_ADVERT], 1);
    CHECK(inet6_find(&inet6, &routed) && !inet6_has(&inet6, &routed)); /* it is probed for */
    pass6(21 * SECOND_NS);
    pass6(23 * SECOND_NS);
    CHECK(inet6_has(&inet6, &routed));
    make_udp6(5);
    ip6->destination_address = routed;
    seal6();
    CHECK_EQ(input6(0, 0), INET_UDP);
    CHECK(ipv6_equal(&got.from.local_ip6, &routed));
    const struct ipv6_address near = {.bytes = {0x20, 1, 0xd, 0xb8, [15] = 5}};
    const struct ipv6_address far = {.bytes = {0x20, 1, 0xd, 0xb9, [15] = 5}};
    CHECK(inet6_is_near(&inet6, &near) && !inet6_is_near(&inet6, &far));
    pass6(119 * SECOND_NS);
    CHECK(inet6_has(&inet6, &routed));
    CHECK(inet.due_ns == 120 * SECOND_NS);
    pass6(120 * SECOND_NS);
    CHECK(!inet6_find(&inet6, &routed));
}

TEST(inet_nd_lifetimes_are_renewed_and_hardly_cut)
{
    const uint64_t hours = 3600 * SECOND_NS;

    init6();
    make_router_of(UINT32_MAX);
    hear(20 * SECOND_NS);
    CHECK_EQ(inet6_find(&inet6, &routed)->valid_until_ns, UINT64_MAX);
    make_router_of(100); /* perhaps made up */
    hear(20 * SECOND_NS);
    CHECK_EQ(inet6_find(&inet6, &routed)->valid_until_ns, 20 * SECOND_NS + 2 * hours);
    make_router_of(0);
    hear(20 * SECOND_NS + hours);
    CHECK_EQ(inet6_find(&inet6, &routed)->valid_until_ns, 20 * SECOND_NS + 2 * hours);
    make_router_of(3 * 3600);
    hear(20 * SECOND_NS + hours);
    CHECK_EQ(inet6_find(&inet6, &routed)->valid_until_ns, 20 * SECOND_NS + 4 * hours);
}

TEST(inet_nd_prefixes_that_make_no_address)
{
    for (uint32_t i = 0; i < 7; i++) {
        init6();
        struct nd_option_prefix *option = make_router_of(i == 0 ? 0 : 100);
        if (i == 1)
            option->flags = ND_PREFIX_ON_LINK;
        if (i == 2)
            option->prefix_len = 65;
        if (i == 3)
            option->preferred_s = be32(101);
        if (i == 4)
            option->prefix = (struct ipv6_address){.bytes = {0xfe, 0x80}};
        if (i == 5)
            option->prefix = (struct ipv6_address){.bytes = {0xff, 0x0e}};
        hear(20 * SECOND_NS);
        for (uint32_t own = 1; own < INET6_OWN; own++)
            CHECK_EQ(inet6.own[own].state == INET6_FREE, i < 6 || own != 1 + INET6_CONFIGURED);
    }
}

TEST(inet_nd_prefixes_are_bounded)
{
    init6();
    for (uint8_t i = 0; i < 3 * INET6_ROUTED; i++) {
        struct nd_option_prefix *option = make_router_of(100);
        option->prefix.bytes[7] = i;
        hear(20 * SECOND_NS);
    }
    for (uint32_t i = 0; i < INET6_ROUTED; i++)
        CHECK_EQ(inet6.own[1 + INET6_CONFIGURED + i].prefix.address.bytes[7], i);
    CHECK(inet6_has(&inet6, &ours));
}

TEST(inet_nd_a_prefix_that_is_not_on_link_is_nobodys_neighbour)
{
    const struct ipv6_address near = {.bytes = {0x20, 1, 0xd, 0xb8, [15] = 5}};

    init6();
    make_router_of(100)->flags = ND_PREFIX_AUTONOMOUS;
    hear(20 * SECOND_NS);
    pass6(21 * SECOND_NS);
    pass6(23 * SECOND_NS);
    CHECK(inet6_has(&inet6, &routed) && !inet6_is_near(&inet6, &near));
}

TEST(inet_nd_router_advertisements_that_can_not_be)
{
    CHECK_BROKEN6(make_router(), (void)0, "nd_advert");
    CHECK_BROKEN6(make_router(), ip6->source_address.bytes[0] = 0x20, "nd_format");
    CHECK_BROKEN6(make_router(), ip6->hop_limit = 254, "nd_hops");
    CHECK_BROKEN6(make_router(), icmp6->code = 1, "nd_format");
    CHECK_BROKEN6(make_router(), raw_len--, "nd_format");
    CHECK_BROKEN6(make_router(), append_option(3, 0), "nd_format");
    CHECK_BROKEN6(make_router(), (append_option(3, 4), raw_len--), "nd_format");
    CHECK_BROKEN6(make_router(), append_option(3, 3), "nd_advert"); /* a prefix of another length */
}

TEST(inet_nd_a_router_tells_the_mtu)
{
    static const uint32_t mtus[] = {1279, 1501, 1280, 1400};

    init6();
    for (uint32_t i = 0; i < ARRAY_LEN(mtus); i++) {
        make_router();
        ((struct nd_option_mtu *)append_option(ND_OPTION_MTU, 1))->mtu = be32(mtus[i]);
        hear(20 * SECOND_NS);
        CHECK_EQ(inet6.mtu_bytes, i < 2 ? 1500 : mtus[i]);
    }
}

TEST(inet_nd_routers_are_asked_until_one_answers)
{
    begin6();
    uint64_t now = 1, pause = 4 * SECOND_NS;

    pass6(now);
    pass6(now = 2 * SECOND_NS);
    for (uint32_t i = 0; i < 20; i++) { /* a switch may pass nothing on for the first half minute */
        pass6(now + pause - 1);
        CHECK(inet.due_ns >= now + pause && inet.due_ns <= now + pause + SECOND_NS);
        now = inet.due_ns;
        CHECK(next6(now));
        CHECK_EQ(icmp6->type, ICMP6_ROUTER_SOLICITATION);
        pause = MIN(2 * pause, 3600 * SECOND_NS);
    }
    make_router();
    hear(now);
    CHECK(!next6(now + 7200 * SECOND_NS));
    CHECK_EQ(inet.due_ns, UINT64_MAX);
}

TEST(inet_nd_another_core_hears_a_router_for_the_first)
{
    static struct inet second;

    init6();
    inet_init(&second, our_mac, INET_NO_ADDRESS);
    inet6_join(&inet6, &second);
    make_router_of(100);
    input6(0, 0);
    packet.data = buffer + sizeof buffer - raw_len;
    CHECK_EQ(inet_input(&second, &packet, &got), INET_DROPPED); /* the first one isn't read yet */
    CHECK_EQ(second.drops[INET_DROP_ND_BUSY], 1);
    pass6(20 * SECOND_NS);
    CHECK(inet.due_ns <= 21 * SECOND_NS); /* nobody wakes it */
    pass6(22 * SECOND_NS);
    pass6(24 * SECOND_NS);
    CHECK(inet6_has(second.inet6, &routed));
}
