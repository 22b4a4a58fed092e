/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet6_fragment.c - fragments of IPv6 (RFC 8200, section 4.5). As in inet_fragment.c, a datagram
 * that fits the buffer of its last fragment and a packet goes on there as if it had come in one; a
 * larger one is the app's, and only if it is UDP.
 *
 * A sender is told of a fragment that can't be: of a length that isn't a multiple of 8, of an end
 * behind 65535, and of a first fragment that hasn't all headers (RFC 7112).
 */
#include "boot/boot.h"
#include "netbuf/inet6_build.h"
#include "netbuf/udp.h"

/* Where a packet has the fields that can be wrong. */
enum {
    PAYLOAD_LENGTH = offsetof(struct ipv6_header, payload_length),
    FRAGMENT_OFFSET = sizeof(struct ipv6_header) + offsetof(struct ipv6_fragment, offset_more),
};

static RUNS_SELDOM enum inet_verdict
drop_datagram(struct inet *inet, const struct reassembly_whole *whole, enum inet_drop why)
{
    reassembly_release(inet->reassembly, whole->bytes);
    return inet_drop(inet, why);
}

/* Any extension headers that were in the fragments come now; another fragment's isn't one. */
static RUNS_SELDOM enum inet_verdict small_whole(struct inet *inet, struct netbuf *nb,
                                                 struct inet6_packet *packet,
                                                 const struct reassembly_whole *whole,
                                                 struct inet_udp *udp)
{
    memcpy(nb->data + L4_OFFSET_6, whole->bytes, whole->len);
    reassembly_release(inet->reassembly, whole->bytes);
    nb->len = (uint16_t)(L4_OFFSET_6 + whole->len);
    nb->flags = 0;
    packet->next_header = whole->protocol;
    packet->len = whole->len;
    const enum inet6_kind kind = inet6_skip_extensions(inet, nb, packet);
    if (kind == INET6_FRAGMENT)
        return inet_drop(inet, INET_DROP_IP6_EXTENSION);
    return kind == INET6_NONE ? INET_DROPPED : inet6_payload(inet, nb, packet, udp);
}

static RUNS_SELDOM enum inet_verdict large_whole(struct inet *inet, struct netbuf *nb,
                                                 const struct inet6_packet *packet,
                                                 const struct reassembly_whole *whole,
                                                 struct inet_udp *udp)
{
    if (whole->protocol != IPV6_NEXT_UDP)
        return drop_datagram(inet, whole, INET_DROP_ICMP_LARGE);
    if (whole->len < sizeof(struct udp_header))
        return drop_datagram(inet, whole, INET_DROP_UDP_SHORT);
    if (((const struct udp_header *)whole->bytes)->checksum == 0)
        return drop_datagram(inet, whole, INET_DROP_UDP_NO_CHECKSUM);
    udp->from.family = INET_IPV6;
    udp->from.ip6 = packet->source;
    udp->from.local_ip6 = packet->destination;
    const uint64_t pseudo = csum_pseudo_6(&packet->source, &packet->destination, IPV6_NEXT_UDP, 0);
    return inet_udp_large(inet, nb, whole, pseudo, udp);
}

/* Is it a fragment that can't be, or comes of a sender that does what it mustn't? Then *problem
 * tells the sender, and *why it is dropped. */
static RUNS_SELDOM bool is_wrong(const uint8_t *bytes, const struct inet6_packet *packet,
                                 struct icmp6_header *problem, enum inet_drop *why)
{
    *why = INET_DROP_FRAGMENT_SHAPE;
    if (packet->more && packet->len % 8 != 0) {
        problem->rest[3] = PAYLOAD_LENGTH;
    } else if (packet->offset + packet->len > UINT16_MAX) {
        problem->rest[3] = FRAGMENT_OFFSET;
    } else if (packet->offset == 0 && !inet6_has_headers(bytes, packet)) {
        problem->code = ICMP6_PROBLEM_HEADERS;
        *why = INET_DROP_IP6_EXTENSION;
    } else {
        return false;
    }
    return true;
}

RUNS_SELDOM enum inet_verdict inet6_fragment_input(struct inet *inet, struct netbuf *nb,
                                                   struct inet6_packet *packet,
                                                   struct inet_udp *udp)
{
    struct reassembly_whole whole;

    if (!inet->reassembly || ipv6_is_group(&packet->destination))
        return inet_drop(inet, INET_DROP_IP6_FRAGMENT);
    const uint8_t *bytes = nb->data + L4_OFFSET_6 + sizeof(struct ipv6_fragment);
    struct icmp6_header problem = {.type = ICMP6_PROBLEM, .code = ICMP6_PROBLEM_FIELD};
    enum inet_drop why;
    if (is_wrong(bytes, packet, &problem, &why)) {
        if (packet->next_header == IPV6_NEXT_ICMP) /* it may be an error itself */
            return inet_drop(inet, why);
        packet->next_header = IPV6_NEXT_FRAGMENT;
        packet->len += (uint32_t)sizeof(struct ipv6_fragment);
        return inet6_error(inet, nb, packet, problem, why);
    }
    struct reassembly_fragment part = {
        .key = {.identification = packet->identification},
        .bytes = bytes,
        .len = packet->len,
        .offset = packet->offset,
        .max_bytes = UINT16_MAX,
        .more = packet->more,
        .protocol = packet->next_header,
    };
    memcpy(part.key.source, packet->source.bytes, sizeof part.key.source);
    memcpy(part.key.destination, packet->destination.bytes, sizeof part.key.destination);
    if (!inet_reassemble(inet, &part, &whole))
        return INET_DROPPED;
    if (netbuf_headroom(nb) + L4_OFFSET_6 + whole.len <= nb->buf_bytes &&
        sizeof(struct ipv6_header) + whole.len <= inet->inet6->mtu_bytes)
        return small_whole(inet, nb, packet, &whole, udp);
    return large_whole(inet, nb, packet, &whole, udp);
}
