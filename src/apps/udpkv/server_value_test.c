/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of how long a value may be: what can be stored is read back as a whole, by every client. */
#include "apps/udpkv/binary.h"
#include "apps/udpkv/server.h"
#include "apps/udpkv/store_test.h"
#include "boot/boot.h"
#include "boot/test.h"
#include "netbuf/udp.h"

#define TOO_LARGE "SERVER_ERROR object too large for cache\r\n"

enum {
    BUFS = 96,
    OUT_MAX = SERVER_MAX_PARTS + 1,
    ANSWER_MAX = SERVER_MAX_PARTS * SERVER_PART_BYTES,
    PIECE_MAX = 1000,
};

/* How a client asks. */
enum way { TEXT, META, BINARY, WAYS };

static const uint8_t server_mac[6] = {0x52, 0x54, 0, 0, 0, 1};
static const uint8_t client_mac[6] = {0x52, 0x54, 0, 0, 0, 2};
static const uint32_t mtus[] = {576, 1279, 1280, 1281, 1500, 9000};

static struct netbuf_pool *pool;
static struct server server;
static struct inet client;
static struct inet6 server6, client6;
/* Who asks: over IPv4, and over IPv6 from the server's link and from behind it. */
static struct inet_peer clients[3];
static uint32_t client_count;
static uint8_t *answer;
static uint32_t answer_len;

/* The key, of up to 250 bytes, and what is stored under it; none: NO_VALUE. */
static char key[STORE_MAX_KEY + 1];
static uint8_t *value;
static uint32_t value_len;
enum { NO_VALUE = UINT32_MAX };

static void begin_ipv6(struct inet6 *inet6, struct inet *inet, uint32_t mtu_bytes)
{
    inet6_init(inet6, inet, mtu_bytes);
    inet_arrived(inet);
    for (uint64_t now_ns = 1; now_ns < 20000000000ull; now_ns += 500000000) {
        struct netbuf *nb = netbuf_alloc(pool);
        inet_next_packet(inet, now_ns, nb);
        netbuf_free(nb);
    }
}

static void start_value(uint32_t mtu_bytes, uint32_t key_len)
{
    struct server_conf conf = {.ip = {0x0a00020f, 24},
                               .port = 11211,
                               .part_bytes = server_part_bytes(mtu_bytes),
                               .shards = test_shards(1, TEST_STORE_MAX),
                               .now_s = TEST_NOW_S,
                               .allow_count = 1,
                               .allow6_count = 1}; /* all */

    if (!pool) {
        pool = netbuf_pool_create(&(struct netbuf_pool_conf){
            .name = "server_value", .count = BUFS, .buf_bytes = 1664, .headroom_bytes = 64});
        answer = boot_alloc(ANSWER_MAX + 1, 1);
        value = boot_alloc(ANSWER_MAX, 1);
    }
    CHECK(pool && answer && value);
    conf.pool = pool;
    memcpy(conf.mac, server_mac, sizeof server_mac);
    server_init(&server, &conf);
    inet_init(&client, client_mac, (struct ipv4_prefix){0x0a000202, 24});
    client_count = 1;
    clients[0] = (struct inet_peer){.ip = 0x0a00020f, .port = 11211, .local_port = 4000};
    memcpy(clients[0].mac, server_mac, sizeof server_mac);
    if (mtu_bytes >= IPV6_MIN_MTU) {
        begin_ipv6(&server6, &server.inet, mtu_bytes);
        begin_ipv6(&client6, &client, 65535);
        clients[1] = clients[2] = clients[0];
        clients[1].family = clients[2].family = INET_IPV6;
        clients[1].ip6 = clients[2].ip6 = server6.own[0].prefix.address;
        clients[1].local_ip6 = client6.own[0].prefix.address;
        clients[2].local_ip6 = (struct ipv6_address){.bytes = {0x20, 1, 0xd, 0xb8, [15] = 1}};
        client_count = 3;
    }
    memset(key, 'k', key_len);
    key[key_len] = 0;
    value_len = NO_VALUE;
}

