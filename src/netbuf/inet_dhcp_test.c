/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of inet_dhcp.c and inet_cores.c: a host without an address, a server, and two cores. */
#include "netbuf/dhcp.h"
#include "netbuf/inet_test.h"

#define S 1000000000ull

enum { DHCP_OFFSET = INET_UDP_HEADROOM, SERVER_IP = PEER_IP };

static struct dhcp_header *const dhcp_message = (struct dhcp_header *)(raw + DHCP_OFFSET);
static uint64_t now_ns;

static void begin_dhcp(void)
{
    inet_init(&inet, our_mac, INET_NO_ADDRESS);
    inet_use_dhcp(&inet, NULL, 4711);
    inet_arrived(&inet);
    now_ns = 5 * S;
}

/* What the host sends by itself now, in raw: a DHCP message's type, 100 for ARP, 0 for nothing. */
static uint32_t sends(void)
{
    packet = (struct netbuf){.data = buffer, .start = buffer, .buf_bytes = sizeof buffer};
    if (!inet_next_packet(&inet, now_ns, &packet))
        return 0;
    memcpy(raw, packet.data, packet.len);
    if (be16(eth->type) == ETH_TYPE_ARP)
        return 100;
    CHECK_EQ(packet.len, DHCP_OFFSET + DHCP_MESSAGE_BYTES);
    CHECK(be16(udp->source_port) == 68 && be16(udp->destination_port) == 67);
    CHECK(csum_fold(csum_add(0, ip, 20)) == 0xffff);
    const uint32_t len = be16(udp->length);
    uint64_t sum = csum_pseudo(be32(ip->source_address), be32(ip->destination_address),
                               IPV4_PROTOCOL_UDP, (uint16_t)len);
    CHECK(csum_fold(csum_add(sum, udp, len)) == 0xffff);
    return raw[DHCP_OFFSET + sizeof *dhcp_message + 2];
}

/* The same; if there is nothing, the time goes on to when there is something. */
static uint32_t step(void)
{
    const uint32_t type = sends();

    if (type == 0)
        now_ns = inet.due_ns;
    return type;
}

/* A server's answer to the message in raw, in its place. */
static void make_answer(uint8_t type, uint32_t lease_s, uint32_t destination)
{
    static uint8_t xid[4];
    uint8_t options[] = {53, 1, type, 54,  4,   10,  0, 2, 2, 51, 4, 0, 0, 0,
                         0,  1, 4,    255, 255, 255, 0, 3, 4, 10, 0, 2, 1, 255};

    store_be16(options + 13, (uint16_t)lease_s);
    memcpy(xid, &dhcp_message->xid, sizeof xid);
    make_ip(IPV4_PROTOCOL_UDP, 8 + sizeof *dhcp_message + sizeof options);
    memset(raw + DHCP_OFFSET, 0, sizeof *dhcp_message);
    *dhcp_message = (struct dhcp_header){.op = DHCP_OP_REPLY, .htype = 1, .hlen = 6};
    memcpy(&dhcp_message->xid, xid, sizeof xid);
    memcpy(dhcp_message->chaddr, our_mac, sizeof our_mac);
    dhcp_message->yiaddr = be32(type == DHCP_NAK ? 0 : OUR_IP);
    dhcp_message->magic = be32(DHCP_MAGIC);
    memcpy(dhcp_message + 1, options, sizeof options);
    udp->source_port = be16(67);
    udp->destination_port = be16(68);
    ip->destination_address = be32(destination);
    if (destination == IPV4_BROADCAST)
        memcpy(eth->destination, everybody, sizeof everybody);
    seal();
}

static enum inet_drop taken(void)
{
    uint64_t before[INET_DROP_REASONS];
    uint32_t why = 0;

    memcpy(before, inet.drops, sizeof before);
    CHECK_EQ(input(0, 0), INET_DROPPED);
    while (why < INET_DROP_REASONS && inet.drops[why] == before[why])
        why++;
    return (enum inet_drop)why;
}

