/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * maglev.h - which back end a flow belongs to, if nobody knows better: Maglev's table (Eisenbud et
 * al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4).
 *
 * A table has a prime number of slots, and a flow's hash names one of them. Each back end likes all
 * slots in an order of its own, which follows from its name:
 *
 *     offset, offset + skip, offset + 2 skip ...    modulo the number of slots
 *
 * The back ends take turns; who has its turn takes the slot that it likes best of those that are
 * still free. So all have the same number of slots but for one, few slots change their back end
 * when another one comes or goes, and two balancers that know the same back ends make the same
 * table. A back end of weight w has w turns where the one of the largest weight W has W.
 *
 *     maglev_begin(&build, &table, members, count)
 *     while (!maglev_step(&build, tries)) ...      a few at a time, between bursts
 *     maglev_of(&table, hash)
 *
 * The caller owns all memory.
 */
#ifndef BALANCER_MAGLEV_H
#define BALANCER_MAGLEV_H

#include "boot/lib.h"

enum {
    MAGLEV_NOBODY = 0xffff, /* in a slot: no back end */
    MAGLEV_SIZE_MIN = 3,
    MAGLEV_SIZE_MAX = 1 << 20,
    MAGLEV_WEIGHT_MAX = 1000,
};

struct maglev {
    uint16_t *slots; /* size ids of back ends */
    uint32_t size;   /* a prime number */
};

/* A back end in a table. The caller sets the first three. */
struct maglev_member {
    uint64_t name;   /* of its own: its address, say. All balancers know it by the same one */
    uint16_t id;     /* what stands in its slots; not MAGLEV_NOBODY */
    uint16_t weight; /* 1 to MAGLEV_WEIGHT_MAX */
    uint16_t credit; /* weights since its last turn */
    uint32_t next;   /* the slot that it likes best of those that it hasn't tried, */
    uint32_t skip;   /* and how far the one after that is */
};

/* A table that is being made. */
struct maglev_build {
    struct maglev *table;
    struct maglev_member *members;
    uint32_t count;
    uint32_t turn;  /* whose turn it is */
    bool has_turn;  /* it has begun to look for a slot */
    uint16_t whole; /* the credit that is worth a turn: the largest weight */
    uint32_t taken; /* slots */
};

/* Can a table have so many slots? Prime numbers can, from MAGLEV_SIZE_MIN to MAGLEV_SIZE_MAX. */
bool maglev_size_is_right(uint64_t size);

/* Begins to make a table of `count` members, each with a name of its own, in ascending order of
 * names: the order decides who comes first. None, 0, is a table of nobody. Until maglev_step has
 * returned true the table is of no use, and the members stay where they are. */
void maglev_begin(struct maglev_build *build, struct maglev *table, struct maglev_member *members,
                  uint32_t count);

/* Looks at up to `tries` slots, about as many cache lines. True when the table is made: in all that
 * takes some size * ln(size) tries. */
bool maglev_step(struct maglev_build *build, uint32_t tries);

/* The id for a hash, of which the upper 32 bits count. */
static inline uint16_t maglev_of(const struct maglev *table, uint64_t hash)
{
    return table->slots[(hash >> 32) * table->size >> 32];
}

#endif
