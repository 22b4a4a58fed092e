/* SPDX-License-Identifier: BSD-2-Clause */
/* reflect.h - the step: received packets in, packets to send out. It knows no device, so it runs
 * unchanged in an image and in a unit test. */
#ifndef REFLECT_REFLECT_H
#define REFLECT_REFLECT_H

#include "netbuf/inet.h"

/* Why a datagram wasn't sent back. */
enum reflect_drop {
    REFLECT_DROP_PORT,  /* for another port */
    REFLECT_DROP_LOOP,  /* from our own port: two reflectors would send it to and fro for ever */
    REFLECT_DROP_LARGE, /* its answer wouldn't fit one packet */
    REFLECT_DROP_REASONS
};

extern const char *const reflect_drop_names[REFLECT_DROP_REASONS];

struct reflect {
    struct inet inet;
    uint64_t port; /* UDP port that is served */
    uint64_t drops[REFLECT_DROP_REASONS];
};

/* Makes packets[0] to packets[n - 1] answers where they want one, moves these to the front and
 * frees the others. Returns how many are to be sent. */
uint32_t reflect_burst(struct reflect *reflect, struct netbuf **packets, uint32_t n);

#endif