/* A lease from a server that sends to this address. */
static void lease(uint32_t lease_s, uint32_t destination)
{
    CHECK_EQ(sends(), DHCP_DISCOVER);
    CHECK(ip->source_address == 0 && be32(ip->destination_address) == IPV4_BROADCAST);
    CHECK(memcmp(eth->destination, everybody, 6) == 0);
    make_answer(DHCP_OFFER, lease_s, destination);
    CHECK_EQ(taken(), INET_DROP_DHCP);
    CHECK(inet.has_packets);
    CHECK_EQ(sends(), DHCP_REQUEST);
    make_answer(DHCP_ACK, lease_s, destination);
    CHECK_EQ(taken(), INET_DROP_DHCP);
}

/* Probes, until the address is used. */
static void probe_it(void)
{
    uint32_t probes = 0;

    for (const uint64_t end_ns = now_ns + S; !inet_has_address(&inet); now_ns += S / 100) {
        CHECK(now_ns < end_ns);
        if (sends() != 100 || inet_has_address(&inet))
            continue;
        CHECK(arp->spa == 0 && be32(arp->tpa) == OUR_IP);
        probes++;
    }
    CHECK_EQ(probes, 3);
}

static void lease_and_probe(uint32_t lease_s, uint32_t destination)
{
    begin_dhcp();
    lease(lease_s, destination);
    probe_it();
    while (sends() == 100) /* announcements */
        CHECK(be32(arp->spa) == OUR_IP);
}

TEST(inet_dhcp_takes_answers_to_any_destination)
{
    static const uint32_t destinations[] = {OUR_IP, IPV4_BROADCAST};

    for (uint32_t i = 0; i < 2; i++) {
        lease_and_probe(3600, destinations[i]);
        CHECK(inet.prefix.address == OUR_IP && inet.prefix.len == 24);
        CHECK_EQ(inet.router, 0x0a000201);
        make_udp(9);
        CHECK_EQ(input(0, 0), INET_UDP);
    }
}

TEST(inet_dhcp_counts_what_it_cannot_use)
{
    begin_dhcp();
    CHECK_EQ(sends(), DHCP_DISCOVER);
    make_answer(DHCP_OFFER, 3600, OUR_IP);
    udp->checksum ^= 1;
    CHECK_EQ(taken(), INET_DROP_UDP_CHECKSUM);
    udp->checksum ^= 1;
    dhcp_message->chaddr[0] ^= 2;
    seal();
    CHECK_EQ(taken(), INET_DROP_DHCP_CLIENT);
    dhcp_message->chaddr[0] ^= 2;
    dhcp_message->xid ^= 1;
    seal();
    CHECK_EQ(taken(), INET_DROP_DHCP_UNASKED);
    dhcp_message->xid ^= 1;
    ip->flags_fragment_offset = be16(IPV4_MORE_FRAGMENTS);
    seal();
    CHECK(taken() != INET_DROP_DHCP);
    ip->flags_fragment_offset = 0;
    udp->destination_port = be16(69); /* as if there were no client */
    seal();
    CHECK_EQ(taken(), INET_DROP_IP_DESTINATION);
    udp->destination_port = be16(68);
    seal();
    udp->length = be16(2000);
    udp->checksum = 0;
    CHECK_EQ(taken(), INET_DROP_UDP_LENGTH);
    for (uint32_t i = 0; i < 4; i++) { /* from nobody, a group, loopback, all */
        static const uint32_t bad[] = {0, 0xe0000001, 0x7f000001, IPV4_BROADCAST};
        ip->source_address = be32(bad[i]);
        seal();
        CHECK_EQ(taken(), INET_DROP_IP_SOURCE);
    }
    ip->source_address = be32(SERVER_IP);
    seal();
    CHECK_EQ(taken(), INET_DROP_DHCP);
    init(); /* no client at all */
    make_answer(DHCP_OFFER, 3600, IPV4_BROADCAST);
    CHECK_EQ(taken(), INET_DROP_IP_BROADCAST);
    make_answer(DHCP_OFFER, 3600, OUR_IP);
    CHECK_EQ(input(0, 0), INET_UDP);
}

TEST(inet_dhcp_renews_by_unicast)
{
    lease_and_probe(3600, OUR_IP);
    while (step() != DHCP_REQUEST)
        CHECK(now_ns < 2000 * S);
    CHECK(be32(ip->source_address) == OUR_IP && be32(ip->destination_address) == SERVER_IP);
    CHECK(memcmp(eth->destination, peer_mac, 6) == 0);
    make_answer(DHCP_ACK, 3600, OUR_IP);
    CHECK_EQ(taken(), INET_DROP_DHCP); /* to our address, port 68: not for the app */
    CHECK_EQ(sends(), 0);
    CHECK(inet.due_ns > now_ns + 1687 * S && inet_has_address(&inet));
}

