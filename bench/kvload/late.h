/* SPDX-License-Identifier: BSD-2-Clause */
/* late.h - answers to requests that were given up: each may still come, and once only. */
#ifndef KVLOAD_LATE_H
#define KVLOAD_LATE_H

#include <stdbool.h>
#include <stdint.h>

struct datagram;
struct load;
struct load_slot;

/* By a request's id. */
struct late {
    uint64_t sent; /* cycles; 0: it wasn't given up, or its answer has come */
    uint64_t seen; /* a bit for each part of the answer that has come */
};

/* The slot's request is given up, or a part of its answer was wrong and others may follow. */
void late_expect(struct load *load, const struct load_slot *slot);

/* Takes a datagram that belongs to no request that waits. False: nor to one that was given up. */
bool late_take(struct load *load, const struct datagram *in, uint64_t now);

#endif
