/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the binary protocol; tests/memcached_compare.py holds the same requests against
 * memcached's answers. */
#include "apps/udpkv/binary.h"
#include "apps/udpkv/text_test.h"

enum { OPAQUE = 0x01020304, HEADER = REPLY_HEADER_BYTES, ANSWER_MAX = 16 << 10 };

static uint8_t asked[2048], answered[ANSWER_MAX];
static size_t asked_len, answered_len, read_len;

static bool no_more(struct reply *reply)
{
    (void)reply;
    return false;
}

/* Adds a request to those that are asked next. */
static uint8_t *add(uint8_t opcode, const char *extras, uint8_t extras_len, const char *key,
                    const char *value)
{
    const size_t key_len = strlen(key), value_len = strlen(value);
    uint8_t *header = asked + asked_len;

    CHECK(asked_len + HEADER + extras_len + key_len + value_len <= sizeof asked);
    memset(header, 0, HEADER);
    header[0] = BINARY_REQUEST;
    header[1] = opcode;
    store_be16(header + 2, (uint16_t)key_len);
    header[4] = extras_len;
    store_be32(header + 8, (uint32_t)(extras_len + key_len + value_len));
    store_be32(header + 12, OPAQUE);
    memcpy(header + HEADER, extras, extras_len);
    memcpy(header + HEADER + extras_len, key, key_len);
    memcpy(header + HEADER + extras_len + key_len, value, value_len);
    asked_len += HEADER + extras_len + key_len + value_len;
    return header;
}

/* Asks them, in memory of their exact length. */
static enum text_end ask_all(void)
{
    static uint8_t memory[sizeof asked];
    uint8_t *copy = memory + sizeof memory - asked_len;
    struct reply reply = {.at = answered, .end = answered + sizeof answered, .more = no_more};

    memcpy(copy, asked, asked_len);
    const enum text_end end = text_run(&test_text, copy, asked_len, NULL, &reply);
    answered_len = (size_t)(reply.at - answered);
    asked_len = read_len = 0;
    return end;
}

/* The next answer must have this opcode, status and body; the lengths of extras and key are told
 * apart. Returns its cas. */
static uint64_t answer(uint8_t opcode, uint16_t status, uint8_t extras_len, uint16_t key_len,
                       const char *body, size_t body_len)
{
    const uint8_t *header = answered + read_len;

    CHECK(read_len + HEADER + body_len <= answered_len);
    CHECK_EQ(header[0], 0x81);
    CHECK_EQ(header[1], opcode);
    CHECK_EQ(load_be16(header + 2), key_len);
    CHECK_EQ(header[4], extras_len);
    CHECK_EQ(header[5], 0);
    CHECK_EQ(load_be16(header + 6), status);
    CHECK_EQ(load_be32(header + 8), body_len);
    CHECK_EQ(load_be32(header + 12), OPAQUE);
    CHECK(memcmp(header + HEADER, body, body_len) == 0);
    read_len += HEADER + body_len;
    return (uint64_t)load_be32(header + 16) << 32 | load_be32(header + 20);
}

static uint64_t says(uint8_t opcode, uint16_t status, const char *text)
{
    return answer(opcode, status, 0, 0, text, strlen(text));
}

static void says_no_more(void)
{
    CHECK_EQ(answered_len, read_len);
}

/* One request whose only answer is a status and a text. */
static void exchange(uint8_t opcode, const char *extras, uint8_t extras_len, const char *key,
                     const char *value, uint16_t status, const char *text)
{
    add(opcode, extras, extras_len, key, value);
    CHECK_EQ(ask_all(), TEXT_WHOLE);
    says(opcode, status, text);
    says_no_more();
}

/* One request that isn't answered. */
static void silent(uint8_t opcode, const char *extras, uint8_t extras_len, const char *key,
                   const char *value)
{
    add(opcode, extras, extras_len, key, value);
    CHECK_EQ(ask_all(), TEXT_WHOLE);
    says_no_more();
}

#define FLAGS_5   "\0\0\0\5\0\0\0\0", 8
#define MINUTE    "\0\0\0\x3c", 4
#define EXISTS    BINARY_EXISTS, "Data exists for key."
#define NOT_FOUND BINARY_NOT_FOUND, "Not found"
#define INVALID   BINARY_INVALID, "Invalid arguments"
#define UNKNOWN   BINARY_UNKNOWN, "Unknown command"

