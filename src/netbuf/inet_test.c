/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of inet.c: Ethernet, ARP, IPv4 and ICMP, each good and each broken kind of packet. */
#include "netbuf/inet_test.h"

TEST(inet_drop_names_are_all_there)
{
    for (int i = 0; i < INET_DROP_REASONS; i++)
        CHECK(inet_drop_names[i] && inet_drop_names[i][0]);
}

TEST(inet_init_refuses_what_is_no_hosts_address)
{
    CHECK_PANICS(inet_init(&inet, our_mac, (struct ipv4_prefix){0x0a0002ff, 24}));
    CHECK_PANICS(inet_init(&inet, our_mac, (struct ipv4_prefix){0, 0}));
}

TEST(inet_eth_drops)
{
    for (uint32_t len = 0; len < 14; len++) {
        make_udp(10);
        raw_len = len;
        CHECK_DROP("eth_short");
    }
    CHECK_BROKEN(make_udp(1), eth->destination[5]++, "eth_destination");
    CHECK_BROKEN(make_udp(1), eth_mac_copy(eth->destination, group), "eth_multicast");
    CHECK_BROKEN(make_udp(1), eth_mac_copy(eth->source, group), "eth_source");
    CHECK_BROKEN(make_udp(1), eth_mac_copy(eth->source, everybody), "eth_source");
    CHECK_BROKEN(make_udp(1), eth_mac_copy(eth->source, nobody), "eth_source");
    CHECK_BROKEN(make_udp(1), eth_mac_copy(eth->source, our_mac), "eth_source");
    CHECK_BROKEN(make_udp(1), eth->type = be16(0x86dd), "eth_type");
    CHECK_BROKEN(make_udp(1), eth->type = be16(0x8100), "eth_vlan");
    CHECK_BROKEN(make_udp(1), eth->type = be16(100), "eth_type");
}

TEST(inet_answers_arp)
{
    init();
    make_arp(ARP_OP_REQUEST);
    eth_mac_copy(eth->destination, everybody);
    raw_len = 60; /* padded, as on a wire */
    memset(raw + 42, 0xee, 18);
    CHECK_EQ(input(NETBUF_CSUM_GOOD, 0), INET_REPLY);
    CHECK_EQ(packet.len, 60); /* padded, too, and nothing of the buffer's old bytes goes out */
    for (uint32_t i = 42; i < 60; i++)
        CHECK_EQ(packet.data[i], 0);
    CHECK_EQ(packet.flags, 0);
    memcpy(raw, packet.data, 42);
    CHECK(memcmp(eth->destination, peer_mac, 6) == 0 && memcmp(eth->source, our_mac, 6) == 0);
    CHECK_EQ(be16(eth->type), ETH_TYPE_ARP);
    CHECK_EQ(be16(arp->hrd), 1);
    CHECK_EQ(be16(arp->pro), ETH_TYPE_IPV4);
    CHECK(arp->hln == 6 && arp->pln == 4);
    CHECK_EQ(be16(arp->op), ARP_OP_REPLY);
    CHECK(memcmp(arp->sha, our_mac, 6) == 0 && memcmp(arp->tha, peer_mac, 6) == 0);
    CHECK_EQ(be32(arp->spa), OUR_IP);
    CHECK_EQ(be32(arp->tpa), PEER_IP);
    CHECK_EQ(inet.arp_replies, 1);
}

TEST(inet_defends_its_address_against_an_arp_probe)
{
    uint8_t mac[6];

    init();
    make_arp(ARP_OP_REQUEST);
    arp->spa = 0;
    CHECK_EQ(input(0, 0), INET_REPLY);
    CHECK(!knows(0, mac));
    CHECK(memcmp(inet.arp[0].mac, nobody, 6) == 0);
    make_arp(ARP_OP_REPLY);
    arp->spa = 0;
    CHECK_DROP("arp_sender");
}

#define CHECK_ARP(breaking, word)                                                                  \
    do {                                                                                           \
        uint8_t mac_[6];                                                                           \
        make_arp(ARP_OP_REQUEST);                                                                  \
        breaking;                                                                                  \
        CHECK_DROP(word);                                                                          \
        CHECK(!knows(be32(arp->spa), mac_));                                                       \
    } while (0)

