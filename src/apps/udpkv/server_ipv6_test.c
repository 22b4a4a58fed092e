/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the server with clients of IPv6: who is answered, and how answers are cut. */
#include "apps/udpkv/server.h"
#include "apps/udpkv/store_test.h"
#include "boot/boot.h"
#include "boot/test.h"
#include "netbuf/reassembly.h"
#include "netbuf/udp.h"

enum { BUFS = 96, OUT_MAX = SERVER_MAX_PARTS + 1, VALUE_BYTES = 9000 };

static const uint8_t server_mac[6] = {0x52, 0x54, 0, 0, 0, 1};
static const uint8_t client_mac[6] = {0x52, 0x54, 0, 0, 0, 2};

static struct netbuf_pool *pool;
static struct server server;
static struct inet client;
static struct inet6 server6, client6;
static struct netbuf *out[OUT_MAX];

/* Gives inet IPv6; its link-local address is in use soon after. */
static void begin_ipv6(struct inet6 *inet6, struct inet *inet, uint32_t mtu_bytes)
{
    inet6_init(inet6, inet, mtu_bytes);
    inet_arrived(inet);
    for (uint64_t now_ns = 1; now_ns < 20000000000ull; now_ns += 500000000) {
        struct netbuf *nb = netbuf_alloc(pool);
        CHECK(nb);
        inet_next_packet(inet, now_ns, nb);
        netbuf_free(nb);
    }
    CHECK(inet6_has(inet6, &inet6->own[0].prefix.address));
}

static void start_server6(const struct server_conf *wanted, uint32_t mtu_bytes)
{
    struct server_conf conf = *wanted;

    if (!pool)
        pool = netbuf_pool_create(&(struct netbuf_pool_conf){
            .name = "server_ipv6", .count = BUFS, .buf_bytes = 1664, .headroom_bytes = 64});
    CHECK(pool);
    conf.ip = (struct ipv4_prefix){0x0a00020f, 24};
    conf.port = 11211;
    conf.part_bytes = server_part_bytes(mtu_bytes);
    conf.shards = test_shards(1, TEST_STORE_MAX);
    conf.now_s = TEST_NOW_S;
    conf.pool = pool;
    memcpy(conf.mac, server_mac, sizeof server_mac);
    server_init(&server, &conf);
    inet_init(&client, client_mac, INET_NO_ADDRESS);
    begin_ipv6(&server6, &server.inet, mtu_bytes);
    begin_ipv6(&client6, &client, 65535);
}

static struct netbuf *make_request(const struct ipv6_address *from, const char *request, size_t len)
{
    struct inet_peer to = {.port = 11211,
                           .local_port = 4000,
                           .family = INET_IPV6,
                           .ip6 = server6.own[0].prefix.address,
                           .local_ip6 = *from};
    struct netbuf *nb = netbuf_alloc(pool);

    CHECK(nb);
    memcpy(to.mac, server_mac, sizeof server_mac);
    uint8_t *payload = nb->data + inet_udp_headroom(&to);
    memcpy(payload, "\0\1\0\0\0\1\0\0", SERVER_HEADER_BYTES);
    memcpy(payload + SERVER_HEADER_BYTES, request, len);
    inet_udp_build(&client, nb, &to, (uint32_t)(SERVER_HEADER_BYTES + len), false);
    return nb;
}

/* Asks from an address; how many datagrams the answer has. */
static uint32_t ask_from(const struct ipv6_address *from, const char *request, size_t len)
{
    struct netbuf *nb = make_request(from, request, len);

    return server_burst(&server, &nb, 1, out, OUT_MAX, TEST_NOW_S);
}

static uint32_t ask6(const char *request, size_t len)
{
    return ask_from(&client6.own[0].prefix.address, request, len);
}

/* Stores a value of VALUE_BYTES, in pieces that fit a request. */
static void store_value(void)
{
    char request[1100];
    const char *command = "set";

    for (uint32_t left = VALUE_BYTES; left > 0;) {
        const uint32_t piece = MIN(left, 1000u);
        size_t len = format(request, sizeof request, "%s k 0 0 %u\r\n", command, piece);
        memset(request + len, 'x', piece);
        memcpy(request + len + piece, "\r\n", 2);
        CHECK_EQ(ask6(request, len + piece + 2), 1);
        netbuf_free(out[0]);
        left -= piece;
        command = "append";
    }
}

