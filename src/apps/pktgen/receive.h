/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * receive.h - what becomes of received packets: counted by their numbers, timed, freed. A pure step
 * over buffers.
 */
#ifndef PKTGEN_RECEIVE_H
#define PKTGEN_RECEIVE_H

#include "apps/pktgen/account.h"
#include "apps/pktgen/histogram.h"
#include "apps/pktgen/packet.h"
#include "netbuf/netbuf.h"

struct receive {
    bool numbered;       /* look for numbers */
    bool timed;          /* and for times: the packets are our own, which came back */
    uint64_t unnumbered; /* packets without a stamp */
    struct account accounts[PACKET_STREAMS];
    struct histogram latency; /* in cycles, of packets that came for the first time */
};

/* Takes n packets that came at `now`, in cycles, and frees them. */
void receive_burst(struct receive *r, struct netbuf **packets, uint32_t n, uint64_t now);

#endif
