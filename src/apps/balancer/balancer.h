/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * balancer.h - the step: received packets in, packets to send out. It knows no device, so it runs
 * unchanged in an image and in a unit test.
 *
 * A packet for a service goes to the back end that its flow has, or gets one: flows.h, then the
 * table of backends.h. How it gets there:
 *
 *     direct   its Ethernet destination becomes the back end's. The back end has the service's
 *              address, too, without announcing it, and answers by itself (IPVS calls it direct
 *              routing). The packet is left as it was.
 *     nat      its IP destination becomes the back end's, and the answer, which comes back through
 *              the balancer, gets the service's address as its source. Checksums are mended, not
 *              made anew (RFC 1624).
 *
 * A host of ours answers to the MAC address that asked, which is the balancer's: then direct's
 * answers come back through it, too. An answer goes to the MAC address that the client's packets
 * came from, as answers of a host do.
 *
 * All else is the host's (inet.h): ARP, pings, answers of back ends to health's questions, control.
 */
#ifndef BALANCER_BALANCER_H
#define BALANCER_BALANCER_H

#include "apps/balancer/backends.h"
#include "apps/balancer/flows.h"
#include "netbuf/inet.h"

enum {
    BALANCER_BURST = 32,
    BALANCER_SERVICES = 16,
    BALANCER_ALLOWED = 16, /* networks */
    BALANCER_CHECK_BYTES = 64,
    BALANCER_RESOLVE_NS = 100000000, /* between two looks for a MAC address, if nobody is asked */
    BALANCER_CLIENTS = 1 << 14,      /* whose MAC addresses are known */
    IPV4_PROTOCOL_TCP = 6,
};

/* Why a packet wasn't passed on. */
enum balancer_drop {
    BALANCER_DROP_LONG,       /* it lies in more than one buffer */
    BALANCER_DROP_SHORT,      /* its ports are cut off */
    BALANCER_DROP_FRAGMENT,   /* part of a datagram: the ports are in the first one only */
    BALANCER_DROP_TTL,        /* nat: its time to live is over */
    BALANCER_DROP_NO_BACKEND, /* nobody is up, or not in the table yet */
    BALANCER_DROP_NO_MAC,     /* the back end didn't answer ARP yet */
    BALANCER_DROP_NO_CLIENT,  /* an answer to somebody who didn't ask */
    BALANCER_DROP_PORT,       /* for the balancer itself, and no port of its own */
    BALANCER_DROP_DENIED,     /* control, from no allowed network */
    BALANCER_DROP_REASONS
};

extern const char *const balancer_drop_names[BALANCER_DROP_REASONS];

enum balancer_way { BALANCER_DIRECT, BALANCER_NAT };

struct balancer_service {
    uint32_t ip;
    uint16_t port;
    uint8_t protocol; /* IPV4_PROTOCOL_UDP or _TCP */
};

struct balancer_check {
    uint64_t every_ns;           /* 0: nobody is asked, all are up */
    uint32_t down_after;         /* misses in a row */
    uint32_t up_after;           /* answers in a row */
    uint16_t port;               /* of back ends */
    uint32_t ask_len, begin_len; /* bytes of the question, and of what the answer begins with */
    uint8_t ask[BALANCER_CHECK_BYTES], begin[BALANCER_CHECK_BYTES];
};

struct balancer_conf {
    uint8_t mac[ETH_MAC_BYTES];
    struct ipv4_prefix ip;
    uint32_t gateway;
    enum balancer_way way;
    uint32_t service_count, allow_count;
    struct balancer_service services[BALANCER_SERVICES];
    struct balancer_check check;
    uint16_t control_port;                      /* 0: there is none */
    struct ipv4_prefix allow[BALANCER_ALLOWED]; /* who may control; nobody else */
    uint64_t drain_ns;                          /* how long drained ones may keep flows */
    uint64_t flows;
    uint32_t idle_s, table_size;
    bool keeps_last;
    uint64_t seed; /* boot_random() */
};

/* Who asked, and from where. */
struct balancer_client {
    uint32_t ip;
    uint8_t mac[ETH_MAC_BYTES];
};

struct balancer {
    struct balancer_conf conf;
    struct inet inet;
    struct flows flows;
    struct backends backends;
    struct balancer_client *clients; /* BALANCER_CLIENTS, by a hash of the address */
    uint64_t drops[BALANCER_DROP_REASONS];
    uint64_t passed, answers, checks, commands;
    uint32_t check_next; /* index in backends.order: whom health looks at next */
    uint64_t nonce;
};

/* Sets up *lb. False if there isn't enough memory. Whether services can be what they are is
 * services_problem's to say. */
bool balancer_init(struct balancer *lb, const struct balancer_conf *conf);

/* NULL, or what is wrong with conf's services, for the console. */
const char *balancer_services_problem(const struct balancer_conf *conf);

/* Passes on packets[0] to packets[n - 1], n up to BALANCER_BURST, or answers them; moves what is to
 * be sent to the front and frees the others. Returns how many are to be sent. now_ns is clock_ns().
 */
uint32_t balancer_burst(struct balancer *lb, struct netbuf **packets, uint32_t n, uint64_t now_ns);

/* Now and then, a few times a second at least: drains and forgets. */
void balancer_tick(struct balancer *lb, uint64_t now_ns);

/* --- the parts of it ------------------------------------------------------------------------- */

/* health.c: makes the fresh buffer nb the question for the next back end whose time has come, and
 * returns true: call it again then. */
bool health_ask(struct balancer *lb, uint64_t now_ns, struct netbuf *nb);

/* A datagram from a back end's checked port. False if it isn't what was asked for. */
bool health_answer(struct balancer *lb, const struct inet_udp *udp);

/* control.c: runs a command of `len` bytes and writes its answer of at most `room` bytes. Returns
 * the answer's length. */
uint32_t control_run(struct balancer *lb, const char *command, uint32_t len, char *answer,
                     uint32_t room, uint64_t now_ns);

#endif
