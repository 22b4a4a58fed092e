/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet.c - a host's part of IPv4 over Ethernet.
 *
 * Each layer has one function, which checks its header, then calls the next:
 *
 *     inet_input -> inet_arp_input (inet_arp.c)
 *                -> ipv4_input -> inet_icmp_input
 *                              -> udp_input
 *                              -> inet_fragment_input (inet_fragment.c)
 *
 * A packet's memory may change while we look at it, as the other side can still reach it. So every
 * length that decides what we touch is read once (inet_read_length), checked, and only then used.
 */
#include "netbuf/inet.h"
#include "boot/boot.h"
#include "netbuf/checksum.h"
#include "netbuf/icmp.h"
#include "netbuf/inet6_build.h"
#include "netbuf/inet_build.h"
#include "netbuf/udp.h"

_Static_assert(INET_UDP_HEADROOM == L4_OFFSET + sizeof(struct udp_header), "UDP payload");

const char *const inet_drop_names[INET_DROP_REASONS] = {
    [INET_DROP_CHAIN] = "chain",
    [INET_DROP_ETH_SHORT] = "eth_short",
    [INET_DROP_ETH_DESTINATION] = "eth_destination",
    [INET_DROP_ETH_MULTICAST] = "eth_multicast",
    [INET_DROP_ETH_SOURCE] = "eth_source",
    [INET_DROP_ETH_VLAN] = "eth_vlan",
    [INET_DROP_ETH_NO_VLAN] = "eth_no_vlan",
    [INET_DROP_ETH_TYPE] = "eth_type",
    [INET_DROP_ARP_SHORT] = "arp_short",
    [INET_DROP_ARP_FORMAT] = "arp_format",
    [INET_DROP_ARP_TARGET] = "arp_target",
    [INET_DROP_ARP_CONFLICT] = "arp_conflict",
    [INET_DROP_ARP_SENDER] = "arp_sender",
    [INET_DROP_ARP_REPLY] = "arp_reply",
    [INET_DROP_IP_SHORT] = "ip_short",
    [INET_DROP_IP_VERSION] = "ip_version",
    [INET_DROP_IP_LENGTH] = "ip_length",
    [INET_DROP_IP_CHECKSUM] = "ip_checksum",
    [INET_DROP_IP_FRAGMENT] = "ip_fragment",
    [INET_DROP_FRAGMENT_KEPT] = "fragment_kept",
    [INET_DROP_FRAGMENT_AGAIN] = "fragment_again",
    [INET_DROP_FRAGMENT_SHAPE] = "fragment_shape",
    [INET_DROP_FRAGMENT_OVERLAP] = "fragment_overlap",
    [INET_DROP_FRAGMENT_END] = "fragment_end",
    [INET_DROP_FRAGMENT_MANY] = "fragment_many",
    [INET_DROP_FRAGMENT_REST] = "fragment_rest",
    [INET_DROP_FRAGMENT_NO_ROOM] = "fragment_no_room",
    [INET_DROP_FRAGMENTS_LATE] = "fragments_late",
    [INET_DROP_FRAGMENTS_CROWDED] = "fragments_crowded",
    [INET_DROP_FRAGMENTS_SHARE] = "fragments_share",
    [INET_DROP_IP_BROADCAST] = "ip_broadcast",
    [INET_DROP_IP_DESTINATION] = "ip_destination",
    [INET_DROP_IP_SOURCE] = "ip_source",
    [INET_DROP_IP_PROTOCOL] = "ip_protocol",
    [INET_DROP_ICMP_SHORT] = "icmp_short",
    [INET_DROP_ICMP_TYPE] = "icmp_type",
    [INET_DROP_ICMP_CHECKSUM] = "icmp_checksum",
    [INET_DROP_ICMP_RATE] = "icmp_rate",
    [INET_DROP_ICMP_LARGE] = "icmp_large",
    [INET_DROP_UDP_SHORT] = "udp_short",
    [INET_DROP_UDP_LENGTH] = "udp_length",
    [INET_DROP_UDP_PORT] = "udp_port",
    [INET_DROP_UDP_CHECKSUM] = "udp_checksum",
    [INET_DROP_UDP_REFUSED] = "udp_refused",
    [INET_DROP_DHCP] = "dhcp",
    [INET_DROP_DHCP_SIZE] = "dhcp_size",
    [INET_DROP_DHCP_FORMAT] = "dhcp_format",
    [INET_DROP_DHCP_CLIENT] = "dhcp_client",
    [INET_DROP_DHCP_OPTION] = "dhcp_option",
    [INET_DROP_DHCP_TYPE] = "dhcp_type",
    [INET_DROP_DHCP_UNASKED] = "dhcp_unasked",
    [INET_DROP_DHCP_SERVER] = "dhcp_server",
    [INET_DROP_DHCP_ADDRESS] = "dhcp_address",
    [INET_DROP_DHCP_LEASE] = "dhcp_lease",
    [INET_DROP_DHCP_BUSY] = "dhcp_busy",
    [INET_DROP_UDP_NO_CHECKSUM] = "udp_no_checksum",
    [INET_DROP_IP6_SHORT] = "ip6_short",
    [INET_DROP_IP6_VERSION] = "ip6_version",
    [INET_DROP_IP6_LENGTH] = "ip6_length",
    [INET_DROP_IP6_DESTINATION] = "ip6_destination",
    [INET_DROP_IP6_GROUP] = "ip6_group",
    [INET_DROP_IP6_SOURCE] = "ip6_source",
    [INET_DROP_IP6_EXTENSION] = "ip6_extension",
    [INET_DROP_IP6_OPTION] = "ip6_option",
    [INET_DROP_IP6_ROUTING] = "ip6_routing",
    [INET_DROP_IP6_FRAGMENT] = "ip6_fragment",
    [INET_DROP_IP6_PROTOCOL] = "ip6_protocol",
    [INET_DROP_ICMP6_SHORT] = "icmp6_short",
    [INET_DROP_ICMP6_TYPE] = "icmp6_type",
    [INET_DROP_ICMP6_CHECKSUM] = "icmp6_checksum",
    [INET_DROP_ND_HOPS] = "nd_hops",
    [INET_DROP_ND_FORMAT] = "nd_format",
    [INET_DROP_ND_TARGET] = "nd_target",
    [INET_DROP_ND_CONFLICT] = "nd_conflict",
    [INET_DROP_ND_ADVERT] = "nd_advert",
    [INET_DROP_ND_BUSY] = "nd_busy",
    [INET_DROP_MLD_QUERY] = "mld_query",
    [INET_DROP_MLD_FORMAT] = "mld_format",
    [INET_DROP_ROOM] = "room",
};

