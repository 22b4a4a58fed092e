/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meta.c - memcached's meta commands: mg, ms, md, ma, me, mn. A line is a name, a key, for ms the
 * length of the data block, and flags; an answer is a code of two letters and what the flags asked
 * for, in their order:
 *
 *     mg KEY t v          VA 5 t-1\r\nhello       or HD without v, EN for a miss
 *     ms KEY 5 T60        HD stored, NS not stored, EX other id, NF not found
 *     md KEY I            HD deleted or marked as stale, EX, NF
 *     ma KEY D5 v         VA 2\r\n42              or HD, NF, NS, EX
 *
 * protocol.txt tells what the flags mean; what it leaves open is as memcached 1.6.18 does it.
 */
#include "apps/udpkv/meta.h"
#include "apps/udpkv/meta_flags.h"
#include "apps/udpkv/number.h"

static const char opaque_too_long[] = "CLIENT_ERROR opaque token too long\r\n";

static bool no_more_room(struct reply *reply)
{
    (void)reply;
    return false;
}

/* Answers without an item: a code, and what the flags k and O give back. */
static RUNS_SELDOM void answer_without_item(struct command *c, const struct meta *m,
                                            const char *code)
{
    if (meta_has_opaque_too_long(c, m)) {
        command_say(c, opaque_too_long);
        return;
    }
    reply_text(c->reply, code);
    for (uint32_t i = m->first; i < c->word_count; i++)
        meta_put_echo(c->reply, m, c->words[i]);
    reply_text(c->reply, "\r\n");
}

/* Answers with an item: the text of its flags, `len` bytes, and its value if that was asked for. */
static void answer_with_item(struct command *c, const struct meta *m, struct item *item,
                             const void *flags, size_t len)
{
    struct reply *reply = c->reply;

    reply_text(reply, m->value ? "VA " : "HD");
    if (m->value)
        reply_u64(reply, item->value_len);
    reply_put(reply, flags, len);
    reply_text(reply, "\r\n");
    if (m->value) {
        reply_put(reply, item_value(item), item->value_len);
        reply_text(reply, "\r\n");
    }
}

/* Gives an item that was written the id that E chose. */
static RUNS_SELDOM void choose_cas(const struct meta *m, struct item *item)
{
    if (m->has_new_cas)
        item->cas = m->new_cas;
}

static RUNS_SELDOM struct item *create_empty(struct command *c, struct store_key key)
{
    struct store_value empty = {.bytes = key.bytes};

    store_put(c->store, STORE_SET, key, &empty);
    return store_peek(c->store, key);
}

/* --- mg ------------------------------------------------------------------------------------ */

/* One flag of mg for an item: does what it says and writes what it asks for. */
static void answer_get_flag(const struct command *c, const struct meta *m, struct word flag,
                            struct item *item, bool created, bool *won, struct reply *line)
{
    const struct store *store = c->store;

    switch (flag.bytes[0]) {
    case 'T':
        item->expire_s = m->ttl_s;
        break;
    case 'N':
        if (created) {
            item->expire_s = m->vivify_s;
            *won = true;
        }
        break;
    case 'R':
        if (!created && !item->won && item->expire_s != 0 && item->expire_s < m->recache_s)
            *won = true;
        break;
    case 's':
        meta_put_number(line, 's', item->value_len);
        break;
    case 't':
        meta_put_ttl(line, store, item);
        break;
    case 'c':
        meta_put_number(line, 'c', item->cas);
        break;
    case 'f':
        meta_put_number(line, 'f', item->flags);
        break;
    case 'l':
        meta_put_number(line, 'l', (store->now_s - item->used_s) & STORE_USED_MASK);
        break;
    case 'h':
        meta_put_number(line, 'h', item->fetched);
        break;
    case 'k': /* as the item was written, not as it is asked for */
        meta_put_key(line, item_key(item), item->key_len, item->binary);
        break;
    default:
        meta_put_echo(line, m, flag);
        break;
    }
}

/* Writes the flags that come unasked. W tells a client that it is the one to write the item anew; Z
 * tells others that a client was told so, and X that the item is stale. */
static void answer_win_flags(struct item *item, bool won, struct reply *line)
{
    if (item->won)
        reply_text(line, " Z");
    if (item->stale) {
        reply_text(line, " X");
        won |= !item->won;
    }
    if (won) {
        reply_text(line, " W");
        item->won = 1;
    }
}

static void answer_get_miss(struct command *c, const struct meta *m)
{
    c->text->stats.cmd_get++;
    c->text->stats.get_misses++;
    if (!m->quiet || meta_has_opaque_too_long(c, m))
        answer_without_item(c, m, "EN");
}

