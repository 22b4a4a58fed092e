/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of requests that are larger than a packet: they come in fragments. */
#include "apps/udpkv/server.h"
#include "apps/udpkv/store_test.h"
#include "boot/boot.h"
#include "boot/test.h"
#include "netbuf/checksum.h"
#include "netbuf/reassembly.h"
#include "netbuf/udp.h"

enum {
    SLOTS = 8,
    POOL_BUFS = 256,
    OUT_MAX = 80,
    OUR_IP = 0x0a00020f,
    CLIENT_IP = 0x0a000202,
    HEADERS = 8 + SERVER_HEADER_BYTES,
    PIECE = 1480,
};

static const uint8_t server_mac[6] = {0x52, 0x54, 0, 0, 0, 1};
static const uint8_t client_mac[6] = {0x52, 0x54, 0, 0, 0, 2};

static struct netbuf_pool *pool;
static struct server server;
static struct inet client;
static struct netbuf *in[SERVER_BATCH * 2], *out[OUT_MAX];
static uint32_t in_count;
static uint8_t *memory, *datagram, *answer;
static uint32_t source_ip;
static uint16_t identification;

static void start_large(void)
{
    static const struct netbuf_pool_conf pool_conf = {
        .name = "server_large", .count = POOL_BUFS, .buf_bytes = 2048, .headroom_bytes = 64};

    if (!pool) {
        pool = netbuf_pool_create(&pool_conf);
        memory = boot_alloc(reassembly_bytes(SLOTS), CACHE_LINE);
        datagram = boot_alloc(65536, CACHE_LINE);
        answer = boot_alloc((size_t)SERVER_MAX_PARTS * SERVER_PART_BYTES + 1, 1);
    }
    CHECK(pool && memory && datagram && answer);
    memset(memory, 0, reassembly_bytes(SLOTS));
    struct server_conf conf = {.ip = {OUR_IP, 24},
                               .port = 11211,
                               .pool = pool,
                               .reassembly = reassembly_create(memory, SLOTS, 1),
                               .shards = test_shards(1, TEST_STORE_MAX),
                               .now_s = TEST_NOW_S};
    memcpy(conf.mac, server_mac, sizeof conf.mac);
    server_init(&server, &conf);
    inet_init(&client, client_mac, (struct ipv4_prefix){CLIENT_IP, 24});
    source_ip = CLIENT_IP;
    in_count = 0;
}

static void add_fragment(uint32_t at, uint32_t len, bool more)
{
    struct netbuf *nb = netbuf_alloc(pool);
    CHECK(nb && in_count < ARRAY_LEN(in));
    struct eth_header *eth = (struct eth_header *)nb->data;
    struct ipv4_header *ip = (struct ipv4_header *)(nb->data + sizeof *eth);

    eth_mac_copy(eth->destination, server_mac);
    eth_mac_copy(eth->source, client_mac);
    eth->type = be16(ETH_TYPE_IPV4);
    *ip = (struct ipv4_header){
        .version_ihl = IPV4_VERSION_IHL,
        .total_length = be16((uint16_t)(sizeof *ip + len)),
        .identification = be16(identification),
        .flags_fragment_offset = be16((uint16_t)(at / 8 | (more ? IPV4_MORE_FRAGMENTS : 0))),
        .time_to_live = 1,
        .protocol = IPV4_PROTOCOL_UDP,
        .source_address = be32(source_ip),
        .destination_address = be32(OUR_IP),
    };
    ip->header_checksum = csum_finish(csum_add(0, ip, sizeof *ip));
    memcpy(ip + 1, datagram + at, len);
    nb->len = (uint16_t)(sizeof *eth + sizeof *ip + len);
    in[in_count++] = nb;
}

