/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_user.h - a virtio transport to another process of the same host: the front end of
 * vhost-user. Only on linux. The back end, such as DPDK's net_vhost, listens on a UNIX socket, gets
 * the platform's memory to map, and serves the rings in it.
 */
#ifndef NETDEV_VIRTIO_USER_H
#define NETDEV_VIRTIO_USER_H

#include "netdev/virtio/vhost_user.h"
#include "netdev/virtio/virtio.h"

/* Registers the network device behind the socket at `path`, which must stay. It has the address
 * `mac`, or a random one if that is NULL. Ends the image, as boot_misconfigured
 * does, if nobody listens there, and by a panic if who listens doesn't answer as a back end. */
void virtio_user_add(const char *path, const uint8_t mac[6]);

enum { VIRTIO_USER_QUEUES = 16 }; /* receive and transmit queues of 8 pairs */

struct virtio_user {
    struct virtio_transport base;
    const char *path;
    struct vhost_user link;
    uint8_t status;
    uint8_t mac[6];
    bool has_mac;        /* else the driver makes one */
    bool has_extensions; /* the back end knows protocol features */
    uint64_t extensions; /* those in use */
    uint64_t offered;    /* features of the back end */
    uint64_t features;   /* taken by it */
    uint32_t queues;     /* that it has */
    uint64_t ask_ns;     /* when it is asked next whether it needs a reset */
    int kick[VIRTIO_USER_QUEUES];
    int call[VIRTIO_USER_QUEUES]; /* where a queue's interrupts come; -1: never wanted as yet. Kept
                                     for good: boot_wait may wait for it while there is no back end
                                   */
};

_Static_assert(offsetof(struct virtio_user, base) == 0, "cast from a virtio_transport");

/* Makes *u a transport to the back end that listens at `path`, a text that must stay. Connects when
 * the device is acknowledged. */
void virtio_user_attach(struct virtio_user *u, const char *path);

/* Connects, unless that is done: NULL, or the reason why it can't be. */
const char *virtio_user_connect(struct virtio_user *u);

#endif
