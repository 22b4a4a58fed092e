/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet6.c - a host's part of IPv6 over Ethernet: packets in, answers out.
 *
 *     inet_input -> inet6_input -> inet6_skip_extensions (inet6_extension.c)
 *                               -> inet6_fragment_input (inet6_fragment.c), and on to
 *                               -> inet6_payload -> udp6_input
 *                                                -> icmp6_input -> inet_nd_input (inet_nd.c)
 *                                                                -> inet_mld_input (inet_mld.c)
 *
 * As in inet.c, what decides what we touch is read once, checked, and only then used.
 */
#include "boot/boot.h"
#include "netbuf/checksum.h"
#include "netbuf/icmp6.h"
#include "netbuf/inet6_build.h"
#include "netbuf/udp.h"

_Static_assert(INET_UDP_HEADROOM_6 == L4_OFFSET_6 + sizeof(struct udp_header), "UDP payload");

/* --- what is sent -------------------------------------------------------------------------------
 */

void inet6_build(const struct inet *inet, struct netbuf *nb, const uint8_t *mac,
                 const struct inet6_packet *packet)
{
    struct ipv6_header *ip = (struct ipv6_header *)(nb->data + IP_OFFSET);

    inet_eth_build(inet, (struct eth_header *)nb->data, mac, ETH_TYPE_IPV6);
    *ip = (struct ipv6_header){.version_class = 6 << 4,
                               .payload_length = be16((uint16_t)packet->len),
                               .next_header = packet->next_header,
                               .hop_limit = packet->hop_limit,
                               .source_address = packet->source,
                               .destination_address = packet->destination};
    nb->len = (uint16_t)(L4_OFFSET_6 + packet->len);
    nb->flags = 0;
}

RUNS_SELDOM void inet6_build_icmp(const struct inet *inet, struct netbuf *nb, const uint8_t *mac,
                                  const struct inet6_packet *packet)
{
    struct icmp6_header *icmp = (struct icmp6_header *)(nb->data + L4_OFFSET_6);
    uint64_t sum =
        csum_pseudo_6(&packet->source, &packet->destination, IPV6_NEXT_ICMP, packet->len);

    inet6_build(inet, nb, mac, packet);
    icmp->checksum = 0;
    icmp->checksum = csum_finish(csum_add(sum, icmp, packet->len));
}

/* 33:33 and the group's last four bytes. */
RUNS_SELDOM void inet6_group_mac(uint8_t mac[ETH_MAC_BYTES], const struct ipv6_address *group)
{
    mac[0] = mac[1] = 0x33;
    memcpy(mac + 2, group->bytes + 12, 4);
}

RUNS_SELDOM void inet6_build_to_group(const struct inet *inet, struct netbuf *nb,
                                      const struct ipv6_address *source,
                                      const struct ipv6_address *group, uint8_t hop_limit,
                                      uint32_t len)
{
    const struct inet6_packet packet = {.source = *source,
                                        .destination = *group,
                                        .hop_limit = hop_limit,
                                        .next_header = IPV6_NEXT_ICMP,
                                        .len = len};
    uint8_t mac[ETH_MAC_BYTES];

    inet6_group_mac(mac, group);
    inet6_build_icmp(inet, nb, mac, &packet);
}

void inet6_udp_build(struct inet *inet, struct netbuf *nb, const struct inet_peer *to,
                     uint32_t payload_len, bool csum_offload)
{
    struct udp_header *udp = (struct udp_header *)(nb->data + L4_OFFSET_6);
    const struct inet6_packet packet = {.source = to->local_ip6,
                                        .destination = to->ip6,
                                        .hop_limit = INET6_HOP_LIMIT,
                                        .next_header = IPV6_NEXT_UDP,
                                        .len = (uint32_t)sizeof *udp + payload_len};

    assert(!nb->next && payload_len < nb->buf_bytes &&
           netbuf_headroom(nb) + L4_OFFSET_6 + packet.len <= nb->buf_bytes);
    inet6_build(inet, nb, to->mac, &packet);
    udp->source_port = be16(to->local_port);
    udp->destination_port = be16(to->port);
    udp->length = be16((uint16_t)packet.len);
    uint64_t sum = csum_pseudo_6(&to->local_ip6, &to->ip6, IPV6_NEXT_UDP, packet.len);
    if (csum_offload) {
        udp->checksum = csum_fold(sum);
        nb->flags = NETBUF_CSUM_PARTIAL;
        nb->csum_start = L4_OFFSET_6;
        nb->csum_offset = offsetof(struct udp_header, checksum);
    } else {
        udp->checksum = 0;
        udp->checksum = csum_finish_udp(csum_add(sum, udp, packet.len));
    }
}

