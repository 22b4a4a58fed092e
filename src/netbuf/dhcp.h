/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dhcp.h - the client's side of DHCP (RFC 2131), pure: answers and the time in, messages out. It
 * touches no packet and no host; inet_dhcp.c has it speak for one.
 *
 *     dhcp_init(&dhcp, mac, name, boot_random());
 *     again and again, from dhcp.due_ns on, or after an answer:
 *         while (dhcp_next(&dhcp, clock_ns(), &message)) send message
 *     for each datagram to port 68:
 *         reason = dhcp_read(payload, len, mac, &answer)
 *         if (reason == DHCP_TAKEN) reason = dhcp_input(&dhcp, &answer)
 *
 *       INIT --- DISCOVER ---> SELECTING --- OFFER ---> REQUESTING --- ACK ---> PROBING
 *                               again: 4, 8 .. 64 s      again: 4 times            |
 *       INIT <--- NAK in any of them; a conflict, after DECLINE; the lease's end   | free
 *                                                                                  v
 *       REBINDING <--- T2 --- RENEWING <--- T1 ------------------------------ BOUND
 *                    ACK leads back to BOUND                                    ^|
 *                                                         CONFIRMING <--- the link came again
 *
 * The address is in use in BOUND, RENEWING, REBINDING and CONFIRMING. What a server says is
 * checked against what was asked; the first OFFER that can be used is taken. Not done: RELEASE
 * (an image that ends keeps its address until the lease is over, and gets it again), INFORM, the
 * random delay before the first DISCOVER, other options than those of enum dhcp_option.
 */
#ifndef NETBUF_DHCP_H
#define NETBUF_DHCP_H

#include "netbuf/eth.h"
#include "netbuf/ipv4.h"

enum {
    DHCP_SERVER_PORT = 67,
    DHCP_CLIENT_PORT = 68,
    DHCP_MESSAGE_BYTES = 332, /* of each of ours: below 300 BOOTP relays drop them (RFC 1542) */
    DHCP_MAX_ANSWER = 1472,   /* bytes of a message that is looked at: a frame's */
    DHCP_MAX_NAME = 63,       /* characters of a host's name */
    DHCP_MIN_LEASE_S = 10,    /* a shorter lease isn't taken: it would be all renewals */

    DHCP_OP_REQUEST = 1,
    DHCP_OP_REPLY = 2,
    DHCP_HTYPE_ETHERNET = 1,
    DHCP_FLAG_BROADCAST = 0x8000,
    DHCP_MAGIC = 0x63825363,
};

#define DHCP_FOREVER UINT32_MAX /* seconds of a lease that doesn't end */

enum dhcp_option { /* RFC 2132 */
                   DHCP_OPTION_PAD = 0,
                   DHCP_OPTION_MASK = 1,
                   DHCP_OPTION_ROUTER = 3,
                   DHCP_OPTION_HOST_NAME = 12,
                   DHCP_OPTION_REQUESTED = 50,
                   DHCP_OPTION_LEASE = 51,
                   DHCP_OPTION_OVERLOAD = 52,
                   DHCP_OPTION_TYPE = 53,
                   DHCP_OPTION_SERVER = 54,
                   DHCP_OPTION_WANTED = 55, /* which options a server is asked for */
                   DHCP_OPTION_T1 = 58,
                   DHCP_OPTION_T2 = 59,
                   DHCP_OPTION_END = 255,
};

enum dhcp_type {
    DHCP_DISCOVER = 1,
    DHCP_OFFER = 2,
    DHCP_REQUEST = 3,
    DHCP_DECLINE = 4,
    DHCP_ACK = 5,
    DHCP_NAK = 6,
};

struct dhcp_header { /* RFC 2131, section 2 */
    uint8_t op;
    uint8_t htype;
    uint8_t hlen;
    uint8_t hops;
    uint32_t xid;
    uint16_t secs;
    uint16_t flags;
    uint32_t ciaddr;
    uint32_t yiaddr;
    uint32_t siaddr;
    uint32_t giaddr;
    uint8_t chaddr[16];
    uint8_t sname[64];
    uint8_t file[128];
    uint32_t magic; /* of RFC 2132, section 2; options follow */
} __attribute__((packed));

_Static_assert(sizeof(struct dhcp_header) == 240, "dhcp_header");
_Static_assert(offsetof(struct dhcp_header, xid) == 4, "dhcp_header.xid");
_Static_assert(offsetof(struct dhcp_header, ciaddr) == 12, "dhcp_header.ciaddr");
_Static_assert(offsetof(struct dhcp_header, chaddr) == 28, "dhcp_header.chaddr");
_Static_assert(offsetof(struct dhcp_header, sname) == 44, "dhcp_header.sname");
_Static_assert(offsetof(struct dhcp_header, file) == 108, "dhcp_header.file");

