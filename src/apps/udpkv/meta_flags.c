/* SPDX-License-Identifier: BSD-2-Clause */
/* meta_flags.c - reads and writes the flags of meta commands; see meta_flags.h. */
#include "apps/udpkv/meta_flags.h"
#include "apps/udpkv/number.h"

static const char bad_token[] = "CLIENT_ERROR bad token in command line format\r\n";

/* The token behind a flag's letter. */
static struct word flag_token(struct word flag)
{
    return (struct word){flag.bytes + 1, flag.len - 1};
}

static RUNS_SELDOM const char *read_flag_time(const struct command *c, struct word flag,
                                              uint32_t *time_s)
{
    struct word text = flag_token(flag);
    int32_t exptime;

    if (!number_i32(text.bytes, text.len, &exptime))
        return bad_token;
    *time_s = command_expire_s(c, exptime);
    return NULL;
}

static RUNS_SELDOM const char *read_flag_u64(struct word flag, uint64_t *number, const char *error)
{
    struct word text = flag_token(flag);

    return number_u64(text.bytes, text.len, number) ? NULL : error;
}

static RUNS_SELDOM bool decode_flag_key(const struct command *c, struct meta *m)
{
    uint32_t len = base64_decode(m->key.bytes, m->key.len, m->decoded);

    m->key = command_key(c, (struct word){m->decoded, len});
    m->binary = true;
    return len > 0;
}

/* Flags with a token, and b. Returns what is wrong with it, or NULL. */
static const char *read_flag_token(const struct command *c, struct meta *m, struct word flag)
{
    struct word text = flag_token(flag);

    switch (flag.bytes[0]) {
    case 'N':
        m->late = m->has_vivify = true;
        return read_flag_time(c, flag, &m->vivify_s);
    case 'T':
        m->late = m->has_ttl = true;
        return read_flag_time(c, flag, &m->ttl_s);
    case 'R':
        m->late = true;
        return read_flag_time(c, flag, &m->recache_s);
    case 'C':
        m->has_cas = true;
        return read_flag_u64(flag, &m->cas, bad_token);
    case 'E':
        m->has_new_cas = true;
        return read_flag_u64(flag, &m->new_cas, bad_token);
    case 'D':
        return read_flag_u64(flag, &m->delta, "CLIENT_ERROR invalid numeric delta value\r\n");
    case 'J':
        return read_flag_u64(flag, &m->initial, "CLIENT_ERROR invalid numeric initial value\r\n");
    case 'F':
        return number_u32(text.bytes, text.len, &m->client_flags) ? NULL : command_bad_format;
    case 'b':
        return decode_flag_key(c, m) ? NULL : "CLIENT_ERROR error decoding key\r\n";
    case 'M':
        m->mode = text.len == 1 ? text.bytes[0] : 0;
        return text.len == 1 ? NULL : "CLIENT_ERROR incorrect length for M token\r\n";
    default:
        return NULL;
    }
}

/* Flags without a token, and those that are only shown. False if there is no such flag. */
static bool read_flag_letter(struct meta *m, uint8_t letter)
{
    switch (letter) {
    case 'v':
        m->value = true;
        return true;
    case 'u':
        m->peek = true;
        return true;
    case 'q':
        m->quiet = true;
        return true;
    case 'I':
        m->invalidate = true;
        return true;
    case 'x':
        m->remove_value = true;
        return true;
    case 'h':
    case 'l':
        m->late = true;
        return true;
    default:
        return strchr("bOPLksctfNTRCEDJFM", letter) != NULL;
    }
}

bool meta_line_fits(struct command *c, const char *too_many)
{
    if (c->words[1].len > STORE_MAX_KEY) {
        command_say(c, command_bad_format);
        return false;
    }
    if (c->word_count > META_MAX_WORDS) {
        command_say(c, too_many);
        return false;
    }
    return true;
}

const char *meta_parse(const struct command *c, uint32_t first, struct meta *m)
{
    const char *error = NULL;
    uint64_t seen[2] = {0};

    memset(m, 0, offsetof(struct meta, decoded));
    m->key = command_key(c, c->words[1]);
    m->first = first;
    m->delta = 1;
    for (uint32_t i = first; i < c->word_count; i++) {
        uint8_t letter = c->words[i].bytes[0];
        if (letter >= 127 || seen[letter / 64] >> letter % 64 & 1)
            return "CLIENT_ERROR duplicate flag\r\n";
        seen[letter / 64] |= 1ull << letter % 64;
        if (!read_flag_letter(m, letter))
            return "CLIENT_ERROR invalid flag\r\n";
        const char *wrong = read_flag_token(c, m, c->words[i]);
        if (wrong && (!error || letter != 'F'))
            error = wrong; /* the last wrong flag counts, but F only if it is the only one */
    }
    return error;
}

bool meta_opaque_too_long(struct word flag)
{
    return flag.bytes[0] == 'O' && flag.len > META_MAX_OPAQUE;
}

RUNS_SELDOM bool meta_has_opaque_too_long(const struct command *c, const struct meta *m)
{
    for (uint32_t i = m->first; i < c->word_count; i++)
        if (meta_opaque_too_long(c->words[i]))
            return true;
    return false;
}

RUNS_SELDOM void meta_put_key(struct reply *reply, const uint8_t *key, uint32_t len, bool binary)
{
    uint8_t text[BASE64_TEXT_BYTES(STORE_MAX_KEY)];

    reply_text(reply, " k");
    if (binary) {
        reply_put(reply, text, base64_encode(key, len, text));
        reply_text(reply, " b");
    } else {
        reply_put(reply, key, len);
    }
}

void meta_put_number(struct reply *reply, char flag, uint64_t number)
{
    char text[2] = {' ', flag};

    reply_put(reply, text, sizeof text);
    reply_u64(reply, number);
}

RUNS_SELDOM void meta_put_ttl(struct reply *reply, const struct store *store,
                              const struct item *item)
{
    if (item->expire_s == 0)
        reply_text(reply, " t-1");
    else
        meta_put_number(reply, 't', (uint32_t)(item->expire_s - store->now_s));
}

void meta_put_echo(struct reply *reply, const struct meta *m, struct word flag)
{
    if (flag.bytes[0] == 'k') {
        meta_put_key(reply, m->key.bytes, m->key.len, m->binary);
    } else if (flag.bytes[0] == 'O') {
        reply_text(reply, " ");
        reply_put(reply, flag.bytes, flag.len);
    }
}
