/* SPDX-License-Identifier: BSD-2-Clause */
/* inet6_build.h - what the files of inet6.h share with each other and with inet.c. Not for apps. */
#ifndef NETBUF_INET6_BUILD_H
#define NETBUF_INET6_BUILD_H

#include "netbuf/icmp6.h"
#include "netbuf/inet6.h"
#include "netbuf/inet_build.h"

enum { L4_OFFSET_6 = IP_OFFSET + sizeof(struct ipv6_header) }; /* from nb->data on */

/* A received packet: its addresses are copies, as its memory may change. What it carries lies at
 * nb->data + L4_OFFSET_6, as extension headers were taken out. */
struct inet6_packet {
    struct ipv6_address source, destination;
    uint8_t hop_limit;
    uint8_t next_header;
    bool more;               /* of a fragment: others follow behind it */
    bool in_fragments;       /* it came so, or in a fragment that is all of it */
    uint32_t len;            /* of what it carries */
    uint32_t offset;         /* of a fragment, in bytes */
    uint32_t identification; /* of a fragment's datagram, as it lies in the packet */
};

/* inet_input and inet_udp_build for IPv6 (inet6.c). */
enum inet_verdict inet6_input(struct inet *inet, struct netbuf *nb, struct inet_udp *udp);
void inet6_udp_build(struct inet *inet, struct netbuf *nb, const struct inet_peer *to,
                     uint32_t payload_len, bool csum_offload);

/* Makes nb the ICMPv6 error about the packet that it has, as RFC 4443, section 2.4, wants it: the
 * packet stands behind it as far as the least MTU goes. `about` has its addresses, and what its
 * IPv6 header is to say of next_header and len, as extension headers were taken out. INET_DROPPED,
 * counted as `why` or as too many errors, if there is to be none (inet6.c). */
enum inet_verdict inet6_error(struct inet *inet, struct netbuf *nb,
                              const struct inet6_packet *about, struct icmp6_header error,
                              enum inet_drop why);

/* inet_refuse for IPv6 (inet6.c). */
enum inet_verdict inet6_refuse(struct inet *inet, struct netbuf *nb, const struct inet_udp *udp);

/* Takes extension headers out, and sets next_header, len and what tells of a fragment
 * (inet6_extension.c). */
enum inet6_kind {
    INET6_NONE, /* it goes no further, and was counted */
    INET6_WHOLE,
    INET6_FRAGMENT,
};
enum inet6_kind inet6_skip_extensions(struct inet *inet, struct netbuf *nb,
                                      struct inet6_packet *packet);

/* Has what the first fragment of a datagram carries, at `at`, all headers, and that of the
 * datagram's own protocol (RFC 7112)? What is wrong with them beside that shows when it is whole
 * (inet6_extension.c). */
bool inet6_has_headers(const uint8_t *at, const struct inet6_packet *packet);

/* A fragment, whose header is still there (inet6_fragment.c). */
enum inet_verdict inet6_fragment_input(struct inet *inet, struct netbuf *nb,
                                       struct inet6_packet *packet, struct inet_udp *udp);

/* What a packet carries, or a datagram that was put together (inet6.c). */
enum inet_verdict inet6_payload(struct inet *inet, struct netbuf *nb,
                                const struct inet6_packet *packet, struct inet_udp *udp);

/* Writes the Ethernet and IPv6 header of a packet from us with len bytes behind them. */
void inet6_build(const struct inet *inet, struct netbuf *nb, const uint8_t *mac,
                 const struct inet6_packet *packet);

/* Writes them and the checksum of an ICMPv6 message of packet->len bytes. */
void inet6_build_icmp(const struct inet *inet, struct netbuf *nb, const uint8_t *mac,
                      const struct inet6_packet *packet);

/* Does so for a message from `source` to a group. */
void inet6_build_to_group(const struct inet *inet, struct netbuf *nb,
                          const struct ipv6_address *source, const struct ipv6_address *group,
                          uint8_t hop_limit, uint32_t len);

/* Where frames to a group go (RFC 2464, section 7). */
void inet6_group_mac(uint8_t mac[ETH_MAC_BYTES], const struct ipv6_address *group);

/* A message of neighbour discovery, whose checksum is right (inet_nd.c). */
enum inet_verdict inet_nd_input(struct inet *inet, struct netbuf *nb,
                                const struct inet6_packet *packet);

/* Makes a fresh buffer the report that we are in the group by which the address is looked for, and
 * takes a question for such reports (inet_mld.c). */
void inet_mld_build_report(const struct inet *inet, struct netbuf *nb,
                           const struct ipv6_address *address);
enum inet_verdict inet_mld_input(struct inet *inet, const struct netbuf *nb,
                                 const struct inet6_packet *packet);

/* Make a fresh buffer a message of neighbour discovery (inet_nd.c): a question whether somebody has
 * the address, that it is ours, a question to all routers. */
void inet_nd_build_probe(const struct inet *inet, struct netbuf *nb,
                         const struct ipv6_address *address);
void inet_nd_build_announcement(const struct inet *inet, struct netbuf *nb,
                                const struct ipv6_address *address);
void inet_nd_build_router_question(const struct inet *inet, struct netbuf *nb);

/* Whose state is read by any core, and changed by the one that has inet_next_packet; but any core
 * may find that a tentative one is a duplicate. */
static inline enum inet6_own_state inet6_state(const struct inet6_own *own)
{
    return (enum inet6_own_state)load_acquire(&own->state);
}

/* The entry for an address, whatever its state; NULL if there is none (inet6_own.c). */
struct inet6_own *inet6_find(struct inet6 *inet6, const struct ipv6_address *address);

/* Another host has the address, or wants it. True, and it isn't used, if it was tentative. */
bool inet6_give_up(struct inet *inet, struct inet6_own *own);

/* Another host speaks as if it had the address: that isn't used, if it was tentative, else the
 * console is told, once. */
void inet6_contest(struct inet *inet, struct inet6_own *own);

/* The link came: addresses are probed for, or announced if they were ours before, routers asked. */
void inet6_arrived(struct inet *inet);

/* As inet_next_packet, at inet->now_ns; moves inet->due_ns if there is something to do earlier. */
bool inet6_next_packet(struct inet *inet, struct netbuf *nb);

/* A router's word for the core that may change addresses, at its next inet6_next_packet. Several
 * cores may hear one at the same time; false if the last one wasn't read yet. */
enum inet6_heard_state { INET6_HEARD_NONE, INET6_HEARD_WRITING, INET6_HEARD_FULL };
bool inet6_hear(struct inet *inet, const struct inet6_heard *heard);

#endif
