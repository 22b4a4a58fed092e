/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.h - what the server's step alone costs, in cycles a request: server_burst over requests
 * made by hand, without a device. For `udpkv.bench=`; README.md tells how to read it.
 */
#ifndef UDPKV_BENCH_H
#define UDPKV_BENCH_H

#include "apps/udpkv/server.h"

/* What is measured, as numbers. */
enum bench_number {
    BENCH_KEYS,  /* 0: nothing is */
    BENCH_VALUE, /* bytes of each */
    BENCH_SETS,  /* of a hundred requests; the others are gets */
    BENCH_BURST, /* requests at once */
    BENCH_NUMBERS
};

enum { BENCH_MAX_BURST = 64 };

/* Fills the store by the first server, then measures all servers at once, one on each core, and
 * after that a pointer chase through the store's memory; prints a line of CSV for each round and
 * core. Returns an exit code: 1 if an answer was wrong. */
int bench_run(struct server *const servers[], const uint32_t wanted[BENCH_NUMBERS]);

#endif
