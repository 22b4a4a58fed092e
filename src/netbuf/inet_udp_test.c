/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of inet.c: UDP in and out, chained packets, and what no one thought of. */
#include "netbuf/inet_test.h"

TEST(inet_takes_udp)
{
    for (uint32_t len = 0; len < 1500; len += 1 + len / 7) {
        init();
        make_udp(len);
        raw_len = MAX(raw_len, 60u); /* short ones come padded */
        CHECK_EQ(input(0, 0), INET_UDP);
        CHECK(got.payload == packet.data + INET_UDP_HEADROOM);
        CHECK_EQ(got.payload_len, len);
        CHECK_EQ(got.from.ip, PEER_IP);
        CHECK_EQ(got.from.port, PEER_PORT);
        CHECK_EQ(got.from.local_port, OUR_PORT);
        CHECK(memcmp(got.from.mac, peer_mac, 6) == 0);
        CHECK(memcmp(packet.data, raw, raw_len) == 0);
        CHECK_EQ(inet.udp_packets, 1);
    }
}

TEST(inet_udp_drops)
{
    for (uint32_t len = 0; len < 8; len++) {
        make_ip(IPV4_PROTOCOL_UDP, 0);
        raw_len = 34 + len;
        seal();
        CHECK_DROP("udp_short");
    }
    CHECK_BROKEN(make_udp(9), udp->source_port = 0, "udp_port");
    CHECK_BROKEN(make_udp(9), udp->destination_port = 0, "udp_port");
}

TEST(inet_udp_length_rules_the_payload)
{
    for (uint32_t len = 0; len < 0x10000; len += len < 60 ? 1 : 97) {
        make_udp(30);
        udp->length = be16((uint16_t)len);
        udp->checksum = 0;
        if (len < 8 || len > 38) {
            CHECK_DROP("udp_length");
            continue;
        }
        uint64_t sum = csum_pseudo(PEER_IP, OUR_IP, IPV4_PROTOCOL_UDP, (uint16_t)len);
        udp->checksum = csum_finish(csum_add(sum, udp, len));
        CHECK_STR(why(0), "");
        CHECK_EQ(got.payload_len, len - 8);
    }
}

TEST(inet_udp_checksum_drops)
{
    for (uint32_t bit = 0; bit < 8 * (8 + 21); bit++) { /* any single bit of header and payload */
        make_udp(21);
        raw[34 + bit / 8] ^= (uint8_t)(1 << bit % 8);
        const char *word = why(0);
        bool length = bit / 8 == 4 || bit / 8 == 5;
        CHECK_STR(word, length && strcmp(word, "udp_length") == 0 ? word : "udp_checksum");
    }
    make_udp(21);
    udp->checksum = be16(0xffff);
    CHECK_DROP("udp_checksum");
}

TEST(inet_udp_checksum_may_be_left_out)
{
    make_udp(21);
    udp->checksum = 0;
    CHECK_STR(why(0), "");
}

TEST(inet_udp_checksum_verified_by_the_device)
{
    make_udp(21);
    udp->checksum ^= 1;
    CHECK_STR(why(NETBUF_CSUM_GOOD), "");
    CHECK_STR(why(0), "udp_checksum");
}

TEST(inet_udp_checksum_left_out_by_a_sender_on_this_machine)
{
    make_udp(21);
    udp->checksum = csum_fold(csum_pseudo(PEER_IP, OUR_IP, IPV4_PROTOCOL_UDP, 29));
    CHECK_STR(why(NETBUF_CSUM_PARTIAL), "");

    /* The same flag about another place says nothing of UDP's checksum. */
    init();
    input(0, 0);
    for (int i = 0; i < 2; i++) {
        packet.flags = NETBUF_CSUM_PARTIAL;
        packet.csum_start = i == 0 ? 33 : 34;
        packet.csum_offset = i == 0 ? 6 : 16;
        CHECK_EQ(inet_input(&inet, &packet, &got), INET_DROPPED);
    }
    CHECK_EQ(inet.drops[INET_DROP_UDP_CHECKSUM], 3);
}

/* Is `packet` a whole datagram to the peer with that payload? The peer's own inet says so. */
static void check_sent(const char *payload, uint32_t len)
{
    struct inet peer;
    struct inet_udp seen;

    inet_init(&peer, peer_mac, (struct ipv4_prefix){PEER_IP, 24});
    CHECK_EQ(packet.len, MAX(INET_UDP_HEADROOM + len, 60u));
    for (uint32_t i = INET_UDP_HEADROOM + len; i < packet.len; i++)
        CHECK_EQ(packet.data[i], 0);
    memcpy(raw, packet.data, packet.len);
    CHECK(memcmp(eth->destination, peer_mac, 6) == 0 && memcmp(eth->source, our_mac, 6) == 0);
    CHECK_EQ(ip->time_to_live, 64);
    CHECK_EQ(ip->flags_fragment_offset, 0);
    CHECK(udp->checksum != 0);
    CHECK_EQ(inet_input(&peer, &packet, &seen), INET_UDP);
    CHECK_EQ(seen.from.ip, OUR_IP);
    CHECK_EQ(seen.from.port, OUR_PORT);
    CHECK_EQ(seen.from.local_port, PEER_PORT);
    CHECK_EQ(seen.payload_len, len);
    CHECK(memcmp(seen.payload, payload, len) == 0);
}