TEST(inet_arp_drops)
{
    for (uint32_t len = 14; len < 42; len++)
        CHECK_ARP(raw_len = len, "arp_short");
    CHECK_ARP(arp->hrd = be16(6), "arp_format");
    CHECK_ARP(arp->pro = be16(0x86dd), "arp_format");
    CHECK_ARP(arp->hln = 8, "arp_format");
    CHECK_ARP(arp->pln = 16, "arp_format");
    CHECK_ARP(arp->op = be16(0), "arp_format");
    CHECK_ARP(arp->op = be16(3), "arp_format");
    CHECK_ARP(arp->tpa = be32(OUR_IP + 1), "arp_target");
    CHECK_ARP(arp->tpa = arp->spa, "arp_target"); /* another host's announcement */
    CHECK_ARP(arp->spa = be32(OUR_IP), "arp_conflict");
    CHECK_ARP(arp->spa = arp->tpa = be32(OUR_IP), "arp_conflict");
    CHECK_ARP(eth_mac_copy(arp->sha, group), "arp_sender");
    CHECK_ARP(eth_mac_copy(arp->sha, everybody), "arp_sender");
    CHECK_ARP(eth_mac_copy(arp->sha, nobody), "arp_sender");
    CHECK_ARP(eth_mac_copy(arp->sha, our_mac), "arp_sender");
    CHECK_ARP(arp->spa = be32(0xe0000001), "arp_sender");
    CHECK_ARP(arp->spa = be32(0x7f000001), "arp_sender");
    CHECK_ARP(arp->spa = be32(0x0a0002ff), "arp_sender");
    CHECK_ARP(arp->spa = be32(0xffffffff), "arp_sender");
}

TEST(inet_learns_from_arp)
{
    uint8_t mac[6] = {0};

    init();
    CHECK(!knows(PEER_IP, mac));
    make_arp(ARP_OP_REPLY);
    CHECK_EQ(input(0, 0), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_ARP_REPLY], 1);
    CHECK(knows(PEER_IP, mac) && memcmp(mac, peer_mac, 6) == 0);
    make_arp(ARP_OP_REQUEST);
    arp->sha[5] = 0x99; /* it has got a new network card */
    CHECK_EQ(input(0, 0), INET_REPLY);
    CHECK(knows(PEER_IP, mac) && mac[5] == 0x99);
    CHECK_EQ(inet.arp_next[0], 1);
}

TEST(inet_arp_forgets_the_oldest)
{
    uint8_t mac[6];

    init();
    make_arp(ARP_OP_REPLY);
    for (uint32_t i = 0; i <= INET_ARP_ENTRIES; i++) {
        arp->spa = be32(0x0a000220 + i);
        arp->sha[5] = (uint8_t)i;
        input(0, 0);
    }
    CHECK(!knows(0x0a000220, mac));
    for (uint32_t i = 1; i <= INET_ARP_ENTRIES; i++)
        CHECK(knows(0x0a000220 + i, mac) && mac[5] == i);
}

TEST(inet_announces_itself)
{
    init();
    packet = (struct netbuf){.data = buffer, .start = buffer, .buf_bytes = 128};
    inet_announce(&inet, &packet);
    CHECK_EQ(packet.len, 60);
    memcpy(raw, packet.data, 42);
    CHECK(memcmp(eth->destination, everybody, 6) == 0 && memcmp(eth->source, our_mac, 6) == 0);
    CHECK_EQ(be16(arp->op), ARP_OP_REQUEST);
    CHECK(memcmp(arp->sha, our_mac, 6) == 0 && memcmp(arp->tha, nobody, 6) == 0);
    CHECK_EQ(be32(arp->spa), OUR_IP);
    CHECK_EQ(be32(arp->tpa), OUR_IP);
    raw_len = 42;
    CHECK_DROP("eth_source"); /* our own, come back */
    packet.buf_bytes = 41;
    CHECK_PANICS(inet_announce(&inet, &packet));
}

