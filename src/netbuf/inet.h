/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet.h - a host's part of IPv4 over Ethernet, as a pure step over buffers: it answers ARP and
 * ping, checks UDP and hands it to the app. It touches no device, keeps no packet and never waits.
 *
 *     inet_init(&inet, info.mac, inet_ip);
 *     for each packet received:
 *         switch (inet_input(&inet, nb, &udp)) {
 *         case INET_DROPPED: free nb
 *         case INET_REPLY:   send nb
 *         case INET_UDP:     free nb, or write an answer behind inet_udp_headroom(&udp.from) and
 *                            inet_udp_build(&inet, nb, &udp.from, len, offload), send nb
 *         case INET_UDP_LARGE: the same, and inet_release(&inet, &udp)
 *         }
 *
 * A host also has packets to send by itself: announcements of its address when its link came up
 * (inet_arrived), and questions for neighbours (inet_resolve). Whoever has a device asks for them
 * now and then (inet_next_packet); netdev/loop.h does that for an app.
 *
 * The caller owns the buffer all the time. Addresses, ports and lengths are in host order.
 * Limits, all counted as drops: frames up to the size of one buffer, no multicast or broadcast but
 * ARP's, no routing: an answer goes to the MAC address that asked. IPv4 options are passed over.
 * Fragments are put together if the app has memory for it (inet_reassembly_create, reassembly.h).
 */
#ifndef NETBUF_INET_H
#define NETBUF_INET_H

#include "netbuf/dhcp.h"
#include "netbuf/eth.h"
#include "netbuf/ipv4.h"
#include "netbuf/ipv6.h"
#include "netbuf/netbuf.h"

enum {
    INET_UDP_HEADROOM = 42,   /* from nb->data to a UDP payload: Ethernet, IPv4 and UDP header */
    INET_UDP_HEADROOM_6 = 62, /* the same with an IPv6 header */
    INET_ARP_ENTRIES = 64,    /* neighbours */
    INET_ARP_ASKED = 32,      /* of them, those that the app asked for at most */
    INET_ADDRESSES = 8,       /* IPv4 addresses that a host has at most */
    INET_TTL = 64,

    INET_ERRORS_A_SECOND = 100, /* ICMP errors that a host sends on average at most, */
    INET_ERRORS_AT_ONCE = 20,   /* and in one go */
};

/* The first address that the command line gives with net.ip: an app that uses this header has the
 * key. inet_init adds the others, and those of net.vip. */
extern struct ipv4_prefix inet_ip;

/* net.ip=dhcp: inet_ip is INET_NO_ADDRESS, and inet_init has DHCP bring the first address. */
extern bool inet_ip_by_dhcp;

/* What stands for the address of a host that has none (yet). It holds no address of the network. */
#define INET_NO_ADDRESS ((struct ipv4_prefix){.address = 0, .len = 32})