RUNS_SELDOM void inet_init(struct inet *inet, const uint8_t *mac, struct ipv4_prefix prefix)
{
    memset(inet, 0, sizeof *inet);
    inet->mac_number = eth_mac_number(mac);
    eth_mac_copy(inet->mac, mac);
    inet->mtu_bytes = ETH_MTU;
    inet->errors_left = INET_ERRORS_AT_ONCE;
    inet_frame_init(inet);
    inet_address_init(inet, prefix);
    if (inet_ip_by_dhcp && prefix.address == 0)
        inet_dhcp_init(inet);
}

enum inet_verdict inet_icmp_input(struct inet *inet, struct netbuf *nb, uint32_t local,
                                  uint32_t source, uint32_t len)
{
    struct icmp_header *icmp = (struct icmp_header *)(nb->data + L4_OFFSET);

    if (len < sizeof *icmp)
        return inet_drop(inet, INET_DROP_ICMP_SHORT);
    if (icmp->type != ICMP_ECHO || icmp->code != 0)
        return inet_drop(inet, INET_DROP_ICMP_TYPE);
    if (csum_fold(csum_add(0, icmp, len)) != 0xffff)
        return inet_drop(inet, INET_DROP_ICMP_CHECKSUM);

    struct eth_header *eth = (struct eth_header *)nb->data;
    struct ipv4_header *ip = (struct ipv4_header *)(nb->data + IP_OFFSET);
    icmp->type = ICMP_ECHO_REPLY; /* the first byte of its word, so the low one in memory order */
    icmp->checksum = csum_update(icmp->checksum, ICMP_ECHO, ICMP_ECHO_REPLY);
    inet_ipv4_build(inet, ip, local, source, IPV4_PROTOCOL_ICMP, ip->type_of_service, len);
    inet_eth_build(inet, eth, eth->source, ETH_TYPE_IPV4);
    netbuf_trim(nb, L4_OFFSET + len); /* what padded the frame */
    nb->flags = 0;
    inet_finish(inet, nb);
    inet->echo_replies++;
    return INET_REPLY;
}

static inline enum inet_verdict udp_input(struct inet *inet, struct netbuf *nb, uint32_t local,
                                          uint32_t source, uint32_t ip_payload_len,
                                          struct inet_udp *udp)
{
    const struct udp_header *header = (const struct udp_header *)(nb->data + L4_OFFSET);

