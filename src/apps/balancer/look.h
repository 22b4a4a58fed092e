/* SPDX-License-Identifier: BSD-2-Clause */
/* look.h - what a received packet is to the balancer. Nothing is changed, and nobody waits. */
#ifndef BALANCER_LOOK_H
#define BALANCER_LOOK_H

#include "apps/balancer/balancer.h"
#include "netbuf/udp.h"

/* What a packet is to us. */
enum look_kind {
    LOOK_HOST,   /* the host's own */
    LOOK_FLOW,   /* of a flow to a service */
    LOOK_ANSWER, /* of a back end to a client */
    LOOK_DROP,
};

/* A packet as it was looked at. */
struct look {
    enum look_kind kind;
    struct eth_header *eth;
    struct ipv4_header *ip;
    struct udp_header *ports; /* of TCP only its ports */
    uint64_t addresses, rest; /* what makes the flow */
    struct flow_place place;
    const struct balancer_service *service; /* with nat, or LOOK_FLOW */
};

/* Looks at a packet, counts it if it is dropped, and prefetches where its flow would be. */
void look_at(struct look *look, struct balancer *lb, struct netbuf *nb);

#endif
