/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of inet_address.c: several addresses, probes, announcements and conflicts. */
#include "netbuf/inet_test.h"

#define SECOND_NS 1000000000ull

enum { OTHER_IP = 0x0a000763, QUIET_IP = 0xc0000207 };

static uint64_t now_ns;

static void begin(void)
{
    init();
    now_ns = 5 * SECOND_NS;
    inet.now_ns = now_ns;
}

/* The next packet that the host sends by itself, in raw; false if there is none now. */
static bool sent(void)
{
    packet = (struct netbuf){.data = buffer + 64, .start = buffer, .buf_bytes = 256};
    if (!inet_next_packet(&inet, now_ns, &packet))
        return false;
    memcpy(raw, packet.data, packet.len);
    CHECK_EQ(be16(arp->op), ARP_OP_REQUEST);
    CHECK(memcmp(eth->destination, everybody, 6) == 0 && memcmp(arp->tha, nobody, 6) == 0);
    return true;
}

static void check_announced(uint32_t address)
{
    CHECK(sent());
    CHECK_EQ(be32(arp->spa), address);
    CHECK_EQ(be32(arp->tpa), address);
}

/* Another host speaks by ARP as if `address` were its own. */
static enum inet_verdict claim(uint32_t address, uint16_t op)
{
    make_arp(op);
    arp->spa = be32(address);
    return input(0, 0);
}

static enum inet_verdict ask(uint32_t address)
{
    make_arp(ARP_OP_REQUEST);
    arp->tpa = be32(address);
    return input(0, 18);
}

static enum inet_verdict send_datagram(uint32_t address)
{
    make_udp(9);
    ip->destination_address = be32(address);
    seal();
    return input(0, 0);
}

TEST(inet_address_answers_go_out_from_the_one_that_was_asked)
{
    static const uint32_t addresses[] = {OUR_IP, OTHER_IP, QUIET_IP};

    begin();
    inet_put_address(&inet, 3, (struct ipv4_prefix){OTHER_IP, 24}, 0);
    inet_put_address(&inet, 7, (struct ipv4_prefix){QUIET_IP, 32}, INET_ADDRESS_QUIET);
    for (uint32_t i = 0; i < 3; i++) {
        for (int offload = 0; offload < 2; offload++) {
            CHECK_EQ(send_datagram(addresses[i]), INET_UDP);
            CHECK_EQ(got.from.local, i == 0 ? 0 : i == 1 ? 3 : 7);
            inet_udp_build(&inet, &packet, &got.from, 9, offload);
            memcpy(raw, packet.data, packet.len);
            CHECK_EQ(be32(ip->source_address), addresses[i]);
            CHECK_EQ(csum_fold(csum_add_20(0, ip)), 0xffff);
            uint64_t sum = csum_pseudo(addresses[i], PEER_IP, IPV4_PROTOCOL_UDP, 17);
            CHECK_EQ(csum_fold(offload ? sum : csum_add(sum, udp, 17)),
                     offload ? udp->checksum : 0xffff);
        }
        make_ping(5);
        ip->destination_address = be32(addresses[i]);
        seal();
        CHECK_EQ(input(0, 18), INET_REPLY);
        memcpy(raw, packet.data, packet.len);
        CHECK_EQ(be32(ip->source_address), addresses[i]);
    }
    CHECK_EQ(send_datagram(OTHER_IP + 1), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_IP_DESTINATION], 1);
    CHECK_EQ(send_datagram(OTHER_IP | 0xff), INET_DROPPED); /* the other network's broadcast */
    CHECK_EQ(inet.drops[INET_DROP_IP_BROADCAST], 1);
    inet_put_address(&inet, 3, INET_NO_ADDRESS, 0);
    CHECK_EQ(send_datagram(OTHER_IP), INET_DROPPED);
    CHECK_EQ(send_datagram(0), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_IP_DESTINATION], 3);
}

/* A packet of either kind comes from this address to our last one. */
static void check_source(uint32_t source, const char *word)
{
    for (int kind = 0; kind < 2; kind++) {
        const uint64_t before = inet.drops[INET_DROP_IP_SOURCE];
        if (kind == 0)
            make_udp(9);
        else
            make_ping(9);
        ip->source_address = be32(source);
        ip->destination_address = be32(QUIET_IP);
        seal();
        const enum inet_verdict good = kind == 0 ? INET_UDP : INET_REPLY;
        CHECK_EQ(input(0, 18), *word ? INET_DROPPED : good);
        CHECK_EQ(inet.drops[INET_DROP_IP_SOURCE], before + (*word != 0));
    }
}