TEST(inet_udp_answers_in_place)
{
    for (uint32_t len = 0; len <= 40; len++) {
        static const char answer[] = "VALUE key 0 9\r\n123456789\r\nEND\r\n and more";
        init();
        make_udp(30);
        CHECK_EQ(input(NETBUF_CSUM_GOOD, 10), INET_UDP);
        memcpy(got.payload, answer, len);
        inet_udp_build(&inet, &packet, &got.from, len, false);
        CHECK_EQ(packet.flags, 0);
        check_sent(answer, len);
    }
}

TEST(inet_udp_builds_a_further_datagram)
{
    uint16_t identification;

    init();
    make_udp(30);
    CHECK_EQ(input(0, 0), INET_UDP);
    inet_udp_build(&inet, &packet, &got.from, 30, false);
    identification = load_be16(packet.data + 18);
    packet = (struct netbuf){.data = buffer + 64, .start = buffer, .buf_bytes = sizeof buffer};
    memcpy(packet.data + INET_UDP_HEADROOM, "END\r\n", 5);
    inet_udp_build(&inet, &packet, &got.from, 5, false);
    CHECK_EQ(load_be16(packet.data + 18), (uint16_t)(identification + 1));
    check_sent("END\r\n", 5);
}

TEST(inet_udp_leaves_the_checksum_to_the_device)
{
    uint16_t software;

    init();
    make_udp(31);
    CHECK_EQ(input(0, 0), INET_UDP);
    inet_udp_build(&inet, &packet, &got.from, 31, false);
    memcpy(&software, packet.data + 40, 2);
    inet_udp_build(&inet, &packet, &got.from, 31, true);
    CHECK_EQ(packet.flags, NETBUF_CSUM_PARTIAL);
    CHECK_EQ(packet.csum_start, 34);
    CHECK_EQ(packet.csum_offset, 6);
    uint32_t start = packet.csum_start; /* what the device does */
    uint16_t device = csum_finish(csum_add(0, packet.data + start, packet.len - start));
    CHECK_EQ(device, software);
}

TEST(inet_udp_never_sends_checksum_zero)
{
    uint16_t checksum;
    uint8_t payload[2] = {0, 0};

    for (int i = 0; i < 2; i++) { /* the second payload makes the sum 0xffff, its complement 0 */
        init();
        packet = (struct netbuf){.data = buffer, .start = buffer, .buf_bytes = sizeof buffer};
        memcpy(buffer + INET_UDP_HEADROOM, payload, 2);
        struct inet_peer to = {.ip = PEER_IP, .port = PEER_PORT, .local_port = OUR_PORT};
        eth_mac_copy(to.mac, peer_mac);
        inet_udp_build(&inet, &packet, &to, 2, false);
        memcpy(&checksum, packet.data + 40, 2);
        memcpy(payload, &checksum, 2);
        check_sent((const char *)packet.data + INET_UDP_HEADROOM, 2);
    }
    CHECK_EQ(checksum, 0xffff);
}

TEST(inet_udp_that_does_not_fit_its_buffer_is_a_bug)
{
    struct inet_peer to = {.ip = PEER_IP, .port = PEER_PORT, .local_port = OUR_PORT};

    init();
    packet = (struct netbuf){.data = buffer + 64, .start = buffer, .buf_bytes = 256};
    inet_udp_build(&inet, &packet, &to, 256 - 64 - 42, false);
    CHECK_PANICS(inet_udp_build(&inet, &packet, &to, 256 - 64 - 41, false));
    CHECK_PANICS(inet_udp_build(&inet, &packet, &to, UINT32_MAX, false));
}

static struct netbuf_pool *shared_pool(void)
{
    static struct netbuf_pool *pool;

    if (!pool)
        pool = netbuf_pool_create(&(struct netbuf_pool_conf){"inet", 16, 256, 64, 0});
    CHECK(pool);
    return pool;
}

/* The packet in `raw` in several buffers, `piece_len` bytes in each but the last. */
static struct netbuf *chain(uint32_t piece_len)
{
    struct netbuf *first = netbuf_alloc(shared_pool());
    uint32_t at = MIN(piece_len, raw_len);

    memcpy(netbuf_append(first, at), raw, at);
    for (uint32_t len; at < raw_len; at += len) {
        struct netbuf *nb = netbuf_alloc(shared_pool());
        len = MIN(piece_len, raw_len - at);
        memcpy(netbuf_append(nb, len), raw + at, len);
        netbuf_chain(first, nb);
    }
    return first;
}

