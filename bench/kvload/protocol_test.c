/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * protocol_test.c - tests what kvload's two protocols write and what they take for an answer.
 * Prints `ok NAME` for each, ends with 1 at the first that fails.
 */
#include "answer.h"
#include "check.h"
#include "load.h"

#include <arpa/inet.h>

enum { KEY = 7, VERSION = 5, LEN = 11, ID = 0x1234, ROOM = 512 };
enum { OPCODE_SET = 1, OPCODE_DELETE = 4, OPCODE_GETK = 12, OPCODE_GETKQ = 13 };

static struct options options = {.clients = 1,
                                 .pipeline = 2,
                                 .threads = 1,
                                 .gets = 1,
                                 .multi_key_get = 3,
                                 .key_prefix = "key-",
                                 .key_max = 99,
                                 .set_pattern = 'R',
                                 .get_pattern = 'R',
                                 .sizes = {.min = LEN, .max = LEN},
                                 .expiry_min_s = 60,
                                 .expiry_max_s = 60};
static struct load load;
static uint8_t answer[ROOM];

/* A slot with a request of so many keys: key-7, key-8 and so on, of which key-7 is the last. */
static struct load_slot *make_slot(enum load_kind kind, uint8_t keys)
{
    struct load_slot *slot = &load.slots[1];

    slot->kind = (uint8_t)kind;
    slot->id = ID;
    slot->left = keys;
    for (uint32_t left = 1; left <= keys; left++) {
        struct load_key *key = load_key(&load, slot, left);
        key->number = KEY + left - 1;
        key->version = VERSION;
        key->text_len = (uint8_t)snprintf(key->text, sizeof key->text, "key-%u", key->number);
    }
    return slot;
}

static void put_value(char *to, uint32_t key)
{
    uint8_t value[LEN + 32];

    value_write(value, key, VERSION, LEN);
    memcpy(to, value, LEN);
}

/* Text with a value of the key in it. */
static uint32_t text(char *to, const char *before, uint32_t key, const char *behind)
{
    uint32_t len = (uint32_t)sprintf(to, "%s", before);

    put_value(to + len, key);
    return len + LEN + (uint32_t)sprintf(to + len + LEN, "%s", behind);
}

/* A request or an answer of the binary protocol. */
static uint32_t binary(uint8_t *to, uint8_t magic, uint8_t opcode, uint16_t status, uint32_t left,
                       const char *extras, uint8_t extras_len, const char *key, const char *value,
                       uint32_t value_bytes)
{
    const uint32_t key_len = (uint32_t)strlen(key), body_len = extras_len + key_len + value_bytes;
    const uint8_t header[24] = {magic,
                                opcode,
                                0,
                                (uint8_t)key_len,
                                extras_len,
                                0,
                                (uint8_t)(status >> 8),
                                (uint8_t)status,
                                0,
                                0,
                                (uint8_t)(body_len >> 8),
                                (uint8_t)body_len,
                                ID >> 8,
                                ID & 0xff,
                                0,
                                (uint8_t)left};

    memcpy(to, header, sizeof header);
    memcpy(to + sizeof header, extras, extras_len);
    memcpy(to + sizeof header + extras_len, key, key_len);
    memcpy(to + sizeof header + extras_len + key_len, value, value_bytes);
    return (uint32_t)sizeof header + body_len;
}

#define FLAGS "\0\0\x27\x15" /* 10005 */

static uint32_t binary_value(uint8_t *to, uint32_t left, const char *key)
{
    char value[LEN];

    put_value(value, KEY + left - 1);
    return binary(to, 0x81, left > 1 ? OPCODE_GETKQ : OPCODE_GETK, 0, left, FLAGS, 4, key, value,
                  LEN);
}

