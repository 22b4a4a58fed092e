/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netback_fake_test.h - a back end for netfront, in domain 3 of the fake Xen: for unit tests.
 *
 * It takes the steps of the handshake by itself, as soon as the store changes; packets move only by
 * a test's calls of netback_send and netback_take. The switches make it break the protocol. It
 * touches pages only through grants; a test fails if a page that it needs isn't granted.
 */
#ifndef NETDEV_NETBACK_FAKE_TEST_H
#define NETDEV_NETBACK_FAKE_TEST_H

#include "netdev/netfront/netfront.h"
#include "netdev/netfront/xen_fake_test.h"

enum {
    FAKE_BACK = 3, /* the back end's domain, and another one's */
    FAKE_OTHER_BACK = 4,
    FAKE_POOL = 256, /* buffers of each pool */
};

/* What it does when it should take a step of the handshake. */
enum netback_manner { NETBACK_FINE, NETBACK_SILENT, NETBACK_CLOSES, NETBACK_GOES };

struct netback_queue {
    struct netif_tx_sring *tx;
    struct netif_rx_sring *rx;
    uint32_t tx_ref, rx_ref, tx_port, rx_port;
    uint32_t tx_cons, rx_cons; /* requests taken */
    uint32_t tx_rsp, rx_rsp;   /* responses made */
};

struct netback {
    struct netback_queue queues[NETDEV_MAX_QUEUE_PAIRS];
    uint32_t queues_count;
    bool connected;
    uint32_t connections;
    uint16_t domid;
    uint32_t vif;
    /* What it does when it has seen Initialising, Connected, Closing, Closed. */
    enum netback_manner init_wait, connect, closing, close;
    bool keeps_pages;   /* doesn't unmap the pages that it mapped */
    bool frees_closing; /* unmaps them when it sees Closing, and not if Closed comes at once */
};

extern struct netback netback;
extern struct netfront fake_front;
extern struct netdev *const fake_vif;

/* One piece that goes to the front end, or came from it; or a slot of extra info. */
struct netback_slot {
    uint16_t flags, offset;
    int16_t status; /* to the front end: bytes, or an error */
    uint16_t size;  /* from it */
    uint16_t id;
    uint32_t ref;
};

/* A domain whose vif 0 has a healthy back end with all features; the device just found. */
void netback_begin(void);

/* Takes the step that the front end's state asks for. */
void netback_react(void);

/* The toolstack's part: makes the nodes of the vif, and removes them. */
void netback_attach(uint16_t domid, uint32_t vif);
void netback_detach(void);

/* Sets one of its nodes: a feature. */
void netback_say(const char *name, const char *value);

/* Stops it if it runs, and checks that every buffer, grant and port is back. */
void netback_end(void);

/* 4096-byte buffers with a headroom of 64, and 512-byte ones with 128. */
struct netbuf_pool *fake_pages(void);
struct netbuf_pool *fake_small(void);

/* Configures, sets up and starts, with all offloads. */
int netback_start(uint16_t queue_pairs, uint16_t descs);

/* Sends a frame of len bytes that count up from `first`, all in one slot, with these flags. False
 * if there is no request for it. */
bool netback_send(uint32_t q, uint8_t first, uint16_t len, uint16_t flags);

/* Answers the next receive request: bytes that count up from `first`, as the slot says. False if
 * there is none. netback_send_extra answers with extra info in its place. */
bool netback_answer(uint32_t q, uint8_t first, struct netback_slot slot);
bool netback_send_extra(uint32_t q, uint8_t type, uint8_t flags);

/* The next receive request's slot as it would be answered rightly; false if there is none. */
bool netback_next(uint32_t q, struct netback_slot *slot);

/* Takes the next transmit request; false if there is none. netback_done answers one. */
bool netback_take(uint32_t q, struct netback_slot *slot);
void netback_done(uint32_t q, uint16_t id, int16_t status);

/* Takes a whole packet, answers its requests and copies it to `frame`. Returns its length; 0 if
 * there is none. *flags are the first request's. */
uint32_t netback_sent(uint32_t q, uint8_t frame[65536], uint16_t *flags);

/* Publishes responses, and sends an event if the front end wants one. */
void netback_publish_rx(uint32_t q);
void netback_publish_tx(uint32_t q);

/* A packet of len bytes that count up from `first`. */
struct netbuf *fake_count_up(struct netbuf_pool *pool, uint8_t first, uint16_t len);
bool fake_counts(const uint8_t *bytes, uint8_t first, uint32_t len);

/* Looks at the link as if so much time had passed that the next look is a try. */
bool fake_vif_link_up(void);

/* Packets go both ways on each queue, as many as its rings hold. */
void netback_check_traffic(uint32_t descs);

/* A counter of queue 0. */
uint64_t fake_drops_rx(enum netdev_drop reason);
uint64_t fake_drops_tx(enum netdev_drop reason);

#endif