RUNS_SELDOM enum inet_verdict inet6_error(struct inet *inet, struct netbuf *nb,
                                          const struct inet6_packet *about,
                                          struct icmp6_header error, enum inet_drop why)
{
    const uint32_t most = IPV6_MIN_MTU - sizeof(struct ipv6_header) - sizeof error;
    const uint32_t quoted = MIN(nb->len - (uint32_t)IP_OFFSET, most);
    const uint32_t quote_offset = L4_OFFSET_6 + sizeof error;
    struct ipv6_header *ip = (struct ipv6_header *)(nb->data + quote_offset);
    const struct inet6_packet packet = {.source = about->destination,
                                        .destination = about->source,
                                        .hop_limit = INET6_HOP_LIMIT,
                                        .next_header = IPV6_NEXT_ICMP,
                                        .len = (uint32_t)sizeof error + quoted};

    if (netbuf_headroom(nb) + quote_offset + quoted > nb->buf_bytes)
        return inet_drop(inet, why);
    if (!inet_may_send_error(inet))
        return inet_drop(inet, INET_DROP_ICMP_RATE);
    memmove(ip, nb->data + IP_OFFSET, quoted);
    ip->payload_length = be16((uint16_t)about->len);
    ip->next_header = about->next_header;
    *(struct icmp6_header *)(nb->data + L4_OFFSET_6) = error;
    inet6_build_icmp(inet, nb, ((struct eth_header *)nb->data)->source, &packet);
    inet->errors++;
    return INET_REPLY;
}

RUNS_SELDOM enum inet_verdict inet6_refuse(struct inet *inet, struct netbuf *nb,
                                           const struct inet_udp *udp)
{
    /* Of one that was put together only the beginning may be here. */
    const struct inet6_packet about = {
        .source = udp->from.ip6,
        .destination = udp->from.local_ip6,
        .next_header = IPV6_NEXT_UDP,
        .len = MAX(nb->len - (uint32_t)L4_OFFSET_6,
                   (uint32_t)sizeof(struct udp_header) + udp->payload_len)};

    return inet6_error(
        inet, nb, &about,
        (struct icmp6_header){.type = ICMP6_UNREACHABLE, .code = ICMP6_UNREACHABLE_PORT},
        INET_DROP_UDP_REFUSED);
}

/* --- what is received ---------------------------------------------------------------------------
 */

/* Without a checksum a datagram isn't taken (RFC 8200, section 8.1). */
static enum inet_verdict udp6_input(struct inet *inet, struct netbuf *nb,
                                    const struct inet6_packet *packet, struct inet_udp *udp)
{
    const struct udp_header *header = (const struct udp_header *)(nb->data + L4_OFFSET_6);

    if (ipv6_is_group(&packet->destination))
        return inet_drop(inet, INET_DROP_IP6_GROUP);
    if (packet->len < sizeof *header)
        return inet_drop(inet, INET_DROP_UDP_SHORT);
    uint32_t len = inet_read_length(&header->length);
    if (len < sizeof *header || len > packet->len)
        return inet_drop(inet, INET_DROP_UDP_LENGTH);
    udp->from.port = be16(header->source_port);
    udp->from.local_port = be16(header->destination_port);
    if (udp->from.port == 0 || udp->from.local_port == 0)
        return inet_drop(inet, INET_DROP_UDP_PORT);
    const bool left_to_us = nb->flags & NETBUF_CSUM_PARTIAL && nb->csum_start == L4_OFFSET_6 &&
                            nb->csum_offset == offsetof(struct udp_header, checksum);
    if (!left_to_us && header->checksum == 0)
        return inet_drop(inet, INET_DROP_UDP_NO_CHECKSUM);
    uint64_t sum = csum_pseudo_6(&packet->source, &packet->destination, IPV6_NEXT_UDP, len);
    if (!left_to_us && !(nb->flags & NETBUF_CSUM_GOOD) &&
        csum_fold(csum_add(sum, header, len)) != 0xffff)
        return inet_drop(inet, INET_DROP_UDP_CHECKSUM);
    udp->from.family = INET_IPV6;
    udp->from.ip6 = packet->source;
    udp->from.local_ip6 = packet->destination;
    eth_mac_copy(udp->from.mac, ((const struct eth_header *)nb->data)->source);
    udp->payload = nb->data + INET_UDP_HEADROOM_6;
    udp->payload_len = len - (uint32_t)sizeof *header;
    inet->udp_packets++;
    return INET_UDP;
}

