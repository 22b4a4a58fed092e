/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netfront_connect.c - netfront's handshake with the back end, through the states of both ends in
 * the store (xen/io/xenbus.h).
 *
 *      phase            our state       the back end's
 *
 *      DOWN
 *        | it is there, and nobody removes it
 *      MEETING          Initialising -->
 *        |                              <-- InitWait: its features count
 *        | rings and pools granted, keys written
 *      CONNECTING       Connected    -->
 *        |                              <-- Connected
 *      UP
 *        | stop; or anything else in its place: Closing, Closed, no back end, another one
 *      CLOSING          Closing      -->
 *        |                              <-- Closing or Closed, or gone, or too late
 *      CLOSED           Closed       -->
 *        |                              <-- Closed, or gone, and all grants have ended; or too late
 *        | events and grants taken back, what was in flight freed as far as no page is kept
 *      KEPT
 *        |                              <-- lets go of the pages it kept; as a rule it has none
 *      DOWN
 *
 * No step waits. While a device is started, netfront_go_on takes the steps that are possible now,
 * each time that the app calls netdev_recover. netfront_meet, netfront_connect and
 * netfront_disconnect take steps, and wait for news in the store between them, until they are done
 * or a deadline has passed. No buffer that the back end may still use is given back.
 */
#include "boot/boot.h"
#include "boot/xen.h"
#include "netdev/netfront/netfront_store.h"

#define LOOK_NS      50000000ull   /* between two looks at the store if no watch fires */
#define TRY_AGAIN_NS 250000000ull  /* after a handshake that failed */
#define SELDOM_NS    1000000000ull /* two looks at a vif that nobody uses, if it has no watch */

enum {
    STEPS_MAX = 8,   /* taken at once */
    BUSY_FACTOR = 8, /* dom0 may be busy, its scripts and the vifs of other domains come first */
};

static void enter_phase(struct netfront *nf, enum netfront_phase phase)
{
    nf->phase = phase;
    nf->next_look_ns = 0;
    nf->deadline_ns = clock_ns() + netdev_control_timeout_ns;
}

/* --- resources of a connection -------------------------------------------------------------- */

/* Here as elsewhere a device that was configured, and isn't set up yet, may lack queues. */
static void close_channels(struct netfront *nf)
{
    for (uint32_t q = 0; q < nf->base.queue_pairs && nf->rx[q] && nf->tx[q]; q++) {
        struct netfront_ring *rx = &nf->rx[q]->ring, *tx = &nf->tx[q]->ring;
        if (tx->port && tx->port != rx->port)
            xen_event_close(tx->port);
        if (rx->port)
            xen_event_close(rx->port);
        rx->port = tx->port = 0;
    }
}

/* Frees what was in flight, as far as it isn't in pages that are granted. Those may be of queues
 * that were in use before the device was configured anew. */
static void empty_queues(struct netfront *nf)
{
    for (uint32_t q = 0; q < NETDEV_MAX_QUEUE_PAIRS; q++) {
        if (nf->rx[q])
            netfront_rx_empty(nf, nf->rx[q]);
        if (nf->tx[q])
            nf->lost_packets += netfront_tx_empty(nf->tx[q]);
    }
}

/* The queues were shut: closes the channels, takes back the grants and frees what was in flight.
 * The back end may keep pages: then there is no other connection until it has let go of them, as
 * they can't be used for anything else. */
static void release(struct netfront *nf)
{
    close_channels(nf);
    const uint32_t kept = netfront_grants_take_all(nf);
    empty_queues(nf);
    enter_phase(nf, kept > 0 ? NETFRONT_KEPT : NETFRONT_DOWN);
    if (kept > 0)
        print(
            "%s: domain %u doesn't let go of %u pages; until it does, they and the packets in them "
            "stay as they are, and the link is down.\n",
            nf->where, nf->domid, kept);
}