/* Why a packet went no further. inet_drop_names has a word for each. */
enum inet_drop {
    INET_DROP_CHAIN,             /* a chained packet that doesn't fit into its first buffer */
    INET_DROP_ETH_SHORT,         /* shorter than an Ethernet header */
    INET_DROP_ETH_DESTINATION,   /* for another host */
    INET_DROP_ETH_MULTICAST,     /* for a group */
    INET_DROP_ETH_SOURCE,        /* from no host's address, or from our own */
    INET_DROP_ETH_VLAN,          /* of a VLAN that we don't live in */
    INET_DROP_ETH_NO_VLAN,       /* without a tag, and we live in a VLAN */
    INET_DROP_ETH_TYPE,          /* neither ARP nor IPv4 */
    INET_DROP_ARP_SHORT,         /* shorter than an ARP packet */
    INET_DROP_ARP_FORMAT,        /* not IPv4 over Ethernet, or neither request nor reply */
    INET_DROP_ARP_TARGET,        /* about another host */
    INET_DROP_ARP_CONFLICT,      /* another host uses our IP address (RFC 5227, section 2.4) */
    INET_DROP_ARP_SENDER,        /* the sender's addresses can't be a host's */
    INET_DROP_ARP_REPLY,         /* nothing wrong: learned from, and needs no answer */
    INET_DROP_IP_SHORT,          /* shorter than an IPv4 header */
    INET_DROP_IP_VERSION,        /* not version 4 */
    INET_DROP_IP_LENGTH,         /* its lengths contradict each other or the frame's */
    INET_DROP_IP_CHECKSUM,       /* wrong header checksum */
    INET_DROP_IP_FRAGMENT,       /* part of a datagram, and none is put together here */
    INET_DROP_FRAGMENT_KEPT,     /* nothing wrong: its bytes are kept until the others are there */
    INET_DROP_FRAGMENT_AGAIN,    /* nothing wrong: it had come before */
    INET_DROP_FRAGMENT_SHAPE,    /* it is empty, too long, or not the last and no multiple of 8 */
    INET_DROP_FRAGMENT_OVERLAP,  /* another one has some of its bytes: the datagram is dropped */
    INET_DROP_FRAGMENT_END,      /* another one tells another end: the datagram is dropped */
    INET_DROP_FRAGMENT_MANY,     /* too many of one datagram, which is dropped */
    INET_DROP_FRAGMENT_REST,     /* of a datagram that was dropped */
    INET_DROP_FRAGMENT_NO_ROOM,  /* the app still has all whole datagrams that there is room for */
    INET_DROP_FRAGMENTS_LATE,    /* a datagram, not a packet: its time was over */
    INET_DROP_FRAGMENTS_CROWDED, /* a datagram: given up for a newer one, as there was no room */
    INET_DROP_FRAGMENTS_SHARE,   /* a datagram: given up for a newer one of the same source */
    INET_DROP_IP_BROADCAST,      /* to all, by its Ethernet or its IPv4 destination */
    INET_DROP_IP_DESTINATION,    /* for another host */
    INET_DROP_IP_SOURCE,         /* from no host's address, or from our own */
    INET_DROP_IP_PROTOCOL,       /* neither ICMP nor UDP */
    INET_DROP_ICMP_SHORT,        /* shorter than an ICMP header */
    INET_DROP_ICMP_TYPE,         /* not an echo request */
    INET_DROP_ICMP_CHECKSUM,     /* wrong checksum */
    INET_DROP_ICMP_RATE,         /* it would have been answered by an error: too many of these */
    INET_DROP_ICMP_LARGE,        /* put together, and its answer doesn't fit one packet */
    INET_DROP_UDP_SHORT,         /* shorter than a UDP header */
    INET_DROP_UDP_LENGTH,        /* its length contradicts IPv4's */
    INET_DROP_UDP_PORT,          /* port 0 can't be answered */
    INET_DROP_UDP_CHECKSUM,      /* wrong checksum */
    INET_DROP_UDP_REFUSED,       /* for a port that isn't served, and no error tells the sender */
    INET_DROP_DHCP, /* nothing wrong: the DHCP client had a use for it; from here on dhcp_reason */
    INET_DROP_DHCP_SIZE,
    INET_DROP_DHCP_FORMAT,
    INET_DROP_DHCP_CLIENT,
    INET_DROP_DHCP_OPTION,
    INET_DROP_DHCP_TYPE,
    INET_DROP_DHCP_UNASKED,
    INET_DROP_DHCP_SERVER,
    INET_DROP_DHCP_ADDRESS,
    INET_DROP_DHCP_LEASE,
    INET_DROP_DHCP_BUSY,

    /* IPv6. */
    INET_DROP_UDP_NO_CHECKSUM, /* over IPv6 there must be one */
    INET_DROP_IP6_SHORT,       /* shorter than an IPv6 header */
    INET_DROP_IP6_VERSION,     /* not version 6 */
    INET_DROP_IP6_LENGTH,      /* its length is zero, or more than the frame's */
    INET_DROP_IP6_DESTINATION, /* for another host, or not for us yet */
    INET_DROP_IP6_GROUP,       /* for a group that we aren't in, or a datagram for one */
    INET_DROP_IP6_SOURCE,      /* from no host's address, or from our own */
    INET_DROP_IP6_EXTENSION,   /* an extension header is cut, misplaced, too long or one too many */
    INET_DROP_IP6_OPTION,      /* an option that isn't known and says that it must be */
    INET_DROP_IP6_ROUTING,     /* to be passed on, or a routing header of type 0 */
    INET_DROP_IP6_FRAGMENT,    /* part of a datagram */
    INET_DROP_IP6_PROTOCOL,    /* neither ICMPv6 nor UDP */
    INET_DROP_ICMP6_SHORT,     /* shorter than an ICMPv6 header */
    INET_DROP_ICMP6_TYPE,      /* neither an echo request nor neighbour discovery */
    INET_DROP_ICMP6_CHECKSUM,  /* wrong checksum */
    INET_DROP_ND_HOPS,         /* neighbour discovery that a router may have passed on */
    INET_DROP_ND_FORMAT,       /* neighbour discovery that RFC 4861 calls invalid */
    INET_DROP_ND_TARGET,       /* about another host */
    INET_DROP_ND_CONFLICT,     /* another host uses, or wants, an address of ours */
    INET_DROP_ND_ADVERT,       /* a neighbour's or a router's word: nothing wrong, no answer */
    INET_DROP_ND_BUSY,         /* a router's word before the last one was read */
    INET_DROP_MLD_QUERY,       /* nothing wrong: the groups that we are in will be told */
    INET_DROP_MLD_FORMAT,      /* a query that RFC 2710 calls invalid */
    INET_DROP_ROOM,            /* the answer doesn't fit the packet's buffer */
    INET_DROP_REASONS
};