/* The address that answers what was sent to a group: one that the asker's network has, or else one
 * for all networks. NULL if there is none. */
static RUNS_SELDOM const struct ipv6_address *address_for(const struct inet6 *inet6,
                                                          const struct ipv6_address *peer)
{
    const bool near = ipv6_is_link_local(peer);
    const struct ipv6_address *best = NULL;

    for (uint32_t i = 0; i < INET6_OWN; i++) {
        const struct inet6_own *own = &inet6->own[i];
        if (inet6_state(own) != INET6_VALID || ipv6_is_link_local(&own->prefix.address) != near)
            continue;
        if (!best || ipv6_prefix_has(&own->prefix, peer))
            best = &own->prefix.address;
    }
    return best;
}

/* RFC 4443, section 4.2. */
static RUNS_SELDOM enum inet_verdict answer_echo(struct inet *inet, struct netbuf *nb,
                                                 const struct inet6_packet *packet)
{
    struct icmp6_header *icmp = (struct icmp6_header *)(nb->data + L4_OFFSET_6);
    const struct ipv6_address *ours = &packet->destination;

    if (ipv6_is_group(ours))
        ours = address_for(inet->inet6, &packet->source);
    else if (!inet6_has(inet->inet6, ours))
        return inet_drop(inet, INET_DROP_IP6_DESTINATION); /* not yet */
    if (!ours)
        return inet_drop(inet, INET_DROP_IP6_GROUP);
    const struct inet6_packet answer = {.source = *ours,
                                        .destination = packet->source,
                                        .hop_limit = INET6_HOP_LIMIT,
                                        .next_header = IPV6_NEXT_ICMP,
                                        .len = packet->len};
    icmp->type = ICMP6_ECHO_REPLY;
    inet6_build_icmp(inet, nb, ((struct eth_header *)nb->data)->source, &answer);
    inet->echo_replies++;
    return INET_REPLY;
}

/* Can a host have sent it? No other host than we from an address of ours. */
static bool is_hosts(const struct inet6 *inet6, const struct ipv6_address *source)
{
    return ipv6_is_unicast(source) && !inet6_has(inet6, source);
}

static RUNS_SELDOM enum inet_verdict icmp6_input(struct inet *inet, struct netbuf *nb,
                                                 const struct inet6_packet *packet)
{
    const struct icmp6_header *icmp = (const struct icmp6_header *)(nb->data + L4_OFFSET_6);

    if (packet->len < sizeof *icmp)
        return inet_drop(inet, INET_DROP_ICMP6_SHORT);
    uint64_t sum =
        csum_pseudo_6(&packet->source, &packet->destination, IPV6_NEXT_ICMP, packet->len);
    if (csum_fold(csum_add(sum, icmp, packet->len)) != 0xffff)
        return inet_drop(inet, INET_DROP_ICMP6_CHECKSUM);
    const uint8_t type = icmp->type;
    if (type >= ICMP6_ROUTER_ADVERTISEMENT && type <= ICMP6_NEIGHBOUR_ADVERTISEMENT)
        return inet_nd_input(inet, nb, packet);
    if (type == ICMP6_LISTENER_QUERY)
        return inet_mld_input(inet, nb, packet);
    if (type != ICMP6_ECHO || icmp->code != 0)
        return inet_drop(inet, INET_DROP_ICMP6_TYPE);
    if (!is_hosts(inet->inet6, &packet->source))
        return inet_drop(inet, INET_DROP_IP6_SOURCE);
    return answer_echo(inet, nb, packet);
}