static int prepare_queue(struct netfront *nf, struct netfront_rx *rx, struct netfront_tx *tx)
{
    struct netfront_pool *pool = netfront_pool_granted(nf, rx->pool, false);

    if (!pool || !netfront_grants_give(&rx->page, nf->domid, false) ||
        !netfront_grants_give(&tx->page, nf->domid, false))
        return NETDEV_ENOMEM;
    rx->refs = pool->grants.refs;
    tx->ring.port = xen_event_alloc(nf->domid);
    rx->ring.port = nf->features.split_events ? xen_event_alloc(nf->domid) : tx->ring.port;
    netfront_rx_reset(rx);
    netfront_tx_reset(tx);
    return tx->ring.port && rx->ring.port ? 0 : NETDEV_ENOMEM;
}

/* The back end is in InitWait: offers it the queues. */
static int offer(struct netfront *nf)
{
    int error = 0;

    if (!nf->features.rx_copy || nf->features.queues_max < nf->base.queue_pairs)
        return NETDEV_ENOTSUP;
    for (uint32_t q = 0; q < nf->base.queue_pairs && !error; q++)
        error = prepare_queue(nf, nf->rx[q], nf->tx[q]);
    if (!error) {
        int said = netfront_write_keys(nf);
        error = said == STORE_OK ? 0 : said == STORE_ETIMEOUT ? NETDEV_ETIMEOUT : NETDEV_EDEVICE;
    }
    if (error)
        release(nf);
    return error;
}

static void open_queues(struct netfront *nf)
{
    for (uint32_t q = 0; q < nf->base.queue_pairs; q++) {
        netfront_rx_open(nf->rx[q]);
        netfront_tx_open(nf->tx[q]);
    }
    if (nf->lost) {
        print("%s: the back end is back; %u packets that were in flight are lost.\n", nf->where,
              nf->lost_packets);
        nf->base.arrivals++;
    }
    nf->lost = nf->lacks_said = false;
    nf->lost_packets = 0;
}

static void shut_queues(struct netfront *nf)
{
    for (uint32_t q = 0; q < nf->base.queue_pairs && nf->rx[q] && nf->tx[q]; q++) {
        nf->lost_packets += netfront_rx_shut(nf->rx[q]);
        netfront_tx_shut(nf->tx[q]);
    }
}

/* The back end ended the connection: says so, once until it is back. */
static void lose(struct netfront *nf)
{
    if (!nf->lost && nf->wanted)
        print("%s: the back end has gone; the link is down until it is back.\n", nf->where);
    nf->lost = true;
}

/* Ends a connection, or the try to make one. */
static void begin_closing(struct netfront *nf)
{
    shut_queues(nf);
    netfront_write_state(nf, XenbusStateClosing); /* fails if the vif has gone, too */
    enter_phase(nf, NETFRONT_CLOSING);
}

/* --- a step in each phase: true if another may follow at once -------------------------------- */

enum { NO_NEWS = -1 }; /* the store doesn't answer, which says nothing about the back end */

/* The state of the back end; XenbusStateUnknown if it has gone. If another back end has taken its
 * place, step_down finds that one. */
static int look_at_back(struct netfront *nf)
{
    int state = netfront_back_state(nf);

    nf->stale = state < 0;
    return nf->stale ? NO_NEWS : state;
}

static bool failed(struct netfront *nf, int error)
{
    nf->error = error;
    nf->retry_ns = clock_ns() + TRY_AGAIN_NS;
    return false;
}

/* Without a connection there is nothing to end, but the back end's toolstack waits some ten seconds
 * for a front end that doesn't say Closed. */
static void close_if_closing(struct netfront *nf)
{
    if (look_at_back(nf) == XenbusStateClosing)
        netfront_write_state(nf, XenbusStateClosed);
}

static bool step_down(struct netfront *nf)
{
    if (clock_ns() < nf->retry_ns)
        return false;
    const int error = netfront_find_back(nf);
    if (error == STORE_EREFUSED || (!error && !netfront_back_online(nf))) {
        close_if_closing(nf);
        return false;
    }
    if (error || netfront_write_state(nf, XenbusStateInitialising))
        return false;
    enter_phase(nf, NETFRONT_MEETING);
    return true;
}

