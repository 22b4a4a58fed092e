/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_user.h - the messages of vhost-user (QEMU's docs/interop/vhost-user), as its front end
 * sends them: a request over a UNIX socket, with a file descriptor if need be, and its reply. What
 * they mean is in virtio_user_linux.c. Only on linux.
 *
 * Nothing that the other side does keeps us longer than netdev_control_timeout_ns, or three times
 * that for the first answer on a connection. A reply must be exactly what was asked for; if it
 * isn't, or doesn't come, the connection is closed.
 */
#ifndef NETDEV_VHOST_USER_H
#define NETDEV_VHOST_USER_H

#include "boot/lib.h"

enum vhost_user_request {
    VHOST_USER_GET_FEATURES = 1,
    VHOST_USER_SET_FEATURES = 2,
    VHOST_USER_SET_OWNER = 3,
    VHOST_USER_SET_MEM_TABLE = 5,
    VHOST_USER_SET_VRING_NUM = 8,
    VHOST_USER_SET_VRING_ADDR = 9,
    VHOST_USER_SET_VRING_BASE = 10,
    VHOST_USER_GET_VRING_BASE = 11,
    VHOST_USER_SET_VRING_KICK = 12,
    VHOST_USER_SET_VRING_CALL = 13,
    VHOST_USER_GET_PROTOCOL_FEATURES = 15,
    VHOST_USER_SET_PROTOCOL_FEATURES = 16,
    VHOST_USER_GET_QUEUE_NUM = 17,
    VHOST_USER_SET_VRING_ENABLE = 18,
    VHOST_USER_SET_STATUS = 39,
    VHOST_USER_GET_STATUS = 40,
};

enum { VHOST_USER_PAYLOAD_MAX = 40 }; /* bytes, of the requests above */

struct vhost_user {
    int socket;                     /* -1: not connected */
    bool answered;                  /* since it is connected */
    bool acks;                      /* requests that set something are acknowledged (REPLY_ACK) */
    enum vhost_user_request polled; /* an answer to this comes before all others; 0: none does */
};

/* Connects to the back end that listens at `path`. NULL, or why that can't be: a static text. */
const char *vhost_user_connect(struct vhost_user *v, const char *path);

/* Closes the connection, if there is one. */
void vhost_user_close(struct vhost_user *v);

/* True if there is a connection; closes it if the other side has. One system call. */
bool vhost_user_connected(struct vhost_user *v);

/* A request that asks for something: its reply must have reply_len bytes. False, with the
 * connection closed, if it wasn't answered so. */
bool vhost_user_get(struct vhost_user *v, enum vhost_user_request request, const void *payload,
                    uint32_t len, void *reply, uint32_t reply_len);

/* Asks for a number without waiting for it. True if the answer to the last such request is there:
 * *value. Else one is sent, unless one is under way. */
bool vhost_user_poll_u64(struct vhost_user *v, enum vhost_user_request request, uint64_t *value);

/* A request that sets something, with the descriptor `fd` unless that is -1. False if the other
 * side refuses, as far as it can tell us, or if the connection is closed. */
bool vhost_user_set(struct vhost_user *v, enum vhost_user_request request, const void *payload,
                    uint32_t len, int fd);

/* The same, for a number of 64 bits. */
bool vhost_user_get_u64(struct vhost_user *v, enum vhost_user_request request, uint64_t *value);
bool vhost_user_set_u64(struct vhost_user *v, enum vhost_user_request request, uint64_t value,
                        int fd);

#endif
