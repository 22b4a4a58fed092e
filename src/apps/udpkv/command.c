/* SPDX-License-Identifier: BSD-2-Clause */
/* command.c - what storage commands have in common; see command.h. */
#include "apps/udpkv/command.h"

const char command_bad_format[] = "CLIENT_ERROR bad command line format\r\n";

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
    if (mode == STORE_CAS) {
        stats->cas_hits += result == STORE_OK;
        stats->cas_badval += result == STORE_EXISTS;
        stats->cas_misses += result == STORE_NOT_FOUND;
    }
    return result;
}