TEST(binary_get_and_set)
{
    test_fresh();
    add(0x01, FLAGS_5, "a", "hello");
    CHECK_EQ(ask_all(), TEXT_WHOLE);
    CHECK_EQ(says(0x01, 0, ""), 1);
    for (uint32_t quiet = 0; quiet < 2; quiet++) {
        add(quiet ? 0x09 : 0x00, "", 0, "a", "");
        add(quiet ? 0x0d : 0x0c, "", 0, "a", "");
        ask_all();
        CHECK_EQ(answer(quiet ? 0x09 : 0x00, 0, 4, 0, "\0\0\0\5hello", 9), 1);
        CHECK_EQ(answer(quiet ? 0x0d : 0x0c, 0, 4, 1, "\0\0\0\5ahello", 10), 1);
        says_no_more();
    }
    exchange(0x00, "", 0, "x", "", NOT_FOUND);
    add(0x0c, "", 0, "x", "");
    ask_all();
    answer(0x0c, BINARY_NOT_FOUND, 0, 1, "x", 1);
    says_no_more();
    silent(0x09, "", 0, "x", "");
    silent(0x0d, "", 0, "x", "");
    exchange(0x02, FLAGS_5, "a", "x", EXISTS);
    exchange(0x12, FLAGS_5, "a", "x", EXISTS);
    exchange(0x03, FLAGS_5, "x", "x", NOT_FOUND);
    exchange(0x0e, "", 0, "x", "x", BINARY_NOT_STORED, "Not stored.");
    silent(0x19, "", 0, "a", ">");
    silent(0x1a, "", 0, "a", "<");
    silent(0x11, FLAGS_5, "b", "");
    RUN({"gets a b\r\n", "VALUE a 5 7 3\r\n<hello>\r\nVALUE b 5 0 4\r\n\r\nEND\r\n"});
    CHECK_EQ(test_text.stats.cmd_set, 8);
    CHECK_EQ(test_text.stats.get_misses, 4);
}

TEST(binary_ids)
{
    static const uint8_t stores[] = {0x01, 0x02, 0x03};

    test_fresh();
    exchange(0x01, FLAGS_5, "a", "1", BINARY_OK, "");
    for (uint32_t i = 0; i < ARRAY_LEN(stores); i++) {
        add(stores[i], FLAGS_5, "a", "2")[23] = 99;
        add(stores[i], FLAGS_5, "x", "2")[23] = 99;
        ask_all();
        says(stores[i], EXISTS);
        says(stores[i], NOT_FOUND);
    }
    add(0x0e, "", 0, "a", "2")[23] = 99;
    add(0x04, "", 0, "a", "")[23] = 99;
    add(0x04, "", 0, "x", "")[23] = 99;
    add(0x02, FLAGS_5, "a", "2")[23] = 1;
    ask_all();
    says(0x0e, EXISTS);
    says(0x04, EXISTS);
    says(0x04, NOT_FOUND);
    CHECK_EQ(says(0x02, 0, ""), 2);
    add(0x14, "", 0, "a", "")[23] = 2;
    ask_all();
    says_no_more();
    RUN({"get a\r\n", "END\r\n"});
    CHECK_EQ(test_text.stats.cas_badval, 3);
    CHECK_EQ(test_text.stats.cas_misses, 3);
}

#define BY_1       "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\x0a\0\0\0"
#define CREATES    BY_1 "\0", 20
#define MUST_BE    "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\x0a\xff\xff\xff\xff", 20
#define NOT_NUMBER BINARY_NOT_NUMBER, "Non-numeric server-side value for incr or decr"

TEST(binary_incr_and_decr)
{
    test_fresh();
    exchange(0x05, MUST_BE, "n", "", NOT_FOUND);
    exchange(0x16, MUST_BE, "n", "", NOT_FOUND);
    add(0x05, CREATES, "n", "");
    add(0x05, CREATES, "n", "");
    add(0x06, CREATES, "n", "");
    add(0x06, CREATES, "n", "")[23] = 99;
    ask_all();
    CHECK_EQ(answer(0x05, 0, 0, 0, "\0\0\0\0\0\0\0\x0a", 8), 1);
    CHECK_EQ(answer(0x05, 0, 0, 0, "\0\0\0\0\0\0\0\x0b", 8), 2);
    CHECK_EQ(answer(0x06, 0, 0, 0, "\0\0\0\0\0\0\0\x0a", 8), 3);
    says(0x06, EXISTS);
    says_no_more();
    silent(0x15, MUST_BE, "n", "");
    silent(0x16, MUST_BE, "n", "");
    exchange(0x01, FLAGS_5, "a", "x", BINARY_OK, "");
    exchange(0x15, MUST_BE, "a", "", NOT_NUMBER);
    CHECK(test_text.stats.incr_hits == 2 && test_text.stats.incr_misses == 1);
    CHECK(test_text.stats.decr_hits == 2 && test_text.stats.decr_misses == 1);
    add(0x05, BY_1 "\5", 20, "soon", ""); /* gone in five seconds */
    ask_all();
    shards_tick(&test_text.shards, TEST_NOW_S + 5);
    RUN({"get n soon\r\n", "VALUE n 0 2\r\n10\r\nEND\r\n"});
}

