/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of inet_fragment.c: options and fragments of IPv4, as they arrive from the wire. */
#include "boot/boot.h"
#include "netbuf/inet_test.h"
#include "netbuf/reassembly.h"

enum { SLOTS = 4, LARGEST = 65507 };

static uint8_t large[LARGEST + 8]; /* a UDP datagram */

static void init_with_slots(void)
{
    static uint8_t *memory;

    init();
    if (!memory)
        memory = boot_alloc(reassembly_bytes(SLOTS), CACHE_LINE);
    CHECK(memory);
    memset(memory, 0, reassembly_bytes(SLOTS));
    inet.reassembly = reassembly_create(memory, SLOTS, 1);
}

/* Makes `large` a datagram with so much payload. */
static void make_large(uint32_t payload_len)
{
    struct udp_header *header = (struct udp_header *)large;
    const uint16_t len = (uint16_t)(payload_len + 8);

    for (uint32_t i = 0; i < payload_len; i++)
        large[8 + i] = (uint8_t)(i * 7 + i / 255);
    *header = (struct udp_header){be16(PEER_PORT), be16(OUR_PORT), be16(len), 0};
    header->checksum =
        csum_finish(csum_add(csum_pseudo(PEER_IP, OUR_IP, IPV4_PROTOCOL_UDP, len), large, len));
}

/* A fragment of `bytes` arrives, with `room` bytes of its buffer behind it. */
static enum inet_verdict arrive(const uint8_t *bytes, uint32_t offset, uint32_t len, bool more,
                                uint8_t protocol, uint32_t room)
{
    make_ip(protocol, 0);
    memcpy(raw + 34, bytes + offset, len);
    raw_len = 34 + len;
    ip->flags_fragment_offset = be16((uint16_t)(offset / 8 | (more ? IPV4_MORE_FRAGMENTS : 0)));
    ip->total_length = be16((uint16_t)(20 + len));
    ip->header_checksum = 0;
    ip->header_checksum = csum_finish(csum_add(0, ip, 20));
    return input(0, room);
}

/* All of a datagram in fragments of `piece` bytes; the verdict on the last one. */
static enum inet_verdict arrive_all(const uint8_t *bytes, uint32_t len, uint32_t piece,
                                    uint8_t protocol, uint32_t room)
{
    uint32_t at = 0;

    for (; at + piece < len; at += piece)
        CHECK_EQ(arrive(bytes, at, piece, true, protocol, room), INET_DROPPED);
    return arrive(bytes, at, len - at, false, protocol, room);
}

static bool all_slots_are_free(void)
{
    struct reassembly_fragment f = {.bytes = large, .len = 8, .max_bytes = 8, .more = true};
    uint32_t taken = 0;

    for (uint32_t i = 0; i < SLOTS; i++) {
        struct reassembly_whole whole;
        f.key.source[0] = (uint8_t)(i + 1);
        taken += reassembly_add(inet.reassembly, &f, 0, &whole) == REASSEMBLY_KEPT;
    }
    return taken == SLOTS && reassembly_stats(inet.reassembly)->crowded == 0;
}

TEST(inet_takes_a_datagram_of_the_largest_size_apart)
{
    static const uint32_t sizes[] = {1473, 2000, 4096, 65000, LARGEST};

    init_with_slots();
    for (uint32_t i = 0; i < ARRAY_LEN(sizes); i++) {
        make_large(sizes[i]);
        CHECK_EQ(arrive_all(large, sizes[i] + 8, 1480, IPV4_PROTOCOL_UDP, 0), INET_UDP_LARGE);
        CHECK(got.payload_len == sizes[i] && memcmp(got.payload, large + 8, sizes[i]) == 0);
        CHECK(got.from.ip == PEER_IP && got.from.port == PEER_PORT);
        CHECK(got.from.local_port == OUR_PORT && memcmp(got.from.mac, peer_mac, 6) == 0);
        inet_release(&inet, &got);
    }
    CHECK_EQ(inet.udp_packets, ARRAY_LEN(sizes));
    CHECK_EQ(inet.reassembled, ARRAY_LEN(sizes));
    CHECK(all_slots_are_free());
}

TEST(inet_takes_a_datagram_that_fits_a_packet_as_if_it_came_in_one)
{
    init_with_slots();
    for (uint32_t len = 1; len <= 1472; len += 7) {
        make_large(len);
        CHECK_EQ(arrive_all(large, len + 8, 8 + len / 128 * 8, IPV4_PROTOCOL_UDP, 1500), INET_UDP);
        CHECK(got.payload == packet.data + INET_UDP_HEADROOM && packet.len == 42 + len);
        CHECK(got.payload_len == len && memcmp(got.payload, large + 8, len) == 0);
    }
    inet.mtu_bytes = 576;
    CHECK_EQ(arrive_all(large, 1000, 552, IPV4_PROTOCOL_UDP, 1400), INET_DROPPED); /* its length */
    make_large(576 - 28);
    CHECK_EQ(arrive_all(large, 576 - 20, 552, IPV4_PROTOCOL_UDP, 1400), INET_UDP);
    make_large(576 - 27);
    CHECK_EQ(arrive_all(large, 576 - 19, 552, IPV4_PROTOCOL_UDP, 1400), INET_UDP_LARGE);
    inet_release(&inet, &got);
    CHECK(all_slots_are_free());
}

