/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.c - commands, a line of text each, and their answers. Each may be repeated: it says what
 * holds then, not what it changed.
 *
 *     add ADDRESS [weight=N]   active, with that weight (1)        OK 10.0.0.2 active weight=1
 *     weight ADDRESS N         the same for one that is there      OK 10.0.0.2 active weight=5
 *     drain ADDRESS            no new flows                        OK 10.0.0.2 draining flows=12
 *     remove ADDRESS           gone, its flows go elsewhere        OK 10.0.0.2 removed
 *     list [FROM]              a line each, from number FROM on    OK 3 of 3 / MORE 20 of 900
 *     stats                    counters                            name value ... OK
 *     help
 *
 * What can't be done is answered by ERROR and why.
 */
#include "apps/balancer/balancer.h"

enum { WORDS = 3, WORD_BYTES = 32, LINE_BYTES = 160 };

/* An answer that is being written, whole lines as long as there is room. */
struct text {
    char *at;
    uint32_t len, room;
};

struct command {
    char words[WORDS][WORD_BYTES];
    uint32_t count;
};

static PRINTF_LIKE(2, 3) bool say(struct text *text, const char *fmt, ...)
{
    char line[LINE_BYTES];
    va_list args;

    va_start(args, fmt);
    const size_t len = vformat(line, sizeof line, fmt, args);
    va_end(args);
    if (len >= sizeof line || len > text->room - text->len)
        return false;
    memcpy(text->at + text->len, line, len);
    text->len += (uint32_t)len;
    return true;
}

/* Splits a line at blanks. False if a word is too long, or there are too many. */
static bool split(const char *line, uint32_t len, struct command *command)
{
    uint32_t at = 0;

    command->count = 0;
    for (;;) {
        while (at < len && (line[at] == ' ' || line[at] == '\r' || line[at] == '\n'))
            at++;
        if (at == len)
            return true;
        if (command->count == WORDS)
            return false;
        uint32_t bytes = 0;
        while (at < len && line[at] != ' ' && line[at] != '\r' && line[at] != '\n') {
            if (bytes + 1 == WORD_BYTES || line[at] == 0)
                return false;
            command->words[command->count][bytes++] = line[at++];
        }
        command->words[command->count++][bytes] = 0;
    }
}

static const char *const state_names[] = {"free", "active", "draining", "drained"};

static void say_backend(const struct balancer *lb, struct text *text, const char *before,
                        uint16_t id)
{
    const struct backend *b = &lb->backends.list[id];
    char ip[IPV4_TEXT_BYTES];

    say(text, "%s%s %s weight=%u %s flows=%u\n", before, ipv4_format(ip, b->ip),
        state_names[b->state], b->weight, b->is_up ? "up" : "down", lb->flows.held[id]);
}

/* The back end that a word names; BACKENDS_NONE, and it has been said why. */
static uint16_t named(const struct balancer *lb, struct text *text, const char *word)
{
    uint32_t ip = 0;
    const struct boot_key key = {.dst = &ip};

    if (ipv4_parse_address(&key, word)) {
        say(text, "ERROR '%s' is no IPv4 address\n", word);
        return BACKENDS_NONE;
    }
    const uint16_t id = backends_find(&lb->backends, ip);
    if (id == BACKENDS_NONE)
        say(text, "ERROR there is no back end %s\n", word);
    return id;
}

static bool parse_weight(struct text *text, const char *word, uint16_t *weight)
{
    uint64_t number;

    if (!parse_u64(word, strlen(word), MAGLEV_WEIGHT_MAX, &number) || number == 0) {
        say(text, "ERROR weight '%s' is no number from 1 to %u\n", word, MAGLEV_WEIGHT_MAX);
        return false;
    }
    *weight = (uint16_t)number;
    return true;
}

static void add(struct balancer *lb, const struct command *c, struct text *text)
{
    static const char option[] = "weight=";
    uint16_t weight = 1;
    uint32_t ip = 0;
    const struct boot_key key = {.dst = &ip};

    if (ipv4_parse_address(&key, c->words[1]) || !ipv4_is_unicast(ip)) {
        say(text, "ERROR '%s' is no IPv4 address that a host can have\n", c->words[1]);
        return;
    }
    if (c->count == 3 && strncmp(c->words[2], option, sizeof option - 1) != 0) {
        say(text, "ERROR '%s' isn't weight=N\n", c->words[2]);
        return;
    }
    if (c->count == 3 && !parse_weight(text, c->words[2] + sizeof option - 1, &weight))
        return;
    const uint16_t id = backends_add(&lb->backends, ip, weight);
    if (id == BACKENDS_NONE)
        say(text, "ERROR there are %u back ends, which is the limit\n", BACKENDS_MAX);
    else
        say_backend(lb, text, "OK ", id);
}

