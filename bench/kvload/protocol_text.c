/* SPDX-License-Identifier: BSD-2-Clause */
/* protocol_text.c - memcached's text protocol (its doc/protocol.txt); see protocol.h. */
#include "load.h"
#include "protocol.h"
#include "text.h"

#include <stdio.h>

#define IS(text, len, what) ((len) == sizeof what - 1 && !memcmp(text, what, sizeof what - 1))

static uint32_t get_len(uint32_t keys, uint32_t key_len)
{
    return (uint32_t)sizeof "get\r\n" - 1 + keys * (1 + key_len);
}

static inline char *put(char *at, const char *text, uint32_t len)
{
    memcpy(at, text, len);
    return at + len;
}

static char *write_set(struct load *load, const struct load_slot *slot, char *at)
{
    uint64_t number = load_key_number(load, slot->key.number);
    uint32_t len = value_len(&load->options->sizes, number, slot->key.version);

    at = load_put_key(put(at, "set ", 4), &slot->key);
    *at++ = ' ';
    text_five(at, VALUE_FLAGS_FIRST + slot->key.version);
    at = put(at + VALUE_FLAGS_DIGITS, " ", 1);
    at += text_number(at, load_expiry_s(load));
    memcpy(at, load->lengths[len].text, LOAD_LENGTH_TEXT);
    at += load->lengths[len].text_len;
    value_write((uint8_t *)at, number, slot->key.version, len);
    return put(at + len, "\r\n", 2);
}

static char *write_request(struct load *load, const struct load_slot *slot, char *at)
{
    switch (slot->kind) {
    case LOAD_GET:
        at = put(at, "get", 3);
        for (uint32_t left = slot->left; left > 0; left--)
            at = load_put_key(put(at, " ", 1), load_key(load, slot, left));
        return put(at, "\r\n", 2);
    case LOAD_SET:
        return write_set(load, slot, at);
    default:
        return put(load_put_key(put(at, "delete ", 7), &slot->key), "\r\n", 2);
    }
}

/* VALUE key flags length\r\nbytes\r\n */
static uint32_t take_value(const struct load *load, const struct load_slot *slot, uint32_t left,
                           const uint8_t *text, uint32_t len, uint16_t *version)
{
    const struct load_key *key = load_key(load, slot, left);
    uint32_t head = 6 + key->text_len + 1 + VALUE_FLAGS_DIGITS;
    uint64_t line;

    /* At least " 0\r\n\r\n" is behind the flags: the word that is read with them ends before. */
    if (len < head + 6 || memcmp(text, "VALUE ", 6) != 0 ||
        !text_same(text + 6, key->text, key->text_len) || text[6 + key->text_len] != ' ')
        return 0;
    uint32_t flags = text_read_five(text + head - VALUE_FLAGS_DIGITS) - VALUE_FLAGS_FIRST;
    if (flags == 0 || flags > VERSION_LAST)
        return 0;
    *version = (uint16_t)flags;
    uint64_t number = load_key_number(load, key->number);
    uint32_t bytes = value_len(&load->options->sizes, number, *version);
    const struct load_length *length = &load->lengths[bytes];
    const uint32_t begin = head + length->text_len, before = 64 - 8 * length->text_len;
    if (len < begin + bytes + 2)
        return 0;
    memcpy(&line, text + begin - 8, 8); /* the line's last bytes, which tell the length */
    return (line ^ length->word << before) >> before == 0 &&
                   value_matches(text + begin, number, *version, bytes) &&
                   text[begin + bytes] == '\r' && text[begin + bytes + 1] == '\n'
               ? begin + bytes + 2
               : 0;
}

static enum protocol_end take_end(const struct load *load, const struct load_slot *slot,
                                  const uint8_t *text, uint32_t len)
{
    (void)load;
    return IS(text, len, "END\r\n")     ? PROTOCOL_ENDS
           : len == 0 && slot->left > 0 ? PROTOCOL_GOES_ON
                                        : PROTOCOL_BROKEN;
}

static enum protocol_done take_done(const struct load_slot *slot, const uint8_t *text, uint32_t len)
{
    if (slot->kind == LOAD_SET)
        return IS(text, len, "STORED\r\n") ? PROTOCOL_DONE : PROTOCOL_FAILED;
    return IS(text, len, "DELETED\r\n")     ? PROTOCOL_DONE
           : IS(text, len, "NOT_FOUND\r\n") ? PROTOCOL_NOT_FOUND
                                            : PROTOCOL_FAILED;
}

static bool any_value(const uint8_t *text, uint32_t len, struct protocol_value *value)
{
    char head[128] = {0};
    int end = 0;

    memcpy(head, text, len < sizeof head - 1 ? len : sizeof head - 1);
    value->bytes = text;
    if (sscanf(head, "VALUE %*s %u %u\r\n%n", &value->flags, &value->len, &end) != 2 || end == 0)
        return false;
    value->bytes += end;
    return true;
}

const struct protocol protocol_text = {"memcache_text", get_len,   write_request, take_value,
                                       take_end,        take_done, any_value};