/* The answer's text comes to `answer`. */
static void ask_as(const struct inet_peer *to, const void *request, size_t len)
{
    struct netbuf *nb = netbuf_alloc(pool), *out[OUT_MAX];
    uint8_t *payload = nb->data + inet_udp_headroom(to);

    memcpy(payload, "\0\1\0\0\0\1\0\0", SERVER_HEADER_BYTES);
    memcpy(payload + SERVER_HEADER_BYTES, request, len);
    inet_udp_build(&client, nb, to, (uint32_t)(SERVER_HEADER_BYTES + len), false);
    const uint32_t n = server_burst(&server, &nb, 1, out, OUT_MAX, TEST_NOW_S);
    answer_len = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *datagram = out[i]->data + inet_udp_headroom(to) - sizeof(struct udp_header);
        const uint32_t before = sizeof(struct udp_header) + SERVER_HEADER_BYTES;
        const uint32_t part = load_be16(datagram + offsetof(struct udp_header, length)) - before;
        CHECK(to != &clients[2] || out[i]->len <= sizeof(struct eth_header) + IPV6_MIN_MTU);
        memcpy(answer + answer_len, datagram + before, part);
        answer_len += part;
    }
    netbuf_free_bulk(out, n);
    answer[answer_len] = 0;
}

static size_t binary_head(uint8_t *to, uint8_t opcode, uint8_t extras_len, uint32_t more_len)
{
    const size_t key_len = strlen(key);

    memset(to, 0, REPLY_HEADER_BYTES + extras_len);
    to[0] = BINARY_REQUEST;
    to[1] = opcode;
    store_be16(to + 2, (uint16_t)key_len);
    to[4] = extras_len;
    store_be32(to + 8, extras_len + (uint32_t)key_len + more_len);
    memcpy(to + REPLY_HEADER_BYTES + extras_len, key, key_len);
    return REPLY_HEADER_BYTES + extras_len + key_len;
}

/* Asks to store so many bytes, of which `sent` come. Was it done? If not, for their number. */
static bool ask_to_store(enum way way, enum store_mode mode, uint32_t len, const uint8_t *bytes,
                         uint32_t sent)
{
    static const char *const names[] = {
        [STORE_SET] = "set", [STORE_APPEND] = "append", [STORE_PREPEND] = "prepend"};
    static const char letters[] = {[STORE_SET] = 'S', [STORE_APPEND] = 'A', [STORE_PREPEND] = 'P'};
    static const uint8_t opcodes[] = {
        [STORE_SET] = 0x01, [STORE_APPEND] = 0x0e, [STORE_PREPEND] = 0x0f};
    uint8_t request[1500];
    size_t at;

    if (way == TEXT)
        at = format((char *)request, sizeof request, "%s %s 4294967295 0 %u\r\n", names[mode], key,
                    len);
    else if (way == META)
        at = format((char *)request, sizeof request, "ms %s %u F4294967295 M%c\r\n", key, len,
                    letters[mode]);
    else
        at = binary_head(request, opcodes[mode], mode == STORE_SET ? 8 : 0, len);
    memcpy(request + at, bytes, sent);
    memcpy(request + at + sent, "\r\n", 2);
    ask_as(&clients[0], request, at + sent + (way == BINARY ? 0 : 2));
    if (way == BINARY) {
        CHECK(answer[7] == BINARY_OK || answer[7] == BINARY_TOO_LARGE);
        return answer[7] == BINARY_OK;
    }
    const bool refused = answer[0] == 'S' && answer[1] == 'E';
    CHECK_STR((const char *)answer, refused ? TOO_LARGE : way == TEXT ? "STORED\r\n" : "HD\r\n");
    return !refused;
}

/* Stores up to PIECE_MAX bytes, which must succeed exactly if the value is in the limit then. */
static bool store_piece(enum way way, enum store_mode mode, uint32_t len, uint64_t seed)
{
    const uint32_t limit = server_max_value(server.conf.part_bytes);
    const uint64_t refused = server.text.stats.store_too_large;
    uint8_t piece[PIECE_MAX];

    for (uint32_t i = 0; i < len; i++)
        piece[i] = (uint8_t)test_random(&seed);
    const bool stored = ask_to_store(way, mode, len, piece, len);
    if (mode == STORE_SET)
        value_len = 0;
    CHECK_EQ(stored, value_len + len <= limit);
    CHECK_EQ(server.text.stats.store_too_large - refused, !stored);
    if (!stored)
        return false;
    if (mode == STORE_PREPEND)
        memmove(value + len, value, value_len);
    memcpy(value + (mode == STORE_PREPEND ? 0 : value_len), piece, len);
    value_len += len;
    return true;
}

