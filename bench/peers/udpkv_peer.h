/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udpkv_peer.h - udpkv's server (src/apps/udpkv, the same objects) as a process on other ways to
 * packets than ours: what udpkv_sockets.c and udpkv_dpdk.c share. Both are apps of PLAT=linux in
 * all but their network.
 */
#ifndef BENCH_UDPKV_PEER_H
#define BENCH_UDPKV_PEER_H

#include "apps/udpkv/server.h"

/* Sets up the server and its store, by the keys udpkv.port and udpkv.mem; it answers everybody. */
void peer_start(struct server *server, struct netbuf_pool *pool, const uint8_t mac[6],
                bool csum_offload);

/* Seconds since 1970, for server_burst. */
uint32_t peer_now_s(void);

extern uint64_t peer_port;

/* For a loop that polls: its cycles in turns that had packets, and in all. */
extern uint64_t peer_cycles_busy, peer_cycles_total;

#endif
