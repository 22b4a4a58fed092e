/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netdev.h - the burst API: network devices and their receive and transmit queues.
 *
 * The order of calls, and the states of a device:
 *
 *   netdev_probe()                      once: finds the devices            -> FOUND
 *   netdev_configure(dev, conf)         FOUND, CONFIGURED, STOPPED         -> CONFIGURED
 *   netdev_rxq_setup(dev, q, conf)      CONFIGURED: once for each queue
 *   netdev_txq_setup(dev, q, conf)      CONFIGURED: once for each queue
 *   netdev_start(dev)                   CONFIGURED with all queues set up  -> STARTED
 *     netdev_rx_burst, netdev_tx_burst, netdev_tx_reclaim      STARTED
 *   netdev_stop(dev)                    STARTED                            -> STOPPED
 *
 * A stopped device is configured again, with other settings if wanted. netdev_info, netdev_stats,
 * netdev_link_up, netdev_recover work in every state. A control call in the wrong state changes
 * nothing and returns NETDEV_ESTATE; a burst on a device that isn't started moves no packet and
 * returns 0. If netdev_configure or netdev_start fail, the device is as in FOUND and may be
 * configured again.
 *
 * Buffers: the app owns the pools. A receive queue takes buffers from the pool it was given and
 * hands them to the app with the packets; a transmit queue takes the packets it accepts and gives
 * each back to its own pool once the device is done with it: in later tx bursts, and in
 * netdev_tx_reclaim when nothing more is sent. netdev_stop gives back everything in flight. Only
 * what a device doesn't let go of in time stays where it is and comes back later: from Xen's back
 * end in netdev_recover, from a virtio device, which confirms its reset late, in netdev_configure.
 *
 * Nothing here waits, but for the control calls, which wait for the device at most
 * netdev_control_timeout_ns, and nine times that for the begin or end of a netfront's connection.
 *
 * Several cores: each has a queue pair and a pool of its own, so that nothing is shared or locked.
 *
 *   netdev_info(dev, &info)             the device has info.queue_pairs_max
 *   pool[core] = netdev_pool_create()   for each of boot_cores() cores: a pool is used by one
 *   netdev_open_queues(...)             one pair a core, pair `core` receiving into its pool
 *   boot_run(loop)                      on every core: bursts on queue boot_core()
 *   netdev_stop(dev)                    when all have returned
 *
 * A queue or a pool is used by one core at a time; a packet is sent, and freed, by the core whose
 * pool it is from. Control calls are core 0's, while no other core uses the device, but for
 * netdev_recover, which each of them calls (netdev/loop.h does). On which queue a packet comes is
 * the device's choice. One that was told how (virtio-net with RSS) puts all packets of a flow, by
 * addresses and ports, on one queue, and those that have none, such as ARP, on queue 0.
 */
#ifndef NETDEV_NETDEV_H
#define NETDEV_NETDEV_H

#include "boot/lib.h"
#include "netbuf/netbuf.h"

#define NETDEV_MAX             8 /* devices */
#define NETDEV_MAX_QUEUE_PAIRS 8
#define NETDEV_MAX_BURST       256 /* packets a call; a larger n is served up to this */

/* How long a control call waits for the device: 1 s. A variable only so that tests can be quick. */
extern uint64_t netdev_control_timeout_ns;

struct netdev;

/* Errors of control calls: 0 is success, the others are negative. */
enum netdev_error {
    NETDEV_OK = 0,
    NETDEV_ESTATE = -1,   /* not allowed in the device's state */
    NETDEV_EINVAL = -2,   /* an argument is outside the limits that netdev_info tells */
    NETDEV_ENOTSUP = -3,  /* the device or the driver can't do it */
    NETDEV_ENOMEM = -4,   /* memory, or the pool, is too small */
    NETDEV_EDEVICE = -5,  /* the device refused or broke its protocol */
    NETDEV_ETIMEOUT = -6, /* the device didn't answer in time */
    NETDEV_EAGAIN = -7,   /* packets wait already */
};

/* One sentence part for an error: "the device refused". */
const char *netdev_strerror(int error);

