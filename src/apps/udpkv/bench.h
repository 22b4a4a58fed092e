/*
 * bench.h - what the server's step alone costs, in cycles a request: server_burst over requests
 * made by hand, without a device. For `udpkv.bench=`; README.md tells how to read it.
 */
#ifndef UDPKV_BENCH_H
#define UDPKV_BENCH_H

#include "apps/udpkv/server.h"

/* Fills the server's store with `keys` items, then measures; prints a line of CSV for each round.
 * Returns an exit code: 1 if an answer was wrong. */
int bench_run(struct server *measured, uint64_t keys);

#endif
