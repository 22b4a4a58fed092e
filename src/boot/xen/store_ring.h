/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_ring.h - the protocol spoken with xenstored over a ring page (Xen's io/xs_wire.h and
 * docs/misc/xenstore.txt). It knows nothing of hypercalls, so that tests can put a fake daemon at
 * the other end; boot/xen.h, which the functions here follow name by name, tells what they do.
 *
 *      requests: we write at req_prod      answers: the daemon writes at rsp_prod
 *                the daemon reads at req_cons       we read at rsp_cons
 *
 * Both directions are streams of messages: a header of 16 bytes and at most 4096 more. One request
 * is under way at a time. A message for nobody, such as an answer that comes after its deadline or
 * the event of a watch that is gone, is dropped and counted. After an index or a length that can't
 * be there is no telling where a message starts: then the ring is broken, and every call says
 * STORE_EPROTO.
 */
#ifndef BOOT_STORE_RING_H
#define BOOT_STORE_RING_H

#include "boot/xen.h" /* first: Xen's headers use its types without asking for them */

#include <xen/io/xs_wire.h>

struct store_ring {
    /* Set before store_ring_start: */
    struct xenstore_domain_interface *page;
    void (*notify)(void *arg);                     /* tells the daemon to look at the ring */
    void (*wait)(void *arg, uint64_t deadline_ns); /* until it tells us; may return early */
    void *arg;
    uint64_t timeout_ns; /* how long a call waits for its answer */

    /* To be read: */
    uint64_t dropped; /* messages for nobody */
    bool broken;

    /* Private. Our two indices: what the page says of them is never read back. */
    bool connected; /* the daemon to the ring; once it is, it stays so until the next start */
    uint32_t req_prod, rsp_cons;
    uint32_t req_id;
    bool waiting, answered; /* for req_id's answer */
    uint32_t out_len, out_sent, in_len;
    union {
        struct xsd_sockmsg header;
        uint8_t bytes[sizeof(struct xsd_sockmsg) + STORE_PATH_MAX + 1 + STORE_VALUE_MAX];
    } out;
    union {
        struct xsd_sockmsg header;
        uint8_t bytes[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
    } in;
    uint16_t watches, fired;                                /* a bit each */
    char watch_path[STORE_WATCHES_MAX][STORE_PATH_MAX + 1]; /* to take it back */
};

/* At start, and on a new page: everything that was before is forgotten. If the page tells that the
 * daemon isn't connected to it yet, each call waits for that, too, as long as for its answer. */
void store_ring_start(struct store_ring *ring);

int store_ring_read(struct store_ring *ring, uint32_t tx, const char *path, char *value,
                    size_t size);
int store_ring_write(struct store_ring *ring, uint32_t tx, const char *path, const char *value);
int store_ring_remove(struct store_ring *ring, uint32_t tx, const char *path);
int store_ring_list(struct store_ring *ring, uint32_t tx, const char *path, char *names,
                    size_t size);
int store_ring_begin(struct store_ring *ring, uint32_t *tx);
int store_ring_end(struct store_ring *ring, uint32_t tx, bool commit);
int store_ring_watch(struct store_ring *ring, const char *path);
void store_ring_unwatch(struct store_ring *ring, int watch);
bool store_ring_watch_fired(struct store_ring *ring, int watch);
void store_ring_wait(struct store_ring *ring, uint64_t deadline_ns);

#endif
