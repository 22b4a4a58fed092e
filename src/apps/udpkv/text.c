/* SPDX-License-Identifier: BSD-2-Clause */
/* text.c - the commands of memcached's text protocol; see text.h. */
#include "apps/udpkv/binary.h"
#include "apps/udpkv/meta.h"
#include "apps/udpkv/number.h"
#include "apps/udpkv/text_stats.h"

static const char bad_exptime[] = "CLIENT_ERROR invalid exptime argument\r\n";

/* noreply may be the last word of a command, whatever else is wrong with it. */
static void take_noreply(struct command *c)
{
    if (c->word_count <= LINE_WORDS)
        c->mute = command_is(c->words[c->word_count - 1], "noreply");
}

/* --- storage ------------------------------------------------------------------------------- */

static void text_set(struct command *c)
{
    static const char *const answers[] = {
        [STORE_OK] = "STORED\r\n",
        [STORE_NOT_STORED] = "NOT_STORED\r\n",
        [STORE_EXISTS] = "EXISTS\r\n",
        [STORE_NOT_FOUND] = "NOT_FOUND\r\n",
        [STORE_TOO_LARGE] = "SERVER_ERROR object too large for cache\r\n",
    };
    const enum store_mode mode = c->how;
    const struct word *w = c->words;
    struct store_value value = {0};
    int32_t exptime, len;

    take_noreply(c);
    if (w[1].len > STORE_MAX_KEY || !number_u32(w[2].bytes, w[2].len, &value.flags) ||
        !number_i32(w[3].bytes, w[3].len, &exptime) || !number_i32(w[4].bytes, w[4].len, &len) ||
        (mode == STORE_CAS && !number_u64(w[5].bytes, w[5].len, &value.cas)) || len < 0 ||
        len > INT32_MAX - 2) {
        command_say(c, command_bad_format);
        return;
    }
    value.expire_s = command_expire_s(c, exptime);
    if ((uint32_t)len > command_max_value(c)) {
        c->rest += MIN((size_t)(c->end - c->rest), (size_t)len + 2);
        value.len = (uint32_t)len;
    } else if (!command_take_data(c, (uint32_t)len, &value)) {
        return;
    }
    command_say(c, answers[command_put(c, mode, command_key(c, w[1]), &value)]);
}

/* --- retrieval ----------------------------------------------------------------------------- */

enum { GET_CAS = 1, GET_TOUCH = 2 };

/* Reads word number *next, a key, to *word, and counts *next up. *word still holds the key before,
 * if there was one: words behind the first LINE_WORDS are read from the line, behind that. */
static inline bool next_key(const struct command *c, uint32_t *next, struct word *word)
{
    const uint32_t i = (*next)++;

    if (i >= c->word_count)
        return false;
    if (likely(i < LINE_WORDS)) {
        *word = c->words[i];
        return true;
    }
    const uint8_t *at = word->bytes + word->len;
    return line_next_word(&at, c->line_end, word);
}

/* Has no key too many bytes? A single one makes the whole answer an error, so this is asked before
 * anything is answered. */
static bool keys_fit(const struct command *c, uint32_t next)
{
    struct word key;

    if (likely(c->line_end - c->line <= STORE_MAX_KEY))
        return true;
    while (next_key(c, &next, &key))
        if (key.len > STORE_MAX_KEY)
            return false;
    return true;
}

/* get, gets, gat and gats. If a key is too long, then those before it are still looked up, and
 * touched. */
static void text_get(struct command *c)
{
    bool with_cas = c->how & GET_CAS, touches = c->how & GET_TOUCH;
    uint32_t next = 1 + touches;
    int32_t exptime = 0;
    struct word key;

    if (touches && !number_i32(c->words[1].bytes, c->words[1].len, &exptime)) {
        command_say(c, bad_exptime);
        return;
    }
    bool spoilt = !keys_fit(c, next);
    while (next_key(c, &next, &key)) {
        if (unlikely(spoilt) && key.len > STORE_MAX_KEY) {
            command_say(c, command_bad_format);
            return;
        }
        struct store_key wanted = command_key(c, key);
        struct item *item = command_find_fast(c, wanted, touches, exptime);
        if (item && likely(!spoilt))
            text_put_item(c->reply, item, with_cas);
        command_leave(c);
        if (c->reply->broken)
            return;
    }
    reply_put(c->reply, "END\r\n", 5);
}

