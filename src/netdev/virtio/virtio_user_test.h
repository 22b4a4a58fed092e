/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_user_test.h - the vhost-user front end under test and its device, for the files that test
 * it beside the back end of vhost_user_fake_test.h.
 *
 * A test begins with user_begin, opens the device, and ends with user_finish.
 */
#ifndef NETDEV_VIRTIO_USER_TEST_H
#define NETDEV_VIRTIO_USER_TEST_H

#include "netdev/virtio/vhost_user_fake_test.h"
#include "netdev/virtio/virtio_fake_test.h"
#include "netdev/virtio/virtio_user.h"

enum { USER_TEST_DESCS = 16 }; /* of each ring */

extern struct virtio_user user_front;
extern struct virtio_net user_net;
extern struct netdev *const user_dev;

void user_begin(void);
int user_open_pairs(uint16_t pairs);
int user_open(void); /* one pair */

/* Sends a packet whose bytes count up from `first`. */
void user_send_packet(uint8_t first);

/* The first packet sent since the start is in the back end's ring, byte for byte. */
void user_check_first_packet(void);

/* Ends all and checks that no buffer and no descriptor is left over. */
void user_finish(void);

#endif
