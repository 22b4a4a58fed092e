/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backends.h - the back ends, and the table that spreads new flows over those that can take some.
 *
 *     FREE --add--> ACTIVE --drain--> DRAINING --its last flow is quiet, or a deadline--> DRAINED
 *                     ^                  |                                                   |
 *                     +------ add -------+------------------------- add --------------------+
 *     any --remove--> FREE
 *
 * An active one that is up has slots of the table; one that is drained keeps the flows that it has.
 * A change makes the table stale. A new one is then made beside the one in use, a few slots at a
 * time (backends_build), and takes its place when it is whole: nobody waits.
 */
#ifndef BALANCER_BACKENDS_H
#define BALANCER_BACKENDS_H

#include "apps/balancer/maglev.h"
#include "netbuf/eth.h"

enum {
    BACKENDS_MAX = 1024,
    BACKENDS_NONE = MAGLEV_NOBODY,
};

enum backend_state { BACKEND_FREE, BACKEND_ACTIVE, BACKEND_DRAINING, BACKEND_DRAINED };

struct backend {
    uint32_t ip;
    uint16_t weight; /* 1 to MAGLEV_WEIGHT_MAX */
    uint8_t state;   /* enum backend_state */
    bool is_up;
    bool has_mac;
    uint8_t mac[ETH_MAC_BYTES];
    uint32_t slots; /* of the table in use */
    uint64_t packets, bytes;
    uint64_t drained_ns; /* a draining one is drained then, whatever flows it has */

    /* health.c's */
    bool is_sought;      /* its MAC address, by ARP */
    bool asked;          /* and hasn't answered yet */
    bool answered_once;  /* since it was added */
    uint16_t nonce_port; /* where its answer has to go */
    uint16_t streak;     /* answers in a row while it is down, misses while it is up */
    uint64_t ask_ns;     /* when it is asked next */
    uint64_t answers, misses, wrong;
};

struct backends {
    struct backend *list; /* BACKENDS_MAX; an index is an id */
    uint16_t *order;      /* ids by ascending address, `count` of them */
    uint32_t count, up, sought;
    uint16_t *by_ip; /* ids by a hash of their address, for backends_find */
    bool keeps_last; /* the last table stays if nobody is up */

    struct maglev table; /* in use */
    struct maglev next;  /* being made, if is_building */
    struct maglev_build build;
    struct maglev_member *members;
    bool is_stale, is_building;
    uint64_t built; /* tables */
};

/* Memory for all of it. False if there isn't enough. `table_size` is one that maglev_size_is_right
 * says so of. */
bool backends_create(struct backends *backends, uint32_t table_size);

/* The back end's id; BACKENDS_NONE if no back end has this address. */
uint16_t backends_find(const struct backends *backends, uint32_t ip);

/* Makes a back end active, with this weight; one that is already there, too. Returns its id, or
 * BACKENDS_NONE if there are BACKENDS_MAX. A new one is down. */
uint16_t backends_add(struct backends *backends, uint32_t ip, uint16_t weight);

/* It gets no new flows from now on, and is drained at drained_ns at the latest. */
void backends_drain(struct backends *backends, uint16_t id, uint64_t drained_ns);

/* It is gone. Flows that it has are the caller's to forget. */
void backends_remove(struct backends *backends, uint16_t id);

void backends_set_up(struct backends *backends, uint16_t id, bool is_up);

/* A part of making a new table, if one has to be made: `tries` as in maglev_step. False if there is
 * nothing to do. */
bool backends_build(struct backends *backends, uint32_t tries);

/* Can packets of a flow that has this back end go there? */
static inline bool backends_takes(const struct backends *backends, uint16_t id)
{
    const struct backend *b = &backends->list[id];

    return (b->state == BACKEND_ACTIVE || b->state == BACKEND_DRAINING) &&
           (b->is_up || (backends->keeps_last && backends->up == 0));
}

#endif