    if (unlikely(ip_payload_len < sizeof *header))
        return inet_drop(inet, INET_DROP_UDP_SHORT);
    uint32_t len = inet_read_length(&header->length);
    if (unlikely(len < sizeof *header || len > ip_payload_len))
        return inet_drop(inet, INET_DROP_UDP_LENGTH);
    udp->from.family = INET_IPV4;
    udp->from.ip = source;
    udp->from.local = (uint8_t)local;
    udp->from.port = be16(header->source_port);
    udp->from.local_port = be16(header->destination_port);
    if (unlikely(udp->from.port == 0 || udp->from.local_port <= DHCP_CLIENT_PORT)) {
        if (udp->from.port == 0 || udp->from.local_port == 0)
            return inet_drop(inet, INET_DROP_UDP_PORT);
        if (inet_dhcp_takes(inet, nb))
            return INET_DROPPED;
    }
    if (unlikely(!inet_udp_whole(nb, L4_OFFSET, source, inet->own[local], len)))
        return inet_drop(inet, INET_DROP_UDP_CHECKSUM);
    eth_mac_copy(udp->from.mac, ((const struct eth_header *)nb->data)->source);
    udp->payload = nb->data + INET_UDP_HEADROOM;
    udp->payload_len = len - (uint32_t)sizeof *header;
    inet->udp_packets++;
    return INET_UDP;
}

static inline enum inet_verdict ipv4_input(struct inet *inet, struct netbuf *nb,
                                           struct inet_udp *udp)
{
    if (unlikely(nb->len < L4_OFFSET))
        return inet_drop(inet, INET_DROP_IP_SHORT);
    const struct ipv4_header *ip = (const struct ipv4_header *)(nb->data + IP_OFFSET);
    if (unlikely(ip->version_ihl != IPV4_VERSION_IHL)) {
        if (!inet_strip_options(inet, nb))
            return INET_DROPPED;
        ip = (const struct ipv4_header *)(nb->data + IP_OFFSET);
    }
    uint32_t total = inet_read_length(&ip->total_length);
    if (unlikely(total < sizeof *ip || IP_OFFSET + total > nb->len))
        return inet_drop(inet, INET_DROP_IP_LENGTH);
    if (unlikely(csum_fold(csum_add_20(0, ip)) != 0xffff))
        return inet_drop(inet, INET_DROP_IP_CHECKSUM);
    uint32_t destination = be32(ip->destination_address);
    uint32_t local = 0;
    if (unlikely(destination != inet->ip_number)) {
        local = inet_find_address(inet, destination);
        if (local == INET_ADDRESSES && inet_dhcp_takes(inet, nb))
            return INET_DROPPED;
        if (local == INET_ADDRESSES)
            return inet_address_drop(inet, destination);
    }
    const uint32_t source = inet_read_address(&ip->source_address);
    if (unlikely(!inet_ip_plausible(inet, source)))
        return inet_drop(inet, INET_DROP_IP_SOURCE);
    uint8_t protocol = ip->protocol;
    uint32_t fragment =
        inet_read_length(&ip->flags_fragment_offset) & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET);
    if (unlikely(fragment != 0)) {
        udp->from = (struct inet_peer){.family = INET_IPV4, .ip = source, .local = (uint8_t)local};
        return inet_fragment_input(inet, nb, total - (uint32_t)sizeof *ip, fragment, udp);
    }
    if (likely(protocol == IPV4_PROTOCOL_UDP))
        return udp_input(inet, nb, local, source, total - (uint32_t)sizeof *ip, udp);
    if (protocol == IPV4_PROTOCOL_ICMP)
        return inet_icmp_input(inet, nb, local, source, total - (uint32_t)sizeof *ip);
    return inet_unreachable(inet, nb, local, source, ICMP_UNREACHABLE_PROTOCOL,
                            INET_DROP_IP_PROTOCOL);
}

/* A frame without a tag, by its addresses and its type; IPv4 to us is the caller's. */
static enum inet_verdict eth_input(struct inet *inet, struct netbuf *nb, struct inet_udp *udp)
{
    const struct eth_header *eth = (const struct eth_header *)nb->data;
    uint64_t destination = eth_mac_number(eth->destination);
    uint16_t type = be16(eth->type);

