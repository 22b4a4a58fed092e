/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netfront.h - the front end of Xen's network device (xen/io/netif.h). It reaches Xen only through
 * boot/xen.h; Xen's own header is the specification, and Linux' netback the usual back end.
 *
 * netfront_probe finds the devices; all else goes through netdev.h. The rest of this header is
 * shared by the driver's files and its tests.
 *
 * What comes from where in this folder; a file calls only those below it:
 *
 *   netfront_vifs.c      netfront_probe; the vifs that nobody uses
 *   netfront_device.c    netdev.h's control calls
 *   netfront_connect.c   the handshake with the back end, and what an end of a connection undoes
 *   netfront_store.c     every node of the store that is read or written
 *   netfront_rx.c        the data path: receive
 *   netfront_tx.c        transmit
 *   netfront_intr.c      receive interrupts
 *   netfront_grants.c    which pages the back end may use
 *   netfront_csum.c      checksums that are left open: finding, completing them
 *   netfront_ring.h      the two rings: post, publish, kick, reap
 *
 * A page that was granted can be read, or written, by the back end at any time until the grant is
 * taken back. So a pool's pages are granted whole and for as long as there is a connection, and
 * what a ring says is read once and checked.
 */
#ifndef NETDEV_NETFRONT_H
#define NETDEV_NETFRONT_H

#include "netdev/netdev.h"

#include <xen/io/netif.h>
#include <xen/io/xenbus.h>

enum {
    NETFRONT_RING = 256,     /* entries of a ring of either kind: what fits a page */
    NETFRONT_DESCS_MIN = 32, /* so that the longest packet fits, and a few */
    NETFRONT_PIECES_MAX = XEN_NETIF_NR_SLOTS_MIN, /* of a packet: what any back end takes */
    NETFRONT_EXTRAS_MAX = XEN_NETIF_EXTRA_TYPE_MAX - 1,
    NETFRONT_FRAME_MIN = 14,   /* an Ethernet header */
    NETFRONT_FRAME_EXTRA = 18, /* bytes of a frame beyond its MTU: header and one VLAN tag */
    NETFRONT_POOLS_MAX = 16,   /* pools whose packets a device sends */
    NETFRONT_PATH_MAX = 96,    /* bytes of a back end's path, with the closing zero */
};

/* What both kinds of ring begin with, and the private half of it. Indices run free. */
struct netfront_ring {
    struct netif_rx_sring *shared; /* of a transmit ring only the indices are used through this */
    uint32_t req_prod;             /* posted */
    uint32_t req_published;        /* of these, the back end's */
    uint32_t rsp_cons;             /* reaped */
    uint32_t port;                 /* event channel */
};

/* Pages that the back end may use. The references stay here until they are taken back. */
struct netfront_grants {
    const uint8_t *base;
    uint32_t *refs; /* one a page, 0: none */
    uint32_t pages;
    uint32_t held; /* references that aren't 0 */
};

struct netfront_pool {
    const struct netbuf_pool *pool;
    struct netfront_grants grants;
    bool granted; /* for this connection */
    bool failed;  /* grants were short: no packet of it can be sent over this connection */
};

/* The received packet whose first slots were taken and whose last isn't there yet. */
struct netfront_partial {
    struct netbuf *head, *tail;
    uint32_t pieces, bytes, extras;
    bool more;      /* the next slot is a piece */
    bool extra;     /* the next slot is extra info */
    bool bad;       /* it will be dropped */
    uint8_t reason; /* enum netdev_drop */
    uint16_t flags; /* of its first slot */
};

struct netfront_rx {
    struct netdev_queue base;
    struct netfront_ring ring;
    struct netbuf_pool *pool;
    const uint32_t *refs; /* of the pool's pages, one a buffer */
    uint32_t descs, offloads;
    bool armed;    /* asks for events; kept between connections, as the next one's ring asks, too */
    uint32_t idle; /* bursts in a row that brought nothing */
    struct netfront_partial partial;
    struct netfront_grants page; /* the ring's */
    uint32_t page_ref;
    struct netbuf *flight[NETFRONT_RING]; /* by the slot that the buffer was posted in */
};