TEST(inet_address_of_ours_is_no_source)
{
    enum { TAKEN_IP = 0x0a000817 };

    begin();
    inet_put_address(&inet, 3, (struct ipv4_prefix){OTHER_IP, 24}, 0);
    inet_put_address(&inet, 4, (struct ipv4_prefix){TAKEN_IP, 24}, INET_ADDRESS_PROBE);
    inet_put_address(&inet, 7, (struct ipv4_prefix){QUIET_IP, 32}, INET_ADDRESS_QUIET);
    check_source(OUR_IP, "ours");
    check_source(OTHER_IP, "ours");
    check_source(QUIET_IP, "ours");
    check_source(OUR_IP | 0xff, "a network's broadcast");
    check_source(OTHER_IP | 0xff, "a network's broadcast");
    for (uint32_t i = 1; i < 4; i++) { /* the same last bits, but others' */
        check_source(OUR_IP ^ i << 6, "");
        check_source(OTHER_IP ^ i << 6, "");
        check_source(QUIET_IP ^ i << 6, "");
    }
    check_source(QUIET_IP | 0xff, ""); /* of a network of one */
    check_source(TAKEN_IP, "");        /* the host that has it, while we look whether one has */
    inet_put_address(&inet, 3, INET_NO_ADDRESS, 0);
    check_source(OTHER_IP, "");
    check_source(OTHER_IP | 0xff, "");
    uint8_t mac[ETH_MAC_BYTES]; /* nor is there a neighbour with one */
    CHECK_EQ(inet_resolve(&inet, QUIET_IP, 0, now_ns, mac), INET_NO_WAY);
    CHECK_EQ(inet_resolve(&inet, OUR_IP | 0xff, 0, now_ns, mac), INET_NO_WAY);
}

TEST(inet_address_that_is_quiet_is_neither_announced_nor_answered)
{
    begin();
    inet_put_address(&inet, 1, (struct ipv4_prefix){OTHER_IP, 24}, 0);
    inet_put_address(&inet, 2, (struct ipv4_prefix){QUIET_IP, 32},
                     INET_ADDRESS_QUIET | INET_ADDRESS_PROBE);
    inet_arrived(&inet);
    for (int time = 0; time < 2; time++, now_ns += 2 * SECOND_NS) {
        check_announced(OUR_IP);
        check_announced(OTHER_IP);
        CHECK(!sent());
        CHECK_EQ(inet.due_ns, time == 0 ? now_ns + 2 * SECOND_NS : UINT64_MAX);
    }
    CHECK_EQ(ask(QUIET_IP), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_ARP_TARGET], 1);
    CHECK_EQ(ask(OTHER_IP), INET_REPLY);
    memcpy(raw, packet.data, packet.len);
    CHECK_EQ(be32(arp->spa), OTHER_IP);
    CHECK_EQ(claim(QUIET_IP, ARP_OP_REQUEST), INET_REPLY); /* the balancer, who has it, asks us */
    CHECK_EQ(inet.drops[INET_DROP_ARP_CONFLICT], 0);
    CHECK(!sent());
}

TEST(inet_address_asks_neighbours_by_the_one_in_their_network)
{
    uint8_t mac[ETH_MAC_BYTES];

    begin();
    inet_put_address(&inet, 0, (struct ipv4_prefix){QUIET_IP, 32}, INET_ADDRESS_QUIET);
    CHECK_EQ(inet_resolve(&inet, PEER_IP, PEER_IP, now_ns, mac), INET_NO_WAY);
    inet_put_address(&inet, 1, (struct ipv4_prefix){OUR_IP, 32}, 0);
    inet_put_address(&inet, 2, (struct ipv4_prefix){OTHER_IP, 24}, 0);
    for (int time = 0; time < 2; time++, now_ns += 2 * SECOND_NS)
        while (sent())
            continue;
    CHECK_EQ(inet_resolve(&inet, OTHER_IP + 1, 0, now_ns, mac), INET_ASKING);
    CHECK(sent());
    CHECK_EQ(be32(arp->spa), OTHER_IP);
    CHECK_EQ(inet_resolve(&inet, 0x01010101, PEER_IP, now_ns, mac), INET_ASKING); /* by a gateway */
    CHECK(sent());
    CHECK_EQ(be32(arp->spa), OUR_IP);
    CHECK_EQ(be32(arp->tpa), PEER_IP);
}

/* Lets time pass until the next packet is due. */
static void wait_for_next(void)
{
    CHECK(!sent());
    CHECK(inet.due_ns > now_ns && inet.due_ns < UINT64_MAX);
    now_ns = inet.due_ns;
}

static void check_probe(uint32_t address)
{
    CHECK(sent());
    CHECK_EQ(be32(arp->spa), 0);
    CHECK_EQ(be32(arp->tpa), address);
}

