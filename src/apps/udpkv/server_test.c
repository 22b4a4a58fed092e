/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the server: frames in, frames out. The client is a second inet. */
#include "apps/udpkv/server.h"
#include "apps/udpkv/store_test.h"
#include "boot/boot.h"
#include "boot/test.h"

enum { POOL_BUFS = 160, OUT_MAX = 80, ANSWER_MAX = SERVER_MAX_PARTS * SERVER_PART_BYTES };

static const uint8_t server_mac[6] = {0x52, 0x54, 0, 0, 0, 1};
static const uint8_t client_mac[6] = {0x52, 0x54, 0, 0, 0, 2};

static struct netbuf_pool *pool;
static struct server server;
static struct inet client;
static struct inet_peer to_server;
static struct netbuf *out[OUT_MAX];
static uint8_t *answer; /* of ANSWER_MAX and a closing zero */
static uint16_t client_port;

static uint32_t ip(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    return a << 24 | b << 16 | c << 8 | d;
}

/* A server at 10.0.2.15/24 and a client at 10.0.2.2. */
static void fresh_server(void)
{
    if (!pool) {
        struct netbuf_pool_conf conf = {
            .name = "server_test", .count = POOL_BUFS, .buf_bytes = 2048, .headroom_bytes = 64};
        pool = netbuf_pool_create(&conf);
        answer = boot_alloc(ANSWER_MAX + 1, 1);
        CHECK(pool && answer);
    }
    struct server_conf conf = {.ip = {ip(10, 0, 2, 15), 24},
                               .port = 11211,
                               .pool = pool,
                               .shards = test_shards(1, 1 << 20),
                               .now_s = TEST_NOW_S};
    memcpy(conf.mac, server_mac, sizeof conf.mac);
    server_init(&server, &conf);
    inet_init(&client, client_mac, (struct ipv4_prefix){ip(10, 0, 2, 2), 24});
    client_port = 40000;
}

/* A datagram from the client, as the server receives it. */
static struct netbuf *datagram(const void *payload, size_t len)
{
    struct netbuf *nb = netbuf_alloc(pool);

    CHECK(nb && len <= 1500);
    to_server =
        (struct inet_peer){.ip = ip(10, 0, 2, 15), .port = 11211, .local_port = client_port};
    memcpy(to_server.mac, server_mac, sizeof server_mac);
    memcpy(nb->data + INET_UDP_HEADROOM, payload, len);
    inet_udp_build(&client, nb, &to_server, (uint32_t)len, false);
    return nb;
}

static struct netbuf *request(uint16_t id, const char *text)
{
    uint8_t payload[1472] = {(uint8_t)(id >> 8), (uint8_t)id, 0, 0, 0, 1, 0, 0};
    size_t len = strlen(text);

    CHECK(len <= sizeof payload - SERVER_HEADER_BYTES);
    memcpy(payload + SERVER_HEADER_BYTES, text, len);
    return datagram(payload, SERVER_HEADER_BYTES + len);
}

static uint32_t burst(struct netbuf **in, uint32_t n, uint32_t out_max)
{
    return server_burst(&server, in, n, out, out_max, TEST_NOW_S);
}

/* The text of an answer of n datagrams, whose headers must be right. Frees them. */
static const char *take_answer(uint16_t id, uint32_t n)
{
    size_t len = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct inet_udp udp;
        CHECK_EQ(inet_input(&client, out[i], &udp), INET_UDP);
        CHECK_EQ(udp.from.ip, ip(10, 0, 2, 15));
        CHECK_EQ(udp.from.port, 11211);
        CHECK_EQ(udp.from.local_port, client_port);
        CHECK(udp.payload_len > SERVER_HEADER_BYTES && udp.payload_len <= SERVER_PART_BYTES);
        CHECK(i + 1 == n || udp.payload_len == SERVER_PART_BYTES);
        CHECK_EQ(load_be16(udp.payload), id);
        CHECK_EQ(load_be16(udp.payload + 2), i);
        CHECK_EQ(load_be16(udp.payload + 4), n);
        CHECK_EQ(load_be16(udp.payload + 6), 0);
        memcpy(answer + len, udp.payload + SERVER_HEADER_BYTES,
               udp.payload_len - SERVER_HEADER_BYTES);
        len += udp.payload_len - SERVER_HEADER_BYTES;
    }
    netbuf_free_bulk(out, n);
    answer[len] = 0;
    return (const char *)answer;
}

