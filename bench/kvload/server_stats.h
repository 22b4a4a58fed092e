/* SPDX-License-Identifier: BSD-2-Clause */
/* server_stats.h - asks the server things by itself, while nothing else is on the way. */
#ifndef KVLOAD_SERVER_STATS_H
#define KVLOAD_SERVER_STATS_H

#include "port.h"

enum { SERVER_STATS_MAX = 256, SERVER_STATS_NAME = 48 };

struct server_stats {
    uint32_t count;
    struct {
        char name[SERVER_STATS_NAME];
        double value;
    } entries[SERVER_STATS_MAX];
};

/* Asks for the version, again and again, until the server answers. False if it doesn't in time. */
bool server_wait(struct port *port, uint32_t deadline_ms);

/* Empties the server; false if it doesn't say that it did. */
bool server_flush(struct port *port);

/* The numbers that `stats` answers; false if the answer doesn't come, which is no tragedy. */
bool server_stats_ask(struct port *port, struct server_stats *stats);

/* Is it a number of the moment, such as curr_items? All others count up. */
bool server_stats_is_gauge(const char *name);

/* The name of a number by which the server was started anew between the two, or its counters were
 * set to 0; NULL if there is none. Otherwise no difference of the two tells anything. */
const char *server_stats_began_anew(const struct server_stats *before,
                                    const struct server_stats *after);

/* A number of it, or 0. */
double server_stats_get(const struct server_stats *stats, const char *name);

#endif