static void writes(const struct protocol *protocol, enum load_kind kind, uint8_t keys,
                   const void *bytes, uint32_t len)
{
    char written[ROOM];
    struct load_slot *slot = make_slot(kind, keys);
    const char *end = protocol->write(&load, slot, written);

    CHECK(end == written + len);
    CHECK(memcmp(written, bytes, len) == 0);
    if (kind == LOAD_GET)
        CHECK(protocol->get_len(keys, slot->key.text_len) == len);
}

static void requests_are_the_protocols(void)
{
    char set[ROOM], value[LEN];
    uint8_t gets[ROOM];
    uint32_t len;

    writes(&protocol_text, LOAD_GET, 1, "get key-7\r\n", 11);
    writes(&protocol_text, LOAD_GET, 3, "get key-9 key-8 key-7\r\n", 23);
    writes(&protocol_text, LOAD_DELETE, 1, "delete key-7\r\n", 14);
    len = text(set, "set key-7 10005 60 11\r\n", KEY, "\r\n");
    writes(&protocol_text, LOAD_SET, 1, set, len);

    len = binary(gets, 0x80, OPCODE_GETK, 0, 1, "", 0, "key-7", "", 0);
    writes(&protocol_binary, LOAD_GET, 1, gets, len);
    len = binary(gets, 0x80, OPCODE_GETKQ, 0, 2, "", 0, "key-8", "", 0);
    len += binary(gets + len, 0x80, OPCODE_GETK, 0, 1, "", 0, "key-7", "", 0);
    writes(&protocol_binary, LOAD_GET, 2, gets, len);
    len = binary(gets, 0x80, OPCODE_DELETE, 0, 1, "", 0, "key-7", "", 0);
    writes(&protocol_binary, LOAD_DELETE, 1, gets, len);
    put_value(value, KEY);
    len = binary(gets, 0x80, OPCODE_SET, 0, 1, FLAGS "\0\0\0\x3c", 8, "key-7", value, LEN);
    writes(&protocol_binary, LOAD_SET, 1, gets, len);
}

/* Every bit of a value but those from `from` to `to` counts, and every byte; what is behind it
 * doesn't. The bytes lie in memory of just their size, so that ASan sees who reads behind them. */
