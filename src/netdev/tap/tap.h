/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap.h - a network device that is a tap interface of this host: for developing without a back end.
 * Only on linux. One queue pair, a system call for each frame, no offloads.
 *
 *     app                tap_linux.c                kernel, another process
 *     netdev_rx_burst    readv, a frame a call   <--  what leaves the host by the interface
 *     netdev_tx_burst    write, a frame a call   -->  what the host receives there
 *     boot_wait          ppoll on the same file
 *     netdev_recover     is it there, is it up?       ip link set ... up, ip link del ...
 *
 * The interface has one end in the host, with the address that `ip link` shows, and one here, with
 * an address of its own.
 */
#ifndef NETDEV_TAP_H
#define NETDEV_TAP_H

#include "netdev/netdev.h"

#define TAP_NAME_SIZE 16 /* IFNAMSIZ, with the closing zero */

enum tap_state {
    TAP_GONE, /* the interface was deleted */
    TAP_DOWN,
    TAP_UP
};

struct tap;

/* How the driver asks for its interface; unit tests have another one. */
struct tap_port {
    enum tap_state (*look)(const struct tap *tap);
    /* Attaches tap->fd to the interface, if there is one again: 0, or an errno; ENODEV: there is
     * none. */
    int (*attach_again)(const struct tap *tap);
};

struct tap_queue {
    struct netdev_queue base;
    struct tap *tap;
};

struct tap {
    struct netdev base;
    const struct tap_port *port;
    char name[TAP_NAME_SIZE];
    int fd;      /* each read and write is a frame; doesn't block */
    int control; /* a socket, for questions about the interface */
    uint8_t mac[6];
    uint16_t mtu_bytes, mtu_max_bytes;
    bool lost; /* the interface has gone, and that was told */
    int told;  /* the errno because of which it couldn't be attached to last, which was told, too */
    struct tap_queue rx, tx;
    struct netbuf_pool *pool; /* of the receive queue */
    struct netbuf *next;      /* is received into next; NULL: the pool had none, or not started */
};

/* Registers a device that is the tap interface `name`, made now if there is none. It has the
 * address `mac`, or a random one if that is NULL. Ends the image, as boot_misconfigured
 * does, with what to do if it can't be had. */
void tap_add(const char *name, const uint8_t mac[6]);

/* NULL if an interface can have that name, or what a good one looks like. */
const char *tap_check_name(const char *name);

/* For tap_add and tests: fills in *tap. `fd` and `control` must be there when it is used. */
void tap_init(struct tap *tap, const struct tap_port *port, const char *name, const uint8_t mac[6]);

/* Takes the interface's MTU, as far as a buffer goes. */
void tap_limit_mtu(struct tap *tap, uint32_t mtu_bytes);

#endif
