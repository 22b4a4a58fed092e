/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_net.h - the virtio network device (virtio 1.1, section 5.1): one driver for every
 * transport. Modern devices only.
 *
 * A transport that finds a network device hands it to virtio_net_add; all else goes through
 * netdev.h. The rest of this header is shared by the driver's files and its tests.
 *
 * What comes from where in this folder; a file calls only those below it:
 *
 *   virtio_pci.c (with pci*.c), virtio_mmio.c, virtio_user_linux.c (with vhost_user_linux.c)
 *                           the transports: each finds its devices, and is the table of virtio.h
 *   virtio_net.c            virtio_net_add, and netdev.h's control calls: examine, configure, start
 *   virtio_net_recover.c    a device that went away is started again, one that is wanted back is
 *                           given; kicks that were lost
 *   virtio_net_queues.c     rings: their memory, handing them over, taking back what is in flight
 *   virtio_net_pairs.c      how many queue pairs, and how the device chooses one
 *   virtio_net_command.c    commands over the control queue
 *   virtio_net_intr.c       receive interrupts
 *   virtio_net_burst.c      the data path, with virtio_net_header.h for each packet's header
 *   vring.h                 the ring: vring_split.h or vring_packed.h, over vring_flight.h
 *   virtio.c, virtio.h      the steps of starting a device, through its transport's table
 */
#ifndef NETDEV_VIRTIO_NET_H
#define NETDEV_VIRTIO_NET_H

#include "netdev/netdev.h"
#include "netdev/virtio/virtio.h"
#include "netdev/virtio/vring.h"

#include <linux/virtio_net.h>

enum {
    VIRTIO_NET_HEADER = sizeof(struct virtio_net_hdr_v1), /* before every frame, in its headroom */
    VIRTIO_NET_RX = 0, /* numbers of the device's queues, while one pair is in use */
    VIRTIO_NET_TX = 1,
    VIRTIO_NET_CONTROL = 2,
    VIRTIO_NET_DESCS_MIN = 4,
    VIRTIO_NET_DESCS_MAX = 32768, /* virtio 1.1, section 2.6 and 2.7: the largest queue size */
    VIRTIO_NET_FRAME_MIN = 14,    /* an Ethernet header */
    VIRTIO_NET_VLAN_TAG = 4,
    VIRTIO_NET_FRAME_EXTRA = 18,  /* bytes of a frame beyond its MTU: header and one VLAN tag */
    VIRTIO_NET_PIECES_MAX = 64,   /* of one packet that is sent */
    VIRTIO_NET_COMMAND_MAX = 320, /* bytes of what a command says */
};

_Static_assert(VIRTIO_NET_HEADER == 12, "the header of a modern device is 12 bytes long");

/* The rings that a device is started with, by the key virtio.ring. Measured,
 * packed rings were never slower than split ones, and much faster to receive from and to forward
 * with. */
extern enum virtio_net_rings {
    VIRTIO_NET_RINGS_AUTO,   /* packed if the device offers it, else split */
    VIRTIO_NET_RINGS_SPLIT,  /* split */
    VIRTIO_NET_RINGS_PACKED, /* packed, or start fails with NETDEV_ENOTSUP */
} virtio_net_rings;

struct virtio_net_queue {
    struct netdev_queue base;
    struct vring_queue ring; /* owners are struct netbuf */
    struct virtio_transport *transport;
    struct netbuf_pool *pool; /* rx: where buffers come from */
    uint32_t offloads;        /* enum netdev_offload, as negotiated */
    uint32_t frame_max_bytes; /* tx: longest frame that may be sent without a VLAN tag */
    uint16_t index;           /* the queue's number at the device */
    uint16_t descs;
    uint16_t kicked_at; /* vring_posted when virtio_net_kick_again kicked last */
    bool mergeable;     /* rx: a packet may be spread over several buffers */
    bool header_counts; /* rx: a negotiated feature uses the header; else the header isn't read,
                           which spares fetching its cache line from the device's processor */
    bool armed;         /* rx: the ring asks for an interrupt; a ring that takes its place, too */
    void *memory;       /* of the ring; kept for the next one, as it can't be given back */
    size_t memory_bytes;
} __attribute__((aligned(CACHE_LINE))); /* queues of different cores share no cache line */