static bool step_meeting(struct netfront *nf)
{
    int state = look_at_back(nf);

    if (state != XenbusStateInitWait) {
        if (state == XenbusStateClosing)
            netfront_write_state(nf, XenbusStateClosed);
        if (state == XenbusStateUnknown || state == XenbusStateClosing ||
            clock_ns() >= nf->deadline_ns)
            enter_phase(nf, NETFRONT_DOWN); /* and look for it anew */
        return false;
    }
    if (clock_ns() < nf->retry_ns || (!nf->met && netfront_read_features(nf)))
        return false;
    nf->met = true;
    if (!nf->wanted)
        return false;
    if (!netdev_hold_others()) {
        nf->next_look_ns = 0; /* look again as soon as the other cores may have stopped */
        return false;
    }
    int error = offer(nf);
    if (error == NETDEV_ENOTSUP && !nf->lacks_said) {
        print("%s: the back end can't copy packets to us, or has too few queues.\n", nf->where);
        nf->lacks_said = true;
    }
    if (error)
        return failed(nf, error);
    enter_phase(nf, NETFRONT_CONNECTING);
    nf->deadline_ns = clock_ns() + BUSY_FACTOR * netdev_control_timeout_ns;
    return true;
}

static bool step_connecting(struct netfront *nf)
{
    int state = look_at_back(nf);

    if (state == XenbusStateConnected) {
        netfront_read_carrier(nf);
        open_queues(nf);
        enter_phase(nf, NETFRONT_UP);
        return false;
    }
    const bool waits = state == NO_NEWS || state == XenbusStateInitialising ||
                       state == XenbusStateInitWait || state == XenbusStateInitialised;
    if (waits && clock_ns() < nf->deadline_ns)
        return false;
    failed(nf, waits ? NETDEV_ETIMEOUT : NETDEV_EDEVICE);
    begin_closing(nf);
    return true;
}

static bool step_up(struct netfront *nf)
{
    int state = look_at_back(nf);

    if (state == XenbusStateConnected || state == XenbusStateReconfiguring ||
        state == XenbusStateReconfigured || state == NO_NEWS) {
        /* A look before this one may have seen another state, and asked the other cores to stop. */
        netdev_ask_no_more();
        netfront_read_carrier(nf);
        return false;
    }
    if (!netdev_hold_others()) {
        nf->stale =
            true; /* look again, though no watch fires, until the other cores have stopped */
        return false;
    }
    lose(nf);
    begin_closing(nf);
    return true;
}

static bool step_closing(struct netfront *nf)
{
    int state = look_at_back(nf);

    if (state != XenbusStateClosing && state != XenbusStateClosed && state != XenbusStateUnknown &&
        clock_ns() < nf->deadline_ns)
        return false;
    netfront_write_state(nf, XenbusStateClosed);
    enter_phase(nf, NETFRONT_CLOSED);
    nf->deadline_ns = clock_ns() + BUSY_FACTOR * netdev_control_timeout_ns;
    return true;
}

static bool step_closed(struct netfront *nf)
{
    int state = look_at_back(nf);
    const bool over = state == XenbusStateClosed || state == XenbusStateUnknown;

    if ((!over || netfront_grants_take_all(nf) > 0) && clock_ns() < nf->deadline_ns)
        return false;
    if (!netdev_hold_others()) {
        nf->next_look_ns = 0;
        return false;
    }
    release(nf);
    return nf->wanted && nf->phase == NETFRONT_DOWN;
}

static bool step_kept(struct netfront *nf)
{
    if (netfront_grants_take_all(nf) > 0)
        return false;
    if (!netdev_hold_others()) {
        nf->next_look_ns = 0;
        return false;
    }
    print("%s: domain %u has let go of all pages.\n", nf->where, nf->domid);
    empty_queues(nf);
    enter_phase(nf, NETFRONT_DOWN);
    return nf->wanted;
}

static bool take_step(struct netfront *nf)
{
    static bool (*const steps[])(struct netfront *) = {
        [NETFRONT_DOWN] = step_down,
        [NETFRONT_MEETING] = step_meeting,
        [NETFRONT_CONNECTING] = step_connecting,
        [NETFRONT_UP] = step_up,
        [NETFRONT_CLOSING] = step_closing,
        [NETFRONT_CLOSED] = step_closed,
        [NETFRONT_KEPT] = step_kept,
    };
    const bool fired = nf->watch >= 0 && store_watch_fired(nf->watch);
    /* A connection that is up waits for the watch alone. */
    const bool waits = nf->phase == NETFRONT_UP && nf->watch >= 0 && !nf->stale;

    if (fired)
        nf->met = false; /* its features may be others now */
    if (!fired && (waits || clock_ns() < nf->next_look_ns))
        return false;
    nf->next_look_ns = clock_ns() + LOOK_NS;
    return steps[nf->phase](nf);
}

