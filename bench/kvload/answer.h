/* SPDX-License-Identifier: BSD-2-Clause */
/* answer.h - is what came right? Inline for load.c, where it is done for every answer. */
#ifndef KVLOAD_ANSWER_H
#define KVLOAD_ANSWER_H

#include "load.h"
#include "text.h"

#include <stdio.h>

#define IS(text, len, what) ((len) == sizeof what - 1 && !memcmp(text, what, sizeof what - 1))

static const uint64_t end_of_value = 0x0a0d444e450a0d; /* \r\nEND\r\n in a word's low bytes */

/* VALUE key flags length\r\nbytes\r\nEND\r\n: is it exactly what was stored as some version? */
static inline bool answer_is_value(const struct load *load, const struct load_slot *slot,
                                   const uint8_t *text, uint32_t len, uint16_t *version)
{
    uint64_t number = load_key_number(load, slot->key);
    uint32_t head = 6 + slot->key_len + 1 + VALUE_FLAGS_DIGITS;
    uint64_t line, end;

    /* With an end of at least 11 bytes, " 0\r\n" and "\r\nEND\r\n", words can be read up to it. */
    if (len < head + 11 || memcmp(text, "VALUE ", 6) != 0 ||
        !text_same(text + 6, slot->key_text, slot->key_len) || text[6 + slot->key_len] != ' ')
        return false;
    uint32_t flags = text_read_five(text + head - VALUE_FLAGS_DIGITS) - VALUE_FLAGS_FIRST;
    if (flags == 0 || flags > VERSION_LAST)
        return false;
    *version = (uint16_t)flags;
    uint32_t bytes = value_len(&load->options->sizes, number, *version);
    const union load_length *length = &load->lengths[bytes];
    memcpy(&line, text + head, 8);
    memcpy(&end, text + len - 8, 8);
    return len == head + length->text_len + bytes + 7 &&
           (line ^ length->word) << (64 - 8 * length->text_len) == 0 &&
           value_matches(text + head + length->text_len, number, *version, bytes) &&
           end >> 8 == end_of_value;
}

/* Is it a value of the key, but one that no run with these sizes has stored? Not for the loop. */
static inline bool answer_is_of_other_sizes(const struct load *load, const struct load_slot *slot,
                                            const uint8_t *text, uint32_t len)
{
    char head[128] = {0};
    uint32_t flags, bytes;
    int end = 0;

    memcpy(head, text, len < sizeof head - 1 ? len : sizeof head - 1);
    return sscanf(head, "VALUE %*s %u %u\r\n%n", &flags, &bytes, &end) == 2 && end > 0 &&
           flags > VALUE_FLAGS_FIRST && flags <= VALUE_FLAGS_FIRST + VERSION_LAST && bytes > 0 &&
           bytes <= VALUE_MAX && len == (uint32_t)end + bytes + 7 &&
           bytes != value_len(&load->options->sizes, load_key_number(load, slot->key),
                              (uint16_t)(flags - VALUE_FLAGS_FIRST)) &&
           value_matches(text + end, load_key_number(load, slot->key),
                         (uint16_t)(flags - VALUE_FLAGS_FIRST), bytes);
}

/* Is the text an answer to the slot's request, and can it be? Sets *hit. */
static inline bool answer_right(struct load *load, const struct load_slot *slot,
                                const uint8_t *text, uint32_t len, uint64_t now, bool *hit)
{
    struct versions *key = &load->keys[slot->key];
    uint16_t version;

    *hit = true;
    switch (slot->kind) {
    case LOAD_GET:
        if (likely(answer_is_value(load, slot, text, len, &version)))
            return versions_found(load->history, key, slot->key, version, slot->version, slot->sent,
                                  now);
        versions_missed(load->history, key, slot->key, slot->version);
        *hit = false;
        return IS(text, len, "END\r\n");
    case LOAD_SET:
        if (likely(IS(text, len, "STORED\r\n")))
            return versions_written(load->history, key, slot->key, slot->version, now);
        break;
    default:
        *hit = IS(text, len, "DELETED\r\n");
        if (likely(*hit || IS(text, len, "NOT_FOUND\r\n")))
            return versions_written(load->history, key, slot->key, slot->version, now);
    }
    versions_give_up(load->history, key, slot->key, slot->version, now);
    return false;
}

#undef IS
#endif
