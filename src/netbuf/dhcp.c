/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dhcp.c - DHCP's client as a state machine; see dhcp.h for its states.
 *
 * dhcp_input only notes what a server said and makes the next step due at once: time is looked at
 * in dhcp_next alone, where each state has a function that returns true if it has a message to
 * send, and sets step_ns.
 */
#include "netbuf/dhcp.h"
#include "boot/boot.h"

#define NS_PER_S 1000000000ull
#define NEVER_NS UINT64_MAX

enum {
    FIRST_PAUSE_S = 4, /* RFC 2131, section 4.1: doubled after each message, give or take 1 s */
    MAX_PAUSE_S = 64,
    MAX_REQUESTS = 4,    /* without an answer: then another server may */
    DECLINE_HOLD_S = 10, /* RFC 2131, section 3.1, 5.: at least */
    MIN_T1_S = 5,
    T1_FUZZ = 16,       /* RFC 2131, section 4.4.5: T1 is up to a sixteenth of it earlier */
    RENEW_PAUSE_S = 60, /* RFC 2131, section 4.4.5: at least, where the lease has time for it */
};

/* Numbers that a stranger can't guess as long as he doesn't know the seed (splitmix64). */
static RUNS_SELDOM uint64_t draw(struct dhcp *dhcp)
{
    uint64_t z = dhcp->random += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

void dhcp_init(struct dhcp *dhcp, const uint8_t *mac, const char *name, uint64_t seed)
{
    *dhcp = (struct dhcp){.state = DHCP_INIT, .name = name, .random = seed, .began_ns = NEVER_NS};
    eth_mac_copy(dhcp->mac, mac);
}

static RUNS_SELDOM void enter(struct dhcp *dhcp, enum dhcp_state state)
{
    dhcp->state = state;
    dhcp->attempts = 0;
    dhcp->step_ns = 0;
}

/* Begins anew: at once after the first failure, later after pauses that grow. */
static RUNS_SELDOM void fail(struct dhcp *dhcp, enum dhcp_news news, uint32_t hold_s)
{
    const uint32_t grown_s = dhcp->failures == 0 ? 0 : 1u << MIN(dhcp->failures, 6u);

    if (dhcp_has_address(dhcp))
        dhcp->began_ns = NEVER_NS;
    dhcp->failures++;
    if (news != DHCP_NO_NEWS)
        dhcp->news = news;
    dhcp->hold_s = MAX(hold_s, grown_s);
    enter(dhcp, DHCP_INIT);
}

/* --- answers ------------------------------------------------------------------------------------
 */

static bool asks_with_address(const struct dhcp *dhcp)
{
    return dhcp->state == DHCP_CONFIRMING || dhcp->state == DHCP_RENEWING ||
           dhcp->state == DHCP_REBINDING;
}

static bool awaits(const struct dhcp *dhcp, uint8_t type)
{
    if (dhcp->attempts == 0)
        return false; /* nothing was asked yet */
    if (dhcp->state == DHCP_SELECTING)
        return type == DHCP_OFFER;
    return type != DHCP_OFFER && (dhcp->state == DHCP_REQUESTING || asks_with_address(dhcp));
}

/* Is it this server that was asked, if it was one? */
static bool is_asked(const struct dhcp *dhcp, uint32_t server)
{
    return (dhcp->state != DHCP_REQUESTING && dhcp->state != DHCP_RENEWING) ||
           server == dhcp->lease.server;
}

/* T1 and T2, or what RFC 2131, section 4.4.5, has in their place if they can't be. */
static RUNS_SELDOM void set_times(struct dhcp *dhcp)
{
    const struct dhcp_answer *lease = &dhcp->lease;
    uint64_t t1_s = lease->t1_s, t2_s = lease->t2_s;

    if (lease->lease_s == DHCP_FOREVER) {
        dhcp->renew_ns = dhcp->rebind_ns = dhcp->end_ns = NEVER_NS;
        return;
    }
    if (t1_s < MIN_T1_S || t1_s >= t2_s || t2_s >= lease->lease_s) {
        t1_s = lease->lease_s / 2;
        t2_s = (uint64_t)lease->lease_s * 7 / 8;
    }
    /* Some earlier, so that hosts that were started together don't all ask at the same moment. */
    dhcp->renew_ns = dhcp->asked_ns + t1_s * NS_PER_S - draw(dhcp) % (t1_s * NS_PER_S / T1_FUZZ);
    dhcp->rebind_ns = dhcp->asked_ns + t2_s * NS_PER_S;
    dhcp->end_ns = dhcp->asked_ns + lease->lease_s * NS_PER_S;
}

static void take_lease(struct dhcp *dhcp, const struct dhcp_answer *answer)
{
    const bool renewed = asks_with_address(dhcp);

    dhcp->lease = *answer;
    set_times(dhcp);
    if (renewed)
        dhcp->failures = 0;
    enter(dhcp, renewed ? DHCP_BOUND : DHCP_PROBING);
}

RUNS_SELDOM enum dhcp_reason dhcp_input(struct dhcp *dhcp, const struct dhcp_answer *answer)
{
    if (!awaits(dhcp, answer->type) || answer->xid != dhcp->xid)
        return DHCP_UNASKED;
    if (!is_asked(dhcp, answer->server))
        return DHCP_BAD_SERVER;
    if (answer->type == DHCP_ACK && answer->address.address != dhcp->lease.address.address)
        return DHCP_BAD_ADDRESS;
    dhcp->heard = true;
    if (answer->type == DHCP_NAK) {
        fail(dhcp, DHCP_REFUSED, 0);
    } else if (answer->type == DHCP_ACK) {
        take_lease(dhcp, answer);
    } else {
        dhcp->lease = *answer;
        enter(dhcp, DHCP_REQUESTING);
    }
    return DHCP_TAKEN;
}

void dhcp_probed(struct dhcp *dhcp, bool conflict)
{
    if (dhcp->state == DHCP_PROBING)
        enter(dhcp, conflict ? DHCP_DECLINING : DHCP_BOUND);
}

void dhcp_arrived(struct dhcp *dhcp)
{
    if (dhcp->state == DHCP_BOUND || dhcp->state == DHCP_CONFIRMING)
        enter(dhcp, DHCP_CONFIRMING);
    else if (!dhcp_has_address(dhcp) && dhcp->hold_s == 0)
        enter(dhcp, DHCP_INIT);
    /* In RENEWING and REBINDING servers are being asked. */
}

/* --- what is due --------------------------------------------------------------------------------
 */

/* The pause after the message that is sent now. */
static RUNS_SELDOM uint64_t pause_ns(struct dhcp *dhcp)
{
    const uint64_t s = MIN(FIRST_PAUSE_S << MIN(dhcp->attempts, 8u), MAX_PAUSE_S);

    return (s - 1) * NS_PER_S + draw(dhcp) % (2 * NS_PER_S);
}

static RUNS_SELDOM bool make(struct dhcp *dhcp, enum dhcp_type type, struct dhcp_message *message)
{
    const uint32_t ours = dhcp_has_address(dhcp) ? dhcp->lease.address.address : 0;

    message->source = ours;
    message->destination = IPV4_BROADCAST;
    memset(message->mac, 0xff, ETH_MAC_BYTES);
    if (dhcp->state == DHCP_RENEWING) {
        message->destination = dhcp->lease.server;
        eth_mac_copy(message->mac, dhcp->lease.mac);
    }
    dhcp_write(dhcp, type, message->payload);
    dhcp->attempts++;
    return true;
}

static RUNS_SELDOM bool init_next(struct dhcp *dhcp, uint64_t now_ns)
{
    if (dhcp->hold_s > 0) {
        dhcp->step_ns = now_ns + dhcp->hold_s * NS_PER_S;
        dhcp->hold_s = 0;
    }
    if (now_ns >= dhcp->step_ns)
        enter(dhcp, DHCP_SELECTING);
    return false;
}

/* A host has no address here, so a server may not be able to answer it alone, or we not to receive
 * that: each second DISCOVER has the answer broadcast. */
static RUNS_SELDOM bool selecting_next(struct dhcp *dhcp, uint64_t now_ns,
                                       struct dhcp_message *message)
{
    if (now_ns < dhcp->step_ns)
        return false;
    if (dhcp->attempts == 0)
        dhcp->asked_ns = now_ns;
    dhcp->secs = (uint16_t)MIN((now_ns - dhcp->asked_ns) / NS_PER_S, (uint64_t)UINT16_MAX);
    dhcp->xid = (uint32_t)draw(dhcp);
    dhcp->broadcast = dhcp->attempts % 2 == 1;
    dhcp->step_ns = now_ns + pause_ns(dhcp);
    return make(dhcp, DHCP_DISCOVER, message);
}

static RUNS_SELDOM bool requesting_next(struct dhcp *dhcp, uint64_t now_ns,
                                        struct dhcp_message *message)
{
    if (now_ns < dhcp->step_ns)
        return false;
    if (dhcp->attempts == MAX_REQUESTS) {
        fail(dhcp, DHCP_NO_NEWS, 0);
        return false;
    }
    if (dhcp->attempts == 0)
        dhcp->asked_ns = now_ns; /* a lease is counted from there: the server's ends later */
    dhcp->step_ns = now_ns + pause_ns(dhcp);
    return make(dhcp, DHCP_REQUEST, message);
}

static RUNS_SELDOM bool declining_next(struct dhcp *dhcp, struct dhcp_message *message)
{
    make(dhcp, DHCP_DECLINE, message);
    fail(dhcp, DHCP_CONFLICT, DECLINE_HOLD_S);
    return true;
}

/* REQUEST for the address that is in use, which is answered with `due_ns` at the latest, or asked
 * again. Each has an id of its own: an ACK tells which one it answers, and so when the lease
 * begins. */
static RUNS_SELDOM bool ask_for_ours(struct dhcp *dhcp, uint64_t now_ns, uint64_t due_ns,
                                     struct dhcp_message *message)
{
    dhcp->xid = (uint32_t)draw(dhcp);
    dhcp->secs = 0;
    dhcp->broadcast = false;
    dhcp->asked_ns = now_ns;
    dhcp->step_ns = due_ns;
    return make(dhcp, DHCP_REQUEST, message);
}

/* Half of the time that is left, and neither too little nor too much of it. */
static RUNS_SELDOM uint64_t renewal_due_ns(const struct dhcp *dhcp, uint64_t now_ns,
                                           uint64_t end_ns)
{
    const uint64_t least_s = MIN(MAX(dhcp->lease.lease_s / 10, 1u), (uint32_t)RENEW_PAUSE_S);

    return MIN(now_ns + MAX((end_ns - now_ns) / 2, least_s * NS_PER_S), end_ns);
}

static RUNS_SELDOM bool bound_next(struct dhcp *dhcp, uint64_t now_ns)
{
    dhcp->step_ns = dhcp->renew_ns;
    if (now_ns >= dhcp->renew_ns)
        enter(dhcp, DHCP_RENEWING);
    return false;
}

/* No answer: the address is ours for the rest of the lease (RFC 2131, section 3.2, 2.). */
static RUNS_SELDOM bool confirming_next(struct dhcp *dhcp, uint64_t now_ns,
                                        struct dhcp_message *message)
{
    if (now_ns < dhcp->step_ns)
        return false;
    if (dhcp->attempts == MAX_REQUESTS || now_ns >= dhcp->renew_ns) {
        enter(dhcp, DHCP_BOUND);
        return false;
    }
    return ask_for_ours(dhcp, now_ns, MIN(now_ns + pause_ns(dhcp), dhcp->renew_ns), message);
}

static RUNS_SELDOM bool renewing_next(struct dhcp *dhcp, uint64_t now_ns,
                                      struct dhcp_message *message)
{
    if (now_ns >= dhcp->rebind_ns)
        enter(dhcp, DHCP_REBINDING);
    if (dhcp->state == DHCP_REBINDING || now_ns < dhcp->step_ns)
        return false;
    return ask_for_ours(dhcp, now_ns, renewal_due_ns(dhcp, now_ns, dhcp->rebind_ns), message);
}

static RUNS_SELDOM bool rebinding_next(struct dhcp *dhcp, uint64_t now_ns,
                                       struct dhcp_message *message)
{
    if (now_ns < dhcp->step_ns)
        return false;
    return ask_for_ours(dhcp, now_ns, renewal_due_ns(dhcp, now_ns, dhcp->end_ns), message);
}

static RUNS_SELDOM bool state_next(struct dhcp *dhcp, uint64_t now_ns, struct dhcp_message *message)
{
    switch (dhcp->state) {
    case DHCP_INIT:
        return init_next(dhcp, now_ns);
    case DHCP_SELECTING:
        return selecting_next(dhcp, now_ns, message);
    case DHCP_REQUESTING:
        return requesting_next(dhcp, now_ns, message);
    case DHCP_PROBING:
        dhcp->step_ns = dhcp->end_ns;
        return false;
    case DHCP_DECLINING:
        return declining_next(dhcp, message);
    case DHCP_BOUND:
        return bound_next(dhcp, now_ns);
    case DHCP_CONFIRMING:
        return confirming_next(dhcp, now_ns, message);
    case DHCP_RENEWING:
        return renewing_next(dhcp, now_ns, message);
    case DHCP_REBINDING:
        return rebinding_next(dhcp, now_ns, message);
    }
    return false;
}

/* Says once that there is no address, after a while without one; sees to it that this isn't late.
 */
static void look_at_patience(struct dhcp *dhcp, uint64_t now_ns)
{
    const uint64_t patience_ns = DHCP_PATIENCE_S * NS_PER_S;

    if (dhcp_has_address(dhcp))
        return;
    if (!dhcp->told && now_ns - dhcp->began_ns >= patience_ns) {
        dhcp->told = true;
        dhcp->news = dhcp->heard ? DHCP_NO_LEASE : DHCP_SILENCE;
    }
    if (!dhcp->told)
        dhcp->due_ns = MIN(dhcp->due_ns, dhcp->began_ns + patience_ns);
}

RUNS_SELDOM bool dhcp_next(struct dhcp *dhcp, uint64_t now_ns, struct dhcp_message *message)
{
    enum dhcp_state state;

    if ((dhcp_has_address(dhcp) || dhcp->state == DHCP_PROBING) && now_ns >= dhcp->end_ns)
        fail(dhcp, DHCP_EXPIRED, 0);
    if (dhcp->began_ns == NEVER_NS) {
        dhcp->began_ns = now_ns;
        dhcp->told = dhcp->heard = false;
    }
    do { /* until a state has nothing to do; each change leads on, so there are few */
        state = dhcp->state;
        if (state_next(dhcp, now_ns, message))
            return true;
    } while (dhcp->state != state);
    dhcp->due_ns = dhcp->step_ns;
    look_at_patience(dhcp, now_ns);
    return false;
}
