/* SPDX-License-Identifier: BSD-2-Clause */
/* binary.c - the commands of memcached's binary protocol; see binary.h. */
#include "apps/udpkv/binary.h"
#include "apps/udpkv/text_stats.h"

/* A request but for its value, which is at c->rest. It lies in text.line: packet memory is read
 * once. */
struct request {
    uint8_t opcode, extras_len;
    const uint8_t *extras;
    struct word key;
    uint32_t value_len; /* as it is told: more than what is left of the datagram if that is cut */
    uint64_t cas;
};

static uint64_t load_be64(const uint8_t *p)
{
    return (uint64_t)load_be32(p) << 32 | load_be32(p + 4);
}

static RUNS_SELDOM void answer_error(struct command *c, enum binary_status status)
{
    static const char *const texts[] = {
        [BINARY_NOT_FOUND] = "Not found",
        [BINARY_EXISTS] = "Data exists for key.",
        [BINARY_TOO_LARGE] = "Too large.",
        [BINARY_INVALID] = "Invalid arguments",
        [BINARY_NOT_STORED] = "Not stored.",
        [BINARY_NOT_NUMBER] = "Non-numeric server-side value for incr or decr",
    };

    reply_error(c->reply, (uint16_t)status,
                status == BINARY_UNKNOWN ? "Unknown command" : texts[status]);
}

/* Nothing behind this request can be trusted. */
static RUNS_SELDOM void answer_and_quit(struct command *c, enum binary_status status)
{
    answer_error(c, status);
    c->quit = true;
}

/* Answers a request that did what it was to do. */
static RUNS_SELDOM void answer_done(struct command *c, uint64_t cas, const void *value,
                                    uint32_t len)
{
    if (c->mute)
        return;
    reply_header(c->reply, BINARY_OK, 0, 0, len, cas);
    reply_put(c->reply, value, len);
}

/* --- the commands -------------------------------------------------------------------------- */

enum { GET_KEY = 1, GET_TOUCH = 2, GET_NO_VALUE = 4 };

static RUNS_SELDOM void run_get(struct command *c, const struct request *r)
{
    const bool touches = c->how & GET_TOUCH;
    const uint32_t key_len = c->how & GET_KEY ? r->key.len : 0;
    struct item *item =
        command_find(c, command_key(c, r->key), touches, touches ? load_be32(r->extras) : 0);
    uint8_t flags[4];

    if (item) {
        const uint32_t value_len = c->how & GET_NO_VALUE ? 0 : item->value_len;
        store_be32(flags, item->flags);
        reply_header(c->reply, BINARY_OK, sizeof flags, key_len,
                     (uint32_t)sizeof flags + key_len + value_len, item->cas);
        reply_put(c->reply, flags, sizeof flags);
        reply_put(c->reply, r->key.bytes, key_len);
        reply_put(c->reply, item_value(item), value_len);
    } else if (!c->mute && key_len > 0) { /* the key stands where others have the error's text */
        reply_header(c->reply, BINARY_NOT_FOUND, 0, key_len, key_len, 0);
        reply_put(c->reply, r->key.bytes, key_len);
    } else if (!c->mute) {
        answer_error(c, BINARY_NOT_FOUND);
    }
}

static RUNS_SELDOM enum binary_status status_of(enum store_result result, enum store_mode mode)
{
    switch (result) {
    case STORE_EXISTS:
        return BINARY_EXISTS;
    case STORE_NOT_FOUND:
        return BINARY_NOT_FOUND;
    case STORE_TOO_LARGE:
        return BINARY_TOO_LARGE;
    default: /* STORE_NOT_STORED */
        return mode == STORE_ADD       ? BINARY_EXISTS
               : mode == STORE_REPLACE ? BINARY_NOT_FOUND
                                       : BINARY_NOT_STORED;
    }
}

/* With an id to compare, set, add and replace are all cas. */
static RUNS_SELDOM void run_store(struct command *c, const struct request *r)
{
    struct store_value value = {.bytes = c->rest, .len = r->value_len, .cas = r->cas};
    enum store_mode mode = c->how;

    if (r->extras_len > 0) { /* not of append and prepend */
        value.flags = load_be32(r->extras);
        value.expire_s = command_expire_s(c, load_be32(r->extras + 4));
    }
    if (value.len <= command_max_value(c)) {
        if (value.len > (size_t)(c->end - c->rest)) {
            answer_and_quit(c, BINARY_INVALID);
            return;
        }
        c->text->stats.cmd_set++;
        if (value.cas != 0 && r->extras_len > 0)
            mode = STORE_CAS;
    }
    const enum store_result result = command_put(c, mode, command_key(c, r->key), &value);
    if (result == STORE_OK)
        answer_done(c, c->store->last_cas, "", 0);
    else
        answer_error(c, status_of(result, mode));
}

