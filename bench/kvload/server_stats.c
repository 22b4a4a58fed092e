/* SPDX-License-Identifier: BSD-2-Clause */
/* server_stats.c - see server_stats.h. */
#include "server_stats.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { HEADER = 8, MAX_PARTS = 64, MAX_PART_BYTES = 1500, TRIES = 5, TRY_MS = 200 };

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

struct part {
    uint16_t len;
    char bytes[MAX_PART_BYTES];
};

/* An answer, as far as it came. All its parts tell the same total; 0: none came. */
struct parts {
    uint32_t have, total;
    struct part part[MAX_PARTS];
};

/* Keeps a datagram that is a part of the answer to last_id. A part that is too long, comes twice,
 * has a number that is none or tells another total than the first one is left out: the answer then
 * stays incomplete. */
static void keep_part(struct parts *parts, const struct datagram *in)
{
    uint16_t header[4];

    if (in->len <= HEADER || in->len - HEADER > MAX_PART_BYTES)
        return;
    memcpy(header, in->bytes, HEADER);
    uint32_t number = ntohs(header[1]), total = ntohs(header[2]);
    if (ntohs(header[0]) != last_id || total > MAX_PARTS || number >= total ||
        parts->part[number].len > 0 || (parts->total > 0 && total != parts->total))
        return;
    parts->total = total;
    parts->have++;
    parts->part[number].len = (uint16_t)(in->len - HEADER);
    memcpy(parts->part[number].bytes, in->bytes + HEADER, parts->part[number].len);
}

/* Puts the parts of the answer in order into text, size bytes, which ends with a 0. Returns its
 * length, or 0 if the answer isn't complete in time or is longer. */
static size_t take(struct port *port, char *text, size_t size, uint64_t end_ms)
{
    static struct parts parts;
    size_t len = 0;

    memset(&parts, 0, sizeof parts);
    while ((parts.total == 0 || parts.have < parts.total) && now_ms() < end_ms) {
        struct datagram in[PORT_BURST];
        uint32_t n = port->receive(port, in);
        for (uint32_t i = 0; i < n; i++)
            keep_part(&parts, &in[i]);
        if (n > 0)
            port->release(port);
        else if (port->wait)
            port->wait(port);
    }
    if (parts.have < parts.total)
        return 0;
    for (uint32_t i = 0; i < parts.total; i++) {
        if (len + parts.part[i].len >= size)
            return 0;
        memcpy(text + len, parts.part[i].bytes, parts.part[i].len);
        len += parts.part[i].len;
    }
    text[len] = 0;
    return len;
}

/* All its requests have one id, so the answer to an earlier one is as good: a server may take
 * longer than the pause between two. */
bool server_wait(struct port *port, uint32_t deadline_ms)
{
    uint64_t end = now_ms() + deadline_ms;
    char text[256];

    last_id++;
    while (now_ms() < end) {
        ask(port, "version\r\n");
        if (take(port, text, sizeof text, now_ms() + 2) && strncmp(text, "VERSION ", 8) == 0)
            return true;
    }
    return false;
}

bool server_flush(struct port *port)
{
    char text[256];

    for (int i = 0; i < TRIES; i++) {
        last_id++;
        ask(port, "flush_all\r\n");
        if (take(port, text, sizeof text, now_ms() + TRY_MS) && strcmp(text, "OK\r\n") == 0)
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
    static char text[MAX_PARTS * MAX_PART_BYTES + 1];

    stats->count = 0;
    for (int i = 0; i < TRIES; i++) {
        last_id++;
        ask(port, "stats\r\n");
        size_t len = take(port, text, sizeof text, now_ms() + TRY_MS);
        if (len < 5 || strcmp(text + len - 5, "END\r\n") != 0)
            continue;
        for (char *line = strtok(text, "\r\n"); line; line = strtok(NULL, "\r\n"))
            add_stat(stats, line);
        return true;
    }
    return false;
}

double server_stats_get(const struct server_stats *stats, const char *name)
{
    for (uint32_t i = 0; i < stats->count; i++)
        if (strcmp(stats->entries[i].name, name) == 0)
            return stats->entries[i].value;
    return 0;
}
