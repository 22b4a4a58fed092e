/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost.h - the back end of one vhost-user socket with one pair of queues, on DPDK's vhost library.
 *
 * It calls the library itself, and not through an Ethernet port of DPDK: such a port takes and
 * frees a packet buffer for each frame that is sent, and asks the library for more frames than
 * there are, each of which takes and frees a buffer, too. And the frames' cache lines, which are
 * with the other core, are fetched for a whole burst at once.
 */
#ifndef KVLOAD_VHOST_H
#define KVLOAD_VHOST_H

#include <stdbool.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;

/* Listens on the socket, after EAL's start. False if that fails; the library tells why. One a
 * process. */
bool vhost_listen(const char *path);

/* Takes frames that the front end has sent, at most max, into buffers from the pool, which the
 * caller frees. */
uint32_t vhost_receive(struct rte_mempool *pool, struct rte_mbuf **in, uint32_t max);

/* Fetches the memory that the next n frames will be written to. */
void vhost_expect(uint32_t n);

/* Sends frames; the buffers remain the caller's. Returns how many found room. */
uint32_t vhost_send(struct rte_mbuf **out, uint32_t n);

#endif
