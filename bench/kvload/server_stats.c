/* SPDX-License-Identifier: BSD-2-Clause */
/* server_stats.c - see server_stats.h. */
#include "server_stats.h"
#include "parts.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { HEADER = PARTS_HEADER, ANSWER_ROOM = PARTS_MAX * PARTS_PAYLOAD, TRIES = 5, TRY_MS = 200 };

static char answer[ANSWER_ROOM + 1]; /* the last one that came, with a 0 behind it */

static uint16_t last_id; /* their request ids may be those of earlier requests of the load: none of
                            these is under way */

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Sends a command with the id last_id. */
static void ask(struct port *port, const char *command)
{
    const uint16_t header[4] = {htons(last_id), 0, htons(1), 0};
    struct datagram out;

    if (port->prepare(port, &out, 1) == 0)
        return;
    memcpy(out.bytes, header, HEADER);
    memcpy(out.bytes + HEADER, command, strlen(command));
    out.len = (uint16_t)(HEADER + strlen(command));
    out.client = 0;
    port->send(port, &out, 1);
}

/* Waits for the answer to last_id. Returns its length, or 0 if it isn't whole in time. What can't
 * be a part of it is left out: it may be of an earlier request. */
static size_t take(struct port *port, uint64_t end_ms)
{
    static struct parts *parts;
    enum parts_state state = PARTS_MORE;
    struct datagram in[PORT_BURST];
    size_t len = 0;

    parts = parts ? parts : parts_create(ANSWER_ROOM);
    parts_forget(parts);
    while (state != PARTS_WHOLE && now_ms() < end_ms) {
        uint32_t n = port->receive(port, in);
        for (uint32_t i = 0; i < n && state != PARTS_WHOLE; i++)
            if (in[i].len > HEADER && (in[i].bytes[0] << 8 | in[i].bytes[1]) == last_id)
                state = parts_take(parts, in[i].bytes, in[i].len);
        if (n > 0)
            port->release(port);
        else if (port->wait)
            port->wait(port);
    }
    if (state == PARTS_WHOLE)
        len = parts_join(parts, (uint8_t *)answer);
    answer[len] = 0;
    return len;
}

/* All its requests have one id, so the answer to an earlier one is as good: a server may take
 * longer than the pause between two. */
bool server_wait(struct port *port, uint32_t deadline_ms)
{
    uint64_t end = now_ms() + deadline_ms;

    last_id++;
    while (now_ms() < end) {
        ask(port, "version\r\n");
        if (take(port, now_ms() + 2) && strncmp(answer, "VERSION ", 8) == 0)
            return true;
    }
    return false;
}

bool server_flush(struct port *port)
{
    for (int i = 0; i < TRIES; i++) {
        last_id++;
        ask(port, "flush_all\r\n");
        if (take(port, now_ms() + TRY_MS) && strcmp(answer, "OK\r\n") == 0)
            return true;
    }
    return false;
}

static bool has_stat(const struct server_stats *stats, const char *name)
{
    for (uint32_t i = 0; i < stats->count; i++)
        if (strcmp(stats->entries[i].name, name) == 0)
            return true;
    return false;
}

/* A name that JSON and a terminal can take as it is. */
static bool is_plain(const char *name)
{
    for (; *name; name++)
        if (*name <= ' ' || *name > '~')
            return false;
    return true;
}

/* Adds what a line tells, STAT name value, if the value is a number. Left out are numbers beyond 64
 * bits, as a difference of two has to be a number, too, and a name's second line. */
static void add_stat(struct server_stats *stats, const char *line)
{
    char name[SERVER_STATS_NAME], word[64], *end;
    int name_end = 0, word_end = 0;

    if (stats->count == SERVER_STATS_MAX ||
        sscanf(line, "STAT %47s%n %63s%n", name, &name_end, word, &word_end) != 2 ||
        line[name_end] != ' ' || line[word_end] || !is_plain(name) || has_stat(stats, name))
        return;
    double value = strtod(word, &end);
    if (*end || !(fabs(value) <= 0x1p64)) /* not a number isn't, either */
        return;
    strcpy(stats->entries[stats->count].name, name);
    stats->entries[stats->count++].value = value;
}

bool server_stats_ask(struct port *port, struct server_stats *stats)
{
    stats->count = 0;
    for (int i = 0; i < TRIES; i++) {
        last_id++;
        ask(port, "stats\r\n");
        size_t len = take(port, now_ms() + TRY_MS);
        if (len < 5 || strcmp(answer + len - 5, "END\r\n") != 0)
            continue;
        for (char *line = strtok(answer, "\r\n"); line; line = strtok(NULL, "\r\n"))
            add_stat(stats, line);
        return true;
    }
    return false;
}

/* What isn't counted but is so at the moment, of memcached 1.6 and of udpkv. */
static const char gauges[] =
    " pid uptime time pointer_size max_connections curr_connections connection_structures"
    " response_obj_count response_obj_bytes read_buf_count read_buf_bytes read_buf_bytes_free"
    " reserved_fds limit_maxbytes accepting_conns threads hash_power_level hash_bytes"
    " hash_is_expanding slab_reassign_running lru_crawler_running log_watchers bytes curr_items"
    " slab_global_page_pool ";

bool server_stats_is_gauge(const char *name)
{
    char word[SERVER_STATS_NAME + 2];

    snprintf(word, sizeof word, " %s ", name);
    return strstr(gauges, word) != NULL;
}

const char *server_stats_began_anew(const struct server_stats *before,
                                    const struct server_stats *after)
{
    for (uint32_t i = 0; i < before->count; i++) {
        const char *name = before->entries[i].name;
        double was = before->entries[i].value, is = server_stats_get(after, name);
        if (!has_stat(after, name))
            continue;
        if (strcmp(name, "pid") == 0      ? is != was
            : strcmp(name, "uptime") == 0 ? is < was
                                          : is < was && !server_stats_is_gauge(name))
            return name;
    }
    return NULL;
}

double server_stats_get(const struct server_stats *stats, const char *name)
{
    for (uint32_t i = 0; i < stats->count; i++)
        if (strcmp(stats->entries[i].name, name) == 0)
            return stats->entries[i].value;
    return 0;
}