/* Three probes, each one to two seconds after the one before; the first within a second. */
static void check_three_probes(void)
{
    uint64_t last_ns = now_ns;

    for (int i = 0; i < 3; i++) {
        wait_for_next();
        CHECK(now_ns - last_ns < (i == 0 ? 1 : 2) * SECOND_NS);
        CHECK(i == 0 || now_ns - last_ns >= SECOND_NS);
        last_ns = now_ns;
        check_probe(OUR_IP);
        CHECK_EQ(send_datagram(OUR_IP), INET_DROPPED); /* it isn't ours yet */
        CHECK_EQ(ask(OUR_IP), INET_DROPPED);
    }
}

TEST(inet_address_that_is_probed_for_is_used_when_nobody_has_it)
{
    begin();
    inet_put_address(&inet, 0, (struct ipv4_prefix){OUR_IP, 24}, INET_ADDRESS_PROBE);
    check_three_probes();
    CHECK(!inet_has_address(&inet));
    const uint64_t last_ns = now_ns;
    wait_for_next();
    CHECK_EQ(now_ns - last_ns, 2 * SECOND_NS);
    check_announced(OUR_IP);
    CHECK(inet_has_address(&inet) && inet.addresses[0].state == INET_ADDRESS_USED);
    CHECK_EQ(send_datagram(OUR_IP), INET_UDP);
    CHECK_EQ(ask(OUR_IP), INET_REPLY);
    wait_for_next();
    check_announced(OUR_IP);
    CHECK(!sent());
    inet_arrived(&inet); /* announced again, not probed for */
    check_announced(OUR_IP);
    CHECK_EQ(send_datagram(OUR_IP), INET_UDP);
}

TEST(inet_address_that_another_host_has_is_left_alone)
{
    for (int how = 0; how < 3; how++) { /* its answer, its request, its own probe */
        begin();
        inet_put_address(&inet, 0, (struct ipv4_prefix){OUR_IP, 24}, INET_ADDRESS_PROBE);
        wait_for_next();
        check_probe(OUR_IP);
        CHECK_EQ(how == 2 ? claim(0, ARP_OP_REQUEST)
                          : claim(OUR_IP, how ? ARP_OP_REQUEST : ARP_OP_REPLY),
                 INET_DROPPED);
        CHECK_EQ(inet.drops[INET_DROP_ARP_CONFLICT], 1);
        CHECK(inet.has_packets);
        CHECK(!sent());
        CHECK_EQ(inet.addresses[0].state, INET_ADDRESS_TAKEN);
        CHECK_EQ(memcmp(inet.addresses[0].other, peer_mac, 6), 0);
        CHECK_EQ(inet.due_ns, now_ns + 60 * SECOND_NS);
        CHECK_EQ(send_datagram(OUR_IP), INET_DROPPED);
        now_ns = inet.due_ns;
        check_three_probes(); /* it may have gone */
        wait_for_next();
        check_announced(OUR_IP);
    }
}

/* What a bridge sends on of ours, or from no host's MAC address. */
TEST(inet_address_is_contradicted_by_other_hosts_only)
{
    static const uint8_t *const senders[] = {our_mac, everybody, nobody};

    for (uint32_t i = 0; i < ARRAY_LEN(senders); i++)
        for (uint8_t flags = 0; flags <= INET_ADDRESS_PROBE; flags += INET_ADDRESS_PROBE) {
            begin();
            inet_put_address(&inet, 0, (struct ipv4_prefix){OUR_IP, 24}, flags);
            const uint8_t state = inet.addresses[0].state;
            make_arp(ARP_OP_REQUEST);
            arp->spa = be32(OUR_IP);
            memcpy(arp->sha, senders[i], sizeof arp->sha);
            CHECK_EQ(input(0, 0), INET_DROPPED);
            CHECK_EQ(inet.drops[INET_DROP_ARP_CONFLICT], 0);
            while (sent())
                continue;
            CHECK_EQ(inet.addresses[0].state, state);
        }
}

TEST(inet_address_is_defended_once_in_ten_seconds)
{
    begin();
    for (uint32_t i = 0; i < 5; i++) {
        CHECK_EQ(claim(OUR_IP, i % 2 ? ARP_OP_REQUEST : ARP_OP_REPLY), INET_DROPPED);
        CHECK(inet.has_packets);
        if (i == 0)
            check_announced(OUR_IP);
        CHECK(!sent());
        CHECK(inet.addresses[0].told);
        CHECK_EQ(send_datagram(OUR_IP), INET_UDP); /* and used all the time */
        now_ns += 2 * SECOND_NS - 1;
    }
    now_ns += 5;
    CHECK(!sent()); /* nobody claims it any more */
    claim(OUR_IP, ARP_OP_REPLY);
    check_announced(OUR_IP);
    CHECK_EQ(inet.drops[INET_DROP_ARP_CONFLICT], 6);
}
