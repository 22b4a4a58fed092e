/*
 * virtio_fake_test.h - a virtio-net device in memory, behind the transport table: for unit tests.
 *
 * It does nothing by itself, but for commands: a test plays the device's part with fake_receive,
 * fake_sent and, to break the protocol, fake_take and fake_use. The switches make it a bad device.
 */
#ifndef NETDEV_VIRTIO_FAKE_TEST_H
#define NETDEV_VIRTIO_FAKE_TEST_H

#include "boot/test.h"
#include "netdev/virtio_net.h"

enum { FAKE_QUEUES = 3, FAKE_POOL = 512, FAKE_SMALL_POOL = 128, FAKE_SMALL_BUF = 256 };

struct fake_queue {
    struct virtio_queue_place place;
    bool enabled;
    uint16_t avail_idx, used_idx; /* the device's own */
    uint32_t kicks;
};

struct fake {
    struct virtio_transport base;
    uint64_t features;        /* offered */
    uint64_t driver_features; /* what the driver took */
    uint8_t status;
    struct virtio_net_config config;
    uint32_t queue_max[FAKE_QUEUES];
    struct fake_queue queues[FAKE_QUEUES];
    uint32_t resets, generation;
    uint32_t promisc; /* commands for it that were answered, and the last value */
    bool promisc_on;
    /* Switches. */
    bool refuses_features; /* FEATURES_OK doesn't stick */
    bool needs_mergeable;  /* ... unless mergeable buffers are taken */
    bool never_resets, never_still, refuses_queues, silent, refuses_commands;
};

extern struct fake fake;
extern struct virtio_net fake_net;
extern struct netdev *const fake_dev;

/* A healthy device with all that we know, just found, and whole pools. */
void fake_begin(void);

/* Asks the driver to examine the device again, after its offers were changed. */
int fake_examine(void);

/* 2048-byte buffers, and FAKE_SMALL_BUF-byte ones; both with a headroom of 64. */
struct netbuf_pool *fake_pool(void);
struct netbuf_pool *fake_small_pool(void);

/* Configures, sets up and starts, with all offloads that the device has. */
int fake_start(struct netbuf_pool *pool, uint16_t rx_descs, uint16_t tx_descs);

/* Stops the device if it runs, and checks that every buffer is back. */
void fake_end(void);

/* The device's side of a queue: takes the next chain that the driver published; false if there is
 * none. Returns a chain, its true one or not. */
bool fake_take(uint16_t q, uint32_t *id);
void fake_use(uint16_t q, uint32_t id, uint32_t len);
struct vring_desc *fake_desc(uint16_t q, uint32_t id);
struct vring_used *fake_used(uint16_t q);

/* The network's side. fake_receive puts a frame, of len bytes that count up from `first`, into the
 * next receive buffers; false if there aren't enough. fake_sent takes a frame that was sent. */
bool fake_receive(const struct virtio_net_hdr_v1 *header, uint8_t first, uint32_t len);
bool fake_sent(struct virtio_net_hdr_v1 *header, uint8_t *frame, uint32_t *len);

/* A packet to send, of len bytes that count up from `first`. */
struct netbuf *fake_packet(uint8_t first, uint16_t len);
bool fake_counts_up(const uint8_t *bytes, uint8_t first, uint32_t len);

/* A counter of the queue. */
uint64_t fake_rx_drops(enum netdev_drop reason);
uint64_t fake_tx_drops(enum netdev_drop reason);

#endif