/* Is a packet to this address one for us? Groups are all hosts', and those in which somebody looks
 * for an address of ours. A tentative address gets neighbour discovery alone (RFC 4862, section
 * 5.4). */
static bool is_destination(struct inet6 *inet6, const struct ipv6_address *a, bool *tentative)
{
    static const struct ipv6_prefix solicited = {{.bytes = {0xff, 2, [11] = 1, 0xff}}, 104};

    *tentative = false;
    if (!ipv6_is_group(a)) {
        const struct inet6_own *own = inet6_find(inet6, a);
        const enum inet6_own_state state = own ? inet6_state(own) : INET6_FREE;
        *tentative = state == INET6_TENTATIVE;
        return state == INET6_VALID || state == INET6_TENTATIVE;
    }
    if (ipv6_equal(a, &ipv6_all_nodes))
        return true;
    for (uint32_t i = 0; i < INET6_OWN && ipv6_prefix_has(&solicited, a); i++)
        if (inet6_state(&inet6->own[i]) != INET6_FREE &&
            memcmp(a->bytes + 13, inet6->own[i].prefix.address.bytes + 13, 3) == 0)
            return true;
    return false;
}

/* Who may have sent it? By neighbour discovery "::" asks whether somebody has an address, and who
 * has one of ours, too, speaks from there. */
static bool is_source(const struct inet6 *inet6, const struct inet6_packet *packet,
                      enum inet6_kind kind)
{
    const bool may_be_nd =
        kind == INET6_WHOLE && packet->next_header == IPV6_NEXT_ICMP &&
        (ipv6_equal(&packet->source, &ipv6_nobody) || inet6_has(inet6, &packet->source));

    return may_be_nd || is_hosts(inet6, &packet->source);
}

enum inet_verdict inet6_payload(struct inet *inet, struct netbuf *nb,
                                const struct inet6_packet *packet, struct inet_udp *udp)
{
    if (packet->next_header == IPV6_NEXT_ICMP)
        return icmp6_input(inet, nb, packet);
    if (packet->next_header == IPV6_NEXT_UDP)
        return udp6_input(inet, nb, packet, udp);
    return inet_drop(inet, INET_DROP_IP6_PROTOCOL);
}

enum inet_verdict inet6_input(struct inet *inet, struct netbuf *nb, struct inet_udp *udp)
{
    const struct ipv6_header *ip = (const struct ipv6_header *)(nb->data + IP_OFFSET);
    bool tentative;

    if (nb->len < L4_OFFSET_6)
        return inet_drop(inet, INET_DROP_IP6_SHORT);
    if (ip->version_class >> 4 != 6)
        return inet_drop(inet, INET_DROP_IP6_VERSION);
    struct inet6_packet packet = {.source = ip->source_address,
                                  .destination = ip->destination_address,
                                  .hop_limit = ip->hop_limit,
                                  .next_header = ip->next_header,
                                  .len = inet_read_length(&ip->payload_length)};
    if (packet.len == 0 || L4_OFFSET_6 + packet.len > nb->len)
        return inet_drop(inet, INET_DROP_IP6_LENGTH);
    const struct eth_header *eth = (const struct eth_header *)nb->data;
    const bool group = ipv6_is_group(&packet.destination);
    if (!is_destination(inet->inet6, &packet.destination, &tentative))
        return inet_drop(inet, group ? INET_DROP_IP6_GROUP : INET_DROP_IP6_DESTINATION);
    if (!group && eth_mac_is_group(eth_mac_number(eth->destination)))
        return inet_drop(inet, INET_DROP_IP6_GROUP);
    netbuf_trim(nb, L4_OFFSET_6 + packet.len); /* what padded the frame */
    const enum inet6_kind kind = inet6_skip_extensions(inet, nb, &packet);
    if (kind == INET6_NONE)
        return INET_DROPPED;
    if (!is_source(inet->inet6, &packet, kind))
        return inet_drop(inet, INET_DROP_IP6_SOURCE);
    if (tentative && (kind == INET6_FRAGMENT || packet.next_header != IPV6_NEXT_ICMP))
        return inet_drop(inet, INET_DROP_IP6_DESTINATION);
    if (kind == INET6_FRAGMENT)
        return inet6_fragment_input(inet, nb, &packet, udp);
    return inet6_payload(inet, nb, &packet, udp);
}