/* Adds a request whose text of `len` bytes lies at datagram + HEADERS to the burst to come. */
static void add_request(uint16_t id, uint32_t len)
{
    const uint8_t frame[SERVER_HEADER_BYTES] = {(uint8_t)(id >> 8), (uint8_t)id, 0, 0, 0, 1, 0, 0};
    const uint32_t total = HEADERS + len;
    struct udp_header *udp = (struct udp_header *)datagram;
    uint32_t at = 0;

    *udp = (struct udp_header){be16(40000), be16(11211), be16((uint16_t)total), 0};
    memcpy(datagram + sizeof *udp, frame, sizeof frame);
    const uint64_t sum = csum_pseudo(source_ip, OUR_IP, IPV4_PROTOCOL_UDP, (uint16_t)total);
    udp->checksum = csum_finish(csum_add(sum, datagram, total));
    identification++;
    for (; at + PIECE < total; at += PIECE)
        add_fragment(at, PIECE, true);
    add_fragment(at, total - at, false);
}

static void add_text(uint16_t id, const char *text)
{
    memcpy(datagram + HEADERS, text, strlen(text));
    add_request(id, (uint32_t)strlen(text));
}

static uint8_t value_byte(uint32_t i, uint32_t seed)
{
    return (uint8_t)(i * 7 + i / 251 + seed);
}

static void put_value(uint8_t *to, uint32_t number, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        to[i] = value_byte(i, number);
}

/* A set of the key "k<number>" with so many bytes. */
static void add_set(uint16_t id, uint32_t number, uint32_t value_len)
{
    char *text = (char *)datagram + HEADERS;
    const uint32_t at = (uint32_t)format(text, 60, "set k%u 0 0 %u\r\n", number, value_len);

    put_value(datagram + HEADERS + at, number, value_len);
    memcpy(text + at + value_len, "\r\n", 2);
    add_request(id, at + value_len + 2);
}

static uint32_t run(uint32_t out_max)
{
    const uint32_t n = in_count;

    in_count = 0;
    return server_burst(&server, in, n, out, out_max, TEST_NOW_S);
}

/* The answer with this id, from out[*at] on; frees it. */
static const char *next_answer(uint16_t id, uint32_t *at, uint32_t *len)
{
    uint32_t parts = 1;

    *len = 0;
    for (uint32_t i = 0; i < parts; i++, ++*at) {
        struct inet_udp udp;
        CHECK_EQ(inet_input(&client, out[*at], &udp), INET_UDP);
        CHECK_EQ(load_be16(udp.payload), id);
        CHECK_EQ(load_be16(udp.payload + 2), i);
        parts = load_be16(udp.payload + 4);
        memcpy(answer + *len, udp.payload + SERVER_HEADER_BYTES,
               udp.payload_len - SERVER_HEADER_BYTES);
        *len += udp.payload_len - SERVER_HEADER_BYTES;
        netbuf_free(out[*at]);
    }
    answer[*len] = 0;
    return (const char *)answer;
}

static const char *only_answer(uint16_t id)
{
    uint32_t at = 0, len;
    const uint32_t n = run(OUT_MAX);
    const char *text = next_answer(id, &at, &len);

    CHECK_EQ(at, n);
    return text;
}

static void check_value(uint32_t number, uint32_t value_len)
{
    char head[60], get[20];
    uint32_t at = 0, len;

    format(get, sizeof get, "get k%u\r\n", number);
    const uint32_t before =
        (uint32_t)format(head, sizeof head, "VALUE k%u 0 %u\r\n", number, value_len);
    add_text(9, get);
    const uint32_t n = run(OUT_MAX);
    next_answer(9, &at, &len);
    CHECK_EQ(at, n);
    CHECK_EQ(len, before + value_len + 7);
    CHECK(memcmp(answer, head, before) == 0);
    for (uint32_t i = 0; i < value_len; i++)
        CHECK(answer[before + i] == value_byte(i, number));
}

static void check_all_is_back(void)
{
    CHECK(netbuf_pool_whole(pool));
    for (uint32_t i = 0; i < 3; i++) { /* more than there would be slots if some were lost */
        for (uint32_t k = 0; k < SLOTS; k++)
            add_set(1, 99, 1500);
        uint32_t at = 0, len;
        CHECK_EQ(run(OUT_MAX), SLOTS);
        while (at < SLOTS)
            CHECK_STR(next_answer(1, &at, &len), "STORED\r\n");
    }
    CHECK_EQ(server.inet.drops[INET_DROP_FRAGMENT_NO_ROOM], 0);
    CHECK(netbuf_pool_whole(pool));
}