void meta_get(struct command *c)
{
    struct text_stats *stats = &c->text->stats;
    uint8_t text[META_MAX_TEXT];
    struct reply line = {.at = text, .end = text + sizeof text, .more = no_more_room};
    struct meta m;
    bool created = false, won = false;

    if (!meta_line_fits(c, "CLIENT_ERROR options flags are too long\r\n"))
        return;
    const char *error = meta_parse(c, 2, &m);
    if (error) {
        command_say(c, error);
        return;
    }
    command_enter(c, m.key);
    struct item *item = store_peek(c->store, m.key);
    if (!item && m.has_vivify) {
        item = create_empty(c, m.key);
        choose_cas(&m, item);
        created = true;
    }
    if (!item) {
        answer_get_miss(c, &m);
        return;
    }
    if (!m.late && !m.peek)
        store_use(c->store, item);
    for (uint32_t i = m.first; i < c->word_count; i++) {
        if (meta_opaque_too_long(c->words[i])) { /* what was done before it stays done */
            command_say(c, opaque_too_long);
            return;
        }
        answer_get_flag(c, &m, c->words[i], item, created, &won, &line);
    }
    answer_win_flags(item, won, &line);
    assert(!line.broken);
    if (m.late && !m.peek)
        store_use(c->store, item);
    stats->cmd_get += !m.has_ttl;
    stats->get_hits += !m.has_ttl;
    stats->cmd_touch += m.has_ttl;
    stats->touch_hits += m.has_ttl;

    answer_with_item(c, &m, item, text, (size_t)(line.at - text));
}

/* --- ms ------------------------------------------------------------------------------------ */

/* The mode that M asks for; false if there is no such letter. With an id to compare, set and
 * replace are cas. */
static RUNS_SELDOM bool mode_of_set(const struct meta *m, enum store_mode *mode)
{
    switch (m->mode) {
    case 'E':
        *mode = STORE_ADD;
        break;
    case 'A':
        *mode = STORE_APPEND;
        break;
    case 'P':
        *mode = STORE_PREPEND;
        break;
    case 'R':
        *mode = m->has_cas ? STORE_CAS : STORE_REPLACE;
        break;
    case 'S':
    case 0:
        *mode = m->has_cas ? STORE_CAS : STORE_SET;
        break;
    default:
        return false;
    }
    return true;
}

/* The id of what was stored, after giving it the one that E chose. */
static RUNS_SELDOM uint64_t cas_of_set(struct command *c, const struct meta *m)
{
    if (!m->has_new_cas)
        return c->store->last_cas;
    struct item *item = store_peek(c->store, m->key);
    if (item) /* it isn't expired already */
        item->cas = m->new_cas;
    return m->new_cas;
}

/* How long the value is: after an append, of all that is stored. */
static RUNS_SELDOM uint32_t len_of_set(struct command *c, const struct meta *m,
                                       enum store_result result, uint32_t len)
{
    const struct item *item = result == STORE_OK ? store_peek(c->store, m->key) : NULL;

    return item ? item->value_len : len;
}

static void answer_set(struct command *c, const struct meta *m, enum store_result result,
                       uint32_t len)
{
    static const char codes[][3] = {[STORE_OK] = "HD",
                                    [STORE_NOT_STORED] = "NS",
                                    [STORE_EXISTS] = "EX",
                                    [STORE_NOT_FOUND] = "NF"};

    if (result == STORE_TOO_LARGE) {
        command_say(c, "SERVER_ERROR object too large for cache\r\n");
        return;
    }
    const uint64_t cas = result == STORE_OK ? cas_of_set(c, m) : 0;
    if (result == STORE_OK && m->quiet)
        return;
    reply_text(c->reply, codes[result]);
    for (uint32_t i = m->first; i < c->word_count; i++) {
        struct word flag = c->words[i];
        if (flag.bytes[0] == 'c')
            meta_put_number(c->reply, 'c', cas);
        else if (flag.bytes[0] == 's')
            meta_put_number(c->reply, 's', len_of_set(c, m, result, len));
        else
            meta_put_echo(c->reply, m, flag);
    }
    reply_text(c->reply, "\r\n");
}

void meta_set(struct command *c)
{
    struct store_value value = {0};
    enum store_mode mode = STORE_SET;
    struct meta m;
    int32_t len;

    if (c->word_count == 2) {
        command_say(c, command_bad_format);
        return;
    }
    if (!meta_line_fits(c, "CLIENT_ERROR options flags too long\r\n"))
        return;
    if (!number_i32(c->words[2].bytes, c->words[2].len, &len) || len < 0 || len > INT32_MAX - 2) {
        command_say(c, command_bad_format);
        return;
    }
    const char *error = meta_parse(c, 3, &m);
    if (!error && !mode_of_set(&m, &mode))
        error = "CLIENT_ERROR invalid mode for ms M token\r\n";
    if (!error && meta_has_opaque_too_long(c, &m))
        error = opaque_too_long;
    if (error || (uint32_t)len > command_max_value(c))
        c->rest += MIN((size_t)(c->end - c->rest), (size_t)len + 2);
    if (error) {
        command_say(c, error);
        return;
    }
    value.len = (uint32_t)len;
    value.flags = m.client_flags;
    value.expire_s = m.ttl_s;
    value.cas = m.cas;
    value.stale_cas = m.invalidate;
    value.binary = m.binary;
    if (value.len <= command_max_value(c) && !command_take_data(c, value.len, &value))
        return;
    enum store_result result = command_put(c, mode, m.key, &value);
    if (result == STORE_NOT_STORED && m.has_vivify &&
        (mode == STORE_APPEND || mode == STORE_PREPEND)) {
        value.expire_s = m.vivify_s;
        result = store_put(c->store, STORE_SET, m.key, &value);
    }
    answer_set(c, &m, result, value.len);
}