struct netfront_tx {
    struct netdev_queue base;
    struct netfront_ring ring;
    struct netfront *dev;
    struct netfront_pool *last; /* the pool of the packet before */
    uint32_t descs, offloads, frame_max_bytes;
    uint32_t idle; /* bursts in a row that found no room */
    struct netfront_grants page;
    uint32_t page_ref;
    struct netbuf *flight[NETFRONT_RING]; /* pieces, by the request's id */
    uint16_t free_ids[NETFRONT_RING];     /* a stack of the ids that aren't in flight. Its depth is
                                             NETFRONT_RING - ring_in_flight() */
};

_Static_assert(offsetof(struct netfront_rx, base) == 0 && offsetof(struct netfront_tx, base) == 0,
               "cast from a netdev_queue");

/* What the back end tells of itself in the store. */
struct netfront_features {
    bool rx_copy, sg, split_events, tx_csum, tx_csum_ipv6;
    uint32_t queues_max;
};

/* Where the device is in the handshake; drawn in netfront_connect.c. */
enum netfront_phase {
    NETFRONT_DOWN,       /* the back end has nothing of ours */
    NETFRONT_MEETING,    /* we are Initialising; it should become InitWait */
    NETFRONT_CONNECTING, /* we are Connected; it should become so */
    NETFRONT_UP,
    NETFRONT_CLOSING, /* we are Closing; it should become so, or Closed at once */
    NETFRONT_CLOSED,  /* we are Closed; it should become so and let go of our pages */
    NETFRONT_KEPT,    /* it has had its time, and pages of ours still */
};

struct netfront {
    struct netdev base;
    uint32_t vif; /* its number below device/vif */
    char where[24];
    uint8_t mac[6];
    uint16_t mtu_bytes, mtu_max_bytes;
    uint32_t offloads; /* wanted: enum netdev_offload */

    enum netfront_phase phase;
    bool carrier;
    uint16_t domid;               /* the back end's domain */
    char path[NETFRONT_PATH_MAX]; /* the back end's, "" if not known */
    int watch;                    /* on that path, or negative */
    uint64_t next_look_ns;        /* at the store, if no watch fires */
    uint64_t retry_ns;            /* no new handshake before */
    uint64_t deadline_ns;         /* of the phase */
    bool stale;                   /* look again, though no watch fires: the last look brought no
                                     answer, or one that couldn't be acted on */
    bool wanted;                  /* the app has started the device */
    bool met;                     /* the back end's features are known */
    bool keys_written;            /* by an earlier connection: some may have to be removed */
    int error;                    /* why the last handshake failed */
    struct netfront_features features;

    bool lost;                   /* a connection was, since start */
    bool refused_said;           /* the console says that the vif has another address */
    bool lacks_said, short_said; /* the console says what the back end lacks; that grants do */
    uint32_t lost_packets;       /* in flight at the end of a connection */
    uint32_t kept;               /* pages that the back end didn't let go of */

    struct netfront_rx *rx[NETDEV_MAX_QUEUE_PAIRS];
    struct netfront_tx *tx[NETDEV_MAX_QUEUE_PAIRS];
    struct netfront_pool pools[NETFRONT_POOLS_MAX];
    uint32_t pools_count;
};

_Static_assert(offsetof(struct netfront, base) == 0, "cast from a netdev");

/* The vifs of this domain that are known, for tests to begin anew. */
enum { NETFRONT_VIFS_MAX = 16, NETFRONT_LATE_MAX = 4 };
struct netfront_vifs {
    struct netfront *at_start[NETFRONT_VIFS_MAX]; /* used or not, usable or not */
    struct netfront late[NETFRONT_LATE_MAX];      /* those that came later: where[0] is 0 if free */
    uint32_t count;                               /* of the first */
    int watch;                                    /* on their folder; negative: none */
};
extern struct netfront_vifs netfront_vifs;

/* Registers every vif that the store has for this domain; says on the console why if one can't be
 * used. */
void netfront_probe(void);

/* Answers the back ends of vifs that nobody uses, and says which came since the last look. A few
 * loads while nothing changes. */
void netfront_look_at_vifs(void);

/* netfront_resumed for all of them. */
void netfront_vifs_resumed(void *unused);

/* Makes `nf`, which is all zeroes, vif number `vif`: for messages and the store. */
void netfront_name(struct netfront *nf, uint32_t vif);

