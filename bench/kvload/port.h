/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port.h - a way to the server: bursts of UDP payloads there and back. One thread uses a port.
 *
 *     n = port->receive(port, in);   look at in[0] to in[n - 1];   port->release(port);
 *     n = port->prepare(port, out, wanted);   fill all of out[0] to out[n - 1];
 *     port->send(port, out, n);
 */
#ifndef KVLOAD_PORT_H
#define KVLOAD_PORT_H

#include "options.h"

enum {
    PORT_BURST = 64,
    PORT_PAYLOAD = 1440, /* room for a request in a frame */
};

struct datagram {
    uint8_t *bytes;
    uint32_t len;
    uint16_t client; /* 0 to options.clients - 1: of which UDP port of ours */
};

struct port {
    /* What came, at most PORT_BURST; 0 at once if nothing did. Good until release. */
    uint32_t (*receive)(struct port *port, struct datagram *in);
    void (*release)(struct port *port);
    /* Gives n buffers with room for the options' largest request, or 0 to say: not now. n is at
     * most PORT_BURST. */
    uint32_t (*prepare)(struct port *port, struct datagram *out, uint32_t n);
    /* Sends what prepare gave, with len and client set, wholly. What the way is too narrow for is
     * sent later, or lost. */
    void (*send)(struct port *port, struct datagram *out, uint32_t n);
    /* Sleeps until something comes, or for about a millisecond. NULL: doesn't. */
    void (*wait)(struct port *port);
    /* How many datagrams have found no room in our sockets. NULL: that isn't known. */
    uint64_t (*no_room)(struct port *port);
    uint64_t foreign;    /* datagrams that came and are none of ours */
    uint64_t errors;     /* that the sockets reported, such as ICMP's */
    int error;           /* the last of them, as errno has it */
    bool server_is_here; /* on this machine: its sockets can be asked, too */
};

/* Each ends the program with 3 and a sentence if it can't be opened. */
struct port *port_open_socket(const struct options *options);
struct port *port_open_dpdk(const struct options *options);

#endif