enum netdev_state {
    NETDEV_FOUND,
    NETDEV_CONFIGURED,
    NETDEV_STARTED,
    NETDEV_STOPPED,
};

/* Offloads, as bits: what a device can do (info) and what the app wants (conf). */
enum netdev_offload {
    NETDEV_OFFLOAD_TX_CSUM = 1 << 0, /* NETBUF_CSUM_PARTIAL is honoured on transmit */
    NETDEV_OFFLOAD_RX_CSUM = 1 << 1, /* NETBUF_CSUM_GOOD and _PARTIAL may come with a packet */
    NETDEV_OFFLOAD_SG = 1 << 2,      /* chains are taken on transmit */
};

struct netdev_info {
    const char *driver; /* "virtio-net over PCI" */
    char where[24];     /* its place: "pci 00:02.0", "mmio 0xfeb02e00" */
    uint8_t mac[6];
    uint16_t mtu_bytes;     /* layer 3 bytes in a frame, now */
    uint16_t mtu_max_bytes; /* what netdev_set_mtu takes at most */
    uint16_t queue_pairs_max;
    uint16_t rx_descs_max, tx_descs_max; /* descriptors a queue */
    uint16_t descs_min;                  /* at least */
    bool descs_power_of_2;               /* a number of descriptors must be a power of two */
    uint16_t headroom_bytes;   /* needed before the data of every packet that is sent, and of a
                                  receive pool's fresh buffers */
    uint16_t rx_buf_min_bytes; /* room needed behind the headroom in a receive buffer; PAGE_SIZE:
                                  the buffer must be a page, whatever its headroom */
    uint32_t offloads;         /* enum netdev_offload that the device has */
    enum netdev_state state;
};

struct netdev_conf {
    uint16_t queue_pairs; /* 1 to queue_pairs_max */
    uint32_t offloads;    /* wanted; one that the device lacks is NETDEV_ENOTSUP */
};

struct netdev_rxq_conf {
    uint16_t descs;           /* 0: the driver's choice, at most 256 */
    struct netbuf_pool *pool; /* buffers to receive into; best twice descs */
};

struct netdev_txq_conf {
    uint16_t descs; /* 0: the driver's choice, at most 256 */
};

/* Why packets were dropped, per queue. */
enum netdev_drop {
    NETDEV_DROP_NO_BUF,   /* rx: the pool was empty when the ring wanted a buffer; counted once each
                             time a refill falls short */
    NETDEV_DROP_BAD_LEN,  /* rx: the device told a length that can't be */
    NETDEV_DROP_BAD_ID,   /* both: the device returned a buffer that it hadn't */
    NETDEV_DROP_BAD_META, /* rx: checksum or chain fields that can't be, or an error in place of a
                             packet; tx: a packet that the queue can't send (empty, too long, no
                             headroom, an offload not negotiated), or that the device refused */
    NETDEV_DROP_STOP,     /* in flight when the queue was stopped, or the device went away */
    NETDEV_DROP_NO_ROOM,  /* tx: the ring had no room for it within netdev_send's patience */
    NETDEV_DROP_REASONS
};

extern const char *const netdev_drop_names[NETDEV_DROP_REASONS];

struct netdev_queue_stats {
    uint64_t packets, bytes; /* handed to the app, or taken by the device; bytes without the CRC */
    uint64_t bursts;         /* calls that moved at least one packet */
    uint64_t kicks;          /* notifications sent to the device */
    uint64_t drops[NETDEV_DROP_REASONS];
};

/*
 * What every queue starts with; drivers embed it as their first member. The app reads `more` and
 * `room` through the functions below: the last burst left them there, no ring is looked at.
 */
struct netdev_queue {
    uint32_t more; /* rx: packets known to wait after the last rx burst */
    uint32_t room; /* tx: descriptors free after the last tx burst or reclaim */
    bool broken;   /* the device broke the protocol: the queue stands still until stop */
    bool empty;    /* rx: the ring has no buffer, as the pool had none: no packet can come */
    struct netdev_queue_stats stats;
};

/* What a driver implements. All of it is called through the functions of this header only, which
 * have checked state and arguments. */
