/* text_stats.c - what the command stats shows; the names are memcached's where the meaning is. */
#include "apps/udpkv/text.h"

static void show(struct reply *reply, const char *name, uint64_t value)
{
    reply_text(reply, "STAT ");
    reply_text(reply, name);
    reply_text(reply, " ");
    reply_u64(reply, value);
    reply_text(reply, "\r\n");
}

void text_show_stats(const struct text *text, struct reply *reply)
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
    reply_text(reply, "STAT version " TEXT_VERSION "\r\n");
    show(reply, "pointer_size", 8 * sizeof(void *));
    show(reply, "limit_maxbytes", text->store_bytes);
    show(reply, "threads", 1);
    for (uint32_t i = 0; i < ARRAY_LEN(own); i++)
        show(reply, own[i].name, *own[i].value);
    for (uint32_t i = 0; i < text->counter_count; i++)
        show(reply, text->counters[i].name, *text->counters[i].value);
    reply_text(reply, "END\r\n");
}

void text_reset_stats(struct text *text)
{
    struct store_stats *s = &text->store->stats;

    text->stats = (struct text_stats){0};
    s->total_items = s->evictions = s->expired = s->moved_bytes = s->touched = 0;
}
