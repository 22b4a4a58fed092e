/* SPDX-License-Identifier: BSD-2-Clause */
/* text_item.c - an item as get and its kin answer it: "VALUE key flags length", and the value. */
#include "apps/udpkv/text.h"

enum {
    LOOSE_MAX = 64, /* a value of up to so many bytes is copied by copy_loosely */
    /* What put_short_item writes at most, the last step of copy_loosely included. */
    ITEM_TEXT_MAX = 6 + STORE_MAX_KEY + 1 + 10 + 1 + 7 + 2 + LOOSE_MAX + 2 + 16
};

/* Copies in steps of 16 bytes: up to 15 bytes more than `len` are read and written. */
static inline uint8_t *copy_loosely(uint8_t *to, const uint8_t *from, size_t len)
{
    for (size_t at = 0; at < len; at += 16)
        __builtin_memcpy(to + at, from + at, 16);
    return to + len;
}

static inline uint8_t *copy_number(uint8_t *to, uint32_t number)
{
    uint8_t text[10];
    uint32_t at = sizeof text;

    if (likely(number < 100)) {
        to[0] = (uint8_t)('0' + (number < 10 ? number : number / 10));
        to[1] = (uint8_t)('0' + number % 10);
        return to + 1 + (number >= 10);
    }
    do {
        text[--at] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    memcpy(to, text + at, sizeof text - at);
    return to + sizeof text - at;
}

/* text_put_item for a short value, where ITEM_TEXT_MAX bytes are free in the piece: copies without
 * a call and without further checks. */
static inline void put_short_item(struct reply *reply, struct item *item)
{
    uint8_t *at = reply->at;

    at = __builtin_memcpy(at, "VALUE ", 6);
    at = copy_loosely(at + 6, item_key(item), item->key_len);
    *at++ = ' ';
    at = copy_number(at, item->flags);
    *at++ = ' ';
    at = copy_number(at, item->value_len);
    at = __builtin_memcpy(at, "\r\n", 2);
    at = copy_loosely(at + 2, item_value(item), item->value_len);
    __builtin_memcpy(at, "\r\n", 2);
    reply->at = at + 2;
}

void text_put_item(struct reply *reply, struct item *item, bool with_cas)
{
    if (likely(item->value_len <= LOOSE_MAX && !with_cas &&
               reply->end - reply->at >= ITEM_TEXT_MAX)) {
        put_short_item(reply, item);
        return;
    }
    reply_put(reply, "VALUE ", 6);
    reply_put(reply, item_key(item), item->key_len);
    reply_put(reply, " ", 1);
    reply_u64(reply, item->flags);
    reply_put(reply, " ", 1);
    reply_u64(reply, item->value_len);
    if (with_cas) {
        reply_put(reply, " ", 1);
        reply_u64(reply, item->cas);
    }
    reply_put(reply, "\r\n", 2);
    reply_put(reply, item_value(item), item->value_len);
    reply_put(reply, "\r\n", 2);
}