TEST(inet_takes_chained_packets)
{
    init();
    for (uint32_t piece_len = 10; piece_len < 192; piece_len += 3) {
        make_udp(90);
        struct netbuf *nb = chain(piece_len);
        CHECK_EQ(inet_input(&inet, nb, &got), INET_UDP);
        CHECK(!nb->next && got.payload_len == 90 && memcmp(got.payload, raw + 42, 90) == 0);
        netbuf_free(nb);
        make_ping(90);
        nb = chain(piece_len);
        CHECK_EQ(inet_input(&inet, nb, &got), INET_REPLY);
        netbuf_free(nb);
    }
    CHECK(netbuf_pool_whole(shared_pool()));
}

TEST(inet_drops_chains_that_do_not_fit)
{
    init();
    make_udp(192 - 42 + 1);
    struct netbuf *nb = chain(100);
    CHECK_EQ(inet_input(&inet, nb, &got), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_CHAIN], 1);
    CHECK_EQ(netbuf_packet_len(nb), 193);
    netbuf_free(nb);
    CHECK(netbuf_pool_whole(shared_pool()));
}

static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % limit;
}

/* A good packet with some bytes changed, maybe another length, and maybe right checksums. */
static void make_random(void)
{
    switch (random_below(3)) {
    case 0:
        make_arp((uint16_t)(1 + random_below(2)));
        break;
    case 1:
        make_ping(random_below(100));
        break;
    default:
        make_udp(random_below(100));
    }
    for (uint32_t n = random_below(4); n > 0; n--) { /* runs of zeros, ones or a random byte */
        static const uint8_t bytes[] = {0, 0xff};
        uint32_t dice = random_below(4), len = 1 + random_below(4);
        int byte = dice < 2 ? bytes[dice] : (int)random_below(256);
        memset(raw + random_below(random_below(4) ? 42 : raw_len), byte, dice < 2 ? len : 1);
    }
    if (random_below(16) == 0)
        eth->type = be16(ETH_TYPE_VLAN);
    if (random_below(4) == 0)
        raw_len = random_below(160);
    if (be16(eth->type) == ETH_TYPE_IPV4 && raw_len >= 42 && random_below(2)) {
        seal();
        if (random_below(2)) { /* under a right header checksum, lengths that are wrong */
            ip->total_length = be16((uint16_t)random_below(200));
            udp->length = be16((uint16_t)random_below(200));
            ip->header_checksum = 0;
            ip->header_checksum = csum_finish(csum_add(0, ip, 20));
        }
    }
}

static void check_verdict(enum inet_verdict verdict)
{
    const uint8_t *end = buffer + sizeof buffer;

    if (verdict == INET_REPLY) {
        CHECK(packet.len <= MAX(raw_len, 60u) && packet.data + packet.len <= end);
        CHECK(memcmp(packet.data + 6, our_mac, 6) == 0 && !(packet.data[0] & 1));
        CHECK_EQ(packet.flags, 0);
    } else if (verdict == INET_UDP) {
        CHECK(got.payload == packet.data + INET_UDP_HEADROOM);
        CHECK(got.payload + got.payload_len <= end);
        CHECK(packet.len == raw_len || packet.len + 4u == raw_len); /* without a tag */
        inet_udp_build(&inet, &packet, &got.from, got.payload_len, random_below(2));
    }
}

TEST(inet_survives_anything)
{
    enum {
        PACKETS = 200000,
        FRAGMENT_REASONS = INET_DROP_FRAGMENTS_SHARE - INET_DROP_FRAGMENT_KEPT + 2,
    };
    uint32_t verdicts[3] = {0}, reasons = 0;
    uint64_t drops = 0;

    random_state = 88172645463325252;
    init();
    for (uint32_t i = 0; i < PACKETS; i++) {
        make_random();
        enum inet_verdict verdict = input((uint16_t)random_below(4), 0);
        check_verdict(verdict);
        verdicts[verdict]++;
    }
    for (uint32_t i = 0; i < INET_DROP_REASONS; i++) {
        drops += inet.drops[i];
        /* How many errors were too many depends on the time that this took. */
        reasons += inet.drops[i] > 0 && i != INET_DROP_ICMP_RATE;
    }
    CHECK_EQ(drops, verdicts[INET_DROPPED]);
    CHECK_EQ(inet.udp_packets, verdicts[INET_UDP]);
    CHECK_EQ(inet.arp_replies + inet.echo_replies + inet.errors, verdicts[INET_REPLY]);
    for (int i = 0; i < 3; i++) /* the dice reach every corner */
        CHECK(verdicts[i] > PACKETS / 20);
    /* All of IPv4 but a chain, a tag that is missed, a port that is refused, an error too many, and
     * what comes of putting fragments together, or of a DHCP client. */
    CHECK_EQ(reasons, INET_DROP_DHCP - 4 - FRAGMENT_REASONS);
}
