/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * losses.h - where requests without an answer may have gone: what the kernel of this machine and
 * the server count. UDP loses what a buffer on the way has no room for, and nobody says so.
 */
#ifndef KVLOAD_LOSSES_H
#define KVLOAD_LOSSES_H

#include "port.h"

#include <stdio.h>

struct report;

/* Since kvload's start. */
struct losses {
    uint64_t own;     /* answers that found no room in our sockets */
    uint64_t servers; /* requests that found none in the server's, if that is on this machine */
    uint64_t errors;  /* that our sockets reported, such as ICMP's, and the last of them */
    int error;
};

/* Notes what the server's sockets have lost by now, if it is on this machine. Before anything is
 * sent. */
void losses_begin(const struct options *options, const struct port *port);

/* Adds what a port has counted, and sets what the server's sockets lost since losses_begin. */
void losses_add(struct losses *losses, const struct options *options, struct port *port);

/* Says how many requests timed out, how late the latest answer came, what was lost where, and what
 * to do about it. */
void losses_tell(FILE *file, const struct report *report);

/* The same as fields of an object that has others before. */
void losses_json(FILE *file, const struct report *report);

#endif