static const char *ask_server(uint16_t id, const char *text)
{
    struct netbuf *nb = request(id, text);
    return take_answer(id, burst(&nb, 1, OUT_MAX));
}

/* An item "z" with a value of `pieces` times 1000 bytes. */
static void make_large_item(uint32_t pieces)
{
    static char text[1100];
    size_t at = format(text, sizeof text, "append z 0 0 1000 noreply\r\n");

    ask_server(1, "set z 0 0 0\r\n\r\n");
    memset(text + at, 'v', 1000);
    memcpy(text + at + 1000, "\r\n", 3);
    for (uint32_t i = 0; i < pieces; i++)
        CHECK_STR(ask_server(1, text), "");
}

TEST(server_answers_in_place)
{
    fresh_server();
    CHECK_STR(ask_server(0xabcd, "set a 0 0 5\r\nhello\r\n"), "STORED\r\n");
    struct netbuf *nb = request(7, "get a\r\n");
    CHECK_EQ(burst(&nb, 1, OUT_MAX), 1);
    CHECK(out[0] == nb);
    CHECK_STR(take_answer(7, 1), "VALUE a 0 5\r\nhello\r\nEND\r\n");
    CHECK(server.requests == 2 && server.answers == 2 && server.datagrams == 2);
    CHECK(netbuf_pool_whole(pool));
}

TEST(server_counts_bytes)
{
    fresh_server();
    make_large_item(10); /* a set, and ten requests without an answer */
    const struct text_stats *stats = &server.text.stats;
    CHECK_EQ(stats->bytes_read, 8 + 15 + 10 * (8 + 27 + 1002));
    CHECK_EQ(stats->bytes_written, 8 + 8);
    ask_server(1, "get z\r\n");
    CHECK_EQ(stats->bytes_read, 8 + 15 + 10 * (8 + 27 + 1002) + 8 + 7);
    CHECK_EQ(stats->bytes_written, 8 + 8 + 8 * 8 + 10024);
    ask_server(1, "stats reset\r\n");
    CHECK_EQ(text_sum_stats(&server.text).bytes_read, 0);
    CHECK_EQ(text_sum_stats(&server.text).bytes_written, 8 + 7);
}

TEST(server_says_nothing_to_noreply)
{
    fresh_server();
    CHECK_STR(ask_server(1, "set a 0 0 1 noreply\r\nx\r\n"), "");
    CHECK_STR(ask_server(1, "get a\r\n"), "VALUE a 0 1\r\nx\r\nEND\r\n");
    CHECK(server.requests == 2 && server.answers == 1);
    CHECK(netbuf_pool_whole(pool));
}

/* The answer is longer than the part of the request that was read, and must not overwrite the rest.
 */
TEST(server_answers_many_commands)
{
    char text[600];
    size_t at = 0, want_at = 0;
    static char want[3000];

    fresh_server();
    CHECK_STR(ask_server(1, "set a 0 0 20\r\n01234567890123456789\r\n"), "STORED\r\n");
    for (uint32_t i = 0; i < 50; i++) {
        at += format(text + at, sizeof text - at, "get a\r\n");
        want_at += format(want + want_at, sizeof want - want_at,
                          "VALUE a 0 20\r\n01234567890123456789\r\nEND\r\n");
    }
    CHECK_STR(ask_server(2, text), want);
    CHECK_EQ(server.datagrams, 1 + (want_at + 1391) / 1392);
    CHECK(netbuf_pool_whole(pool));
}

/* The value of a set lies where the answer to the get before it is written. */
TEST(server_reads_a_value_before_it_overwrites_it)
{
    static char text[400], want[800];

    fresh_server();
    format(text, sizeof text, "set a 0 0 250\r\n%0250u\r\n", 7u);
    CHECK_STR(ask_server(1, text), "STORED\r\n");
    format(want, sizeof want,
           "VALUE a 0 250\r\n%0250u\r\nEND\r\nSTORED\r\nVALUE b 3 5\r\nworld\r\nEND\r\n", 7u);
    CHECK_STR(ask_server(2, "get a\r\nset b 3 0 5\r\nworld\r\nget b\r\n"), want);
    CHECK_STR(ask_server(3, "set c 0 0 1\r\nx\r\nget a\r\nnonsense\r\nset b 0 0 x\r\nget c\r\n") +
                  8 + 272,
              "ERROR\r\nCLIENT_ERROR bad command line format\r\nVALUE c 0 1\r\nx\r\nEND\r\n");
    CHECK(netbuf_pool_whole(pool));
}