/* --- md ------------------------------------------------------------------------------------ */

/* The item anew, without a value, with its id. */
static RUNS_SELDOM struct item *remove_value(struct command *c, const struct meta *m, uint64_t cas)
{
    struct item *item = create_empty(c, m->key);

    item->flags = m->client_flags;
    item->expire_s = m->ttl_s;
    item->cas = cas;
    item->binary = m->binary;
    return item;
}

/* Deletes the item, or does what the flags say in place of that. */
static RUNS_SELDOM void delete_item(struct command *c, const struct meta *m, struct item *item)
{
    c->text->stats.delete_hits += !m->invalidate;
    if (!m->invalidate && !m->remove_value) {
        store_delete(c->store, m->key);
        return;
    }
    if (m->remove_value)
        item = remove_value(c, m, item->cas);
    if (m->invalidate) {
        if (m->has_ttl)
            item->expire_s = m->ttl_s;
        store_invalidate(c->store, item);
    }
    choose_cas(m, item);
}

RUNS_SELDOM void meta_delete(struct command *c)
{
    struct text_stats *stats = &c->text->stats;
    struct meta m;

    if (!meta_line_fits(c, "CLIENT_ERROR options flags too long\r\n"))
        return;
    if (meta_parse(c, 2, &m)) {
        command_say(c, "CLIENT_ERROR invalid or duplicate flag\r\n");
        return;
    }
    if (meta_has_opaque_too_long(c, &m)) {
        command_say(c, opaque_too_long);
        return;
    }
    command_enter(c, m.key);
    struct item *item = store_peek(c->store, m.key);
    if (!item) {
        stats->delete_misses++;
        answer_without_item(c, &m, "NF");
        return;
    }
    if (m.has_cas && item->cas != m.cas) {
        stats->delete_misses++;
        answer_without_item(c, &m, "EX");
        return;
    }
    delete_item(c, &m, item);
    if (!m.quiet)
        answer_without_item(c, &m, "HD");
}

/* --- ma ------------------------------------------------------------------------------------ */

/* Does to the item what the flags say, in their order, and answers. */
static RUNS_SELDOM void answer_arithmetic(struct command *c, const struct meta *m,
                                          struct item *item, bool created)
{
    uint8_t text[META_MAX_TEXT];
    struct reply line = {.at = text, .end = text + sizeof text, .more = no_more_room};

    choose_cas(m, item);
    for (uint32_t i = m->first; i < c->word_count; i++) {
        struct word flag = c->words[i];
        if (meta_opaque_too_long(flag)) { /* what was done before it stays done */
            command_say(c, opaque_too_long);
            return;
        }
        if (flag.bytes[0] == 'c')
            meta_put_number(&line, 'c', item->cas);
        else if (flag.bytes[0] == 't')
            meta_put_ttl(&line, c->store, item);
        else if (flag.bytes[0] == 'T')
            item->expire_s = m->ttl_s;
        else if (flag.bytes[0] == 'N' && created)
            item->expire_s = m->vivify_s;
        else
            meta_put_echo(&line, m, flag);
    }
    assert(!line.broken);
    if (created || !m->quiet) /* a client is told in any case that an item was made */
        answer_with_item(c, m, item, text, (size_t)(line.at - text));
}

/* Adds, or subtracts if `down`. */
static RUNS_SELDOM void arithmetic(struct command *c, const struct meta *m, bool down)
{
    uint64_t number;
    const enum store_result result = command_add(c, m->key, m->cas, m->delta, down, &number);
    const bool missed = result == STORE_NOT_FOUND;

    if (result == STORE_EXISTS) {
        answer_without_item(c, m, "EX");
    } else if (result == STORE_NOT_NUMBER) {
        command_say(c, command_not_number);
    } else if (missed && !m->has_vivify) {
        command_count_miss(c, down);
        answer_without_item(c, m, "NF");
    } else {
        if (missed)
            command_create_number(c, m->key, m->initial, 0);
        answer_arithmetic(c, m, store_peek(c->store, m->key), missed);
    }
}

RUNS_SELDOM void meta_arithmetic(struct command *c)
{
    struct meta m;

    if (!meta_line_fits(c, "CLIENT_ERROR options flags too long\r\n"))
        return;
    if (meta_parse(c, 2, &m))
        command_say(c, "CLIENT_ERROR invalid or duplicate flag\r\n");
    else if (m.mode == 0 || m.mode == 'I' || m.mode == '+')
        arithmetic(c, &m, false);
    else if (m.mode == 'D' || m.mode == '-')
        arithmetic(c, &m, true);
    else
        command_say(c, "CLIENT_ERROR invalid mode for ma M token\r\n");
}
