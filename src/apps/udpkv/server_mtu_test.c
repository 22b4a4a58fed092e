/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the server on devices of small and odd MTUs: how answers are cut. */
#include "apps/udpkv/server.h"
#include "apps/udpkv/store_test.h"
#include "boot/boot.h"
#include "boot/test.h"

enum {
    BUFS = 96,
    OUT_MAX = SERVER_MAX_PARTS + 1,
    TEXT_MAX = SERVER_MAX_PARTS * SERVER_PART_BYTES,
    REQUEST_MAX = 1472 - SERVER_HEADER_BYTES,
};

static const uint8_t server_mac[6] = {0x52, 0x54, 0, 0, 0, 1};
static const uint8_t client_mac[6] = {0x52, 0x54, 0, 0, 0, 2};
static const uint16_t mtus[] = {576, 577, 1280, 1427, 1428, 1500, 9000, 65535};

static struct netbuf_pool *pool;
static struct server server;
static struct inet client;
static char *text; /* of the last answer; TEXT_MAX and a closing zero */

static void start_server(uint32_t mtu_bytes)
{
    struct server_conf conf = {.ip = {0x0a00020f, 24},
                               .port = 11211,
                               .part_bytes = server_part_bytes(mtu_bytes),
                               .shards = test_shards(1, TEST_STORE_MAX),
                               .now_s = TEST_NOW_S};

    if (!pool) {
        pool = netbuf_pool_create(&(struct netbuf_pool_conf){
            .name = "server_mtu", .count = BUFS, .buf_bytes = 1664, .headroom_bytes = 64});
        text = boot_alloc(TEXT_MAX + 1, 1);
        CHECK(pool && text);
    }
    memcpy(conf.mac, server_mac, sizeof server_mac);
    conf.pool = pool;
    server_init(&server, &conf);
    inet_init(&client, client_mac, (struct ipv4_prefix){0x0a000202, 24});
}

/* Checks the datagrams of an answer against the MTU and returns how long their text is. */
static size_t join_parts(struct netbuf **parts, uint32_t n, uint32_t mtu_bytes)
{
    const uint32_t part_bytes = MIN(mtu_bytes - 28, 1400u);
    size_t len = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct inet_udp udp;
        CHECK_EQ(inet_input(&client, parts[i], &udp), INET_UDP);
        CHECK(parts[i]->len <= mtu_bytes + 14);
        CHECK(udp.payload_len > SERVER_HEADER_BYTES && udp.payload_len <= part_bytes);
        CHECK(i + 1 == n || udp.payload_len == part_bytes);
        CHECK_EQ(load_be16(udp.payload + 2), i);
        CHECK_EQ(load_be16(udp.payload + 4), n);
        memcpy(text + len, udp.payload + SERVER_HEADER_BYTES,
               udp.payload_len - SERVER_HEADER_BYTES);
        len += udp.payload_len - SERVER_HEADER_BYTES;
    }
    netbuf_free_bulk(parts, n);
    text[len] = 0;
    return len;
}

/* Asks, and puts the answer into text. Returns how many datagrams it took. */
static uint32_t ask_of_mtu(uint32_t mtu_bytes, const char *request, size_t len)
{
    struct inet_peer to = {.ip = 0x0a00020f, .port = 11211, .local_port = 4000};
    struct netbuf *nb = netbuf_alloc(pool), *out[OUT_MAX];

    CHECK(nb && len <= REQUEST_MAX);
    memcpy(to.mac, server_mac, sizeof server_mac);
    memcpy(nb->data + INET_UDP_HEADROOM, "\0\1\0\0\0\1\0\0", SERVER_HEADER_BYTES);
    memcpy(nb->data + INET_UDP_HEADROOM + SERVER_HEADER_BYTES, request, len);
    inet_udp_build(&client, nb, &to, (uint32_t)len + SERVER_HEADER_BYTES, false);
    uint32_t n = server_burst(&server, &nb, 1, out, OUT_MAX, TEST_NOW_S);
    join_parts(out, n, mtu_bytes);
    CHECK(netbuf_pool_whole(pool));
    return n;
}

static uint32_t ask_line(uint32_t mtu_bytes, const char *line)
{
    return ask_of_mtu(mtu_bytes, line, strlen(line));
}

/* Stores an item of so many bytes. */
static void store_long(uint32_t mtu_bytes, const char *key, uint32_t bytes)
{
    static char request[REQUEST_MAX];
    size_t at = format(request, sizeof request, "set %s 0 0 0\r\n\r\n", key);

    CHECK_EQ(ask_of_mtu(mtu_bytes, request, at), 1);
    for (uint32_t done = 0, piece; done < bytes; done += piece) {
        piece = MIN(bytes - done, 1000u);
        at = format(request, sizeof request, "append %s 0 0 %u noreply\r\n", key, piece);
        for (uint32_t i = 0; i < piece; i++)
            request[at + i] = (char)('a' + (done + i) % 23);
        memcpy(request + at + piece, "\r\n", 2);
        CHECK_EQ(ask_of_mtu(mtu_bytes, request, at + piece + 2), 0);
    }
}

