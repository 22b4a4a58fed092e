/* SPDX-License-Identifier: BSD-2-Clause */
/* balancer_test.h - a balancer with back ends, for the tests of its parts. */
#ifndef BALANCER_BALANCER_TEST_H
#define BALANCER_BALANCER_TEST_H

#include "apps/balancer/balancer.h"
#include "boot/test.h"

enum {
    OUR_IP = 0x0a000001,
    VIP = 0x0a000064,
    CLIENT_IP = 0x0a000032,
    BACKEND_IP = 0x0a00000a, /* the first one's; the others' follow */
    BACKENDS = 4,
    PORT = 11211,
    CONTROL_PORT = 900,
};

#define SECOND_NS 1000000000ull

extern struct balancer lb;
extern struct netbuf_pool *balancer_pool;
extern uint64_t balancer_now_ns;

/* A balancer of the service VIP:PORT/udp with BACKENDS back ends, all up, and a table of them. */
void balancer_begin(enum balancer_way way);

/* The same, and nobody has been asked yet. */
void balancer_begin_cold(enum balancer_way way);

void balancer_build_table(void);

/* A host that a test speaks for: a client, a back end. */
struct balancer_host {
    struct inet inet;
    uint8_t mac[ETH_MAC_BYTES];
};

void balancer_host_init(struct balancer_host *host, uint32_t ip, uint8_t mac_end);

/* A datagram of `len` bytes of host's to the balancer's MAC address. */
struct netbuf *balancer_datagram(struct balancer_host *host, uint32_t to, uint16_t from_port,
                                 uint16_t to_port, const void *payload, uint32_t len);

/* Gives the balancer one packet. NULL if it sends nothing, else what it sends. */
struct netbuf *balancer_give(struct netbuf *nb);

/* Sends a command from the client's address; its answer, a text that the next call overwrites. */
const char *balancer_command(const char *command);

#endif