struct netdev_ops {
    void (*info)(struct netdev *dev, struct netdev_info *info);
    int (*configure)(struct netdev *dev, const struct netdev_conf *conf);
    int (*rxq_setup)(struct netdev *dev, uint16_t q, const struct netdev_rxq_conf *conf);
    int (*txq_setup)(struct netdev *dev, uint16_t q, const struct netdev_txq_conf *conf);
    int (*start)(struct netdev *dev);
    void (*stop)(struct netdev *dev);    /* also after a failed configure or start: back to FOUND */
    bool (*recover)(struct netdev *dev); /* returns whether the link is up */
    int (*set_promisc)(struct netdev *dev, bool on);
    int (*set_mtu)(struct netdev *dev, uint16_t mtu_bytes);
    int (*rx_intr)(struct netdev *dev, uint16_t q, bool on);
    uint32_t (*rx_burst)(struct netdev_queue *q, struct netbuf **bufs, uint32_t n);
    uint32_t (*tx_burst)(struct netdev_queue *q, struct netbuf **bufs, uint32_t n);
    uint32_t (*tx_reclaim)(struct netdev_queue *q);
};

/* A device: drivers embed it as their first member and hand it to netdev_register. */
struct netdev {
    const struct netdev_ops *ops;
    enum netdev_state state;
    bool link_up;         /* as netdev_recover saw it last */
    uint32_t arrivals;    /* times that there was a reason to announce the host's address on it */
    uint16_t queue_pairs; /* configured */
    struct netdev_queue *rxq[NETDEV_MAX_QUEUE_PAIRS]; /* NULL until set up */
    struct netdev_queue *txq[NETDEV_MAX_QUEUE_PAIRS];
};

/* --- finding devices ------------------------------------------------------------------------ */

/* Looks for devices, once; later calls only count. Returns how many there are. */
uint32_t netdev_probe(void);

/* Device number `index`, or NULL. They are in the order of QEMU's command line, as far as it can be
 * told: of their PCI addresses, of microvm's slots, of the words on PLAT=linux's command line, of
 * the vifs' numbers on Xen. */
struct netdev *netdev_get(uint32_t index);

/* The device for an app that uses one: what the key net.dev says, by number, place or MAC address,
 * else the first. Says which it is, and which aren't used, if there are others. If there is none it
 * ends the image as boot_misconfigured does. */
struct netdev *netdev_pick(void);

/* What to do about it, as the end of a sentence, if the machine lacks something. In probe_<plat>.c.
 */
struct netdev_advice {
    const char *device; /* it has no network device, or too few */
    const char *pairs;  /* a device has too few queue pairs */
};
extern const struct netdev_advice netdev_advice;

/* For drivers: adds a device while netdev_probe runs. False if NETDEV_MAX are there already. */
bool netdev_register(struct netdev *dev);

/* For probes: a network device was found that can't be used, and the console says why. */
void netdev_unusable(void);

/* Was there one? */
bool netdev_any_unusable(void);

/* For drivers, where nobody gives an address: random, of one host, locally administered. */
void netdev_random_mac(uint8_t mac[6]);

/* For netdev_probe: registers every device of this platform. In probe_<plat>.c. */
void netdev_probe_platform(void);

/* For drivers, in recover, which runs on core 0, before it changes queues of a started device: true
 * if no other core uses any, until netdev_let_go. If false, it changes nothing and is called again.
 */
bool netdev_hold_others(void);
void netdev_let_go(void);

/* For drivers, in recover, where the others needn't stop any more though they were asked to. */
void netdev_ask_no_more(void);

/* For netdev_recover on the other cores: waits, if that is asked for, while core 0 does so. */
void netdev_meet(void);

/* --- control -------------------------------------------------------------------------------- */

void netdev_info(struct netdev *dev, struct netdev_info *info);
int netdev_configure(struct netdev *dev, const struct netdev_conf *conf);
int netdev_rxq_setup(struct netdev *dev, uint16_t q, const struct netdev_rxq_conf *conf);
int netdev_txq_setup(struct netdev *dev, uint16_t q, const struct netdev_txq_conf *conf);
int netdev_start(struct netdev *dev);
int netdev_stop(struct netdev *dev);