/* Requests of one burst are answered as if each had come alone, however long the burst is. */
TEST(server_runs_a_burst_in_order)
{
    static const char *const steps[][2] = {
        {"set n 0 0 1\r\n5\r\n", "STORED\r\n"},
        {"incr n 4\r\n", "9\r\n"},
        {"get n\r\n", "VALUE n 0 1\r\n9\r\nEND\r\n"},
        {"append n 0 0 3\r\n000\r\n", "STORED\r\n"},
        {"get n m\r\n", "VALUE n 0 4\r\n9000\r\nEND\r\n"},
        {"delete n\r\n", "DELETED\r\n"},
        {"gat 0 n\r\n", "END\r\n"},
        {"\r\n", "ERROR\r\n"},
    };
    enum { N = 2 * SERVER_BATCH + 5 };
    struct netbuf *in[N], *answers[OUT_MAX];

    fresh_server();
    for (uint32_t n = 1; n <= N; n += n < 20 ? 1 : 7) {
        for (uint32_t i = 0; i < n; i++)
            in[i] = request((uint16_t)i, steps[i % ARRAY_LEN(steps)][0]);
        CHECK_EQ(burst(in, n, OUT_MAX), n);
        memcpy(answers, out, n * sizeof out[0]);
        for (uint32_t i = 0; i < n; i++) {
            out[0] = answers[i];
            CHECK_STR(take_answer((uint16_t)i, 1), steps[i % ARRAY_LEN(steps)][1]);
        }
        ask_server(1, "delete n\r\n");
    }
    CHECK(netbuf_pool_whole(pool));
}

TEST(server_splits_long_answers)
{
    fresh_server();
    make_large_item(10);
    CHECK_EQ(strlen(ask_server(9, "get z\r\n")), 10000 + 24);
    CHECK_EQ(server.answers, 2);
    CHECK_EQ(server.datagrams, 1 + 8);
    CHECK(netbuf_pool_whole(pool));
}

/* Values around the size of a datagram's room, 1392 bytes. */
TEST(server_splits_at_the_right_byte)
{
    fresh_server();
    for (uint32_t len = 1360; len <= 1372; len++) {
        static char text[1450];
        size_t at = format(text, sizeof text, "set a 0 0 %u\r\n", len);
        memset(text + at, 'v', len);
        memcpy(text + at + len, "\r\n", 3);
        CHECK_STR(ask_server(1, text), "STORED\r\n");
        uint64_t before = server.datagrams;
        CHECK_EQ(strlen(ask_server(2, "get a\r\n")), len + 23);
        CHECK_EQ(server.datagrams - before, len + 23 <= 1392 ? 1 : 2);
    }
    CHECK(netbuf_pool_whole(pool));
}

TEST(server_refuses_answers_over_its_limit)
{
    fresh_server();
    make_large_item(50);
    CHECK_STR(ask_server(3, "get z z\r\n"), "SERVER_ERROR answer too long for UDP\r\n");
    CHECK_STR(ask_server(3, "version\r\nget z z\r\nversion\r\n"),
              "SERVER_ERROR answer too long for UDP\r\n");
    CHECK_EQ(server.too_long, 2);
    CHECK_EQ(strlen(ask_server(3, "get z\r\n")), 50000 + 24);
    CHECK(netbuf_pool_whole(pool));
}

TEST(server_fills_64_datagrams_to_the_last_byte)
{
    static char text[600];
    size_t at = format(text, sizeof text, "append z 0 0 510 noreply\r\n");

    fresh_server();
    make_large_item(44);
    memset(text + at, 'v', 510);
    memcpy(text + at + 510, "\r\n", 3);
    CHECK_STR(ask_server(1, text), "");
    /* 25 bytes, twice 17 + 44510 + 2, and 5 */
    CHECK_EQ(strlen(ask_server(2, "version\r\nget z z\r\n")), 64 * 1392);
    CHECK_EQ(server.too_long, 0);
    CHECK_STR(ask_server(2, "foo\r\nversion\r\nget z z\r\n"),
              "SERVER_ERROR answer too long for UDP\r\n");
    CHECK(netbuf_pool_whole(pool));
}