TEST(inet_answers_a_ping_in_fragments_that_fits_a_packet)
{
    static uint8_t ping[1600];
    struct icmp_header *header = (struct icmp_header *)ping;

    init_with_slots();
    header->type = ICMP_ECHO;
    memset(ping + 8, 'p', sizeof ping - 8);
    header->checksum = csum_finish(csum_add(0, ping, 1480));
    CHECK_EQ(arrive_all(ping, 1480, 800, IPV4_PROTOCOL_ICMP, 1000), INET_REPLY);
    CHECK_EQ(packet.len, 1514);
    memcpy(raw, packet.data, packet.len);
    CHECK(icmp->type == ICMP_ECHO_REPLY && csum_fold(csum_add(0, icmp, 1480)) == 0xffff);
    CHECK_EQ(ip->flags_fragment_offset, 0);
    CHECK_EQ(arrive_all(ping, 1481, 800, IPV4_PROTOCOL_ICMP, 1000), INET_DROPPED);
    CHECK_EQ(inet.drops[INET_DROP_ICMP_LARGE], 1);
    CHECK(all_slots_are_free());
}

/* RFC 1122, section 3.2.2: the error quotes the datagram, as it would have come in one packet. */
static void check_refused(uint32_t len)
{
    const uint32_t quoted = MIN(20 + len, 576u - 28);

    CHECK_EQ(inet_refuse(&inet, &packet, &got), INET_REPLY);
    CHECK_EQ(packet.len, MAX(42 + quoted, 60u));
    memcpy(raw, packet.data, packet.len);
    CHECK(be32(ip->destination_address) == PEER_IP && be32(ip->source_address) == OUR_IP);
    CHECK(be16(ip->total_length) == 28 + quoted && csum_fold(csum_add_20(0, ip)) == 0xffff);
    CHECK(icmp->type == ICMP_UNREACHABLE && icmp->code == ICMP_UNREACHABLE_PORT);
    CHECK_EQ(csum_fold(csum_add(0, icmp, 8 + quoted)), 0xffff);
    const struct ipv4_header *quote = (const struct ipv4_header *)(raw + 42);
    CHECK(be16(quote->total_length) == 20 + len && quote->flags_fragment_offset == 0);
    CHECK(be16(quote->identification) == 0x1234 && csum_fold(csum_add_20(0, quote)) == 0xffff);
    CHECK(be32(quote->source_address) == PEER_IP && be32(quote->destination_address) == OUR_IP);
    CHECK_EQ(memcmp(quote + 1, large, quoted - 20), 0);
}

TEST(inet_error_tells_of_a_datagram_that_was_put_together)
{
    static const uint32_t sizes[] = {100, 519, 520, 521, 1472, 1473, 3000, LARGEST};

    for (uint32_t i = 0; i < ARRAY_LEN(sizes); i++) {
        const uint32_t len = sizes[i] + 8;
        init_with_slots();
        make_large(sizes[i]);
        const enum inet_verdict verdict =
            arrive_all(large, len, MIN(len / 16 * 8, 512u), IPV4_PROTOCOL_UDP, 1500);
        CHECK_EQ(verdict, sizes[i] <= 1472 ? INET_UDP : INET_UDP_LARGE);
        check_refused(len);
        CHECK_EQ(inet.errors, 1);
        if (verdict == INET_UDP_LARGE)
            inet_release(&inet, &got);
        CHECK(all_slots_are_free());
    }
}

TEST(inet_error_about_large_datagrams_is_bounded_with_the_others)
{
    init_with_slots();
    make_large(3000);
    CHECK_EQ(arrive_all(large, 3008, 1480, IPV4_PROTOCOL_UDP, 20), INET_UDP_LARGE);
    CHECK_EQ(inet_refuse(&inet, &packet, &got), INET_DROPPED); /* no room in this buffer */
    CHECK_EQ(inet.drops[INET_DROP_UDP_REFUSED], 1);
    inet_release(&inet, &got);
    for (uint32_t i = 0; i < 1000; i++) {
        CHECK_EQ(arrive_all(large, 3008, 1400, IPV4_PROTOCOL_UDP, 600), INET_UDP_LARGE);
        inet_refuse(&inet, &packet, &got);
        inet_release(&inet, &got);
    }
    CHECK(inet.errors >= INET_ERRORS_AT_ONCE && inet.errors < 500);
    CHECK_EQ(inet.drops[INET_DROP_ICMP_RATE], 1000 - inet.errors);
    CHECK(all_slots_are_free());
}