/* --- the others ---------------------------------------------------------------------------- */

static RUNS_SELDOM void text_delete(struct command *c)
{
    if (c->word_count > 2) /* in `delete noreply` it is the key */
        take_noreply(c);
    /* 0 was a time once, and is still allowed. */
    bool zero = c->word_count > 2 && command_is(c->words[2], "0");
    if (c->word_count != 2u + zero + c->mute) {
        command_say(c, "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n");
        return;
    }
    if (c->words[1].len > STORE_MAX_KEY) {
        command_say(c, command_bad_format);
        return;
    }
    struct store_key key = command_key(c, c->words[1]);
    command_enter(c, key);
    bool found = store_delete(c->store, key);
    c->text->stats.delete_hits += found;
    c->text->stats.delete_misses += !found;
    command_say(c, found ? "DELETED\r\n" : "NOT_FOUND\r\n");
}

enum { ADD_UP, ADD_DOWN };

static RUNS_SELDOM void text_arithmetic(struct command *c)
{
    bool down = c->how == ADD_DOWN;
    uint64_t delta, number;

    take_noreply(c);
    if (c->words[1].len > STORE_MAX_KEY) {
        command_say(c, command_bad_format);
        return;
    }
    if (!number_u64(c->words[2].bytes, c->words[2].len, &delta)) {
        command_say(c, "CLIENT_ERROR invalid numeric delta argument\r\n");
        return;
    }
    struct store_key key = command_key(c, c->words[1]);
    enum store_result result = command_add(c, key, 0, delta, down, &number);
    if (result == STORE_NOT_FOUND) {
        command_count_miss(c, down);
        command_say(c, "NOT_FOUND\r\n");
    } else if (result == STORE_NOT_NUMBER) {
        command_say(c, command_not_number);
    } else if (!c->mute) {
        reply_u64(c->reply, number);
        reply_put(c->reply, "\r\n", 2);
    }
}

static RUNS_SELDOM void text_touch(struct command *c)
{
    int32_t exptime;

    take_noreply(c);
    if (c->words[1].len > STORE_MAX_KEY) {
        command_say(c, command_bad_format);
        return;
    }
    if (!number_i32(c->words[2].bytes, c->words[2].len, &exptime)) {
        command_say(c, bad_exptime);
        return;
    }
    struct store_key key = command_key(c, c->words[1]);
    command_say(c, command_find(c, key, true, exptime) ? "TOUCHED\r\n" : "NOT_FOUND\r\n");
}

static RUNS_SELDOM void text_flush_all(struct command *c)
{
    int32_t exptime = 0;

    take_noreply(c);
    if (c->word_count > 1u + c->mute && !number_i32(c->words[1].bytes, c->words[1].len, &exptime)) {
        c->text->stats.cmd_flush++;
        command_say(c, bad_exptime);
        return;
    }
    command_flush(c, exptime);
    command_say(c, "OK\r\n");
}

static RUNS_SELDOM void text_verbosity(struct command *c)
{
    uint32_t level;

    take_noreply(c);
    command_say(c, number_u32(c->words[1].bytes, c->words[1].len, &level) ? "OK\r\n"
                                                                          : command_bad_format);
}

static RUNS_SELDOM void text_version(struct command *c)
{
    command_say(c, "VERSION " TEXT_VERSION "\r\n");
}

static RUNS_SELDOM void text_shutdown(struct command *c)
{
    command_say(c, "ERROR: shutdown not enabled\r\n");
}

static RUNS_SELDOM void text_quit(struct command *c)
{
    c->quit = true;
}