TEST(server_sends_no_half_answer)
{
    struct netbuf *kept[POOL_BUFS], *nb;

    fresh_server();
    make_large_item(10);
    nb = request(1, "get z\r\n"); /* wants 8 datagrams */
    CHECK_EQ(burst(&nb, 1, 7), 0);
    CHECK_EQ(server.drops[SERVER_DROP_NO_ROOM], 1);
    nb = request(1, "get z\r\n");
    uint32_t n = netbuf_alloc_bulk(pool, kept, POOL_BUFS - 1 - 6);
    CHECK_EQ(burst(&nb, 1, OUT_MAX), 0);
    CHECK_EQ(server.drops[SERVER_DROP_NO_BUF], 1);
    CHECK_EQ(netbuf_pool_free_count(pool), 7);
    nb = request(1, "get z\r\n");
    netbuf_free(kept[--n]);
    CHECK_EQ(burst(&nb, 1, 8), 8);
    CHECK_EQ(strlen(take_answer(1, 8)), 10000 + 24);
    netbuf_free_bulk(kept, n);
    CHECK(netbuf_pool_whole(pool));
}

TEST(server_drops_what_finds_no_room)
{
    struct netbuf *in[5];

    fresh_server();
    for (uint32_t i = 0; i < 5; i++)
        in[i] = request((uint16_t)i, "version\r\n");
    CHECK_EQ(burst(in, 5, 3), 3);
    CHECK_EQ(server.drops[SERVER_DROP_NO_ROOM], 2);
    netbuf_free_bulk(out, 3);
    CHECK(netbuf_pool_whole(pool));
}

static uint64_t drops_of(enum server_drop reason, const void *payload, size_t len)
{
    struct netbuf *nb = datagram(payload, len);
    uint64_t before = server.drops[reason];

    CHECK_EQ(burst(&nb, 1, OUT_MAX), 0);
    CHECK(netbuf_pool_whole(pool));
    return server.drops[reason] - before;
}

TEST(server_drops_bad_headers)
{
    fresh_server();
    CHECK_EQ(drops_of(SERVER_DROP_HEADER, "", 0), 1);
    CHECK_EQ(drops_of(SERVER_DROP_HEADER, "\0\1\0\0\0\1\0", 7), 1);
    CHECK_EQ(drops_of(SERVER_DROP_PARTS, "\0\1\0\0\0\2\0\0version\r\n", 17), 1);
    CHECK_EQ(drops_of(SERVER_DROP_PARTS, "\0\1\0\0\0\0\0\0version\r\n", 17), 1);
    CHECK_EQ(drops_of(SERVER_DROP_CUT, "\0\1\0\0\0\1\0\0version", 15), 1);
    CHECK_EQ(drops_of(SERVER_DROP_CUT, "\0\1\0\0\0\1\0\0", 8), 0);   /* nothing asked */
    struct netbuf *nb = datagram("\0\1\0\5\0\1\0\7version\r\n", 17); /* as memcached */
    CHECK_EQ(burst(&nb, 1, OUT_MAX), 1);
    CHECK_STR(take_answer(1, 1), "VERSION " TEXT_VERSION "\r\n");
    client_port = 11211;
    CHECK_EQ(drops_of(SERVER_DROP_LOOP, "\0\1\0\0\0\1\0\0version\r\n", 17), 1);
}

/* An echo service, or a server on another port: what we answer comes back as a request. */
TEST(server_ends_an_exchange_of_errors)
{
    static const char *const requests[] = {"nonsense\r\n", "get a b\r\nverbosity 1\r\n",
                                           "set a 0 0 7\r\nversion\r\nget a\r\n"};

    fresh_server();
    for (uint32_t i = 0; i < ARRAY_LEN(requests); i++) {
        struct netbuf *nb = request(7, requests[i]);
        for (uint32_t answers = 0; burst(&nb, 1, OUT_MAX) == 1; answers++) {
            CHECK(answers < 2);
            nb = request(7, take_answer(7, 1));
        }
        CHECK_EQ(server.drops[SERVER_DROP_LOOP], i + 1);
        CHECK(netbuf_pool_whole(pool));
    }
    CHECK_STR(ask_server(8, "ERRORS\r\n"), "ERROR\r\n"); /* which no server answers */
    CHECK_STR(ask_server(8, "version\r\nERROR\r\n"), "VERSION " TEXT_VERSION "\r\nERROR\r\n");
}

