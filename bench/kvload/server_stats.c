/* SPDX-License-Identifier: BSD-2-Clause */
/* server_stats.c - see server_stats.h. */
#include "server_stats.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { HEADER = 8, MAX_PARTS = 64, TRIES = 5, TRY_MS = 200 };

static uint16_t last_id; /* their request ids may be those of earlier requests of the load: none of
                            these is under way */

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void ask(struct port *port, const char *command)
{
    const uint16_t header[4] = {htons(++last_id), 0, htons(1), 0};
    struct datagram out;

    if (port->prepare(port, &out, 1) == 0)
        return;
    memcpy(out.bytes, header, HEADER);
    memcpy(out.bytes + HEADER, command, strlen(command));
    out.len = (uint16_t)(HEADER + strlen(command));
    out.client = 0;
    port->send(port, &out, 1);
}

/* Puts the parts of the answer in order into text, size bytes. Returns its length, or 0. */
static size_t take(struct port *port, char *text, size_t size, uint64_t end_ms)
{
    static struct {
        uint16_t len;
        char bytes[1500];
    } parts[MAX_PARTS];
    uint32_t have = 0, total = 0;
    size_t len = 0;

    memset(parts, 0, sizeof parts);
    while ((total == 0 || have < total) && now_ms() < end_ms) {
        struct datagram in[PORT_BURST];
        uint32_t n = port->receive(port, in);
        for (uint32_t i = 0; i < n; i++) {
            uint16_t header[4];
            if (in[i].len <= HEADER)
                continue;
            memcpy(header, in[i].bytes, HEADER);
            uint32_t number = ntohs(header[1]), of = ntohs(header[2]);
            if (ntohs(header[0]) != last_id || of > MAX_PARTS || number >= of || parts[number].len)
                continue;
            total = of;
            have++;
            parts[number].len = (uint16_t)(in[i].len - HEADER);
            memcpy(parts[number].bytes, in[i].bytes + HEADER, parts[number].len);
        }
        if (n > 0)
            port->release(port);
        else if (port->wait)
            port->wait(port);
    }
    for (uint32_t i = 0; have == total && i < total && len + parts[i].len < size; i++) {
        memcpy(text + len, parts[i].bytes, parts[i].len);
        len += parts[i].len;
    }
    text[len] = 0;
    return len;
}

bool server_wait(struct port *port, uint32_t deadline_ms)
{
    uint64_t end = now_ms() + deadline_ms;
    char text[256];

    while (now_ms() < end) {
        ask(port, "version\r\n");
        if (take(port, text, sizeof text, now_ms() + 2) && strncmp(text, "VERSION ", 8) == 0)
            return true;
    }
    return false;
}

bool server_stats_ask(struct port *port, struct server_stats *stats)
{
    static char text[MAX_PARTS * 1500];

    stats->count = 0;
    for (int i = 0; i < TRIES; i++) {
        ask(port, "stats\r\n");
        size_t len = take(port, text, sizeof text, now_ms() + TRY_MS);
        if (len < 5 || strcmp(text + len - 5, "END\r\n") != 0)
            continue;
        for (char *line = strtok(text, "\r\n"); line; line = strtok(NULL, "\r\n")) {
            char name[SERVER_STATS_NAME], word[64], *end;
            if (sscanf(line, "STAT %47s %63s", name, word) != 2 || stats->count == SERVER_STATS_MAX)
                continue;
            double value = strtod(word, &end);
            if (*end)
                continue;
            strcpy(stats->entries[stats->count].name, name);
            stats->entries[stats->count++].value = value;
        }
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