TEST(server_stores_a_value_as_large_as_a_datagram)
{
    static const uint32_t lens[] = {1500, 4096, 4097, 8000, 60000, 65507 - 8 - 20};

    start_large();
    for (uint32_t i = 0; i < ARRAY_LEN(lens); i++) {
        add_set(1, i, lens[i]);
        CHECK_STR(only_answer(1), "STORED\r\n");
        check_value(i, lens[i]);
    }
    check_all_is_back();
}

TEST(server_stores_a_value_that_fills_a_datagram_of_the_other_protocols)
{
    enum { ROOM = 65507 - SERVER_HEADER_BYTES, META = 13, BINARY = REPLY_HEADER_BYTES + 8 + 2 };
    uint8_t *text = datagram + HEADERS;

    start_large();
    CHECK_EQ(format((char *)text, 20, "ms k1 %u\r\n", ROOM - META - 2), META);
    put_value(text + META, 1, ROOM - META - 2);
    memcpy(text + ROOM - 2, "\r\n", 2);
    add_request(1, ROOM);
    CHECK_STR(only_answer(1), "HD\r\n");
    check_value(1, ROOM - META - 2);

    memcpy(text, "\x80\x01\0\2\x08", 5); /* a set with a key of 2 bytes and extras of 8 */
    memset(text + 5, 0, BINARY - 5);
    store_be32(text + 8, ROOM - REPLY_HEADER_BYTES);
    memcpy(text + BINARY - 2, "k2", 2);
    put_value(text + BINARY, 2, ROOM - BINARY);
    add_request(2, ROOM);
    CHECK(memcmp(only_answer(2), "\x81\x01\0\0\0\0\0\0\0\0\0\0", 12) == 0);
    check_value(2, ROOM - BINARY);
    check_all_is_back();
}

TEST(server_answers_large_requests_of_a_burst_in_order)
{
    start_large();
    for (uint32_t round = 0; round < 20; round++) {
        uint32_t at = 0, len, requests = 0;
        while (in_count + 6 <= SERVER_BATCH * 2) {
            add_text((uint16_t)requests, "get k1\r\n");
            add_set((uint16_t)(requests + 1), 1, 2000 + requests + 1);
            requests += 2;
        }
        const uint32_t n = run(OUT_MAX);
        for (uint32_t i = 0; i < requests; i++) {
            char head[40];
            next_answer((uint16_t)i, &at, &len);
            if (i % 2 == 0 && round + i > 0) {
                format(head, sizeof head, "VALUE k1 0 %u\r\n", 1999 + (i == 0 ? requests : i));
                CHECK(memcmp(answer, head, strlen(head)) == 0);
            } else if (i % 2 == 1) {
                CHECK_STR((const char *)answer, "STORED\r\n");
            }
        }
        CHECK_EQ(at, n);
    }
    CHECK_EQ(server.inet.drops[INET_DROP_FRAGMENT_NO_ROOM], 0);
    check_all_is_back();
}

TEST(server_reads_a_line_as_long_as_a_datagram)
{
    enum { KEYS = 10000 };
    char *text = (char *)datagram + HEADERS;
    uint32_t len = 3;

    start_large();
    add_set(1, 1, 10);
    CHECK_STR(only_answer(1), "STORED\r\n");
    memcpy(text, "get", 3);
    for (uint32_t i = 0; i < KEYS; i++, len += 6)
        memcpy(text + len, i == KEYS - 1 ? "    k1" : " none", 6);
    memcpy(text + len, "\r\n", 2);
    for (uint32_t i = 0; i < len; i++)
        text[i] = text[i] ? text[i] : 'x';
    add_request(2, len + 2);
    CHECK(memcmp(only_answer(2), "VALUE k1 0 10\r\n", 15) == 0);
    CHECK_EQ(server.text.stats.get_misses, KEYS - 1);
    memset(text, 'x', 60000); /* and one that has no end */
    add_request(3, 60000);
    CHECK_EQ(run(OUT_MAX), 0);
    CHECK_EQ(server.drops[SERVER_DROP_CUT], 1);
    check_all_is_back();
}