TEST(server_ipv6_cuts_answers_to_the_mtu)
{
    static const uint32_t mtus[] = {1280, 1281, 1447, 1448, 1449, 1500, 9000};
    const uint32_t text_bytes = VALUE_BYTES + (uint32_t)sizeof "VALUE k 0 9000\r\n\r\nEND\r\n" - 1;

    for (uint32_t i = 0; i < ARRAY_LEN(mtus); i++) {
        const uint32_t part = MIN(mtus[i] - 48, 1400u), room = part - SERVER_HEADER_BYTES;
        start_server6(&(struct server_conf){.port = 0}, mtus[i]);
        store_value();
        const uint32_t n = ask6("get k\r\n", 7);
        CHECK_EQ(n, (text_bytes + room - 1) / room);
        for (uint32_t k = 0; k < n; k++) {
            struct inet_udp udp;
            CHECK(out[k]->len <= mtus[i] + 14);
            CHECK_EQ(inet_input(&client, out[k], &udp), INET_UDP);
            CHECK(k + 1 == n ? udp.payload_len <= part : udp.payload_len == part);
            CHECK_EQ(load_be16(udp.payload + 2), k);
        }
        netbuf_free_bulk(out, n);
        CHECK(netbuf_pool_whole(pool));
    }
}

TEST(server_ipv6_cuts_answers_to_what_a_router_says)
{
    start_server6(&(struct server_conf){.port = 0}, 1500);
    store_value();
    server6.mtu_bytes = 1280;
    const uint32_t n = ask6("get k\r\n", 7);
    CHECK(n > 1);
    CHECK_EQ(out[0]->len, 14 + 1280);
    netbuf_free_bulk(out, n);
    CHECK(netbuf_pool_whole(pool));
}

TEST(server_ipv6_cuts_answers_to_other_networks_to_what_every_link_carries)
{
    static const struct ipv6_address far = {.bytes = {0x20, 1, 0xd, 0xb8, [15] = 1}};
    struct server_conf conf = {.allow6_count = 1}; /* ::/0 */

    start_server6(&conf, 1500);
    store_value();
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t n = i == 0 ? ask6("get k\r\n", 7) : ask_from(&far, "get k\r\n", 7);
        CHECK(n > 1);
        CHECK_EQ(out[0]->len, i == 0 ? 14 + 1448 : 14 + 1280);
        netbuf_free_bulk(out, n);
    }
    CHECK(netbuf_pool_whole(pool));
}

/* Is a request from this address answered? */
static bool is_answered(const char *text)
{
    struct ipv6_address from;

    CHECK(ipv6_read(text, strlen(text), &from));
    const uint64_t denied = server.drops[SERVER_DROP_DENIED];
    const uint32_t n = ask_from(&from, "version\r\n", 9);
    CHECK_EQ(n, denied == server.drops[SERVER_DROP_DENIED]);
    netbuf_free_bulk(out, n);
    return n == 1;
}

TEST(server_ipv6_answers_allowed_networks_only)
{
    struct server_conf conf = {.port = 0};

    start_server6(&conf, 1500); /* its own */
    CHECK(is_answered("fe80::77") && !is_answered("fe80:0:0:1::77") && !is_answered("fd00::1"));
    conf.allow6_count = 2;
    CHECK(ipv6_read_prefix("fd00:1::/32", &conf.allow6[0]));
    CHECK(ipv6_read_prefix("2001:db8::5/128", &conf.allow6[1]));
    start_server6(&conf, 1500);
    CHECK(is_answered("fd00:1:ffff::1") && is_answered("2001:db8::5"));
    CHECK(!is_answered("fd00:2::1") && !is_answered("2001:db8::4") && !is_answered("fe80::77"));
    CHECK_EQ(server.conf.allow_count, 0); /* nor is IPv4's own network */
    conf.allow6_count = 0;
    conf.allow_count = 1; /* one of IPv4 alone closes IPv6 */
    conf.allow[0] = (struct ipv4_prefix){0x0a000000, 8};
    start_server6(&conf, 1500);
    CHECK(!is_answered("fe80::77"));
    CHECK(netbuf_pool_whole(pool));
}