extern const char *const inet_drop_names[INET_DROP_REASONS];

/* Where a neighbour's entry stands; inet_arp.c draws how they follow each other. */
enum inet_arp_state {
    INET_ARP_FREE,
    INET_ARP_HEARD,  /* from a packet about us; nobody asked */
    INET_ARP_KNOWN,  /* and the app wants to send to it */
    INET_ARP_STALE,  /* known for a minute: it is asked again, and used meanwhile */
    INET_ARP_ASKING, /* not known yet */
    INET_ARP_SILENT, /* didn't answer */
};

/* Whose IPv4 address belongs to whose MAC address, as ARP told. */
struct inet_arp_entry {
    uint32_t ip;
    uint8_t mac[ETH_MAC_BYTES];
    uint8_t state;    /* enum inet_arp_state */
    uint8_t requests; /* sent since it is asked */
    uint64_t due_ns;  /* when it is stale, or asked again */
};

/* How far an address of ours is; inet_address.c draws how they follow each other. */
enum inet_address_state {
    INET_ADDRESS_FREE,    /* there is none */
    INET_ADDRESS_PROBING, /* others are asked whether they have it: not in use */
    INET_ADDRESS_USED,    /* ours: packets to it are taken */
    INET_ADDRESS_TAKEN,   /* another host has it: not in use, and probed again in a minute */
};

/* What is different about an address: flags of inet_put_address. */
enum inet_address_flag {
    INET_ADDRESS_PROBE = 1,  /* it is probed for before it is used (RFC 5227, section 2.1) */
    INET_ADDRESS_QUIET = 2,  /* neither announced nor answered by ARP: others have it, too */
    INET_ADDRESS_LEASED = 4, /* by DHCP: probed for half a second, and declined if that fails */
};

/* An address of ours. */
struct inet_address {
    struct ipv4_prefix prefix;    /* the address and its network */
    uint32_t broadcast;           /* the network's */
    uint8_t state;                /* enum inet_address_state */
    uint8_t flags;                /* enum inet_address_flag */
    uint8_t left;                 /* probes, or announcements, still to be sent, */
    bool conflict;                /* another host spoke as if it had it; not looked at yet */
    uint8_t other[ETH_MAC_BYTES]; /* that host */
    bool told;                    /* the console has told of it */
    uint64_t due_ns;              /* the next of `left` */
    uint64_t defend_ns;           /* not before then is it defended again */
};

struct inet6;
/* What one core's inet has for those of other cores to write and read (inet_cores.c). */
struct inet_shared {
    bool has_followers;
    uint32_t mail_state;
    struct dhcp_answer mail;
    uint64_t conflicts[INET_ADDRESSES];
    uint64_t addresses[INET_ADDRESSES];
};

struct inet {
    /* What each packet takes. */
    uint64_t mac_number;       /* eth_mac_number of mac */
    uint64_t plain_mac_number; /* the same; of no frame if those without a tag aren't for us */
    uint64_t ip_number;        /* own[0]; a number that is no packet's while that isn't in use */
    uint64_t no_sources;       /* bit N: an inet_no_source ends in the 6 bits N; others can be */
    uint32_t finish_below;     /* a shorter frame isn't complete yet: inet_finish */
    uint8_t mac[ETH_MAC_BYTES];
    uint16_t next_identification;
    uint16_t mtu_bytes; /* the device's: 1500, if the app doesn't set another after inet_init */
    struct reassembly *reassembly; /* NULL, if the app doesn't set inet_reassembly_create()'s */
    uint32_t own[INET_ADDRESSES];  /* addresses[i].prefix.address; 0 if there is none */