/* The usual way from FOUND or STOPPED to STARTED in one call: one queue pair, the offloads of
 * `offloads` that the device has, rings of the driver's choice, receiving into `pool`. */
int netdev_open(struct netdev *dev, struct netbuf_pool *pool, uint32_t offloads);

/* The same with `pairs` queues as the app wants them: rx[q] and tx[q] are those of pair q. */
int netdev_open_queues(struct netdev *dev, uint16_t pairs, const struct netdev_rxq_conf *rx,
                       const struct netdev_txq_conf *tx, uint32_t offloads);

/* The same for an app whose loop runs on `cores` cores: pair q receives into a pool of core q's, of
 * `count` buffers with room_bytes for a frame, which it makes and puts into pools[q]. If it can't,
 * it ends the image with a sentence that says what to change. */
void netdev_open_cores(struct netdev *dev, uint32_t cores, struct netbuf_pool **pools,
                       uint32_t count, uint32_t room_bytes, uint32_t offloads);

/* Ends the image of an app that can do nothing without the device, with why it wasn't opened:
 * `error` is what the calls above returned. As boot_misconfigured does if that is about values or
 * memory, which a key or the machine's configuration changes, else by a panic. */
_Noreturn void netdev_cant_start(const struct netdev_info *info, int error);

/* Makes a pool that the device can receive into: its buffers have the device's headroom and behind
 * it room for room_bytes, or for info->rx_buf_min_bytes if that is more. Packets in it can be sent
 * through any other device, too. No larger than need be. Ends the image, as boot_misconfigured
 * does, if the machine has too little memory. */
struct netbuf_pool *netdev_pool_create(const struct netdev_info *info, const char *name,
                                       uint32_t count, uint32_t room_bytes);

/* The same for packets that are made and sent: room_bytes behind the headroom are enough. */
struct netbuf_pool *netdev_tx_pool_create(const struct netdev_info *info, const char *name,
                                          uint32_t count, uint32_t room_bytes);

/* The most bytes that a buffer of these pools can have room for. */
uint32_t netdev_pool_room_max(const struct netdev_info *info);

/* True if packets could go when netdev_recover looked last. Any core may ask. */
bool netdev_link_up(const struct netdev *dev);

/* Where several cores use queues, none calls netdev_recover less often: they have to meet there. */
#define NETDEV_LOOK_NS 100000000ull

/*
 * Looks at the link and returns whether it is up; starts a started device again that has gone or
 * wants a reset. Then its settings, queues and counters stay, and what was in flight is lost and
 * counted as NETDEV_DROP_STOP. Loops call it ten times a second or so (netdev/loop.h does, at the
 * end of a turn). It takes a system call, or a few reads of registers; a try to start a device
 * again, of which there are a few a second, waits for it as control calls do.
 *
 * Where several cores use queues each of them calls it so often, on core 0 without long pauses: all
 * have to be in here when the device is started again (netdev_cores.c), so a call on another core
 * may then last as long, and 200 ms in vain. Else it only reads what core 0 saw last.
 */
bool netdev_recover(struct netdev *dev);
int netdev_set_promisc(struct netdev *dev, bool on);        /* STARTED */
int netdev_set_mtu(struct netdev *dev, uint16_t mtu_bytes); /* any state but STARTED; 68 to max */

/*
 * Interrupts; STARTED. On: arms a receive queue, so that its next packet ends boot_wait() on this
 * core. NETDEV_EAGAIN if packets wait already: then it isn't armed and the app receives them.
 * NETDEV_ENOTSUP where the driver, the device or the platform only polls. Off: disarms; an
 * interrupt under way may still end a wait. A queue stays armed until it is disarmed, also if its
 * device went and came back; but it may interrupt only once, so arm it before each wait.
 * netdev/idle.h does all that.
 */
int netdev_rx_intr(struct netdev *dev, uint16_t q, bool on);