TEST(inet_dhcp_loses_its_address)
{
    for (uint32_t refused = 0; refused < 2; refused++) {
        lease_and_probe(20, OUR_IP);
        while (inet_has_address(&inet)) {
            CHECK(now_ns < 30 * S);
            if (step() != DHCP_REQUEST || !refused)
                continue;
            make_answer(DHCP_NAK, 0, OUR_IP);
            CHECK_EQ(taken(), INET_DROP_DHCP);
            CHECK(inet_has_address(&inet)); /* answers that are under way still go out */
        }
        CHECK(refused ? now_ns < 18 * S : now_ns > 24 * S);
        CHECK_EQ(inet.router, 0);
        make_udp(9);
        CHECK_EQ(input(0, 0), INET_DROPPED);
        CHECK_EQ(inet.dhcp.news, refused ? DHCP_REFUSED : DHCP_EXPIRED);
        inet_tell_dhcp(&inet);
        CHECK_EQ(inet.dhcp.news, DHCP_NO_NEWS);
    }
}

static void conflict_by_arp(void)
{
    make_arp(ARP_OP_REPLY);
    arp->spa = be32(OUR_IP);
    CHECK_EQ(input(0, 0), INET_DROPPED);
}

TEST(inet_dhcp_declines_an_address_in_use)
{
    begin_dhcp();
    lease(3600, OUR_IP);
    while (step() != 100)
        CHECK(now_ns < 10 * S);
    conflict_by_arp();
    CHECK_EQ(sends(), DHCP_DECLINE);
    CHECK(!inet_has_address(&inet) && inet.addresses[0].state == INET_ADDRESS_FREE);
    CHECK_EQ(inet.dhcp.news, DHCP_CONFLICT);
    CHECK_EQ(sends(), 0);
    CHECK(inet.due_ns >= now_ns + 5 * S);
}

/* Core 0's part of the host is `speaker`; what is received comes to `inet`, which is core 1's. */
TEST(inet_cores_have_one_host)
{
    static struct inet speaker, other;

    for (uint32_t conflict = 0; conflict < 2; conflict++) {
        begin_dhcp();
        inet_init(&other, our_mac, INET_NO_ADDRESS);
        inet_join(&inet, &other);
        CHECK_EQ(sends(), DHCP_DISCOVER);
        for (uint8_t type = DHCP_OFFER; type <= DHCP_ACK; type += DHCP_ACK - DHCP_OFFER) {
            make_answer(type, 3600, OUR_IP);
            speaker = inet;
            inet = other;
            inet.host = &speaker;
            CHECK_EQ(taken(), INET_DROP_DHCP);
            CHECK_EQ(taken(), INET_DROP_DHCP_BUSY);
            other = inet;
            inet = speaker;
            if (type == DHCP_OFFER)
                CHECK_EQ(sends(), DHCP_REQUEST);
        }
        while (step() != 100)
            CHECK(now_ns < 10 * S);
        other.host = &inet;
        inet_follow(&other);
        CHECK(!inet_has_address(&other) && other.addresses[0].state == INET_ADDRESS_PROBING);
        if (conflict) {
            speaker = inet;
            inet = other;
            inet.host = &speaker;
            conflict_by_arp();
            inet = speaker;
            CHECK_EQ(sends(), DHCP_DECLINE);
            continue;
        }
        while (!inet_has_address(&inet))
            step();
        speaker = inet;
        inet = other;
        inet.host = &speaker;
        make_udp(9);
        CHECK_EQ(input(0, 0), INET_UDP); /* by itself, before its loop looks */
        speaker.by_dhcp = false;         /* else it would take its lease up again */
        inet_put_address(&speaker, 0, INET_NO_ADDRESS, 0);
        packet = (struct netbuf){.data = buffer, .start = buffer, .buf_bytes = sizeof buffer};
        CHECK(!inet_next_packet(&speaker, now_ns, &packet));
        inet_follow(&inet);
        CHECK(!inet_has_address(&inet));
        CHECK_EQ(input(0, 0), INET_DROPPED);
    }
}