TEST(server_runs_many_commands_of_a_large_request)
{
    enum { COMMANDS = 3000 };
    char *text = (char *)datagram + HEADERS;
    uint32_t len = 0;

    start_large();
    add_text(1, "set n 0 0 1\r\n0\r\n");
    CHECK_STR(only_answer(1), "STORED\r\n");
    for (uint32_t i = 0; i < COMMANDS; i++, len += 18)
        memcpy(text + len, "incr n 1 noreply\r\n", 18);
    memcpy(text + len, "get n\r\n", 7);
    add_request(2, len + 7);
    CHECK_STR(only_answer(2), "VALUE n 0 4\r\n3000\r\nEND\r\n");
    check_all_is_back();
}

/* Has the answer that came last this line? */
static bool says(const char *name, uint64_t value)
{
    char line[80];
    const size_t len = format(line, sizeof line, "STAT %s %lu\r\n", name, value);

    for (const char *at = (const char *)answer; *at; at++)
        if (strncmp(at, line, len) == 0)
            return true;
    return false;
}

/* The beginning of a datagram from another host each time, or all from one. */
static void add_beginnings(uint32_t count, bool others)
{
    for (uint32_t i = 0; i < count; i++) {
        source_ip = CLIENT_IP + (others ? i + 1 : 0);
        identification++;
        add_fragment(0, 800, true);
    }
    source_ip = CLIENT_IP;
}

TEST(server_tells_what_became_of_fragments)
{
    start_large();
    add_beginnings(SLOTS, false);
    add_beginnings(SLOTS, true);
    CHECK_EQ(run(OUT_MAX), 0);
    server.inet.drops[INET_DROP_FRAGMENTS_LATE] = 5; /* that takes seconds */
    server.inet.drops[INET_DROP_FRAGMENT_NO_ROOM] = 7;
    add_text(1, "stats\r\n");
    CHECK(memcmp(only_answer(1), "STAT ", 5) == 0);
    CHECK(says("drop_fragments_share", SLOTS / 2));
    CHECK(says("drop_fragments_crowded", SLOTS / 2));
    CHECK(says("drop_fragments_late", 5) && says("drop_fragment_no_room", 7));
    CHECK(says("reassembled", 0) && says("drop_denied", 0) && !says("drop_denied", 1));
    source_ip = 0x0a000302;
    add_set(2, 1, 3000);
    CHECK_EQ(run(OUT_MAX), 0);
    source_ip = CLIENT_IP;
    add_text(3, "stats\r\n");
    only_answer(3);
    CHECK(says("drop_denied", 1) && says("reassembled", 1));
    CHECK(netbuf_pool_whole(pool));
}

TEST(server_tells_who_sends_much_to_a_closed_port)
{
    start_large();
    server.conf.port++;
    for (uint32_t i = 0; i < 2 * SLOTS; i++) {
        add_set(1, 1, 3000);
        CHECK_EQ(run(OUT_MAX), 1);
        const struct ipv4_header *ip =
            (const struct ipv4_header *)(out[0]->data + sizeof(struct eth_header));
        CHECK_EQ(ip->protocol, IPV4_PROTOCOL_ICMP);
        netbuf_free(out[0]);
    }
    CHECK_EQ(server.drops[SERVER_DROP_PORT], 2 * SLOTS);
    CHECK_EQ(server.inet.errors, 2 * SLOTS);
    server.conf.port--;
    check_all_is_back();
}

TEST(server_gives_back_large_requests_that_it_drops)
{
    start_large();
    source_ip = 0x0a000302;
    for (uint32_t i = 0; i < 2 * SLOTS; i++) {
        add_set(1, 1, 3000);
        CHECK_EQ(run(OUT_MAX), 0);
    }
    CHECK_EQ(server.drops[SERVER_DROP_DENIED], 2 * SLOTS);
    source_ip = CLIENT_IP;
    for (uint32_t i = 0; i < 2 * SLOTS; i++) {
        add_set(1, 1, 3000);
        CHECK_EQ(run(0), 0);
    }
    CHECK_EQ(server.drops[SERVER_DROP_NO_ROOM], 2 * SLOTS);
    check_all_is_back();
}