TEST(inet_ip_drops)
{
    for (uint32_t len = 14; len < 34; len++) {
        make_udp(10);
        raw_len = len;
        CHECK_DROP("ip_short");
    }
    CHECK_BROKEN(make_udp(9), ip->version_ihl = 0x65, "ip_version");
    CHECK_BROKEN(make_udp(9), ip->version_ihl = 0x4f, "ip_length"); /* longer than the packet */
    CHECK_BROKEN(make_udp(9), ip->version_ihl = 0x44, "ip_length");
    CHECK_BROKEN(make_udp(9), ip->version_ihl = 0x40, "ip_length");
    CHECK_BROKEN(make_udp(9), ip->flags_fragment_offset = be16(0x2000), "ip_fragment");
    CHECK_BROKEN(make_udp(9), ip->flags_fragment_offset = be16(0x0001), "ip_fragment");
    CHECK_BROKEN(make_udp(9), ip->flags_fragment_offset = be16(0x3fff), "ip_fragment");
    CHECK_BROKEN(make_udp(9), ip->destination_address = be32(OUR_IP + 1), "ip_destination");
    CHECK_BROKEN(make_udp(9), ip->destination_address = be32(0xe0000001), "ip_destination");
    CHECK_BROKEN(make_udp(9), ip->destination_address = be32(0x0a0002ff), "ip_broadcast");
    CHECK_BROKEN(make_udp(9), ip->destination_address = be32(0xffffffff), "ip_broadcast");
    CHECK_BROKEN(make_udp(9), eth_mac_copy(eth->destination, everybody), "ip_broadcast");
    CHECK_BROKEN(make_ping(9), ip->destination_address = be32(0x0a0002ff), "ip_broadcast");
    CHECK_BROKEN(make_ping(9), eth_mac_copy(eth->destination, everybody), "ip_broadcast");
    CHECK_BROKEN(make_udp(9), ip->protocol = 6, "ip_protocol");
}

TEST(inet_ip_source_drops)
{
    static const uint32_t bad[] = {0,          0x00000001, 0x00ffffff, 0x7f000001,
                                   0x7fffffff, 0xe0000001, 0xefffffff, 0xf0000001,
                                   0xffffffff, 0x0a0002ff, OUR_IP};
    static const uint32_t good[] = {0x01000000, 0x7effffff, 0x80000001, 0xa9fe0001, 0xdfffffff};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CHECK_BROKEN(make_udp(9), ip->source_address = be32(bad[i]), "ip_source");
        CHECK_BROKEN(make_ping(9), ip->source_address = be32(bad[i]), "ip_source");
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        CHECK_BROKEN(make_udp(9), ip->source_address = be32(good[i]), "");
}

TEST(inet_ip_checksum_drops)
{
    for (uint32_t bit = 0; bit < 160; bit++) { /* any single bit of the header */
        make_udp(9);
        raw[14 + bit / 8] ^= (uint8_t)(1 << bit % 8);
        const char *word = why(0);
        CHECK(strcmp(word, "ip_checksum") == 0 || (bit < 32 && strncmp(word, "ip_", 3) == 0));
    }
}

TEST(inet_ip_length_drops)
{
    for (uint32_t total = 0; total < 2048; total++) {
        make_udp(9);
        ip->total_length = be16((uint16_t)total);
        ip->header_checksum = 0;
        ip->header_checksum = csum_finish(csum_add(0, ip, 20));
        const char *want = total < 20 || total > 37 ? "ip_length"
                           : total < 28             ? "udp_short"
                           : total < 37             ? "udp_length"
                                                    : "";
        CHECK_STR(why(0), want);
    }
}

