/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_fake_test.h - a virtio-net device in memory, behind the transport table: for unit tests.
 *
 * It does nothing by itself, but for commands: a test plays the device's part with fake_receive,
 * fake_sent and, to break the protocol, fake_take and fake_use. Interrupts are counted. The
 * switches make it a device that breaks the protocol.
 */
#ifndef NETDEV_VIRTIO_FAKE_TEST_H
#define NETDEV_VIRTIO_FAKE_TEST_H

#include "boot/test.h"
#include "netdev/virtio/virtio_net.h"

enum {
    FAKE_QUEUES = 2 * NETDEV_MAX_QUEUE_PAIRS + 1,
    FAKE_POOL = 512,
    FAKE_SMALL_POOL = 128,
    FAKE_SMALL_BUF = 256,
    FAKE_RING_MAX = 256
};

/* A test of the driver on a ring of one kind, and on each of them. */
#define FAKE_TEST_ON(ring_kind, name)                                                              \
    static void on_##name(void);                                                                   \
    TEST(name)                                                                                     \
    {                                                                                              \
        fake_kind = ring_kind;                                                                     \
        on_##name();                                                                               \
    }                                                                                              \
    static void on_##name(void)

#define FAKE_TEST(name)                                                                            \
    static void both_##name(void);                                                                 \
    FAKE_TEST_ON(VRING_SPLIT, name##_split)                                                        \
    {                                                                                              \
        both_##name();                                                                             \
    }                                                                                              \
    FAKE_TEST_ON(VRING_PACKED, name##_packed)                                                      \
    {                                                                                              \
        both_##name();                                                                             \
    }                                                                                              \
    static void both_##name(void)

extern enum vring_kind fake_kind;

struct fake_queue {
    struct virtio_queue_place place;
    bool enabled;
    uint16_t avail_idx, used_idx; /* the device's own; in a packed ring below its size */
    bool avail_wrap, used_wrap;   /* packed: the wrap counters that go with them */
    struct vring_packed_desc taken[FAKE_RING_MAX]; /* packed: as they were when they were taken */
    struct {
        uint16_t at, count;
    } chains[FAKE_RING_MAX]; /* packed: where a chain stood, by its id, and its descriptors */
    uint32_t kicks;
    bool needs_no_kicks;
    bool armed;          /* the transport let interrupts through */
    uint32_t interrupts; /* that the driver asked for */
};

/* A piece of a chain, as the device sees it. */
struct fake_piece {
    uint8_t *addr;
    uint32_t len;
    bool device_writes;
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
    uint32_t given_up; /* times that the driver has set FAILED */
    uint32_t promisc;  /* commands for it that were answered, and the last value */
    bool promisc_on;
    bool allmulti_on;
    uint8_t mac[6];                      /* that the driver has set; else zeroes */
    uint32_t announcements;              /* that it said it has heard of */
    void (*on_arm)(void);                /* called once, before a ring is armed */
    void (*on_interrupt)(void);          /* called for each */
    uint32_t pairs_commands;             /* for the number of pairs that were answered */
    uint16_t pairs;                      /* in use */
    uint8_t rss[VIRTIO_NET_COMMAND_MAX]; /* what the last VIRTIO_NET_CTRL_MQ_RSS_CONFIG said */
    uint32_t rss_bytes;                  /* 0: steering is the device's own */
    /* Switches. */
    bool refuses_features; /* FEATURES_OK is never read back */
    bool hides_control;    /* there is no control queue until VIRTIO_NET_F_CTRL_VQ is taken */
    bool hates_queues;     /* needs a reset once it has its queues */
    bool can_stop_dma;
    bool needs_mergeable; /* ... unless mergeable buffers are taken */
    bool never_resets, never_still, refuses_queues, silent, refuses_commands;
    bool never_interrupts;
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

/* The same with several queue pairs, pair q receiving into pools[q]. */
int fake_start_pairs(struct netbuf_pool *const *pools, uint16_t pairs, uint16_t descs);

/* Stops the device if it runs, and checks that every buffer is back. */
void fake_end(void);

/* The device resets at last, and the driver takes back what it kept. */
void fake_reset_at_last(void);

/* The device's side of a queue: takes the next chain that the driver published; false if there is
 * none. Returns a chain, its true one or not. Wants no kicks from here on. */
bool fake_take(uint16_t q, uint32_t *id);
void fake_use(uint16_t q, uint32_t id, uint32_t len);
void fake_needs_no_kicks(uint16_t q);

/* In virtio_fake_event_test.c: does the driver want an interrupt for the chain that was returned at
 * the index `at`, packed: in a round of that wrap counter? Of a split ring: the device has seen all
 * that was published and wants a kick for the next, unless it needs none. */
bool fake_wants_interrupt(const struct fake_queue *queue, uint16_t at, bool wrap);
void fake_wants_kicks(const struct fake_queue *queue);

/* The pieces of a chain that was taken; returns how many. */
uint32_t fake_chain(uint16_t q, uint32_t id, struct fake_piece *pieces, uint32_t max);

/* A split ring's parts; a packed ring's descriptors. */
struct vring_desc *fake_desc(uint16_t q, uint32_t id);
struct vring_used *fake_used(uint16_t q);
struct vring_packed_desc *fake_slots(uint16_t q);

/* The network's side. fake_receive puts a frame, of len bytes that count up from `first`, into the
 * next receive buffers; false if there aren't enough. fake_sent takes a frame that was sent. */
bool fake_receive(const struct virtio_net_hdr_v1 *header, uint8_t first, uint32_t len);
bool fake_sent(struct virtio_net_hdr_v1 *header, uint8_t *frame, uint32_t *len);

/* The same on the device's queue q, a receive or a transmit queue. */
bool fake_receive_on(uint16_t q, const struct virtio_net_hdr_v1 *header, uint8_t first,
                     uint32_t len);
bool fake_sent_on(uint16_t q, struct virtio_net_hdr_v1 *header, uint8_t *frame, uint32_t *len);

/* A packet to send, of len bytes that count up from `first`. */
struct netbuf *fake_packet(uint8_t first, uint16_t len);
bool fake_counts_up(const uint8_t *bytes, uint8_t first, uint32_t len);

/* A counter of the queue. */
uint64_t fake_rx_drops(enum netdev_drop reason);
uint64_t fake_tx_drops(enum netdev_drop reason);

#endif