_Static_assert(offsetof(struct virtio_net_queue, base) == 0, "cast from a netdev_queue");

/* A command to the device and its answer. The device may write `ack` at any time until it is
 * reset, however late: nothing else is ever kept there. */
struct virtio_net_command {
    struct virtio_net_ctrl_hdr header;
    uint8_t ack;
    uint8_t data[VIRTIO_NET_COMMAND_MAX];
};

/* What we know of a device that went away while it was used. */
struct virtio_net_lost {
    bool noticed;         /* the console says that it has gone */
    bool lacks;           /* the console says that it is back without features in use */
    bool wanted_back;     /* when we looked last; the other cores may have been asked to stop */
    uint32_t packets;     /* in flight, lost with it */
    uint64_t next_try_ns; /* of starting it again */
};

struct virtio_net {
    struct netdev base;
    struct virtio_transport *transport;
    uint64_t offered;  /* features that the device has */
    uint64_t features; /* negotiated at the last start */
    uint32_t offloads; /* wanted: enum netdev_offload */
    uint16_t mtu_bytes, mtu_max_bytes;
    uint16_t rx_descs_max, tx_descs_max;
    uint8_t mac[6];
    bool mac_is_made; /* here, as the device has none that can be used */
    bool announces; /* the device asked for an announcement, and can't be told that it was heard */
    enum { PROMISC_UNSET, PROMISC_OFF, PROMISC_ON } promisc; /* what the app set since configure */
    uint16_t pairs_device;                                   /* queue pairs that the device has */
    uint16_t pairs_max;                                      /* that we can use */
    uint32_t hash_types; /* by which it can steer (RSS); 0: it steers by itself */
    struct virtio_net_queue rx[NETDEV_MAX_QUEUE_PAIRS], tx[NETDEV_MAX_QUEUE_PAIRS], control;
    struct virtio_net_command command;
    struct virtio_net_lost lost;
};

_Static_assert(offsetof(struct virtio_net, base) == 0, "cast from a netdev");

/* For transports: examines the device behind `t` and registers it; says on the console why if it
 * can't be used. `t` must stay. */
void virtio_net_add(struct virtio_transport *t);

/* Examines the device behind `t` and makes `net`, which is all zeroes, a device in state FOUND.
 * 0, NETDEV_EDEVICE or NETDEV_ETIMEOUT. */
int virtio_net_init(struct virtio_net *net, struct virtio_transport *t);

/* Gives the device a command, with len bytes of what it says, and waits for its answer: 0,
 * NETDEV_EDEVICE if it refuses or the queue is broken, NETDEV_ETIMEOUT. len may be 0. After a
 * timeout the device may still write its answer: the next call first waits for that, and then uses
 * the command's memory again. */
int virtio_net_command(struct virtio_net *net, uint8_t class, uint8_t cmd, const void *data,
                       uint32_t len);

/* The command that turns promiscuous mode on or off. */
int virtio_net_send_promisc(struct virtio_net *net, bool on);

/* The device has begun: commands it to be as app and driver want it. 0 or an error. */
int virtio_net_send_settings(struct virtio_net *net);

/* Heeds what the status in the device's configuration asks for beside telling of the link: that the
 * host's address be announced (section 5.1.6.5.4). */
void virtio_net_heed_status(struct virtio_net *net, uint32_t status);

/* --- the queues' life, in virtio_net_queues.c --------------------------------------------------
 */

/* Makes sure that the queue has memory for so many descriptors. 0 or NETDEV_ENOMEM. */
int virtio_net_reserve_ring(struct virtio_net_queue *q, uint16_t descs);