    bool has_packets;          /* inet_next_packet has something to send now */
    uint16_t vlan;             /* that we live in; 0: none */
    struct ipv4_prefix prefix; /* our first address and its network, or INET_NO_ADDRESS */
    uint64_t now_ns;           /* as inet_next_packet or inet_resolve were told last */
    uint64_t due_ns; /* inet_next_packet has something to send then; UINT64_MAX: not by itself */
    uint32_t errors_left; /* ICMP errors that may still be sent in one go */
    uint64_t errors;      /* ICMP errors that were sent */
    uint64_t errors_ns;   /* when errors_left was counted */
    uint32_t arp_next[2]; /* entry that is replaced next: of those heard, of those asked for */
    uint32_t arp_asked;   /* entries that the app asked for */
    struct inet6 *inet6;  /* the device's, inet6.h; NULL: no IPv6 */
    /* Packets that inet_input had a use for. */
    uint64_t arp_replies, nd_replies, echo_replies, udp_packets;
    uint64_t reassembled; /* datagrams that were put together; the last fragment of each is above,
                             if its datagram was of use */
    uint64_t drops[INET_DROP_REASONS];
    struct inet_address addresses[INET_ADDRESSES];
    struct inet_arp_entry arp[INET_ARP_ENTRIES];
    bool by_dhcp;      /* the first address comes by DHCP */
    uint32_t router;   /* to other networks, as DHCP told; 0 if it didn't */
    struct inet *host; /* another core's, which speaks for the host; NULL if this one does */
    struct dhcp dhcp;  /* if by_dhcp and this one speaks for the host */
    struct inet_shared shared __attribute__((aligned(CACHE_LINE)));
};

#define INET_NO_IP_NUMBER  UINT64_MAX
#define INET_NO_MAC_NUMBER UINT64_MAX

enum inet_family { INET_IPV4, INET_IPV6 };

/* The other end of an exchange of UDP datagrams. */
struct inet_peer {
    uint32_t ip; /* with INET_IPV4 */
    uint16_t port;
    uint16_t local_port; /* ours */
    uint8_t mac[ETH_MAC_BYTES];
    uint8_t local;                      /* with INET_IPV4, which of our addresses: 0 is the first */
    uint8_t family;                     /* enum inet_family */
    struct ipv6_address ip6, local_ip6; /* with INET_IPV6: the peer's address and ours */
};

/* From nb->data to the payload of a datagram from or to a peer. */
static inline uint32_t inet_udp_headroom(const struct inet_peer *peer)
{
    return peer->family == INET_IPV4 ? INET_UDP_HEADROOM : INET_UDP_HEADROOM_6;
}

/* A datagram as inet_input found it. */
struct inet_udp {
    struct inet_peer from;
    uint8_t *payload; /* nb->data + inet_udp_headroom(&from); with INET_UDP_LARGE elsewhere */
    uint32_t payload_len;
};

enum inet_verdict {
    INET_DROPPED, /* of no use; counted in inet.drops */
    INET_REPLY,   /* the packet has become its own answer, ready to be sent */
    INET_UDP,     /* a UDP datagram for the app */
    /* One that was put together from fragments and isn't as small as a packet: the payload lies
     * apart, and only we can write there, until inet_release. The packet is the last fragment. */
    INET_UDP_LARGE,
};

/* Sets up *inet, in the VLAN that net.vlan names, with its first address, which INET_NO_ADDRESS
 * leaves open, and the further ones that the command line gives; net.probe decides whether they are
 * probed for. Ends the image, as boot_misconfigured does, if no host can have one of them. */
void inet_init(struct inet *inet, const uint8_t *mac, struct ipv4_prefix prefix);

/* Says what the command line gave beside the first address, if it did: on one line, for the console
 * of an app that serves. netdev_loop_host does. */
void inet_tell(const struct inet *inet);

/* Is the first address in use? */
static inline bool inet_has_address(const struct inet *inet)
{
    return inet->ip_number != INET_NO_IP_NUMBER;
}

/*
 * From now on the host has this address, which a host can have, and announces it; or none, with
 * INET_NO_ADDRESS: then it answers nobody, and what is in flight to the address it had is dropped.
 * What it knew of neighbours it forgets, as they may be others. Between two calls of inet_input.
 */
void inet_set_address(struct inet *inet, struct ipv4_prefix prefix);

/*
 * The same for address number `index` of INET_ADDRESSES, and no neighbour is forgotten. With
 * INET_ADDRESS_PROBE the address is in use only when probes, which inet_next_packet makes, remained
 * without an answer: inet->addresses[index].state tells how far that is.
 */
void inet_put_address(struct inet *inet, uint32_t index, struct ipv4_prefix prefix, uint8_t flags);

/* What inet_init does for net.ip=dhcp: the host has no address until a DHCP server gave one, which
 * inet_next_packet asks for, under `name`, or none if that is NULL. `seed` is boot_random(). */
void inet_use_dhcp(struct inet *inet, const char *name, uint64_t seed);

/* Says what became of DHCP since the last call, if an operator has to know it. */
void inet_tell_dhcp(struct inet *inet);