/* Checks what was stored by store_long at the beginning of an answer; returns its end. */
static const char *check_long(const char *from, const char *key, uint32_t bytes)
{
    char head[32];
    size_t at = format(head, sizeof head, "VALUE %s 0 %u\r\n", key, bytes);

    CHECK(memcmp(from, head, at) == 0);
    for (uint32_t i = 0; i < bytes; i++)
        CHECK_EQ(from[at + i], 'a' + i % 23);
    CHECK(memcmp(from + at + bytes, "\r\n", 2) == 0);
    return from + at + bytes + 2;
}

/* Asks for two items whose answer has so many bytes. */
static uint32_t ask_for_bytes(uint32_t mtu_bytes, uint32_t total)
{
    const uint32_t y = total / 2 - 100, around = total < 20200 ? 4 + 4 : 5 + 5;
    const uint32_t z = total - y - around - 2 * (uint32_t)strlen("VALUE y 0 \r\n\r\n") - 5;

    store_long(mtu_bytes, "y", y);
    store_long(mtu_bytes, "z", z);
    uint32_t n = ask_line(mtu_bytes, "get y z\r\n");
    if (text[0] == 'V') {
        CHECK_EQ(strlen(text), total);
        CHECK_STR(check_long(check_long(text, "y", y), "z", z), "END\r\n");
    }
    return n;
}

/* Answers around 10, 40 and 64 full datagrams; one byte more than the last is refused. */
TEST(server_mtu_cuts_answers)
{
    static const uint32_t counts[] = {10, 40, SERVER_MAX_PARTS};

    for (uint32_t m = 0; m < ARRAY_LEN(mtus); m++) {
        start_server(mtus[m]);
        const uint32_t part_bytes = server.conf.part_bytes, room = part_bytes - SERVER_HEADER_BYTES;
        CHECK_EQ(part_bytes, MIN(mtus[m] - 28u, 1400u));
        for (uint32_t c = 0; c < ARRAY_LEN(counts); c++) {
            CHECK_EQ(ask_for_bytes(mtus[m], counts[c] * room - 1), counts[c]);
            CHECK_EQ(ask_for_bytes(mtus[m], counts[c] * room), counts[c]);
            uint32_t n = ask_for_bytes(mtus[m], counts[c] * room + 1);
            CHECK_EQ(n, counts[c] < SERVER_MAX_PARTS ? counts[c] + 1 : 1);
        }
        CHECK_STR(text, "SERVER_ERROR answer too long for UDP\r\n");
        CHECK_EQ(server.too_long, 1);
    }
}

/* Requests of all lengths, also longer than an answer's datagram, each with an answer that comes to
 * what is still to be read of it. */
TEST(server_mtu_reads_a_request_before_it_overwrites_it)
{
    static char request[REQUEST_MAX + 1];

    for (uint32_t m = 0; m < ARRAY_LEN(mtus); m++) {
        start_server(mtus[m]);
        ask_line(mtus[m], "set a 0 0 40\r\n0123456789012345678901234567890123456789\r\n");
        for (uint32_t gets = 1; gets < 90; gets += 4)
            for (uint32_t bytes = 0; bytes < 800; bytes += 37) {
                size_t at = 0;
                for (uint32_t i = 0; i < gets; i++)
                    at += format(request + at, sizeof request - at, "get a\r\n");
                at += format(request + at, sizeof request - at, "set b 0 0 %u\r\n", bytes);
                memset(request + at, 'v', bytes);
                memcpy(request + at + bytes, "\r\nget b\r\n", 9);
                ask_of_mtu(mtus[m], request, at + bytes + 9);
                char *end = text + (size_t)gets * 61;
                CHECK(memcmp(end - 61, "VALUE a 0 40\r\n01234", 19) == 0);
                CHECK(memcmp(end, "STORED\r\nVALUE b 0 ", 18) == 0);
                CHECK_STR(text + strlen(text) - 7, "\r\nEND\r\n");
                for (uint32_t i = 0; i < bytes; i++)
                    CHECK_EQ(text[strlen(text) - 8 - i], 'v');
            }
    }
}

TEST(server_mtu_is_told)
{
    char line[64];

    for (uint32_t m = 0; m < ARRAY_LEN(mtus); m++) {
        start_server(mtus[m]);
        ask_line(mtus[m], "stats settings\r\n");
        format(line, sizeof line, "STAT answer_datagram_bytes %u\r\n", MIN(mtus[m] - 28u, 1400u));
        const char *at = text;
        while (*at && strncmp(at, line, strlen(line)) != 0)
            at++;
        CHECK(*at);
    }
}
