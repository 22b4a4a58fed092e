/* text_stats.c - the command stats; the names are memcached's where the meaning is. */
#include "apps/udpkv/command.h"

void text_show_text(struct reply *reply, const char *prefix, const char *name, const char *value)
{
    reply_text(reply, "STAT ");
    reply_text(reply, prefix);
    reply_text(reply, name);
    reply_text(reply, " ");
    reply_text(reply, value);
    reply_text(reply, "\r\n");
}

void text_show_number(struct reply *reply, const char *prefix, const char *name, uint64_t value)
{
    char text[24];

    format(text, sizeof text, "%lu", value);
    text_show_text(reply, prefix, name, text);
}

static void show(struct reply *reply, const char *name, uint64_t value)
{
    text_show_number(reply, "", name, value);
}

static void show_all(const struct text *text, struct reply *reply)
{
    const struct text_stats *s = &text->stats;
    const struct store *store = text->store;
    const struct text_counter own[] = {
        {"cmd_get", &s->cmd_get},
        {"cmd_set", &s->cmd_set},
        {"cmd_flush", &s->cmd_flush},
        {"cmd_touch", &s->cmd_touch},
        {"get_hits", &s->get_hits},
        {"get_misses", &s->get_misses},
        {"delete_misses", &s->delete_misses},
        {"delete_hits", &s->delete_hits},
        {"incr_misses", &s->incr_misses},
        {"incr_hits", &s->incr_hits},
        {"decr_misses", &s->decr_misses},
        {"decr_hits", &s->decr_hits},
        {"cas_misses", &s->cas_misses},
        {"cas_hits", &s->cas_hits},
        {"cas_badval", &s->cas_badval},
        {"touch_hits", &s->touch_hits},
        {"touch_misses", &s->touch_misses},
        {"bytes", &store->stats.bytes},
        {"curr_items", &store->stats.items},
        {"total_items", &store->stats.total_items},
        {"evictions", &store->stats.evictions},
        {"expired_found", &store->stats.expired},
        {"moved_bytes", &store->stats.moved_bytes},
    };

    show(reply, "pid", 1);
    show(reply, "uptime", store->now_s - text->start_s);
    show(reply, "time", store->now_s);
    text_show_text(reply, "", "version", TEXT_VERSION);
    show(reply, "pointer_size", 8 * sizeof(void *));
    show(reply, "limit_maxbytes", text->store_bytes);
    show(reply, "threads", 1);
    for (uint32_t i = 0; i < ARRAY_LEN(own); i++)
        show(reply, own[i].name, *own[i].value);
    for (uint32_t i = 0; i < text->counter_count; i++)
        show(reply, text->counters[i].name, *text->counters[i].value);
}

/* All items are in one log, which is shown as memcached's class 1; like its classes it shows only
 * when it has items. */
static void show_items(const struct text *text, struct reply *reply)
{
    const struct store_stats *s = &text->store->stats;

    if (s->items == 0)
        return;
    text_show_number(reply, "items:1:", "number", s->items);
    text_show_number(reply, "items:1:", "mem_requested", s->bytes);
    text_show_number(reply, "items:1:", "evicted", s->evictions);
}

/* There are no slabs: what memcached tells of a class that has a meaning for the log, and how full
 * the log is. */
static void show_slabs(const struct text *text, struct reply *reply)
{
    const struct text_stats *s = &text->stats;
    const struct store *store = text->store;

    if (store->stats.items > 0) {
        text_show_number(reply, "1:", "mem_requested", store->stats.bytes);
        text_show_number(reply, "1:", "get_hits", s->get_hits);
        text_show_number(reply, "1:", "cmd_set", s->cmd_set);
        text_show_number(reply, "1:", "delete_hits", s->delete_hits);
        text_show_number(reply, "1:", "incr_hits", s->incr_hits);
        text_show_number(reply, "1:", "decr_hits", s->decr_hits);
        text_show_number(reply, "1:", "cas_hits", s->cas_hits);
        text_show_number(reply, "1:", "cas_badval", s->cas_badval);
        text_show_number(reply, "1:", "touch_hits", s->touch_hits);
    }
    show(reply, "log_bytes", store->log_bytes);
    show(reply, "log_used_bytes", store->used_bytes);
    show(reply, "log_moved_bytes", store->stats.moved_bytes);
    show(reply, "total_malloced", text->store_bytes);
}

static void reset(struct text *text)
{
    struct store_stats *s = &text->store->stats;

    text->stats = (struct text_stats){0};
    s->total_items = s->evictions = s->expired = s->moved_bytes = s->touched = 0;
}

/* Shows a part that somebody else knows; false if there is none of that name. */
static bool show_part(const struct text *text, struct word name, struct reply *reply)
{
    for (uint32_t i = 0; i < text->part_count; i++) {
        const struct text_part *part = &text->parts[i];
        if (command_is(name, part->name)) {
            part->show(part->whose, reply);
            return true;
        }
    }
    return false;
}

void text_stats(struct command *c)
{
    if (c->word_count > 1 && command_is(c->words[1], "reset")) {
        reset(c->text);
        command_say(c, "RESET\r\n");
        return;
    }
    if (c->word_count == 1) {
        show_all(c->text, c->reply);
    } else if (command_is(c->words[1], "items")) {
        show_items(c->text, c->reply);
    } else if (command_is(c->words[1], "slabs")) {
        show_slabs(c->text, c->reply);
    } else if (!show_part(c->text, c->words[1], c->reply)) {
        command_say(c, "ERROR\r\n");
        return;
    }
    reply_text(c->reply, "END\r\n");
}