static void set_weight(struct balancer *lb, const struct command *c, struct text *text)
{
    uint16_t weight;
    const uint16_t id = named(lb, text, c->words[1]);

    if (id == BACKENDS_NONE || !parse_weight(text, c->words[2], &weight))
        return;
    backends_add(&lb->backends, lb->backends.list[id].ip, weight);
    say_backend(lb, text, "OK ", id);
}

static void drain(struct balancer *lb, const struct command *c, struct text *text, uint64_t now_ns)
{
    const uint16_t id = named(lb, text, c->words[1]);

    if (id == BACKENDS_NONE)
        return;
    backends_drain(&lb->backends, id, now_ns + lb->conf.drain_ns);
    say_backend(lb, text, "OK ", id);
}

static void remove_backend(struct balancer *lb, const struct command *c, struct text *text)
{
    const uint16_t id = named(lb, text, c->words[1]);

    if (id == BACKENDS_NONE)
        return;
    flows_forget(&lb->flows, id);
    backends_remove(&lb->backends, id);
    say(text, "OK %s removed\n", c->words[1]);
}

static bool say_row(const struct balancer *lb, struct text *text, uint16_t id)
{
    const struct backend *b = &lb->backends.list[id];
    char ip[IPV4_TEXT_BYTES];

    return say(text, "%s %s weight=%u %s slots=%u flows=%u packets=%lu bytes=%lu misses=%lu\n",
               ipv4_format(ip, b->ip), state_names[b->state], b->weight, b->is_up ? "up" : "down",
               b->slots, lb->flows.held[id], b->packets, b->bytes, b->misses);
}

static void list(const struct balancer *lb, const struct command *c, struct text *text)
{
    enum { LAST_LINE = 32 };
    uint64_t at = 0;
    const uint32_t count = lb->backends.count;

    if (c->count == 2 && !parse_u64(c->words[1], strlen(c->words[1]), BACKENDS_MAX, &at)) {
        say(text, "ERROR '%s' is no number up to %u\n", c->words[1], BACKENDS_MAX);
        return;
    }
    text->room -= LAST_LINE;
    while (at < count && say_row(lb, text, lb->backends.order[at]))
        at++;
    text->room += LAST_LINE;
    say(text, "%s %lu of %u\n", at < count ? "MORE" : "OK", at, count);
}

static void stats(const struct balancer *lb, struct text *text)
{
    uint64_t held = 0;

    for (uint32_t i = 0; i < lb->backends.count; i++)
        held += lb->flows.held[lb->backends.order[i]];
    say(text, "packets %lu\nanswers %lu\nbackends %u\nbackends_up %u\ntables %lu\n", lb->passed,
        lb->answers, lb->backends.count, lb->backends.up, lb->backends.built);
    say(text, "flows %lu\nflows_begun %lu\nflows_displaced %lu\nflows_room %lu\n", held,
        lb->flows.begun, lb->flows.displaced, flows_room(&lb->flows));
    say(text, "checks %lu\ncommands %lu\n", lb->checks, lb->commands);
    for (uint32_t i = 0; i < BALANCER_DROP_REASONS; i++)
        say(text, "dropped_%s %lu\n", balancer_drop_names[i], lb->drops[i]);
    say(text, "OK\n");
}

uint32_t control_run(struct balancer *lb, const char *line, uint32_t len, char *answer,
                     uint32_t room, uint64_t now_ns)
{
    struct text text = {.at = answer, .room = room};
    struct command c;
    const bool is_line = split(line, len, &c);
    const char *verb = is_line && c.count > 0 ? c.words[0] : "";

    if (strcmp(verb, "add") == 0 && c.count >= 2)
        add(lb, &c, &text);
    else if (strcmp(verb, "weight") == 0 && c.count == 3)
        set_weight(lb, &c, &text);
    else if (strcmp(verb, "drain") == 0 && c.count == 2)
        drain(lb, &c, &text, now_ns);
    else if (strcmp(verb, "remove") == 0 && c.count == 2)
        remove_backend(lb, &c, &text);
    else if (strcmp(verb, "list") == 0 && c.count <= 2)
        list(lb, &c, &text);
    else if (strcmp(verb, "stats") == 0 && c.count == 1)
        stats(lb, &text);
    else
        say(&text,
            "%s add ADDRESS [weight=N], weight ADDRESS N, drain ADDRESS, remove ADDRESS, "
            "list [FROM], stats, help\n",
            strcmp(verb, "help") == 0 ? "OK" : "ERROR commands are:");
    return text.len;
}