/* Counters since the last configure; false if there is no such queue. */
bool netdev_rxq_stats(const struct netdev *dev, uint16_t q, struct netdev_queue_stats *stats);
bool netdev_txq_stats(const struct netdev *dev, uint16_t q, struct netdev_queue_stats *stats);

/* Prints what the device's queues have counted, a line a kind: packets, and drops by reason. */
void netdev_print_stats(struct netdev *dev);

/* Prints "app: part dropped 3, no_buf 2, stop 1." for counters of drops with their names. */
void netdev_print_drops(const char *part, const char *const *names, const uint64_t *drops,
                        uint32_t count);

/* --- data path ------------------------------------------------------------------------------ */

/*
 * Takes at most n received packets from queue q; the app owns them. Refills the ring with all that
 * is missing from it, as far as the pool goes. Never waits.
 *
 * Whatever the device or the other side does, each driver promises of each packet:
 * - Its first piece holds a whole Ethernet header, 14 bytes, and has info.headroom_bytes before it:
 *   it can be changed in place and sent through the same device.
 * - No piece is empty. None begins later in its buffer than a fresh one does, so that behind `data`
 *   there is all the room that the app asked for, whatever the length of the packet.
 * A packet that came otherwise is moved within its buffer, or dropped and counted.
 */
static inline uint32_t netdev_rx_burst(struct netdev *dev, uint16_t q, struct netbuf **bufs,
                                       uint32_t n)
{
    if (unlikely(dev->state != NETDEV_STARTED || q >= dev->queue_pairs))
        return 0;
    return dev->ops->rx_burst(dev->rxq[q], bufs, n);
}

/*
 * Sends packets bufs[0] to bufs[n - 1], reclaiming finished ones first. Returns how many it took:
 * those belong to the queue now; the rest are still the app's (the ring was full, or n more than
 * NETDEV_MAX_BURST). A packet that can never be sent is taken, counted and freed. At most one kick.
 */
static inline uint32_t netdev_tx_burst(struct netdev *dev, uint16_t q, struct netbuf **bufs,
                                       uint32_t n)
{
    if (unlikely(dev->state != NETDEV_STARTED || q >= dev->queue_pairs))
        return 0;
    return dev->ops->tx_burst(dev->txq[q], bufs, n);
}

#define NETDEV_PATIENCE_NS 1000000ull /* 1 ms: enough for a device that is at work */

/* For netdev_send: the packets for which there was no room at once. */
void netdev_send_rest(struct netdev *dev, uint16_t q, struct netbuf **bufs, uint32_t n,
                      uint64_t patience_ns);

/* Sends all n packets, which belong to the queue from then on. Waits for room for patience_ns at
 * most; then the rest is dropped and counted (NETDEV_DROP_NO_ROOM). With several devices 0 is best:
 * one that stands still holds up no other. */
static inline void netdev_send(struct netdev *dev, uint16_t q, struct netbuf **bufs, uint32_t n,
                               uint64_t patience_ns)
{
    const uint32_t sent = n > 0 ? netdev_tx_burst(dev, q, bufs, n) : 0;

    if (unlikely(sent < n))
        netdev_send_rest(dev, q, bufs + sent, n - sent, patience_ns);
}

/* Gives finished packets back to their pools when nothing more is to be sent. Returns how many. */
static inline uint32_t netdev_tx_reclaim(struct netdev *dev, uint16_t q)
{
    if (unlikely(dev->state != NETDEV_STARTED || q >= dev->queue_pairs))
        return 0;
    return dev->ops->tx_reclaim(dev->txq[q]);
}

/* Packets known to wait behind the last netdev_rx_burst: if not 0, call it again at once. */
static inline uint32_t netdev_rx_more(const struct netdev *dev, uint16_t q)
{
    return dev->state == NETDEV_STARTED && q < dev->queue_pairs ? dev->rxq[q]->more : 0;
}

/* Descriptors free after the last netdev_tx_burst or netdev_tx_reclaim: 0 means the queue is full.
 */
static inline uint32_t netdev_tx_room(const struct netdev *dev, uint16_t q)
{
    return dev->state == NETDEV_STARTED && q < dev->queue_pairs ? dev->txq[q]->room : 0;
}

#endif