/* --- what the rest of the driver asks for ---------------------------------------------------- */

/* Takes steps until the device is UP, or, if the app hasn't started it, until the back end's
 * features are known, where step_meeting stops; or until a step fails. When a step changed nothing,
 * waits for news in the store or for the time of the next look. */
static int run_handshake(struct netfront *nf)
{
    const uint64_t deadline_ns = clock_ns() + BUSY_FACTOR * netdev_control_timeout_ns;

    nf->error = 0;
    nf->next_look_ns = nf->retry_ns = 0;
    while (nf->phase != NETFRONT_UP && !nf->error && !(nf->met && !nf->wanted)) {
        if (clock_ns() >= deadline_ns)
            return NETDEV_ETIMEOUT;
        if (!take_step(nf) && nf->phase != NETFRONT_UP && !nf->error)
            store_wait(MIN(deadline_ns, nf->next_look_ns));
    }
    return nf->error;
}

int netfront_meet(struct netfront *nf)
{
    nf->met = false;
    int error = run_handshake(nf);  /* no further than to the features, as nf->wanted is false */
    enter_phase(nf, NETFRONT_DOWN); /* the back end stays in InitWait until start looks for it */
    return error;
}

int netfront_connect(struct netfront *nf)
{
    nf->wanted = true;
    nf->lost = false;
    nf->lost_packets = 0;
    return run_handshake(nf);
}

void netfront_disconnect(struct netfront *nf)
{
    nf->wanted = false;
    nf->met = false;
    if (nf->phase == NETFRONT_UP || nf->phase == NETFRONT_CONNECTING)
        begin_closing(nf);
    /* Both phases end at their deadlines at the latest. */
    while (nf->phase == NETFRONT_CLOSING || nf->phase == NETFRONT_CLOSED)
        if (!take_step(nf) && nf->next_look_ns > 0)
            store_wait(MIN(nf->deadline_ns, nf->next_look_ns));
    netfront_look_at_kept(nf);
    if (nf->phase != NETFRONT_KEPT)
        enter_phase(nf, NETFRONT_DOWN);
}

void netfront_look_at_kept(struct netfront *nf)
{
    if (nf->phase == NETFRONT_KEPT)
        take_step(nf);
}

void netfront_answer(struct netfront *nf)
{
    const bool fired = nf->watch >= 0 && store_watch_fired(nf->watch);

    if (fired)
        nf->met = false;
    else if (clock_ns() < nf->next_look_ns || (nf->watch >= 0 && !nf->stale) || !nf->path[0])
        return;
    nf->next_look_ns = clock_ns() + SELDOM_NS;
    close_if_closing(nf);
}

bool netfront_go_on(struct netfront *nf)
{
    nf->error = 0;
    /* This step may change queues, which no other core may use meanwhile; the others ask for that
     * themselves when they get there. So a back end that isn't there stops nobody. */
    if (nf->phase == NETFRONT_CONNECTING && !netdev_hold_others())
        return false;
    /* A step that changed the phase may make the next one possible at once. */
    for (uint32_t i = 0; i < STEPS_MAX && take_step(nf); i++)
        continue;
    if (nf->phase == NETFRONT_DOWN)
        netdev_ask_no_more();
    netdev_let_go();
    return nf->phase == NETFRONT_UP && nf->carrier;
}

void netfront_resumed(void *arg)
{
    struct netfront *nf = arg;

    netfront_grants_forget(nf);
    for (uint32_t q = 0; q < nf->base.queue_pairs && nf->rx[q] && nf->tx[q]; q++)
        nf->rx[q]->ring.port = nf->tx[q]->ring.port = 0;
    nf->watch = -1;
    nf->path[0] = 0;
    nf->met = nf->keys_written = false;
    if (nf->phase == NETFRONT_DOWN || nf->phase == NETFRONT_MEETING) {
        enter_phase(nf, NETFRONT_DOWN);
        return;
    }
    shut_queues(nf);
    lose(nf);
    release(nf);
}