static void value_counts(const struct protocol *protocol, const struct load_slot *slot,
                         uint32_t left, uint32_t len, uint32_t from, uint32_t to)
{
    struct protocol_value any;
    uint16_t version = 0;

    CHECK(protocol->value(&load, slot, left, answer, len, &version) == len && version == VERSION);
    CHECK(protocol->value(&load, slot, left, answer, len + 50, &version) == len);
    for (uint32_t other = 1; other <= slot->left; other++)
        CHECK(other == left || !protocol->value(&load, slot, other, answer, len, &version));
    for (uint32_t short_len = 0; short_len <= len; short_len++) {
        uint8_t *copy = malloc(short_len);
        memcpy(copy, answer, short_len);
        CHECK(protocol->value(&load, slot, left, copy, short_len, &version) ==
              (short_len == len ? len : 0));
        protocol->any_value(copy, short_len, &any);
        free(copy);
    }
    for (uint32_t bit = 0; bit < 8 * len; bit++) {
        answer[bit / 8] ^= (uint8_t)(1 << bit % 8);
        const bool counts = bit / 8 < from || bit / 8 >= to;
        CHECK(protocol->value(&load, slot, left, answer, len, &version) == (counts ? 0 : len));
        answer[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void a_value_is_taken_if_every_bit_is_right(void)
{
    const struct load_slot *slot = make_slot(LOAD_GET, 3);
    uint32_t len = text((char *)answer, "VALUE key-7 10005 11\r\n", KEY, "\r\n");

    value_counts(&protocol_text, slot, 1, len, len, len);
    len = text((char *)answer, "VALUE key-9 10005 11\r\n", KEY + 2, "\r\n");
    value_counts(&protocol_text, slot, 3, len, len, len);
    len = binary_value(answer, 1, "key-7");
    value_counts(&protocol_binary, slot, 1, len, 16, 24); /* but for the cas */
    len = binary_value(answer, 3, "key-9");
    value_counts(&protocol_binary, slot, 3, len, 16, 24);
}

static void lengths_that_lie_are_refused(void)
{
    const struct load_slot *slot = make_slot(LOAD_GET, 1);
    const uint32_t len = binary_value(answer, 1, "key-7");
    struct protocol_value value;
    uint16_t version;
    uint8_t lie[ROOM];

    CHECK(protocol_binary.any_value(answer, len, &value));
    CHECK(value.flags == VALUE_FLAGS_FIRST + VERSION && value.len == LEN);
    static const uint8_t key_len = 2, extras_len = 4, body_len = 8;
    static const struct {
        uint8_t at;
        uint32_t says;
    } lies[] = {{key_len, 6},        {key_len, 17},     {key_len, 0xffff}, {extras_len, 5},
                {extras_len, 16},    {extras_len, 255}, {extras_len, 0},   {body_len, 4 + 5},
                {body_len, 8},       {body_len, 0},     {body_len, 21},    {body_len, UINT32_MAX},
                {body_len, 1u << 31}};
    for (uint32_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        memcpy(lie, answer, len);
        if (lies[i].at == body_len)
            memcpy(lie + body_len, &(uint32_t){htonl(lies[i].says)}, 4);
        else if (lies[i].at == key_len)
            memcpy(lie + key_len, &(uint16_t){htons((uint16_t)lies[i].says)}, 2);
        else
            lie[extras_len] = (uint8_t)lies[i].says;
        uint8_t *copy = malloc(len); /* for ASan */
        memcpy(copy, lie, len);
        CHECK(!protocol_binary.value(&load, slot, 1, copy, len, &version));
        CHECK(protocol_binary.end(&load, slot, copy, len) == PROTOCOL_BROKEN);
        CHECK(protocol_binary.done(slot, copy, len) == PROTOCOL_FAILED);
        free(copy);
    }
}

static void a_get_ends_as_its_protocol_says(void)
{
    struct load_slot *slot = make_slot(LOAD_GET, 2);
    const uint8_t *end = (const uint8_t *)"END\r\n";
    uint32_t len;

    CHECK(protocol_text.end(&load, slot, end, 5) == PROTOCOL_ENDS);
    CHECK(protocol_text.end(&load, slot, end, 4) == PROTOCOL_BROKEN);
    CHECK(protocol_text.end(&load, slot, end, 0) == PROTOCOL_GOES_ON);
    CHECK(protocol_binary.end(&load, slot, end, 5) == PROTOCOL_BROKEN);
    CHECK(protocol_binary.end(&load, slot, end, 0) == PROTOCOL_GOES_ON);
    len = binary(answer, 0x81, OPCODE_GETK, 1, 1, "", 0, "key-7", "", 0);
    CHECK(protocol_binary.end(&load, slot, answer, len) == PROTOCOL_ENDS);
    CHECK(protocol_binary.end(&load, slot, answer, len + 1) == PROTOCOL_BROKEN);
    len = binary(answer, 0x81, OPCODE_GETKQ, 1, 2, "", 0, "key-8", "", 0);
    CHECK(protocol_binary.end(&load, slot, answer, len) == PROTOCOL_BROKEN); /* it is quiet */
    len = binary(answer, 0x81, OPCODE_GETK, 0x82, 1, "", 0, "", "Out of memory", 13);
    CHECK(protocol_binary.end(&load, slot, answer, len) == PROTOCOL_BROKEN);
    slot->left = 0; /* all were found */
    CHECK(protocol_text.end(&load, slot, end, 5) == PROTOCOL_ENDS);
    CHECK(protocol_text.end(&load, slot, end, 0) == PROTOCOL_BROKEN);
    CHECK(protocol_binary.end(&load, slot, answer, 0) == PROTOCOL_ENDS);
    len = binary(answer, 0x81, OPCODE_GETK, 1, 1, "", 0, "key-7", "", 0);
    CHECK(protocol_binary.end(&load, slot, answer, len) == PROTOCOL_BROKEN);
}

/* What a set and a delete make of an answer. */
static void is_done(const struct protocol *protocol, const void *bytes, uint32_t len,
                    enum protocol_done set, enum protocol_done delete)
{
    CHECK(protocol->done(make_slot(LOAD_SET, 1), bytes, len) == set);
    CHECK(protocol->done(make_slot(LOAD_DELETE, 1), bytes, len) == delete);
}

static void a_write_is_done_as_its_protocol_says(void)
{
    const enum protocol_done done = PROTOCOL_DONE, none = PROTOCOL_NOT_FOUND,
                             failed = PROTOCOL_FAILED;
    const struct {
        const char *text;
        enum protocol_done set, delete;
    } texts[] = {{"STORED\r\n", done, failed},
                 {"NOT_STORED\r\n", failed, failed},
                 {"DELETED\r\n", failed, done},
                 {"NOT_FOUND\r\n", failed, none},
                 {"STORED\r\nx", failed, failed},
                 {"SERVER_ERROR out of memory\r\n", failed, failed},
                 {"", failed, failed}};
    const struct {
        uint8_t opcode;
        uint16_t status;
        const char *text;
        enum protocol_done set, delete;
    } binaries[] = {{OPCODE_SET, 0, "", done, failed},
                    {OPCODE_DELETE, 0, "", failed, done},
                    {OPCODE_DELETE, 1, "Not found", failed, none},
                    {OPCODE_SET, 1, "Not found", failed, failed},
                    {OPCODE_SET, 0, "x", failed, failed},
                    {OPCODE_SET, 3, "Too large.", failed, failed},
                    {OPCODE_SET, 5, "Not stored.", failed, failed},
                    {OPCODE_SET, 0x81, "Unknown command", failed, failed},
                    {OPCODE_DELETE, 0x82, "Out of memory", failed, failed}};

    for (uint32_t i = 0; i < sizeof texts / sizeof *texts; i++)
        is_done(&protocol_text, texts[i].text, (uint32_t)strlen(texts[i].text), texts[i].set,
                texts[i].delete);
    for (uint32_t i = 0; i < sizeof binaries / sizeof *binaries; i++) {
        const char *error = binaries[i].text;
        const uint32_t len = binary(answer, 0x81, binaries[i].opcode, binaries[i].status, 1, "", 0,
                                    "", error, (uint32_t)strlen(error));
        is_done(&protocol_binary, answer, len, binaries[i].set, binaries[i].delete);
        is_done(&protocol_binary, answer, len - 1, failed, failed);
        is_done(&protocol_binary, answer, len + 1, failed, failed);
        answer[15] ^= 1; /* another opaque */
        is_done(&protocol_binary, answer, len, failed, failed);
    }
}

/* --- answers of several values and messages ------------------------------------- */

/* Makes a message of words: a digit is the value of that key, E the end, M that key 7 is missed. */
static uint32_t message(const struct protocol *protocol, uint8_t *to, const char *words)
{
    uint32_t len = 0;

    for (; *words; words++) {
        char line[64], key[8];
        snprintf(key, sizeof key, "key-%c", *words);
        snprintf(line, sizeof line, "VALUE %s 10005 11\r\n", key);
        if (*words == 'E')
            len += (uint32_t)sprintf((char *)to + len, "END\r\n");
        else if (*words == 'M')
            len += binary(to + len, 0x81, OPCODE_GETK, 1, 1, "", 0, "key-7", "", 0);
        else if (protocol == &protocol_text)
            len += text((char *)to + len, line, (uint32_t)*words - '0', "\r\n");
        else
            len += binary_value(to + len, (uint32_t)*words - '0' - KEY + 1, key);
    }
    return len;
}

/* A get of key-9, key-8 and key-7 is answered by messages, between which there are blanks. How many
 * keys were found by then, or -1 if it was told to be wrong, or -2 if more should come. */
static int hits(const struct protocol *protocol, const char *messages)
{
    struct load_slot *slot = make_slot(LOAD_GET, 3);
    struct load_tally *gets = &load.result.kinds[LOAD_GET];
    const struct load_key *about = NULL;
    enum answer answer = ANSWER_GOES_ON;
    char copy[32];

    options.protocol = protocol;
    gets->hits = gets->misses = 0;
    snprintf(copy, sizeof copy, "%s", messages);
    for (char *words = strtok(copy, " "); words; words = strtok(NULL, " ")) {
        uint8_t bytes[ROOM];
        const uint32_t len = message(protocol, bytes, words);
        CHECK(answer == ANSWER_GOES_ON);
        answer = answer_values(&load, slot, bytes, len, 10, &about);
    }
    CHECK(gets->hits + gets->misses + slot->left == 3);
    CHECK(answer != ANSWER_RIGHT || slot->left == 0);
    CHECK(answer != ANSWER_WRONG || about);
    return answer == ANSWER_RIGHT ? (int)gets->hits : answer == ANSWER_WRONG ? -1 : -2;
}

static void a_get_of_several_keys_finds_them_in_order(void)
{
    static const struct {
        const char *messages;
        int hits;
    } texts[] = {{"987E", 3}, {"9 8 7E", 3}, {"97E", 2},   {"8E", 1},   {"9 8 E", 2},
                 {"E", 0},    {"7E", 1},     {"98", -2},   {"9", -2},   {"9 8", -2},
                 {"987", -1}, {"9 8 7", -1}, {"789E", -1}, {"99E", -1}, {"6E", -1},
                 {"9E7", -1}, {"EE", -1},    {"96E", -1},  {"M", -1}},
      binaries[] = {{"987", 3}, {"9 8 7", 3}, {"97", 2},  {"8 M", 1},   {"98M", 2}, {"M", 0},
                    {"7", 1},   {"98", -2},   {"9", -2},  {"987M", -1}, {"79", -1}, {"99", -1},
                    {"6", -1},  {"M9", -1},   {"MM", -1}, {"9M8", -1},  {"E", -1},  {"98E", -1}};

    for (uint32_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK(hits(&protocol_text, texts[i].messages) == texts[i].hits);
    for (uint32_t i = 0; i < sizeof binaries / sizeof *binaries; i++)
        CHECK(hits(&protocol_binary, binaries[i].messages) == binaries[i].hits);
}

static void of_several_values_the_wrong_one_is_told(void)
{
    const struct load_key *about = NULL;
    struct load_slot *slot = make_slot(LOAD_GET, 3);
    uint32_t len = message(&protocol_text, answer, "987E");

    options.protocol = &protocol_text;
    load_key(&load, slot, 2)->version = VERSION + 1; /* written by the time that it was asked for */
    CHECK(answer_values(&load, slot, answer, len, 10, &about) == ANSWER_WRONG);
    CHECK(about == load_key(&load, slot, 2));
    CHECK(slot->left == 1);
    slot = make_slot(LOAD_GET, 3);
    len = message(&protocol_text, answer, "96E"); /* key-6 isn't asked for */
    CHECK(answer_values(&load, slot, answer, len, 10, &about) == ANSWER_WRONG);
    CHECK(about == load_key(&load, slot, 2));
    CHECK(answer_values(&load, slot, answer, 0, 10, &about) == ANSWER_WRONG); /* no message */
}

int main(void)
{
    load_init(&load, &options, NULL, 0, 1000000000);
    RUN(requests_are_the_protocols);
    RUN(a_value_is_taken_if_every_bit_is_right);
    RUN(lengths_that_lie_are_refused);
    RUN(a_get_ends_as_its_protocol_says);
    RUN(a_write_is_done_as_its_protocol_says);
    RUN(a_get_of_several_keys_finds_them_in_order);
    RUN(of_several_values_the_wrong_one_is_told);
    return 0;
}