static RUNS_SELDOM void run_delete(struct command *c, const struct request *r)
{
    const struct store_key key = command_key(c, r->key);

    command_enter(c, key);
    const struct item *item = store_peek(c->store, key);
    if (!item) {
        c->text->stats.delete_misses++;
        answer_error(c, BINARY_NOT_FOUND);
    } else if (r->cas != 0 && r->cas != item->cas) {
        answer_error(c, BINARY_EXISTS);
    } else {
        store_delete(c->store, key);
        c->text->stats.delete_hits++;
        answer_done(c, 0, "", 0);
    }
}

enum { NO_INITIAL = UINT32_MAX }; /* an expiry that says: don't create the item */

static RUNS_SELDOM void run_arithmetic(struct command *c, const struct request *r)
{
    const uint32_t exptime = load_be32(r->extras + 16);
    const struct store_key key = command_key(c, r->key);
    uint64_t number;
    uint8_t value[8];
    enum store_result result = command_add(c, key, r->cas, load_be64(r->extras), c->how, &number);

    if (result == STORE_NOT_FOUND && exptime == NO_INITIAL) {
        command_count_miss(c, c->how);
        answer_error(c, BINARY_NOT_FOUND);
        return;
    }
    if (result == STORE_NOT_FOUND) {
        number = load_be64(r->extras + 8);
        command_create_number(c, key, number, command_expire_s(c, exptime));
    } else if (result != STORE_OK) {
        answer_error(c, result == STORE_EXISTS ? BINARY_EXISTS : BINARY_NOT_NUMBER);
        return;
    }
    store_be32(value, (uint32_t)(number >> 32));
    store_be32(value + 4, (uint32_t)number);
    answer_done(c, c->store->last_cas, value, sizeof value);
}

static RUNS_SELDOM void run_flush(struct command *c, const struct request *r)
{
    command_flush(c, r->extras_len > 0 ? load_be32(r->extras) : 0);
    answer_done(c, 0, "", 0);
}

/* Each statistic is an answer with a key and a value; one without either ends them. */
static RUNS_SELDOM void run_stat(struct command *c, const struct request *r)
{
    if (memchr(r->key.bytes, 0, r->key.len)) { /* command_is takes none with a zero in it */
        answer_error(c, BINARY_NOT_FOUND);
        return;
    }
    if (command_is(r->key, "reset")) {
        text_stats_reset(c->text);
    } else if (!text_stats_show(c->text, r->key, c->reply)) {
        answer_error(c, BINARY_NOT_FOUND);
        return;
    }
    answer_done(c, 0, "", 0);
}

static RUNS_SELDOM void run_version(struct command *c, const struct request *r)
{
    (void)r;
    answer_done(c, 0, TEXT_VERSION, sizeof TEXT_VERSION - 1);
}

static RUNS_SELDOM void run_noop(struct command *c, const struct request *r)
{
    (void)r;
    c->quit = c->how;
    answer_done(c, 0, "", 0);
}

static RUNS_SELDOM void run_unknown(struct command *c, const struct request *r)
{
    (void)r;
    answer_error(c, BINARY_UNKNOWN);
}

/* --- which command it is ------------------------------------------------------------------- */

enum { NO_KEY, KEY, ANY_KEY, VALUE = 4 }; /* what a request has beside extras; VALUE is allowed */
enum { NONE = 0 }; /* no quiet twin: the row of opcode 0 stands first, so it finds its own */