/* Examines vif number `vif` and makes `nf`, which is all zeroes, a device in state FOUND. 0, or an
 * error and a sentence. */
int netfront_init(struct netfront *nf, uint32_t vif);

/* --- the data path, in netfront_rx.c and netfront_tx.c ---------------------------------------- */

uint32_t netfront_rx_burst(struct netdev_queue *base, struct netbuf **bufs, uint32_t n);
uint32_t netfront_tx_burst(struct netdev_queue *base, struct netbuf **bufs, uint32_t n);
uint32_t netfront_tx_reclaim(struct netdev_queue *base);

/* Makes the rings empty, for a back end that has yet to see them. Both queues stand still until
 * they are opened. */
void netfront_rx_reset(struct netfront_rx *q);
void netfront_tx_reset(struct netfront_tx *q);

/* The back end is connected: packets may go. Fills the receive ring and sends an event. */
void netfront_rx_open(struct netfront_rx *q);
void netfront_tx_open(struct netfront_tx *q);

/* The end of a connection: the queue stands still. Packets that were received, as a whole or in
 * part, and that the app never took are freed and counted as NETDEV_DROP_STOP; returns how many. */
uint32_t netfront_rx_shut(struct netfront_rx *q);
void netfront_tx_shut(struct netfront_tx *q);

/* Frees all that is in flight and whose page isn't granted any more; the rest stays for the next
 * call. Returns how many packets weren't sent, which are counted as NETDEV_DROP_STOP, once. */
void netfront_rx_empty(struct netfront *nf, struct netfront_rx *q);
uint32_t netfront_tx_empty(struct netfront_tx *q);

/* --- interrupts, in netfront_intr.c ----------------------------------------------------------- */

int netfront_rx_intr(struct netdev *dev, uint16_t q, bool on);

/* Asks the back end for an event when it has the next response, and lets that end boot_wait. True
 * if there is something to receive already, or the back end broke the protocol. */
bool netfront_rx_arm(struct netfront_rx *q);

/* --- the handshake, in netfront_connect.c ----------------------------------------------------- */

/* For a device that isn't started: finds the back end, waits until it is in InitWait and reads its
 * features. There is no connection then. 0, NETDEV_EDEVICE or NETDEV_ETIMEOUT. */
int netfront_meet(struct netfront *nf);

/* Connects queue_pairs queues that were set up. 0 or an error. */
int netfront_connect(struct netfront *nf);

/* Ends the connection, if there is one: afterwards nothing is in flight, but for buffers in pages
 * that the back end doesn't let go of. */
void netfront_disconnect(struct netfront *nf);

/* For a device that isn't started: gives such buffers back if the back end has let go by now. */
void netfront_look_at_kept(struct netfront *nf);

/* For a device that isn't started: says Closed if its back end is Closing. */
void netfront_answer(struct netfront *nf);

/* Goes as far in the handshake as is possible now without waiting for the back end. True if the
 * device is connected and has a carrier. */
bool netfront_go_on(struct netfront *nf);

/* The domain was suspended: grants, events and watches are gone, and so is the back end. */
void netfront_resumed(void *nf);

/* --- grants, in netfront_grants.c ------------------------------------------------------------- */

/* Grants all pages, none of which is granted, to domain `domid`; or none, and false, if the table
 * is too full. */
bool netfront_grants_give(struct netfront_grants *g, uint16_t domid, bool readonly);

/* Takes back all that it can. Returns how many pages the other domain keeps. */
uint32_t netfront_grants_take(struct netfront_grants *g);

/* The table entry of a pool, made if there is none; NULL if the table or memory is full. */
struct netfront_pool *netfront_pool_of(struct netfront *nf, const struct netbuf_pool *pool);

/* The same, with its pages granted; NULL if they can't be. */
struct netfront_pool *netfront_pool_granted(struct netfront *nf, const struct netbuf_pool *pool,
                                            bool readonly);

/* Takes back the grants of all pools and rings, as far as that is possible. Returns how many pages
 * the back end keeps, which nf->kept says, too. */
uint32_t netfront_grants_take_all(struct netfront *nf);

/* True if the page that the buffer lies in is granted. */
bool netfront_grants_has(struct netfront *nf, const struct netbuf *nb);

/* Forgets them all: they don't exist any more. */
void netfront_grants_forget(struct netfront *nf);

#endif