TEST(inet_answers_ping)
{
    for (uint32_t len = 0; len < 1500; len += 1 + len / 7) {
        init();
        make_ping(len);
        raw_len = MAX(raw_len, 60u); /* short ones come padded */
        CHECK_EQ(input(NETBUF_CSUM_PARTIAL, 0), INET_REPLY);
        CHECK_EQ(packet.len, MAX(42 + len, 60u));
        CHECK_EQ(packet.flags, 0);
        memcpy(raw, packet.data, packet.len);
        CHECK(memcmp(eth->destination, peer_mac, 6) == 0 && memcmp(eth->source, our_mac, 6) == 0);
        CHECK_EQ(be16(eth->type), ETH_TYPE_IPV4);
        CHECK_EQ(be32(ip->source_address), OUR_IP);
        CHECK_EQ(be32(ip->destination_address), PEER_IP);
        CHECK_EQ(ip->time_to_live, 64);
        CHECK_EQ(be16(ip->total_length), 28 + len);
        CHECK_EQ(csum_fold(csum_add(0, ip, 20)), 0xffff);
        CHECK(icmp->type == ICMP_ECHO_REPLY && icmp->code == 0);
        CHECK_EQ(be16(icmp->identifier), 77);
        CHECK_EQ(be16(icmp->sequence_number), 3);
        CHECK_EQ(csum_fold(csum_add(0, icmp, 8 + len)), 0xffff);
        for (uint32_t i = 0; i < len; i++)
            CHECK_EQ(raw[42 + i], (uint8_t)(i * 7 + 1));
    }
}

TEST(inet_icmp_drops)
{
    for (uint32_t len = 0; len < 8; len++) {
        make_ip(IPV4_PROTOCOL_ICMP, 0);
        raw_len = 34 + len;
        seal();
        CHECK_DROP("icmp_short");
    }
    for (uint32_t type = 0; type < 256; type++)
        if (type != ICMP_ECHO)
            CHECK_BROKEN(make_ping(9), icmp->type = (uint8_t)type, "icmp_type");
    CHECK_BROKEN(make_ping(9), icmp->code = 1, "icmp_type");
    make_ping(9);
    icmp->checksum ^= 0x100;
    CHECK_DROP("icmp_checksum");
    CHECK_STR(why(NETBUF_CSUM_GOOD), "icmp_checksum"); /* devices don't look at ICMP */
}

TEST(inet_without_an_address_answers_nobody)
{
    init();
    inet_set_address(&inet, INET_NO_ADDRESS);
    make_arp(ARP_OP_REQUEST);
    for (uint32_t i = 0; i < 3; i++) { /* for the address that it had, 0.0.0.0, everybody */
        static const uint32_t to[] = {OUR_IP, 0, IPV4_BROADCAST};
        make_udp(9);
        ip->destination_address = be32(to[i]);
        seal();
        CHECK_EQ(input(0, 0), INET_DROPPED);
        make_arp(ARP_OP_REQUEST);
        arp->tpa = be32(to[i]);
        CHECK_EQ(input(0, 0), INET_DROPPED);
    }
    CHECK_EQ(inet.drops[INET_DROP_IP_DESTINATION] + inet.drops[INET_DROP_IP_BROADCAST], 3);
    CHECK_EQ(inet.drops[INET_DROP_ARP_TARGET], 3);
    make_arp(ARP_OP_REQUEST); /* a probe by who has no address either is no conflict */
    arp->spa = 0;
    CHECK_EQ(input(0, 0), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_ARP_TARGET], 4);
    inet_arrived(&inet);
    CHECK(!inet_next_packet(&inet, 1, &packet));
    CHECK_EQ(inet_resolve(&inet, PEER_IP, PEER_IP, 1, (uint8_t[ETH_MAC_BYTES]){0}), INET_NO_WAY);
}

TEST(inet_takes_another_address_and_announces_it)
{
    const struct ipv4_prefix other = {OUR_IP + 9, 16};

    init();
    inet_set_address(&inet, other);
    packet = (struct netbuf){.data = buffer, .start = buffer, .buf_bytes = 128};
    CHECK(inet_next_packet(&inet, 1, &packet));
    memcpy(raw, buffer, 42);
    CHECK_EQ(be32(arp->spa), OUR_IP + 9);
    CHECK_EQ(be32(arp->tpa), OUR_IP + 9);
    make_udp(9);
    CHECK_EQ(input(0, 0), INET_DROPPED);
    ip->destination_address = be32(OUR_IP + 9);
    seal();
    CHECK_EQ(input(0, 0), INET_UDP);
}
