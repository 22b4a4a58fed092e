/* SPDX-License-Identifier: BSD-2-Clause */
/* received_test.h - what netdev.h promises of a received packet, for the tests of all drivers. */
#ifndef NETDEV_RECEIVED_TEST_H
#define NETDEV_RECEIVED_TEST_H

#include "boot/test.h"
#include "netdev/netdev.h"

/* The packet came from a device whose info.headroom_bytes is so much. */
static inline void check_received(const struct netbuf *packet, uint32_t headroom_bytes)
{
    CHECK(packet->len >= 14 && netbuf_headroom(packet) >= headroom_bytes);
    for (const struct netbuf *nb = packet; nb; nb = nb->next) {
        CHECK(nb->len > 0 && nb->data >= nb->start &&
              nb->data + nb->len <= nb->start + nb->buf_bytes);
        CHECK(netbuf_headroom(nb) <= netbuf_pool_conf(nb->pool)->headroom_bytes);
    }
}

#endif
