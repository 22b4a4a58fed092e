/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet_mld.c - multicast listener discovery, version 1 (RFC 2710): says that we are in the groups
 * by which our addresses are looked for. A switch that listens to that (RFC 4541), such as a bridge
 * of Linux beside a querier, passes what goes to a group to those who said so, and to nobody else:
 * who said nothing gets no neighbour solicitation.
 *
 * Queriers and switches of version 2 take these reports as well (RFC 3810, section 8.3.2), and
 * whatever they ask they are told of all groups. A question comes to any core; the one that has
 * inet_next_packet answers it.
 */
#include "boot/boot.h"
#include "netbuf/icmp6.h"
#include "netbuf/inet6_build.h"

RUNS_SELDOM void inet_mld_build_report(const struct inet *inet, struct netbuf *nb,
                                       const struct ipv6_address *address)
{
    static const uint8_t alert[] = {IPV6_NEXT_ICMP,   0, IPV6_OPTION_ROUTER_ALERT, 2, 0, 0,
                                    IPV6_OPTION_PADN, 0};
    const struct inet6_own *link_local = &inet->inet6->own[0];
    const struct ipv6_address group = ipv6_solicited_node(address);
    struct ipv6_header *ip = (struct ipv6_header *)(nb->data + IP_OFFSET);
    uint8_t *at = nb->data + L4_OFFSET_6;

    assert(netbuf_headroom(nb) + L4_OFFSET_6 + sizeof alert + sizeof(struct mld_message) <=
           nb->buf_bytes);
    *(struct mld_message *)at = (struct mld_message){.type = ICMP6_LISTENER_REPORT, .group = group};
    inet6_build_to_group(inet, nb,
                         /* RFC 3590 */
                         inet6_state(link_local) == INET6_VALID ? &link_local->prefix.address
                                                                : &ipv6_nobody,
                         &group, MLD_HOP_LIMIT, sizeof(struct mld_message));
    /* A router is alerted by a header in between, of which the checksum knows nothing. */
    memmove(at + sizeof alert, at, sizeof(struct mld_message));
    memcpy(at, alert, sizeof alert);
    ip->next_header = IPV6_NEXT_HOP_BY_HOP;
    ip->payload_length = be16(sizeof alert + sizeof(struct mld_message));
    nb->len += sizeof alert;
}

RUNS_SELDOM enum inet_verdict inet_mld_input(struct inet *inet, const struct netbuf *nb,
                                             const struct inet6_packet *packet)
{
    const struct mld_message *query = (const struct mld_message *)(nb->data + L4_OFFSET_6);

    if (packet->len < sizeof *query || packet->hop_limit != MLD_HOP_LIMIT ||
        !ipv6_is_link_local(&packet->source) || inet6_has(inet->inet6, &packet->source))
        return inet_drop(inet, INET_DROP_MLD_FORMAT);
    store_release(&inet->inet6->query_ms, inet_read_length(&query->max_delay_ms) + 1);
    inet->has_packets = true;
    return inet_drop(inet, INET_DROP_MLD_QUERY);
}
