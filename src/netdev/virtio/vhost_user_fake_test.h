/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_user_fake_test.h - a vhost-user back end in a thread of its own, for unit tests on linux.
 * It keeps to the rules until it is told not to, and only notes what it sees: a test looks at that
 * when an acknowledged request is done, or when the thread has ended.
 */
#ifndef NETDEV_VHOST_USER_FAKE_TEST_H
#define NETDEV_VHOST_USER_FAKE_TEST_H

#include "boot/test.h"
#include "netdev/virtio/vring.h" /* before the headers that include Linux's idea of a ring */

#include <pthread.h>

#include <linux/vhost_types.h>

enum { BACK_END_NEVER = -1, BACK_END_LOG = 128, BACK_END_RINGS = 4 };

/* How it breaks the rules, at the request whose number is `bad_at`. */
enum back_end_manner {
    CLOSES,
    SILENT,
    HALF,
    TOO_LONG,
    HUGE,
    OTHER_REQUEST,
    NO_REPLY_FLAG,
    VERSION_2,
    REFUSES,
    BACK_END_MANNERS
};

struct back_end_message {
    uint32_t request, flags, size;
    union {
        uint64_t u64;
        struct vhost_vring_state state;
        struct vhost_vring_addr addr;
        uint64_t table[5]; /* count, guest address, size, user address, offset */
    } payload;
} __attribute__((packed));

struct back_end {
    /* What it is told. */
    uint64_t features, extensions, pairs;
    int bad_at; /* from 0 */
    enum back_end_manner manner;
    uint32_t refuses; /* requests of this kind */
    bool drops_features_ok;
    bool needs_reset;
    bool keeps_call; /* takes the descriptor for interrupts */
    /* What it saw. */
    struct back_end_message log[BACK_END_LOG];
    bool had_fd[BACK_END_LOG];
    int requests;
    bool was_bad;          /* a reply was not as it should be */
    bool was_kicked_early; /* before the status was DRIVER_OK */
    uint64_t status;
    uint8_t *memory; /* its own mapping of ours */
    uint64_t memory_len;
    int kick[BACK_END_RINGS];
    int call; /* of the first receive queue */
    /* Its place. */
    char path[64];
    int listener, connection;
    pthread_t thread;
};

extern struct back_end back_end;

/* Keeps to the rules from here on, and has seen nothing; its offers are for the test to set. */
void back_end_reset(void);

/* Starts it: it listens at back_end.path. */
void back_end_listen(void);

/* It goes away, as if it were killed. */
void back_end_kill(void);

#endif
