/* SPDX-License-Identifier: BSD-2-Clause */
/* meta_debug.c - the meta commands me and mn; see meta.c. */
#include "apps/udpkv/base64.h"
#include "apps/udpkv/meta.h"

/* All that is known of an item but its value. It has no class, so none is told. */
static RUNS_SELDOM void answer_debug(struct command *c, const struct item *item)
{
    uint8_t key[BASE64_TEXT_BYTES(STORE_MAX_KEY)];
    char text[128];

    reply_text(c->reply, "ME ");
    if (item->binary)
        reply_put(c->reply, key, base64_encode(item_key(item), item->key_len, key));
    else
        reply_put(c->reply, item_key(item), item->key_len);
    format(text, sizeof text, " exp=%d la=%u cas=%lu fetch=%s size=%lu\r\n",
           item->expire_s == 0 ? -1 : (int)(c->store->now_s - item->expire_s),
           (c->store->now_s - item->used_s) & STORE_USED_MASK, item->cas,
           item->fetched ? "yes" : "no", store_item_bytes(item));
    reply_text(c->reply, text);
}

RUNS_SELDOM void meta_debug(struct command *c)
{
    uint8_t decoded[BASE64_BYTES(STORE_MAX_KEY)];
    struct word key;

    if (c->word_count < 2 || c->words[1].len > STORE_MAX_KEY) {
        command_say(c, command_bad_format);
        return;
    }
    key = c->words[1];
    if (c->word_count > 2 && command_is(c->words[2], "b")) {
        key.len = base64_decode(key.bytes, key.len, decoded);
        key.bytes = decoded;
        if (key.len == 0) {
            command_say(c, command_bad_format);
            return;
        }
    }
    struct store_key wanted = command_key(c, key);
    command_enter(c, wanted);
    const struct item *item = store_peek(c->store, wanted);
    if (item)
        answer_debug(c, item);
    else
        command_say(c, "EN\r\n");
}

void meta_no_op(struct command *c)
{
    command_say(c, "MN\r\n");
}