/* What a queue begins with; its memory stays. */
void virtio_net_clear_queue(struct virtio_net_queue *q);

/* The device took our features: hands it the rings, empty, and lets it begin. 0 or an error: then
 * it may have begun, and what was handed over is its own until it is reset. */
int virtio_net_begin(struct virtio_net *net);

/* No queue is used from here on, whatever app or driver ask for, until virtio_net_begin. */
void virtio_net_stand_still(struct virtio_net *net);

/* The device is reset: gives all that is in flight back to its pools. Returns how many packets were
 * lost with it, which are counted as NETDEV_DROP_STOP. There are no rings now, and the queues stand
 * still. */
uint32_t virtio_net_empty(struct virtio_net *net);

/* --- several queue pairs, in virtio_net_pairs.c ----------------------------------------------- */

/* Learns how many pairs the device has; leaves of the offers what can be used. 0 or an error. */
int virtio_net_read_pairs(struct virtio_net *net);

/* The features that the configured number of pairs needs. */
uint64_t virtio_net_pairs_features(const struct virtio_net *net);

/* The device has begun: has it use all configured pairs, and spread what comes over them. 0 or an
 * error. */
int virtio_net_use_pairs(struct virtio_net *net);

/* --- the data path, in virtio_net_burst.c ----------------------------------------------------- */

uint32_t virtio_net_rx_burst_split(struct netdev_queue *base, struct netbuf **bufs, uint32_t n);
uint32_t virtio_net_tx_burst_split(struct netdev_queue *base, struct netbuf **bufs, uint32_t n);
uint32_t virtio_net_tx_reclaim_split(struct netdev_queue *base);

uint32_t virtio_net_rx_burst_packed(struct netdev_queue *base, struct netbuf **bufs, uint32_t n);
uint32_t virtio_net_tx_burst_packed(struct netdev_queue *base, struct netbuf **bufs, uint32_t n);
uint32_t virtio_net_tx_reclaim_packed(struct netdev_queue *base);

/* Fills the receive ring as far as the pool goes and tells the device. */
void virtio_net_refill(struct virtio_net_queue *q);

/* For a queue of a device that was reset, whether it has a ring or not: frees what was sent. */
void virtio_net_reclaim(struct virtio_net_queue *q);

/* For a queue of a device that was reset, whether it has a ring or not: frees the good packets that
 * came and weren't asked for; returns how many. */
uint32_t virtio_net_take_unread(struct virtio_net_queue *q);

/* Publishes what was posted and tells the device, if it wants to be told. */
void virtio_net_publish(struct virtio_net_queue *q);

/* The device has broken its protocol: the queue stands still until it is stopped. */
void virtio_net_broken(struct virtio_net_queue *q);

/* --- interrupts, in virtio_net_intr.c --------------------------------------------------------- */

int virtio_net_rx_intr(struct netdev *dev, uint16_t q, bool on);

/* --- a device that goes away, in virtio_net_recover.c ----------------------------------------- */

/*
 * For a started device that needs a reset, or has gone. Tries, a few times a second at most, to
 * start it again with new, empty rings and the features, buffers and counters that it had; says on
 * the console when it went and when it is back. True if it is.
 */
bool virtio_net_recover(struct virtio_net *net);

/* For a started device, at each look: if who runs the machine wants it back, takes back what is in
 * flight and gives it. True from the wish on until that is done; the device has gone then. */
bool virtio_net_give_back(struct virtio_net *net);

/*
 * For a started device: kicks each queue into which something was posted since the last call of
 * this, wanted or not, as a queue whose kick was lost would stand still for ever. A kick is lost if
 * we read that none is wanted before the device asks for it, and the device then doesn't see our
 * new index yet. A fence between our write and our read prevents that, but QEMU 7.2 leaves the
 * fence out when it emulates a single processor (TCG; docs/debugging.md).
 */
void virtio_net_kick_again(struct virtio_net *net);

#endif