/* Prints ", leased for 3600 s by 10.0.2.2", or nothing if the address is no lease. */
void inet_print_lease(const struct inet *inet);

/* With several cores, before they run: `other` is another core's part of the host that `host`
 * speaks for. That alone makes packets by itself (inet_next_packet); `other` has no address but
 * those of `host` from then on. */
void inet_join(struct inet *host, struct inet *other);

/* For `other` to see what became of the host's addresses; now and then, between two bursts. */
void inet_follow(struct inet *other);

/*
 * Looks at one packet that was received, from its Ethernet header at nb->data on. A chained packet
 * is made one piece first. *udp is set with INET_UDP only; nb->data then still is the Ethernet
 * header. Rules of RFC 826, 1122 (section 3.2 and 4.1), 5227.
 */
enum inet_verdict inet_input(struct inet *inet, struct netbuf *nb, struct inet_udp *udp);

/* Ends the use of a payload that came with INET_UDP_LARGE. Who has many of them at a time gets no
 * new ones: there are as many as net.reassembly says. */
void inet_release(struct inet *inet, const struct inet_udp *udp);

/* Memory for as many datagrams in progress as net.reassembly says, for the inet of one core; NULL
 * if it says 0: fragments are dropped then. Ends the image, as boot_misconfigured does, if there is
 * no memory for it. */
struct reassembly *inet_reassembly_create(void);

/* Gives up datagrams whose fragments don't come, so that they are counted. Now and then. */
void inet_tick(struct inet *inet);

/* Bytes of payload that a datagram built in nb can have, as far as the buffer goes. The device's
 * MTU is another limit: mtu_bytes less 28. */
static inline uint32_t inet_udp_room(const struct netbuf *nb)
{
    const uint32_t before = netbuf_headroom(nb) + INET_UDP_HEADROOM;

    return nb->buf_bytes > before ? nb->buf_bytes - before : 0;
}

/*
 * Makes nb a UDP datagram to a peer: writes the headers to nb->data and sets the length and the
 * flags. The payload of payload_len bytes already lies at nb->data + inet_udp_headroom(to); the
 * caller has seen to it that it fits the buffer and the MTU. nb is the buffer that brought a
 * request, for a reply in place, or a fresh one, for a further datagram. With csum_offload, for a
 * device with NETDEV_OFFLOAD_TX_CSUM, the checksum is left to the device.
 */
void inet_udp_build(struct inet *inet, struct netbuf *nb, const struct inet_peer *to,
                    uint32_t payload_len, bool csum_offload);

/*
 * For a datagram that inet_input found (INET_UDP or INET_UDP_LARGE) and whose port the app doesn't
 * serve: makes nb, which the app has left as it was, the ICMP error that tells its sender so, ready
 * to be sent: INET_REPLY. INET_DROPPED, counted, if there were INET_ERRORS_A_SECOND. A large one is
 * still to be released then.
 */
enum inet_verdict inet_refuse(struct inet *inet, struct netbuf *nb, const struct inet_udp *udp);

/* Makes the fresh buffer nb an ARP announcement of our first address (RFC 5227, section 2.3). */
void inet_announce(const struct inet *inet, struct netbuf *nb);

enum inet_neighbour {
    INET_KNOWN,  /* mac is set */
    INET_ASKING, /* it is being asked: call again in a while */
    INET_SILENT, /* it doesn't answer */
    INET_NO_WAY, /* outside of our network without a gateway, or nobody's address */
};

/*
 * For who sends first: the MAC address to which a packet for `ip` goes. That is the neighbour's
 * own, or the gateway's if `ip` is outside of our networks (gateway_of, gateway.h; 0 for the one
 * that DHCP told, or none). Asks by ARP if need be: three times, a second apart, and again 20 s
 * later at the soonest. now_ns is clock_ns(). An answer holds for a minute; that a known neighbour
 * went silent is told some three seconds after that. At most INET_ARP_ASKED neighbours are kept so:
 * one more takes another's place.
 */
enum inet_neighbour inet_resolve(struct inet *inet, uint32_t ip, uint32_t gateway, uint64_t now_ns,
                                 uint8_t mac[ETH_MAC_BYTES]);

/* Our link came up, perhaps elsewhere: neighbours and switches are to be told of our addresses,
 * twice (RFC 5227, section 2.3), by inet_next_packet. */
void inet_arrived(struct inet *inet);

/* Makes the fresh buffer nb the next packet that this host sends by itself, and returns true; false
 * if there is none now. Then there is none before inet->due_ns, unless inet->has_packets is set. */
bool inet_next_packet(struct inet *inet, uint64_t now_ns, struct netbuf *nb);

#endif
