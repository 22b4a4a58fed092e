/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_ring_fake_test.h - a fake xenstored for tests of store_ring.c: it keeps a few nodes, and
 * answers wrongly in the ways that it is told. It runs whenever the ring waits.
 */
#ifndef BOOT_STORE_RING_FAKE_TEST_H
#define BOOT_STORE_RING_FAKE_TEST_H

#include "boot/xen/store_ring.h"

enum { RING = XENSTORE_RING_SIZE, HEADER = sizeof(struct xsd_sockmsg) };
enum { NODES = 8, ANSWER_MAX = 8192, TX = 77 };

/* The daemon: its own indices, what it reads, what it still has to write; and how it misbehaves. */
extern struct store_fake {
    uint32_t req_cons, rsp_prod;
    uint8_t request[HEADER + XENSTORE_PAYLOAD_MAX];
    uint32_t request_len;
    uint8_t output[ANSWER_MAX];
    uint32_t output_len, output_sent;
    struct {
        char path[STORE_PATH_MAX + 1], value[STORE_VALUE_MAX + 1];
    } nodes[NODES];
    uint32_t requests, notifications;
    bool deaf;         /* reads no request */
    uint32_t silent;   /* doesn't answer so many requests */
    uint32_t chunk;    /* bytes that it writes at a time; 0: as many as there is room for */
    uint32_t wrong_id; /* is added to what should be there */
    uint32_t wrong_tx, wrong_type;
    const char *error;  /* answers every request with it */
    const char *answer; /* answers every request with it */
    size_t answer_len;
    const char *token; /* sends an event of it before each answer */
} store_fake;

extern struct xenstore_domain_interface store_fake_page;

/* A new daemon, and a ring to it that waits for ever; for tests in which all answers come. */
struct store_ring *store_fake_start(void);

/* The ring waits for a short time only: for tests in which an answer doesn't come. */
struct store_ring *store_fake_start_impatient(void);

/* Queues a message, or an event, to be written next. */
void store_fake_queue(uint32_t type, uint32_t id, uint32_t tx, const void *bytes, size_t len);
void store_fake_event(const char *path, const char *token);

/* What a new ring does while it waits: lets the daemon run. */
void store_fake_wait(void *arg, uint64_t deadline_ns);

/* Writes what is queued to the ring, as far as there is room. */
void store_fake_write(void);

#endif