TEST(server_serves_its_port_only)
{
    fresh_server();
    server.conf.port = 11212;
    struct netbuf *nb = request(1, "version\r\n");
    CHECK_EQ(burst(&nb, 1, OUT_MAX), 1); /* who asks another is told that nobody is there */
    CHECK_EQ(server.drops[SERVER_DROP_PORT], 1);
    CHECK_EQ(server.inet.errors, 1);
    netbuf_free(out[0]);
}

TEST(server_answers_allowed_networks_only)
{
    fresh_server();
    inet_init(&client, client_mac, (struct ipv4_prefix){ip(10, 0, 3, 2), 24});
    CHECK_EQ(drops_of(SERVER_DROP_DENIED, "\0\1\0\0\0\1\0\0version\r\n", 17), 1);
    struct server_conf conf = server.conf;
    conf.allow_count = 2;
    conf.allow[0] = (struct ipv4_prefix){ip(192, 168, 0, 0), 16};
    conf.allow[1] = (struct ipv4_prefix){ip(10, 0, 3, 0), 24};
    server_init(&server, &conf);
    CHECK_STR(ask_server(1, "get a\r\n"), "END\r\n");
    /* Our own network isn't in the list now. */
    inet_init(&client, client_mac, (struct ipv4_prefix){ip(10, 0, 2, 2), 24});
    CHECK_EQ(drops_of(SERVER_DROP_DENIED, "\0\1\0\0\0\1\0\0version\r\n", 17), 1);
    conf.allow[0] = (struct ipv4_prefix){0, 0};
    server_init(&server, &conf);
    inet_init(&client, client_mac, (struct ipv4_prefix){ip(8, 8, 8, 8), 24});
    CHECK_STR(ask_server(1, "get a\r\n"), "END\r\n");
}

TEST(server_passes_arp_answers_on)
{
    struct netbuf *nb;

    fresh_server();
    nb = netbuf_alloc(pool);
    inet_announce(&client, nb);
    memcpy(nb->data + 38, "\x0a\x00\x02\x0f", 4); /* the target: "who has 10.0.2.15?" */
    CHECK_EQ(burst(&nb, 1, OUT_MAX), 1);
    CHECK(out[0] == nb && server.inet.arp_replies == 1);
    netbuf_free(nb);
    CHECK(netbuf_pool_whole(pool));
}

/* Bursts of mutated frames, with little room now and then: nothing leaks, nothing crashes. */
TEST(server_takes_anything)
{
    static const char *const texts[] = {"get z z z\r\n",
                                        "set a 0 0 3\r\nabc\r\n",
                                        "get a b c d\r\nversion\r\n",
                                        "incr n 1\r\n",
                                        "set n 0 0 2 noreply\r\n10\r\n",
                                        "stats\r\n",
                                        "delete a\r\nadd a 0 0 0\r\n\r\n"};
    uint64_t random = 99;

    fresh_server();
    make_large_item(20);
    for (uint32_t i = 0; i < 3000; i++) {
        struct netbuf *in[8];
        for (uint32_t k = 0; k < ARRAY_LEN(in); k++) {
            in[k] = request((uint16_t)i, texts[test_random(&random) % ARRAY_LEN(texts)]);
            for (uint32_t n = test_random(&random) % 4; n > 0; n--)
                in[k]->data[test_random(&random) % in[k]->len] ^=
                    (uint8_t)(1 << test_random(&random) % 8);
            if (test_random(&random) % 8 == 0)
                netbuf_trim(in[k], test_random(&random) % 60);
            if (test_random(&random) % 4)
                in[k]->flags = NETBUF_CSUM_GOOD; /* the checksum isn't looked at then */
        }
        uint32_t room = test_random(&random) % (OUT_MAX + 1);
        uint32_t n = burst(in, ARRAY_LEN(in), room);
        CHECK(n <= room);
        netbuf_free_bulk(out, n);
    }
    CHECK(netbuf_pool_whole(pool));
    CHECK(server.answers > 1000);
}