    if (destination == inet->mac_number) {
        if (type == ETH_TYPE_IPV6 && inet->inet6)
            return inet6_input(inet, nb, udp);
    } else if (destination == ETH_MAC_BROADCAST) {
        /* Whoever sends to one IPv4 address by Ethernet broadcast gets no answer: it would come
         * from every host that thinks likewise (RFC 1122, section 3.3.6). */
        if (type == ETH_TYPE_IPV4)
            return inet_dhcp_takes(inet, nb) ? INET_DROPPED
                                             : inet_drop(inet, INET_DROP_IP_BROADCAST);
    } else {
        const bool group = eth_mac_is_group(destination);
        if (group && type == ETH_TYPE_IPV6 && inet->inet6)
            return inet6_input(inet, nb, udp); /* which looks at the IPv6 group */
        return inet_drop(inet, group ? INET_DROP_ETH_MULTICAST : INET_DROP_ETH_DESTINATION);
    }
    if (type == ETH_TYPE_ARP)
        return inet_arp_input(inet, nb);
    return inet_drop(inet, INET_DROP_ETH_TYPE);
}

/* A frame with a tag, or without one where it should have one, or whose type or destination isn't
 * the usual one. True if it is IPv4 to us, its tag taken off; else *verdict is set. */
static __attribute__((noinline)) bool eth_input_unusual(struct inet *inet, struct netbuf *nb,
                                                        struct inet_udp *udp, uint16_t type,
                                                        enum inet_verdict *verdict)
{
    *verdict = INET_DROPPED;
    if ((type == ETH_TYPE_VLAN || inet->vlan) && !inet_untag(inet, nb))
        return false;
    const struct eth_header *eth = (const struct eth_header *)nb->data;
    if (be16(eth->type) == ETH_TYPE_IPV4 && eth_mac_number(eth->destination) == inet->mac_number)
        return true;
    *verdict = eth_input(inet, nb, udp);
    if (*verdict == INET_REPLY)
        inet_finish(inet, nb);
    return false;
}

enum inet_verdict inet_input(struct inet *inet, struct netbuf *nb, struct inet_udp *udp)
{
    if (unlikely(nb->next && !netbuf_linearize(nb)))
        return inet_drop(inet, INET_DROP_CHAIN);
    if (unlikely(nb->len < sizeof(struct eth_header)))
        return inet_drop(inet, INET_DROP_ETH_SHORT);
    const struct eth_header *eth = (const struct eth_header *)nb->data;
    uint16_t type = be16(eth->type);

    if (unlikely(!inet_mac_plausible(inet, eth_mac_number(eth->source))))
        return inet_drop(inet, INET_DROP_ETH_SOURCE);
    if (unlikely(type != ETH_TYPE_IPV4 ||
                 eth_mac_number(eth->destination) != inet->plain_mac_number)) {
        enum inet_verdict verdict;
        if (!eth_input_unusual(inet, nb, udp, type, &verdict))
            return verdict;
    }
    return ipv4_input(inet, nb, udp);
}

void inet_udp_build(struct inet *inet, struct netbuf *nb, const struct inet_peer *to,
                    uint32_t payload_len, bool csum_offload)
{
    if (unlikely(to->family != INET_IPV4)) {
        inet6_udp_build(inet, nb, to, payload_len, csum_offload);
        if (nb->len < inet->finish_below)
            inet_finish(inet, nb);
        return;
    }
    struct udp_header *udp = (struct udp_header *)(nb->data + L4_OFFSET);
    uint32_t len = (uint32_t)sizeof *udp + payload_len;

    assert(!nb->next && payload_len < nb->buf_bytes &&
           netbuf_headroom(nb) + L4_OFFSET + len <= nb->buf_bytes);
    inet_eth_build(inet, (struct eth_header *)nb->data, to->mac, ETH_TYPE_IPV4);
    inet_ipv4_build(inet, (struct ipv4_header *)(nb->data + IP_OFFSET), to->local, to->ip,
                    IPV4_PROTOCOL_UDP, 0, len);
    udp->source_port = be16(to->local_port);
    udp->destination_port = be16(to->port);
    udp->length = be16((uint16_t)len);
    nb->len = (uint16_t)(L4_OFFSET + len);

    uint64_t sum = csum_pseudo(inet->own[to->local], to->ip, IPV4_PROTOCOL_UDP, (uint16_t)len);
    if (csum_offload) {
        udp->checksum = csum_fold(sum);
        nb->flags = NETBUF_CSUM_PARTIAL;
        nb->csum_start = L4_OFFSET;
        nb->csum_offset = offsetof(struct udp_header, checksum);
    } else {
        sum += (uint64_t)udp->source_port + udp->destination_port + udp->length;
        udp->checksum = csum_finish_udp(csum_add(sum, udp + 1, payload_len));
        nb->flags = 0;
    }
    if (unlikely(nb->len < inet->finish_below))
        inet_finish(inet, nb);
}
