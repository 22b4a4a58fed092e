/* SPDX-License-Identifier: BSD-2-Clause */
/* text_stats.c - the command stats; the names are memcached's where the meaning is. */
#include "apps/udpkv/text_stats.h"

RUNS_SELDOM void text_show_text(struct reply *reply, const char *prefix, const char *name,
                                const char *value)
{
    const uint32_t key_len = (uint32_t)(strlen(prefix) + strlen(name));
    const bool line = !reply->packet;

    if (line)
        reply_text(reply, "STAT ");
    else
        reply_header(reply, 0, 0, key_len, key_len + (uint32_t)strlen(value), 0);
    reply_text(reply, prefix);
    reply_text(reply, name);
    if (line)
        reply_text(reply, " ");
    reply_text(reply, value);
    if (line)
        reply_text(reply, "\r\n");
}

RUNS_SELDOM void text_show_number(struct reply *reply, const char *prefix, const char *name,
                                  uint64_t value)
{
    char text[24];

    format(text, sizeof text, "%lu", value);
    text_show_text(reply, prefix, name, text);
}

static RUNS_SELDOM void show_plain(struct reply *reply, const char *name, uint64_t value)
{
    text_show_number(reply, "", name, value);
}

/* Reads a counter that another core may count up meanwhile, in one access. */
static uint64_t read_counter(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* A struct text_stats is taken for an array of numbers here. */
enum { STATS = sizeof(struct text_stats) / sizeof(uint64_t) };

_Static_assert(sizeof(struct text_stats) == STATS * sizeof(uint64_t) &&
                   offsetof(struct text_stats, cmd_get) == 0 &&
                   offsetof(struct text_stats, bytes_written) == (STATS - 1) * sizeof(uint64_t),
               "struct text_stats has numbers of 64 bits and nothing else");

RUNS_SELDOM struct text_stats text_sum_stats(const struct text *text)
{
    struct text_stats sum = {0};
    uint64_t *sums = (uint64_t *)&sum;
    const struct text *one = text;

    do {
        const uint64_t *counted = (const uint64_t *)&one->stats;
        const uint64_t *before = (const uint64_t *)&one->before;
        for (uint32_t i = 0; i < STATS; i++)
            sums[i] += read_counter(&counted[i]) - read_counter(&before[i]);
        one = one->next;
    } while (one != text);
    return sum;
}

RUNS_SELDOM uint32_t text_cores(const struct text *text)
{
    uint32_t cores = 1;

    for (const struct text *other = text->next; other != text; other = other->next)
        cores++;
    return cores;
}

/* The sum over all cores of counter number i of text.counters: all cores' texts list the same
 * counters. */
static RUNS_SELDOM uint64_t sum_counter(const struct text *text, uint32_t i)
{
    uint64_t sum = read_counter(text->counters[i].value);

    for (const struct text *other = text->next; other != text; other = other->next)
        sum += read_counter(other->counters[i].value);
    return sum;
}

/* Shows numbers that lie one behind the other, each under its name. */
static RUNS_SELDOM void show_numbers(struct reply *reply, const char *names, const void *numbers)
{
    for (const uint64_t *number = numbers; *names; number++, names += strlen(names) + 1)
        show_plain(reply, names, *number);
}

/* The names of struct text_stats and of struct store_stats, each with its closing zero. */
static const char command_names[] =
    "cmd_get\0cmd_set\0cmd_flush\0cmd_touch\0get_hits\0get_misses\0delete_misses\0delete_hits\0"
    "incr_misses\0incr_hits\0decr_misses\0decr_hits\0cas_misses\0cas_hits\0cas_badval\0"
    "touch_hits\0touch_misses\0store_too_large\0bytes_read\0bytes_written\0";
static const char item_names[] =
    "curr_items\0bytes\0total_items\0evictions\0reclaimed\0get_expired\0get_flushed\0moved_bytes\0";

_Static_assert(offsetof(struct text_stats, bytes_written) == 19 * sizeof(uint64_t) &&
                   sizeof(struct text_stats) == 20 * sizeof(uint64_t),
               "command_names has all");
_Static_assert(offsetof(struct store_stats, moved_bytes) == 7 * sizeof(uint64_t),
               "item_names has what stands before it");

static RUNS_SELDOM void show_general(struct text *text, struct reply *reply)
{
    const struct text_stats commands = text_sum_stats(text);
    struct shards_sum items;

    shards_sum(&text->shards, &items);
    show_plain(reply, "pid", 1);
    show_plain(reply, "uptime", text->shards.now_s - text->start_s);
    show_plain(reply, "time", text->shards.now_s);
    text_show_text(reply, "", "version", TEXT_VERSION);
    show_plain(reply, "pointer_size", 8 * sizeof(void *));
    show_plain(reply, "limit_maxbytes", text->store_bytes);
    show_plain(reply, "threads", text_cores(text));
    show_numbers(reply, command_names, &commands);
    show_numbers(reply, item_names, &items.stats);
    for (uint32_t i = 0; i < text->counter_count; i++)
        show_plain(reply, text->counters[i].name, sum_counter(text, i));
}

/* All items are in one log, which is shown as memcached's class 1; like those it is shown only when
 * it has items. */
static RUNS_SELDOM void show_items(struct text *text, struct reply *reply)
{
    struct shards_sum items;
    const struct store_stats *s = &items.stats;

    shards_sum(&text->shards, &items);
    if (s->items == 0)
        return;
    text_show_number(reply, "items:1:", "number", s->items);
    text_show_number(reply, "items:1:", "mem_requested", s->bytes);
    text_show_number(reply, "items:1:", "evicted", s->evictions);
}

/* There are no slabs. Shown are those of memcached's lines for a class that mean something for the
 * log, and how full the log is. */
static RUNS_SELDOM void show_slabs(struct text *text, struct reply *reply)
{
    const struct text_stats sum = text_sum_stats(text), *s = &sum;
    struct shards_sum items;

    shards_sum(&text->shards, &items);
    if (items.stats.items > 0) {
        text_show_number(reply, "1:", "mem_requested", items.stats.bytes);
        text_show_number(reply, "1:", "get_hits", s->get_hits);
        text_show_number(reply, "1:", "cmd_set", s->cmd_set);
        text_show_number(reply, "1:", "delete_hits", s->delete_hits);
        text_show_number(reply, "1:", "incr_hits", s->incr_hits);
        text_show_number(reply, "1:", "decr_hits", s->decr_hits);
        text_show_number(reply, "1:", "cas_hits", s->cas_hits);
        text_show_number(reply, "1:", "cas_badval", s->cas_badval);
        text_show_number(reply, "1:", "touch_hits", s->touch_hits);
    }
    show_plain(reply, "log_bytes", items.log_bytes);
    show_plain(reply, "log_used_bytes", items.used_bytes);
    show_plain(reply, "log_moved_bytes", items.stats.moved_bytes);
    show_plain(reply, "total_malloced", text->store_bytes);
}

/* A counter is only written by its own core, so it isn't set to 0: what it was is subtracted from
 * then on. */
RUNS_SELDOM void text_stats_reset(struct text *text)
{
    struct text *one = text;

    do {
        const uint64_t *counted = (const uint64_t *)&one->stats;
        uint64_t *before = (uint64_t *)&one->before;
        for (uint32_t i = 0; i < STATS; i++)
            __atomic_store_n(&before[i], read_counter(&counted[i]), __ATOMIC_RELAXED);
        one = one->next;
    } while (one != text);
    shards_reset_stats(&text->shards);
}

/* Shows a part of text.parts; false if there is none of that name. */
static RUNS_SELDOM bool show_part(const struct text *text, struct word name, struct reply *reply)
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

RUNS_SELDOM bool text_stats_show(struct text *text, struct word name, struct reply *reply)
{
    if (name.len == 0)
        show_general(text, reply);
    else if (command_is(name, "items"))
        show_items(text, reply);
    else if (command_is(name, "slabs"))
        show_slabs(text, reply);
    else if (command_is(name, "sizes")) /* as a memcached that wasn't asked to track them */
        text_show_text(reply, "", "sizes_status", "disabled");
    else
        return show_part(text, name, reply);
    return true;
}

RUNS_SELDOM void text_stats(struct command *c)
{
    const struct word name = c->word_count > 1 ? c->words[1] : (struct word){c->line, 0};

    if (command_is(name, "reset")) {
        text_stats_reset(c->text);
        command_say(c, "RESET\r\n");
    } else {
        reply_text(c->reply, text_stats_show(c->text, name, c->reply) ? "END\r\n" : "ERROR\r\n");
    }
}