TEST(inet_drops_large_datagrams_that_are_broken)
{
    struct udp_header *header = (struct udp_header *)large;

#define CHECK_LARGE(breaking, why)                                                                 \
    do {                                                                                           \
        init_with_slots();                                                                         \
        make_large(3000);                                                                          \
        breaking;                                                                                  \
        CHECK_EQ(arrive_all(large, 3008, 1480, IPV4_PROTOCOL_UDP, 0), INET_DROPPED);               \
        CHECK_EQ(inet.drops[why], 1);                                                              \
        CHECK(all_slots_are_free());                                                               \
    } while (0)

    CHECK_LARGE(large[2000]++, INET_DROP_UDP_CHECKSUM);
    CHECK_LARGE(header->length = be16(3009), INET_DROP_UDP_LENGTH);
    CHECK_LARGE(header->length = be16(7), INET_DROP_UDP_LENGTH);
    CHECK_LARGE(header->source_port = 0, INET_DROP_UDP_PORT);
    CHECK_LARGE(header->destination_port = 0, INET_DROP_UDP_PORT);
}

TEST(inet_names_why_fragments_went_no_further)
{
    init_with_slots();
    make_large(3000);
    arrive(large, 0, 800, true, IPV4_PROTOCOL_UDP, 0);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_KEPT], 1);
    arrive(large, 0, 800, true, IPV4_PROTOCOL_UDP, 0);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_AGAIN], 1);
    arrive(large, 8, 801, true, IPV4_PROTOCOL_UDP, 0);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_SHAPE], 1);
    arrive(large, 8, 400, false, IPV4_PROTOCOL_UDP, 0);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_END], 1);
    arrive(large, 800, 800, true, IPV4_PROTOCOL_UDP, 0);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_REST], 1);
    init_with_slots();
    arrive(large, 0, 800, true, IPV4_PROTOCOL_UDP, 0);
    arrive(large, 8, 800, true, IPV4_PROTOCOL_UDP, 0);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_OVERLAP], 1);
    init_with_slots();
    for (uint32_t i = 0; i <= REASSEMBLY_FRAGMENTS; i++)
        arrive(large, 8 * i, 8, true, IPV4_PROTOCOL_UDP, 0);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_MANY], 1);
    init_with_slots();
    for (uint32_t i = 0; i < SLOTS; i++)
        CHECK_EQ(arrive_all(large, 3008, 1480, IPV4_PROTOCOL_UDP, 0), INET_UDP_LARGE);
    arrive(large, 0, 800, true, IPV4_PROTOCOL_UDP, 0);
    CHECK_EQ(inet.drops[INET_DROP_FRAGMENT_NO_ROOM], 1);
    arrive(large, 0, 800, true, 6, 0);
    CHECK_EQ(inet.drops[INET_DROP_IP_PROTOCOL], 1);
}

/* A good packet, in whose header `len` bytes of options come. */
static void make_options(uint32_t len)
{
    memmove(raw + 34 + len, raw + 34, raw_len - 34);
    memset(raw + 34, 1, len); /* no operation */
    ip->version_ihl = (uint8_t)(0x45 + len / 4);
    ip->total_length = be16((uint16_t)(raw_len - 14 + len));
    ip->header_checksum = 0;
    ip->header_checksum = csum_finish(csum_add(0, ip, 20 + len));
    raw_len += len;
}

TEST(inet_passes_over_options)
{
    for (uint32_t len = 4; len <= 40; len += 4) {
        init();
        make_udp(100);
        make_options(len);
        CHECK_EQ(input(0, 0), INET_UDP);
        CHECK(got.payload == packet.data + 42 && got.payload_len == 100);
        CHECK(memcmp(got.payload, raw + 42 + len, 100) == 0);
        CHECK(packet.len == raw_len - len && memcmp(got.from.mac, peer_mac, 6) == 0);
        CHECK_EQ(netbuf_headroom(&packet), sizeof buffer - raw_len); /* an answer's room is left */
        make_ping(56);
        make_options(len);
        CHECK_EQ(input(0, 0), INET_REPLY);
        CHECK_EQ(packet.len, 42 + 56);
        make_udp(100);
        make_options(len);
        ip->header_checksum++;
        CHECK_DROP("ip_checksum");
        raw_len = 14 + 19 + len;
        CHECK_DROP(raw_len < 34 ? "ip_short" : "ip_length");
    }
}

TEST(inet_takes_a_time_to_live_that_is_over_for_routers_only)
{
    init();
    make_udp(10);
    ip->time_to_live = 0;
    seal();
    CHECK_EQ(input(0, 0), INET_UDP);
}

TEST(inet_answers_a_ping_with_its_type_of_service)
{
    init();
    make_ping(10);
    ip->type_of_service = 0xb8;
    seal();
    CHECK_EQ(input(0, 0), INET_REPLY);
    memcpy(raw, packet.data, packet.len);
    CHECK_EQ(ip->type_of_service, 0xb8);
    CHECK_EQ(csum_fold(csum_add(0, ip, 20)), 0xffff);
}
