/* SPDX-License-Identifier: BSD-2-Clause */
/* Random requests, good and broken, at a server whose store is full and whose room to answer is
 * short: the store must stay in order and every buffer come back. */
#include "apps/udpkv/binary.h"
#include "apps/udpkv/server.h"
#include "apps/udpkv/store_test.h"
#include "boot/test.h"

enum { ROUNDS = 6000, BUFS = 96, IN_MAX = 8, OUT_MAX = 72, REQUEST_MAX = 1472 };

static const uint8_t server_mac[6] = {0x52, 0x54, 0, 0, 0, 1};
static const uint8_t client_mac[6] = {0x52, 0x54, 0, 0, 0, 2};

static struct netbuf_pool *pool;
static struct server server;
static struct inet client;
static uint64_t state;
static uint32_t keys; /* more than the store has room for */

static uint32_t below(uint32_t limit)
{
    return test_random(&state) % limit;
}

static const char *pick(const char *const *texts, uint32_t count)
{
    return texts[below(count)];
}
#define PICK(...)                                                                                  \
    pick((const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

/* Writes flags of a meta command; one time in nine twenty of them, more than it may have. */
static size_t put_flags(char *text, size_t room)
{
    size_t at = 0;

    for (uint32_t n = below(9) ? below(6) : 20; n > 0; n--)
        at += format(text + at, room - at, " %s",
                     PICK("v", "t", "T60", "T-1", "N30", "R60", "q", "k", "b", "I", "C5", "Oabc",
                          "MA", "ME", "MD", "D7", "J1", "F3", "h", "l", "u", "c", "x", "s"));
    return at;
}

static size_t put_meta(char *text, size_t room)
{
    const char *key = PICK("key1", "key2", "a2V5MQ==", "key3", "a2V5", "=");
    size_t at, len = below(3) ? below(60) : below(1300);
    char flags[100];

    put_flags(flags, sizeof flags);
    if (below(3)) {
        at =
            format(text, room, "%s %s%s\r\n", PICK("mg", "mg", "md", "ma", "me", "mn"), key, flags);
        return at < room ? at : 0;
    }
    at = format(text, room, "ms %s %u%s\r\n", key, (uint32_t)len, flags);
    if (at + len + 2 > room)
        return 0;
    memset(text + at, '8', len);
    memcpy(text + at + len, "\r\n", 2);
    return at + len + 2;
}

/* Writes a command, its data included, and returns its length; 0 if it has no room. */
static size_t put_command(char *text, size_t room)
{
    const char *exptime = below(8) ? "0" : PICK("1", "-1", "3000000000", "1700000100", "x");
    const char *noreply = PICK("", "", "", " noreply");
    char key[300];
    size_t key_len = format(key, sizeof key, "key%u", below(keys));

    if (below(20) == 0) { /* of 250 or 251 bytes */
        memset(key + key_len, 'k', sizeof key - key_len);
        key[250 + below(2)] = 0;
    }
    switch (below(7)) {
    case 5:
    case 6:
        return put_meta(text, room);
    case 0:
        return format(text, room, "%s %s key1 key2 key3 %s\r\n", PICK("get", "gets", "gat 9"), key,
                      PICK("", "key4", "get", "key5 key6"));
    case 1:
        return format(text, room, "%s %s %s%s\r\n",
                      PICK("delete", "incr", "decr", "touch", "verbosity"), key, exptime, noreply);
    case 2:
        if (below(3000) == 0)
            return format(text, room, "flush_all 1\r\n");
        return format(text, room, "%s\r\n",
                      PICK("stats", "stats settings", "stats slabs", "version", "quit", "nonsense",
                           "", "get", "set a 0 0 4294967297", "incr a 18446744073709551616"));
    default:
        break;
    }
    uint32_t len = below(2) ? below(40) : below(1300);
    size_t at = format(text, room, "%s %s %u %s %u%s%s\r\n",
                       PICK("set", "set", "add", "replace", "append", "prepend", "cas"), key,
                       below(9), exptime, len, PICK("", "", "", " 5", " 7"), noreply);
    if (at + len + 2 > room)
        return 0;
    memset(text + at, below(2) ? '7' : 'v', len);
    memcpy(text + at + len, "\r\n", 2);
    return at + len + 2;
}

/* Likewise for a request of the binary protocol; one in sixteen has other extras than it needs, and
 * one in sixteen lengths that lie. */
static size_t put_binary(char *text, size_t room)
{
    static const uint8_t extras[0x26] = {
        [0x01] = 8, [0x02] = 8, [0x03] = 8, [0x05] = 20, [0x06] = 20,
        [0x11] = 8, [0x12] = 8, [0x13] = 8, [0x15] = 20, [0x16] = 20,
        [0x1c] = 4, [0x1d] = 4, [0x1e] = 4, [0x23] = 4,  [0x24] = 4};
    static const uint8_t stores[] = {0x01, 0x02, 0x03, 0x0e, 0x0f, 0x11, 0x12, 0x13, 0x19, 0x1a};
    const bool is_store = below(2);
    uint8_t *header = (uint8_t *)text;
    uint8_t opcode = is_store ? stores[below(sizeof stores)] : (uint8_t)below(sizeof extras);
    uint32_t value_len = !is_store ? 0 : below(2) ? below(40) : below(1300);

    if (opcode == 0x08 || opcode == 0x18) /* a flush */
        opcode = below(1000) ? 0x0d : opcode;
    const uint32_t extras_len = below(16) ? extras[opcode] : below(22);
    char key[20];
    const size_t key_len = format(key, sizeof key, "key%u", below(keys));
    const size_t body_len = extras_len + key_len + value_len;
    if (REPLY_HEADER_BYTES + body_len > room)
        return 0;
    memset(header, 0, REPLY_HEADER_BYTES + extras_len);
    header[0] = BINARY_REQUEST;
    header[1] = opcode;
    store_be16(header + 2, (uint16_t)key_len);
    header[4] = (uint8_t)extras_len;
    store_be32(header + 8, (uint32_t)body_len);
    if (below(16) == 0)
        header[2 + below(10)] = (uint8_t) "\0\1\x7f\x80\xff"[below(5)];
    if (extras_len == 20 && below(2)) /* to add one, and then not to make the item */
        memset(header + REPLY_HEADER_BYTES + 16, 0xff, 4);
    memcpy(header + REPLY_HEADER_BYTES + extras_len, key, key_len);
    memset(header + REPLY_HEADER_BYTES + extras_len + key_len, below(2) ? '7' : 'v', value_len);
    return REPLY_HEADER_BYTES + body_len;
}

static struct netbuf *make_request(void)
{
    char text[REQUEST_MAX] = {0, 1, 0, 0, 0, (char)(below(50) ? 1 : below(3)), 0, 0};
    size_t at = SERVER_HEADER_BYTES, len;
    const bool is_binary = below(3) == 0;

    for (uint32_t n = 1 + below(6); n > 0; n--, at += len) {
        len = (is_binary ? put_binary : put_command)(text + at, sizeof text - at);
        if (len >= sizeof text - at || len == 0)
            break;
    }
    if (below(8) == 0) /* cut, or with a byte spoilt */
        at = below((uint32_t)at + 1);
    else if (below(8) == 0)
        text[below((uint32_t)at)] = (char)below(256);

    struct netbuf *nb = netbuf_alloc(pool);
    struct inet_peer to = {.ip = 0x0a00020f, .port = 11211, .local_port = 4000};
    CHECK(nb);
    memcpy(to.mac, server_mac, sizeof server_mac);
    memcpy(nb->data + INET_UDP_HEADROOM, text, at);
    inet_udp_build(&client, nb, &to, (uint32_t)at, false);
    return nb;
}

static void check_shards(const struct shards *shards)
{
    for (uint32_t n = 0; n <= shards->mask; n++) {
        test_check_store(shards_nth(shards, n));
        CHECK_EQ(shards_nth(shards, n)->lock, 0);
    }
}

static void random_requests(struct shards shards, uint32_t mtu_bytes)
{
    struct netbuf *in[IN_MAX], *out[OUT_MAX];
    struct shards_sum sum;
    uint32_t binary_answers = 0;
    struct server_conf conf = {.ip = {0x0a00020f, 24},
                               .port = 11211,
                               .part_bytes = server_part_bytes(mtu_bytes),
                               .now_s = TEST_NOW_S};

    state = 88172645463325252;
    keys = 600 * (shards.mask + 1);
    if (!pool)
        pool = netbuf_pool_create(&(struct netbuf_pool_conf){
            .name = "server_random", .count = BUFS, .buf_bytes = 2048, .headroom_bytes = 64});
    CHECK(pool);
    conf.pool = pool;
    conf.shards = shards;
    memcpy(conf.mac, server_mac, sizeof server_mac);
    server_init(&server, &conf);
    inet_init(&client, client_mac, (struct ipv4_prefix){0x0a000202, 24});
    for (uint32_t round = 0, now_s = TEST_NOW_S; round < ROUNDS; round++, now_s += below(50) == 0) {
        uint32_t n = 1 + below(IN_MAX), room = below(4) ? OUT_MAX : below(4);
        for (uint32_t i = 0; i < n; i++)
            in[i] = make_request();
        uint32_t sent = server_burst(&server, in, n, out, room, now_s);
        CHECK(sent <= room);
        for (uint32_t i = 0; i < sent; i++) {
            CHECK(!out[i]->next && out[i]->len > INET_UDP_HEADROOM + SERVER_HEADER_BYTES &&
                  out[i]->len <= INET_UDP_HEADROOM + conf.part_bytes);
            binary_answers += out[i]->data[INET_UDP_HEADROOM + SERVER_HEADER_BYTES] == 0x81;
        }
        netbuf_free_bulk(out, sent);
        CHECK(netbuf_pool_whole(pool));
        if (round % 64 == 0)
            check_shards(&shards);
    }
    check_shards(&shards);
    const struct text_stats *text = &server.text.stats;
    shards_sum(&shards, &sum);
    CHECK(sum.stats.evictions > 0);
    CHECK(sum.stats.reclaimed + sum.stats.get_expired + sum.stats.get_flushed > 0);
    CHECK(text->get_hits > 0 && text->cas_badval > 0 && text->incr_hits > 0);
    CHECK(binary_answers > ROUNDS / 4);
    CHECK(server.drops[SERVER_DROP_CUT] > 0 && server.drops[SERVER_DROP_NO_ROOM] > 0);
}

TEST(server_random_requests)
{
    random_requests(test_shards(1, STORE_MIN_BYTES), 1500);
}

TEST(server_random_requests_over_shards)
{
    random_requests(test_shards(2, STORE_MIN_BYTES), 1500);
}

TEST(server_random_requests_at_a_small_mtu)
{
    random_requests(test_shards(1, STORE_MIN_BYTES), SERVER_MIN_MTU);
}