/* What became of an answer; inet.h counts each under a name. */
enum dhcp_reason {
    DHCP_TAKEN,       /* the client had a use for it */
    DHCP_BAD_SIZE,    /* shorter than a header and a type, or longer than DHCP_MAX_ANSWER */
    DHCP_BAD_FORMAT,  /* no BOOTP reply over Ethernet with DHCP's magic number */
    DHCP_BAD_CLIENT,  /* for another host */
    DHCP_BAD_OPTION,  /* an option runs past its field, or hasn't the length that it must have */
    DHCP_BAD_TYPE,    /* neither OFFER nor ACK nor NAK */
    DHCP_UNASKED,     /* answers no question that is open */
    DHCP_BAD_SERVER,  /* of no server, or of another one than was asked */
    DHCP_BAD_ADDRESS, /* no host's address with its mask, or another one than was asked for */
    DHCP_BAD_LEASE,   /* without a time, or shorter than DHCP_MIN_LEASE_S */
    DHCP_BUSY,        /* another answer waits for core 0 (inet_dhcp.c) */
    DHCP_REASONS
};

/* What a server's message says, in host order; 0 is what it doesn't say. */
struct dhcp_answer {
    uint32_t xid;
    uint8_t type;               /* enum dhcp_type */
    uint8_t mac[ETH_MAC_BYTES]; /* where it came from; for who reads it to set */
    struct ipv4_prefix address;
    uint32_t router, server;
    uint32_t lease_s, t1_s, t2_s;
};

/* A message to be sent from `source` to an address, and a MAC address if that is no broadcast. */
struct dhcp_message {
    uint32_t source, destination;
    uint8_t mac[ETH_MAC_BYTES];
    uint8_t *payload; /* DHCP_MESSAGE_BYTES of them; the caller's */
};

enum dhcp_state {
    DHCP_INIT,
    DHCP_SELECTING,
    DHCP_REQUESTING,
    DHCP_PROBING,
    DHCP_DECLINING,
    DHCP_BOUND,
    DHCP_CONFIRMING,
    DHCP_RENEWING,
    DHCP_REBINDING,
};

/* What an operator is told. */
enum dhcp_news {
    DHCP_NO_NEWS,
    DHCP_SILENCE,  /* no server answered for DHCP_PATIENCE_S */
    DHCP_NO_LEASE, /* servers answered, but there was no lease in that time */
    DHCP_REFUSED,  /* a server took the address back, or what it had offered */
    DHCP_CONFLICT, /* another host has the address */
    DHCP_EXPIRED,  /* the lease is over */
};

enum { DHCP_PATIENCE_S = 10 };

struct dhcp {
    enum dhcp_state state;
    enum dhcp_news news; /* for whoever tells it, and sets it back */
    uint8_t mac[ETH_MAC_BYTES];
    bool broadcast;   /* servers are asked to answer to all */
    bool heard;       /* a server answered since began_ns */
    bool told;        /* since began_ns, that there is no lease */
    const char *name; /* the host's, or NULL */
    uint64_t random;  /* state of a generator */
    uint32_t xid;
    uint16_t secs;            /* how long a server has been looked for, as the last DISCOVER told */
    uint32_t attempts;        /* messages sent in this state */
    uint32_t failures;        /* since a lease was renewed */
    uint32_t hold_s;          /* INIT lasts for so long */
    uint64_t began_ns;        /* there has been no address since then */
    uint64_t step_ns;         /* the state has something to do then */
    uint64_t due_ns;          /* dhcp_next has something to do then */
    uint64_t asked_ns;        /* REQUEST was sent */
    struct dhcp_answer lease; /* offered, or ours */
    uint64_t renew_ns, rebind_ns; /* T1, T2 */
    uint64_t end_ns;
};

/* Reads a message for the host `mac`, once: the payload may change meanwhile. */
enum dhcp_reason dhcp_read(const uint8_t *payload, uint32_t len, const uint8_t *mac,
                           struct dhcp_answer *answer);

/* Writes a message of this type for the state that the client is in. */
void dhcp_write(const struct dhcp *dhcp, enum dhcp_type type, uint8_t payload[DHCP_MESSAGE_BYTES]);

/* `name` for servers to know the host by, or NULL; `seed` is a number that a stranger can't guess,
 * of which transaction ids and the lengths of pauses are made. */
void dhcp_init(struct dhcp *dhcp, const uint8_t *mac, const char *name, uint64_t seed);

/* What a server says. If it is taken dhcp_next is to be called soon. */
enum dhcp_reason dhcp_input(struct dhcp *dhcp, const struct dhcp_answer *answer);

/* What is due: true if there is a message to send, false if there is nothing to do before
 * due_ns. */
bool dhcp_next(struct dhcp *dhcp, uint64_t now_ns, struct dhcp_message *message);

/* In PROBING: somebody else has the address, or nobody has. dhcp_next is to be called soon. */
void dhcp_probed(struct dhcp *dhcp, bool conflict);

/* The link came (again): servers that can be reached now are asked. */
void dhcp_arrived(struct dhcp *dhcp);

/* Is the lease's address in use? */
static inline bool dhcp_has_address(const struct dhcp *dhcp)
{
    return dhcp->state >= DHCP_BOUND;
}

#endif