static void fill_to(uint32_t len)
{
    while (value_len < len)
        CHECK(store_piece(TEXT, STORE_APPEND, MIN(len - value_len, (uint32_t)PIECE_MAX), len));
}

/* Is the value in the answer, behind `before` bytes or, if 0, the first line, and before `after`
 * bytes? */
static void check_answer(uint32_t before, uint32_t after)
{
    if (before == 0) {
        const uint8_t *end = memchr(answer, '\n', answer_len);
        CHECK(end);
        before = (uint32_t)(end + 1 - answer);
    }
    CHECK_EQ(answer_len, before + value_len + after);
    CHECK(memcmp(answer + before, value, value_len) == 0);
}

/* Every client reads the value, with the longest answers that it may ask for. */
static void check_read(void)
{
    const uint32_t key_len = (uint32_t)strlen(key);
    char line[800];
    uint8_t get[REPLY_HEADER_BYTES + STORE_MAX_KEY];

    for (uint32_t i = 0; i < client_count; i++) {
        ask_as(&clients[i], line, format(line, sizeof line, "gets %s\r\n", key));
        check_answer(0, 7);
        ask_as(&clients[i], line,
               format(line, sizeof line, "mg %s s v t c f l h k O%030u q u R4000\r\n", key, 1u));
        check_answer(0, 2);
        ask_as(&clients[i], get, binary_head(get, 0x0c, 0, 0));
        check_answer(REPLY_HEADER_BYTES + 4 + key_len, 0);
    }
    CHECK_EQ(server.too_long, 0);
    CHECK(netbuf_pool_whole(pool));
}

TEST(server_value_is_read_whole_at_its_limit)
{
    for (uint32_t m = 0; m < ARRAY_LEN(mtus); m++) {
        start_value(mtus[m], m % 2 ? 1 : STORE_MAX_KEY);
        const uint32_t limit = server_max_value(server.conf.part_bytes);
        CHECK_EQ(limit, mtus[m] == 576 ? 34048 : 77824);
        CHECK(store_piece(TEXT, STORE_SET, 0, 1));
        server.text.shards.first->last_cas = UINT64_MAX - 1000; /* a long number to answer */
        fill_to(limit);
        check_read();
        for (enum way way = 0; way < WAYS; way++) {
            CHECK(!store_piece(way, STORE_APPEND, 1, 1));
            CHECK(!store_piece(way, STORE_PREPEND, 1, 1));
            CHECK(!store_piece(way, STORE_APPEND, PIECE_MAX, 1));
            CHECK(store_piece(way, STORE_APPEND, 0, 1));
            CHECK(!ask_to_store(way, STORE_APPEND, limit + 1, value, PIECE_MAX));
        }
        check_read();
        for (enum way way = 0; way < WAYS; way++) { /* nothing is left of the old value */
            CHECK(store_piece(way, STORE_SET, 1, 1));
            CHECK(!ask_to_store(way, STORE_SET, limit + 1, value, PIECE_MAX));
            ask_as(&clients[0], "mn\r\n", 4);
            CHECK_EQ(server.text.shards.first->stats.items, 0);
        }
    }
}

TEST(server_value_is_read_whole_whatever_was_stored)
{
    uint64_t random = 5;

    for (uint32_t m = 0; m < ARRAY_LEN(mtus); m++) {
        start_value(mtus[m], 1 + test_random(&random) % STORE_MAX_KEY);
        store_piece(TEXT, STORE_SET, 0, 1);
        for (uint32_t step = 0, refused = 0; refused < 20; step++) {
            const enum way way = test_random(&random) % WAYS;
            const uint32_t n = test_random(&random) % 100;
            const enum store_mode mode = n == 0 ? STORE_SET : n < 50 ? STORE_APPEND : STORE_PREPEND;
            const uint32_t len = test_random(&random) % (n % 10 < 2 ? 20u : 1u + PIECE_MAX);
            refused += !store_piece(way, mode, len, random);
            if (step % 8 == 0 || refused > 0)
                check_read();
        }
    }
}
