/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.h - what the server's step alone costs, in cycles a request: server_burst over requests
 * made by hand, without a device. For `udpkv.bench=`; README.md tells how to read it.
 */
#ifndef UDPKV_BENCH_H
#define UDPKV_BENCH_H

#include "apps/udpkv/server.h"

/* Fills the store with `keys` items by the first server, then measures all servers at once, one on
 * each core; prints a line of CSV for each round and core. Returns an exit code: 1 if an answer was
 * wrong. */
int bench_run(struct server *const servers[], uint64_t keys);

#endif