/* --- which command it is ------------------------------------------------------------------- */

static const struct verb {
    char name[10];
    uint8_t min, max; /* words that it may have, its name included; max 0: any number */
    uint8_t how;      /* for run, in command.how */
    void (*run)(struct command *c);
} verbs[] = {
    {"get", 2, 0, 0, text_get},
    {"set", 5, 6, STORE_SET, text_set},
    {"mg", 2, 0, 0, meta_get},
    {"ms", 2, 0, 0, meta_set},
    {"gets", 2, 0, GET_CAS, text_get},
    {"gat", 2, 0, GET_TOUCH, text_get},
    {"gats", 2, 0, GET_CAS | GET_TOUCH, text_get},
    {"add", 5, 6, STORE_ADD, text_set},
    {"replace", 5, 6, STORE_REPLACE, text_set},
    {"append", 5, 6, STORE_APPEND, text_set},
    {"prepend", 5, 6, STORE_PREPEND, text_set},
    {"cas", 6, 7, STORE_CAS, text_set},
    {"delete", 2, 4, 0, text_delete},
    {"md", 2, 0, 0, meta_delete},
    {"ma", 2, 0, 0, meta_arithmetic},
    {"mn", 1, 0, 0, meta_no_op},
    {"me", 1, 0, 0, meta_debug},
    {"incr", 3, 4, ADD_UP, text_arithmetic},
    {"decr", 3, 4, ADD_DOWN, text_arithmetic},
    {"touch", 3, 4, 0, text_touch},
    {"flush_all", 1, 3, 0, text_flush_all},
    {"verbosity", 2, 3, 0, text_verbosity},
    {"stats", 1, 0, 0, text_stats},
    {"version", 1, 0, 0, text_version},
    {"shutdown", 1, 0, 0, text_shutdown},
    {"quit", 1, 0, 0, text_quit},
};

static void run_command(struct command *c)
{
    for (uint32_t i = 0; c->word_count > 0 && i < ARRAY_LEN(verbs); i++) {
        const struct verb *verb = &verbs[i];
        if (!command_is(c->words[0], verb->name))
            continue;
        if (c->word_count < verb->min || (verb->max != 0 && c->word_count > verb->max))
            break;
        c->how = verb->how;
        verb->run(c);
        command_leave(c);
        return;
    }
    command_say(c, "ERROR\r\n");
}

enum text_end text_run(struct text *text, const uint8_t *request, size_t len,
                       const struct line *first, struct reply *reply)
{
    struct command c; /* not zeroed: nearly all of it is set for each line */
    struct line own;

    const bool large = len > sizeof text->line;

    assert(len <= TEXT_MAX_LARGE);
    c.text = text;
    c.store = text->shards.first;
    c.locked = NULL;
    c.reply = reply;
    c.rest = request;
    c.end = request + len;
    c.quit = false;
    if (unlikely(len > 0 && request[0] == BINARY_REQUEST))
        return binary_run(&c);
    while (c.rest < c.end && !c.quit && !reply->broken) {
        const struct line *line = first;
        first = NULL;
        if (!line || line->taken == 0) {
            line = &own;
            const size_t left = (size_t)(c.end - c.rest);
            uint8_t *copy = unlikely(large) ? (uint8_t *)(uintptr_t)c.rest : text->line;
            if (!line_read(&own, copy, large ? left : sizeof text->line, c.rest, left, left))
                return TEXT_CUT;
        }
        c.line = line->bytes;
        c.line_end = line->bytes + line->len;
        c.words = line->words;
        c.word_count = line->word_count;
        c.hashed = line->hashed;
        c.hash = line->hash;
        c.rest += line->taken;
        c.mute = false;
        text->commands++;
        reply_guard(reply, c.rest, (size_t)(c.end - c.rest));
        run_command(&c);
        ptrdiff_t moved = reply_unguard(reply);
        c.rest += moved;
        c.end += moved;
    }
    return TEXT_WHOLE;
}