TEST(server_knows_when_it_answers_nobody_of_a_family)
{
    struct server_conf conf = {.port = 0};

    for (uint32_t allowed = 0; allowed < 4; allowed++) { /* bit 0: IPv4's, bit 1: IPv6's */
        conf.allow_count = allowed & 1;
        conf.allow6_count = allowed >> 1;
        conf.allow[0] = (struct ipv4_prefix){0x0a000000, 8};
        CHECK(ipv6_read_prefix("fd00:1::/32", &conf.allow6[0]));
        start_server6(&conf, 1500);
        CHECK_EQ(server_answers_nobody(&server, INET_IPV4), allowed == 2);
        CHECK_EQ(server_answers_nobody(&server, INET_IPV6), allowed == 1);
        inet_put_address(&server.inet, 0, (struct ipv4_prefix){0x0a00020f, 32}, 0);
        CHECK_EQ(server_answers_nobody(&server, INET_IPV4), allowed == 0 || allowed == 2);
    }
}

TEST(server_ipv6_answers_behind_extension_headers_that_fill_a_frame)
{
    static const uint8_t padded[240] = {IPV6_NEXT_DESTINATION, 29, 1, 236};
    enum { HEADERS_END = 54, COUNT = 5 };

    start_server6(&(struct server_conf){.port = 0}, 1500);
    store_value();
    struct netbuf *nb = make_request(&client6.own[0].prefix.address, "get k\r\n", 7);
    struct ipv6_header *ip = (struct ipv6_header *)(nb->data + sizeof(struct eth_header));
    uint8_t *at = nb->data + HEADERS_END;
    memmove(at + COUNT * sizeof padded, at, nb->len - (size_t)HEADERS_END);
    for (uint32_t i = 0; i < COUNT; i++)
        memcpy(at + i * sizeof padded, padded, sizeof padded);
    at[(COUNT - 1) * sizeof padded] = IPV6_NEXT_UDP;
    ip->next_header = IPV6_NEXT_DESTINATION;
    CHECK(netbuf_append(nb, COUNT * sizeof padded));
    ip->payload_length = be16((uint16_t)(nb->len - HEADERS_END));
    const uint32_t n = server_burst(&server, &nb, 1, out, OUT_MAX, TEST_NOW_S);
    CHECK_EQ(n, 7);
    netbuf_free_bulk(out, n);
    CHECK(netbuf_pool_whole(pool));
}

/* The largest datagram that IPv6 carries, of a header and words without an end. */
TEST(server_ipv6_takes_a_request_as_large_as_can_be)
{
    static uint8_t memory[(1 << 17) + 4096] __attribute__((aligned(CACHE_LINE)));
    static uint8_t datagram[UINT16_MAX + 1];
    enum { PIECE = 1440, FIRST = 54, HEADERS = FIRST + sizeof(struct ipv6_fragment) };
    const struct ipv6_address *from = &client6.own[0].prefix.address;

    CHECK(reassembly_bytes(1) <= sizeof memory);
    start_server6(&(struct server_conf){.reassembly = reassembly_create(memory, 1, 1)}, 1500);
    memset(datagram, 'x', sizeof datagram);
    memcpy(datagram + sizeof(struct udp_header), "\0\1\0\0\0\1\0\0", SERVER_HEADER_BYTES);
    struct udp_header *udp = (struct udp_header *)datagram;
    *udp = (struct udp_header){be16(4000), be16(11211), be16(UINT16_MAX), 0};
    const struct ipv6_address *to = &server6.own[0].prefix.address;
    uint64_t sum = csum_pseudo_6(from, to, IPV6_NEXT_UDP, UINT16_MAX);
    udp->checksum = csum_finish_udp(csum_add(sum, datagram, UINT16_MAX));
    for (uint32_t at = 0; at < UINT16_MAX; at += PIECE) {
        const uint32_t len = MIN((uint32_t)PIECE, UINT16_MAX - at);
        struct netbuf *nb = make_request(from, "", 0);
        struct ipv6_header *ip = (struct ipv6_header *)(nb->data + sizeof(struct eth_header));
        ip->next_header = IPV6_NEXT_FRAGMENT;
        ip->payload_length = be16((uint16_t)(sizeof(struct ipv6_fragment) + len));
        *(struct ipv6_fragment *)(nb->data + FIRST) = (struct ipv6_fragment){
            IPV6_NEXT_UDP, 0, be16((uint16_t)(at | (at + len < UINT16_MAX))), 1};
        memcpy(nb->data + HEADERS, datagram + at, len);
        nb->len = (uint16_t)(HEADERS + len);
        CHECK_EQ(server_burst(&server, &nb, 1, out, OUT_MAX, TEST_NOW_S), 0);
    }
    CHECK_EQ(server.requests, 1);
    CHECK_EQ(server.drops[SERVER_DROP_CUT], 1);
    CHECK(netbuf_pool_whole(pool));
}
