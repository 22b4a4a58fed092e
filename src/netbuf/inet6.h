/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet6.h - a host's part of IPv6 over Ethernet: what inet.h is for IPv4, and a part of the same
 * step. An app does no more than
 *
 *     inet_init(&inet, info.mac, inet_ip);
 *     inet6_init(&inet6, &inet, info.mtu_bytes);
 *
 * and inet_input answers neighbour solicitations and pings, checks UDP and hands it to the app, and
 * inet_next_packet tells neighbours and switches, and asks routers. Without inet6_init, or with
 * net.ip6=off, IPv6 frames are dropped as of an unknown type.
 *
 * The host's addresses, which net.ip6 tells (inet6_own.c):
 *
 *     link-local   from the MAC address, always
 *     configured   by net.ip6=ADDRESS/BITS
 *     routed       for prefixes that routers advertise, as long as they do
 *
 * Each is used when nobody objected to it for a second (RFC 4862, section 5.4). All cores have the
 * same addresses: one core's inet6_init made them, inet6_join gives them to another core. Only the
 * core that calls inet_next_packet changes them.
 *
 * There is no table of neighbours: an answer goes to the MAC address that asked.
 */
#ifndef NETBUF_INET6_H
#define NETBUF_INET6_H

#include "netbuf/inet.h"

enum {
    INET6_CONFIGURED = 4, /* addresses by net.ip6 */
    INET6_ROUTED = 4,     /* addresses for routers' prefixes */
    INET6_OWN = 1 + INET6_CONFIGURED + INET6_ROUTED,
    INET6_HOP_LIMIT = 64,
    INET6_EXTENSIONS = 8,        /* extension headers of a packet */
    INET6_EXTENSION_BYTES = 256, /* of one of them */
};

enum inet6_own_state {
    INET6_FREE,
    INET6_TENTATIVE, /* perhaps another host has it */
    INET6_VALID,
    INET6_DUPLICATE, /* another host has it */
};

struct inet6_own {
    struct ipv6_prefix prefix; /* with the bits that are on link; 128 if only a router knows */
    uint32_t state;            /* enum inet6_own_state; read and changed atomically */
    uint8_t probes;            /* sent while it was tentative */
    uint8_t announcements;     /* still to be made */
    bool is_told;              /* the console was told what became of it */
    bool is_contested;         /* another host spoke as if it had it */
    bool is_contest_told;
    uint64_t due_ns;         /* the next probe or announcement */
    uint64_t report_ns;      /* its solicited-node group is reported then */
    uint64_t valid_until_ns; /* UINT64_MAX: for good */
};

/* What a router advertisement says, until the core that may change addresses reads it. */
struct inet6_heard {
    uint32_t mtu; /* 0: it says nothing */
    uint32_t count;
    struct {
        struct ipv6_prefix prefix;
        uint32_t valid_s;
    } prefixes[INET6_ROUTED];
};

/* One for each device. */
struct inet6 {
    struct inet6_own own[INET6_OWN]; /* link-local, configured, routed */
    uint32_t mtu_bytes;              /* of packets, as routers or the device have it */
    uint32_t device_mtu_bytes;
    bool has_routed;           /* routers are asked, and what they advertise is taken */
    bool has_joined;           /* more than one core */
    uint8_t lines;             /* that the console may still be told */
    uint64_t solicit_ns;       /* routers are asked then, */
    uint64_t solicit_pause_ns; /* and again after that; 0: they aren't asked */
    uint64_t query_ns;         /* not before then is another question for reports looked at */
    uint32_t query_ms;         /* a question that came: the time that it gives, and 1; 0: none */
    uint64_t interface_id; /* as it lies in memory: the last 8 bytes of addresses that we make */
    uint32_t heard_state;  /* of `heard`: enum inet6_heard_state; changed atomically */
    struct inet6_heard heard;
};

/*
 * Gives *inet IPv6 with the addresses that net.ip6 tells; *inet6 is the device's. Leaves it without
 * if net.ip6=off, or, with a line on the console, if the MTU is less than IPV6_MIN_MTU. Ends the
 * image, as boot_misconfigured does, if an address is given twice. An app that calls this has the
 * key.
 */
void inet6_init(struct inet6 *inet6, struct inet *inet, uint32_t mtu_bytes);

/* Gives another core's *inet the same. */
void inet6_join(struct inet6 *inet6, struct inet *inet);

/* Is this an address of ours that may be used? */
bool inet6_has(const struct inet6 *inet6, const struct ipv6_address *address);

/* Is the address in a network that one of ours is in? */
bool inet6_is_near(const struct inet6 *inet6, const struct ipv6_address *address);

/* One line: "APP: IPv6 addresses are A, B.", of those that are ours by now or will be if nobody
 * objects. Nothing if there is no IPv6. */
void inet6_print(const struct inet *inet, const char *app);

#endif