/* An expiry has no sign: what would be negative in text is a moment far ahead. */
TEST(binary_times)
{
    test_fresh();
    exchange(0x01, "\0\0\0\5\xff\xff\xff\xff", 8, "a", "x", BINARY_OK, "");
    exchange(0x01, "\0\0\0\5\0\0\0\1", 8, "b", "x", BINARY_OK, "");
    exchange(0x1c, MINUTE, "x", "", NOT_FOUND);
    add(0x1c, MINUTE, "b", "");
    add(0x1d, MINUTE, "b", "");
    add(0x23, MINUTE, "b", "");
    add(0x23, MINUTE, "x", "");
    add(0x1e, MINUTE, "x", "");
    add(0x24, MINUTE, "x", "");
    ask_all();
    CHECK_EQ(answer(0x1c, 0, 4, 0, "\0\0\0\5", 4), 2);
    answer(0x1d, 0, 4, 0, "\0\0\0\5x", 5);
    answer(0x23, 0, 4, 1, "\0\0\0\5bx", 6);
    answer(0x23, BINARY_NOT_FOUND, 0, 1, "x", 1);
    says_no_more();
    CHECK(test_text.stats.cmd_touch == 7 && test_text.stats.touch_hits == 3);
    shards_tick(&test_text.shards, TEST_NOW_S + 59);
    RUN({"get a b\r\n", "VALUE a 5 1\r\nx\r\nVALUE b 5 1\r\nx\r\nEND\r\n"});
    shards_tick(&test_text.shards, TEST_NOW_S + 60);
    RUN({"get a b\r\n", "VALUE a 5 1\r\nx\r\nEND\r\n"});
    exchange(0x08, MINUTE, "", "", BINARY_OK, "");
    RUN({"get a\r\n", "VALUE a 5 1\r\nx\r\nEND\r\n"});
    silent(0x18, "", 0, "", "");
    RUN({"get a\r\n", "END\r\n"});
    CHECK_EQ(test_text.stats.cmd_flush, 2);
}

TEST(binary_the_others)
{
    test_fresh();
    exchange(0x0a, "", 0, "", "", BINARY_OK, "");
    exchange(0x0b, "", 0, "", "", BINARY_OK, TEXT_VERSION);
    exchange(0x07, "", 0, "", "", BINARY_OK, "");
    silent(0x17, "", 0, "", "");
    add(0x07, "", 0, "", "");
    add(0x0a, "", 0, "", "");
    ask_all();
    says(0x07, 0, "");
    says_no_more();
    exchange(0x20, "", 0, "", "", UNKNOWN);
    exchange(0x21, "", 0, "PLAIN", "xyz", UNKNOWN);
    exchange(0x22, "", 0, "PLAIN", "xyz", UNKNOWN);
    exchange(0x1b, MINUTE, "", "", UNKNOWN);
    exchange(0xff, "", 0, "", "", UNKNOWN);
    add(0x7f, MINUTE, "key", "value");
    add(0x0a, "", 0, "", "");
    ask_all();
    says(0x7f, UNKNOWN);
    says(0x0a, 0, "");
    says_no_more();
}

TEST(binary_stats)
{
    test_fresh();
    add(0x00, "", 0, "x", "");
    add(0x10, "", 0, "", "");
    ask_all();
    says(0x00, NOT_FOUND);
    answer(0x10, 0, 0, 3, "pid1", 4);
    answer(0x10, 0, 0, 6, "uptime0", 7);
    answer(0x10, 0, 0, 4, "time1700000000", 14);
    CHECK(memcmp(answered + answered_len - HEADER, "\x81\x10\0\0\0\0\0\0\0\0\0\0", 12) == 0);
    exchange(0x10, "", 0, "reset", "", BINARY_OK, "");
    CHECK_EQ(text_sum_stats(&test_text).get_misses, 0);
    add(0x10, "", 0, "sizes", "");
    ask_all();
    answer(0x10, 0, 0, 12, "sizes_statusdisabled", 20);
    says(0x10, 0, "");
    says_no_more();
    exchange(0x10, "", 0, "foo", "", NOT_FOUND);
    memcpy(add(0x10, "", 0, "reset??", "") + HEADER + 5, "\0\0", 2);
    ask_all();
    says(0x10, NOT_FOUND);
    RUN({"stats sizes\r\n", "STAT sizes_status disabled\r\nEND\r\n"});
}