static const struct opcode {
    uint8_t code, quiet; /* the opcode, and that of its quiet twin or NONE */
    uint8_t extras_len, has;
    uint8_t how; /* for run, in command.how */
    void (*run)(struct command *c, const struct request *r);
} opcodes[] = {
    {0x00, 0x09, 0, KEY, 0, run_get},
    {0x0c, 0x0d, 0, KEY, GET_KEY, run_get},
    {0x1c, NONE, 4, KEY | VALUE, GET_TOUCH | GET_NO_VALUE, run_get},
    {0x1d, 0x1e, 4, KEY | VALUE, GET_TOUCH, run_get},
    {0x23, 0x24, 4, KEY | VALUE, GET_TOUCH | GET_KEY, run_get},
    {0x01, 0x11, 8, KEY | VALUE, STORE_SET, run_store},
    {0x02, 0x12, 8, KEY | VALUE, STORE_ADD, run_store},
    {0x03, 0x13, 8, KEY | VALUE, STORE_REPLACE, run_store},
    {0x0e, 0x19, 0, KEY | VALUE, STORE_APPEND, run_store},
    {0x0f, 0x1a, 0, KEY | VALUE, STORE_PREPEND, run_store},
    {0x04, 0x14, 0, KEY, 0, run_delete},
    {0x05, 0x15, 20, KEY, false, run_arithmetic},
    {0x06, 0x16, 20, KEY, true, run_arithmetic},
    {0x07, 0x17, 0, NO_KEY, true, run_noop}, /* quit ends the datagram */
    {0x08, 0x18, 0, NO_KEY, 0, run_flush},
    {0x0a, NONE, 0, NO_KEY, false, run_noop},
    {0x0b, NONE, 0, NO_KEY, 0, run_version},
    {0x10, NONE, 0, ANY_KEY | VALUE, 0, run_stat},
    {0x20, NONE, 0, NO_KEY, 0, run_unknown},      /* SASL's list of mechanisms */
    {0x21, 0x22, 0, KEY | VALUE, 0, run_unknown}, /* SASL's auth and step */
};

/* Has the request the parts that its opcode asks for? */
static RUNS_SELDOM bool fits(const struct opcode *opcode, const struct request *r)
{
    const uint32_t key = opcode->has & ~VALUE;

    if (r->value_len > 0 && !(opcode->has & VALUE))
        return false;
    if (key != ANY_KEY && key != (r->key.len > 0))
        return false;
    return r->extras_len == opcode->extras_len || (opcode->run == run_flush && r->extras_len == 4);
}

static RUNS_SELDOM void run_request(struct command *c, const struct request *r)
{
    for (uint32_t i = 0; i < ARRAY_LEN(opcodes); i++) {
        const struct opcode *opcode = &opcodes[i];
        if (r->opcode != opcode->code && r->opcode != opcode->quiet)
            continue;
        c->how = opcode->how;
        c->mute = r->opcode == opcode->quiet;
        if (fits(opcode, r))
            opcode->run(c, r);
        else
            answer_and_quit(c, BINARY_INVALID);
        return;
    }
    answer_error(c, BINARY_UNKNOWN);
}

/* Takes a request off the rest of the datagram but for its value, and runs it. False if the rest
 * isn't one; then it is left as it is. */
static RUNS_SELDOM bool take_request(struct command *c, struct request *r)
{
    uint8_t *header = c->text->line;
    const size_t left = (size_t)(c->end - c->rest);

    if (left < REPLY_HEADER_BYTES)
        return false;
    memcpy(header, c->rest, REPLY_HEADER_BYTES);
    const uint32_t key_len = load_be16(header + 2), front_len = header[4] + key_len;
    if (header[0] != BINARY_REQUEST || left - REPLY_HEADER_BYTES < front_len)
        return false;
    c->rest += REPLY_HEADER_BYTES;
    *r = (struct request){.opcode = header[1],
                          .extras_len = header[4],
                          .extras = header + REPLY_HEADER_BYTES,
                          .key = {header + REPLY_HEADER_BYTES + header[4], key_len},
                          .value_len = load_be32(header + 8) - front_len,
                          .cas = load_be64(header + 16)};
    if (front_len > load_be32(header + 8)) {
        answer_and_quit(c, BINARY_UNKNOWN);
    } else if (key_len > STORE_MAX_KEY) {
        answer_and_quit(c, BINARY_INVALID);
    } else {
        memcpy(header + REPLY_HEADER_BYTES, c->rest, front_len);
        c->rest += front_len;
    }
    return true;
}

RUNS_SELDOM enum text_end binary_run(struct command *c)
{
    struct reply *reply = c->reply;
    struct request r;

    reply->packet = c->text->line;
    c->hashed = NULL;
    while (c->rest < c->end && !c->quit && !reply->broken) {
        if (!take_request(c, &r))
            return TEXT_CUT;
        c->text->commands++;
        if (c->quit)
            break;
        reply_guard(reply, c->rest, (size_t)(c->end - c->rest));
        run_request(c, &r);
        command_leave(c);
        const ptrdiff_t moved = reply_unguard(reply);
        c->rest += moved;
        c->end += moved;
        c->rest += MIN(r.value_len, (size_t)(c->end - c->rest));
    }
    return TEXT_WHOLE;
}
