/* SPDX-License-Identifier: BSD-2-Clause */
/* command.c - what storage commands have in common; see command.h. */
#include "apps/udpkv/command.h"

const char command_bad_format[] = "CLIENT_ERROR bad command line format\r\n";
const char command_not_number[] =
    "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";

bool command_take_data(struct command *c, uint32_t len, struct store_value *value)
{
    size_t left = (size_t)(c->end - c->rest);

    value->bytes = c->rest;
    value->len = len;
    if (left < (size_t)len + 2) {
        c->rest = c->end;
        command_say(c, "CLIENT_ERROR bad data chunk\r\n");
        return false;
    }
    c->rest += len + 2;
    c->text->stats.cmd_set++;
    if (c->rest[-2] != '\r' || c->rest[-1] != '\n') {
        command_say(c, "CLIENT_ERROR bad data chunk\r\n");
        return false;
    }
    return true;
}

enum store_result command_put(struct command *c, enum store_mode mode, struct store_key key,
                              const struct store_value *value)
{
    struct text_stats *stats = &c->text->stats;

    command_enter(c, key);
    enum store_result result = store_put(c->store, mode, key, value);
    stats->store_too_large += result == STORE_TOO_LARGE;
    if (mode == STORE_CAS) {
        stats->cas_hits += result == STORE_OK;
        stats->cas_badval += result == STORE_EXISTS;
        stats->cas_misses += result == STORE_NOT_FOUND;
    }
    return result;
}

RUNS_SELDOM struct item *command_find(struct command *c, struct store_key key, bool touches,
                                      int64_t exptime)
{
    return command_find_fast(c, key, touches, exptime);
}

RUNS_SELDOM enum store_result command_add(struct command *c, struct store_key key, uint64_t cas,
                                          uint64_t delta, bool down, uint64_t *number)
{
    struct text_stats *stats = &c->text->stats;
    const struct item *item = NULL;

    command_enter(c, key);
    if (cas != 0)
        item = store_peek(c->store, key);
    if (item && item->cas != cas && item->value_len > 0)
        return STORE_EXISTS;
    enum store_result result = store_add(c->store, key, delta, down, number);
    *(down ? &stats->decr_hits : &stats->incr_hits) += result == STORE_OK;
    return result;
}

RUNS_SELDOM void command_count_miss(struct command *c, bool down)
{
    *(down ? &c->text->stats.decr_misses : &c->text->stats.incr_misses) += 1;
}

RUNS_SELDOM void command_create_number(struct command *c, struct store_key key, uint64_t number,
                                       uint32_t expire_s)
{
    char text[24];
    uint32_t len = (uint32_t)format(text, sizeof text, "%lu", number);
    struct store_value value = {.bytes = (const uint8_t *)text, .len = len, .expire_s = expire_s};

    store_put(c->store, STORE_ADD, key, &value);
}

RUNS_SELDOM void command_flush(struct command *c, int64_t exptime)
{
    c->text->stats.cmd_flush++;
    if (exptime <= 0)
        shards_flush(&c->text->shards);
    else
        shards_flush_at(&c->text->shards, command_expire_s(c, exptime));
}