/* What isn't as its opcode asks for ends the datagram, answered or not. */
TEST(binary_spoilt_requests)
{
    char key[300];

    memset(key, 'k', sizeof key);
    key[251] = 0;
    test_fresh();
    exchange(0x00, MINUTE, "a", "", INVALID);
    exchange(0x00, "", 0, "", "", INVALID);
    exchange(0x00, "", 0, "a", "x", INVALID);
    exchange(0x00, "", 0, key, "", INVALID);
    exchange(0x11, "", 0, "a", "x", INVALID);
    exchange(0x01, FLAGS_5, "", "x", INVALID);
    exchange(0x08, "\0\0", 2, "", "", INVALID);
    exchange(0x0a, "", 0, "a", "", INVALID);
    exchange(0x20, "", 0, "a", "", INVALID);
    exchange(0x10, MINUTE, "", "", INVALID);
    key[250] = 0;
    exchange(0x00, "", 0, key, "", NOT_FOUND);

    add(0x00, "", 0, "a", "")[11] = 0; /* a key longer than the body */
    add(0x0a, "", 0, "", "");
    CHECK_EQ(ask_all(), TEXT_WHOLE);
    says(0x00, UNKNOWN);
    says_no_more();

    add(0x0a, "", 0, "", "");
    add(0x0a, "", 0, "", "")[0] = 0x81;
    CHECK_EQ(ask_all(), TEXT_CUT);
    says(0x0a, 0, "");
    says_no_more();
    for (uint32_t cut = 1; cut <= HEADER; cut++) {
        add(0x0a, "", 0, "", "");
        add(0x00, "", 0, "a", "");
        asked_len -= cut;
        CHECK_EQ(ask_all(), TEXT_CUT);
        says(0x0a, 0, "");
        says_no_more();
    }
    add(0x11, FLAGS_5, "a", "12345");
    asked_len--;
    CHECK_EQ(ask_all(), TEXT_WHOLE);
    says(0x11, INVALID);
    says_no_more();
}

TEST(binary_a_value_too_large)
{
    test_fresh();
    exchange(0x01, FLAGS_5, "a", "x", BINARY_OK, "");
    add(0x0e, "", 0, "a", "x")[8] = 0x7f;
    add(0x0a, "", 0, "", "");
    ask_all();
    says(0x0e, BINARY_TOO_LARGE, "Too large.");
    says_no_more();
    RUN({"get a\r\n", "VALUE a 5 1\r\nx\r\nEND\r\n"});
    add(0x11, FLAGS_5, "a", "x")[8] = 0xff;
    ask_all();
    says(0x11, BINARY_TOO_LARGE, "Too large.");
    RUN({"get a\r\n", "END\r\n"}); /* a client that failed to change it must not read it */
}

/* Mutated requests: no crash, no reading or writing outside (ASan watches). */
TEST(binary_takes_anything)
{
    uint64_t random = 7;

    test_fresh();
    for (uint32_t i = 0; i < 30000; i++) {
        for (uint32_t n = 1 + test_random(&random) % 4; n > 0; n--) {
            static const char extras[20] = "";
            static const uint8_t lens[] = {0, 4, 8, 20};
            add((uint8_t)(test_random(&random) % 0x26), extras,
                lens[test_random(&random) % ARRAY_LEN(lens)], &"keys"[test_random(&random) % 5],
                &"99999"[test_random(&random) % 6]);
        }
        for (uint32_t n = test_random(&random) % 6; n > 0; n--)
            asked[test_random(&random) % asked_len] =
                (uint8_t) "\0\1\2\4\x08\x14\x80\xff"[test_random(&random) % 8];
        if (test_random(&random) % 4 == 0)
            asked_len -= test_random(&random) % asked_len;
        asked[0] = BINARY_REQUEST;
        ask_all();
    }
    CHECK(test_text.commands > 15000);
}
