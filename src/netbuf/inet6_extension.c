/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet6_extension.c - the headers between an IPv6 header and what the packet carries (RFC 8200,
 * section 4). None has a meaning for us: each is checked and passed over, then all are taken out,
 * so that what the packet carries lies where it lies in a packet without them.
 */
#include "netbuf/inet6_build.h"

/* What comes of a packet after a look at one header. */
enum step { STEP_ON, STEP_DONE, STEP_FRAGMENT, STEP_DROPPED };

/* Where the look at a packet stands. */
struct walk {
    const uint8_t *at, *end;
    uint8_t next_header; /* what `at` is */
    uint32_t headers;
    struct inet6_packet *packet;
    enum inet_drop why; /* with STEP_DROPPED */
};

static enum step step_drop(struct walk *walk, enum inet_drop why)
{
    walk->why = why;
    return STEP_DROPPED;
}

/* Are all options ones that may be passed over? `bytes` is a copy. */
static RUNS_SELDOM enum step look_at_options(struct walk *walk, const uint8_t *bytes, uint32_t len)
{
    for (uint32_t at = sizeof(uint16_t); at < len;) {
        if (bytes[at] == IPV6_OPTION_PAD1) {
            at++;
            continue;
        }
        if (at + 2 > len || at + 2 + bytes[at + 1] > len)
            return step_drop(walk, INET_DROP_IP6_EXTENSION);
        if (bytes[at] & IPV6_OPTION_ACTION)
            return step_drop(walk, INET_DROP_IP6_OPTION);
        at += 2u + bytes[at + 1];
    }
    return STEP_ON;
}

/* A fragment that is all of its datagram is as good as none (RFC 6946, section 4). */
static RUNS_SELDOM enum step step_fragment(struct walk *walk)
{
    struct ipv6_fragment fragment;

    if ((size_t)(walk->end - walk->at) < sizeof fragment)
        return step_drop(walk, INET_DROP_IP6_EXTENSION);
    memcpy(&fragment, walk->at, sizeof fragment);
    walk->next_header = fragment.next_header;
    walk->at += sizeof fragment;
    walk->packet->in_fragments = true;
    walk->packet->identification = fragment.identification;
    walk->packet->more = be16(fragment.offset_more) & IPV6_MORE_FRAGMENTS;
    walk->packet->offset = be16(fragment.offset_more) & IPV6_FRAGMENT_OFFSET;
    return walk->packet->more || walk->packet->offset > 0 ? STEP_FRAGMENT : STEP_ON;
}

static RUNS_SELDOM enum step step_extension(struct walk *walk)
{
    uint8_t options[INET6_EXTENSION_BYTES]; /* copies: the packet's memory may change */
    struct ipv6_extension extension;
    const uint8_t kind = walk->next_header, *start = walk->at;
    const size_t left = (size_t)(walk->end - start);

    if (left < 8)
        return step_drop(walk, INET_DROP_IP6_EXTENSION);
    memcpy(&extension, start, sizeof extension);
    const uint32_t len = (extension.length + 1u) * 8;
    if (len > left || len > sizeof options)
        return step_drop(walk, INET_DROP_IP6_EXTENSION);
    walk->next_header = extension.next_header;
    walk->at += len;
    if (kind != IPV6_NEXT_ROUTING) {
        memcpy(options, start, len);
        return look_at_options(walk, options, len);
    }
    /* We are no router, and type 0 is refused by all (RFC 5095). */
    if (extension.segments_left > 0 || extension.routing_type == 0)
        return step_drop(walk, INET_DROP_IP6_ROUTING);
    return STEP_ON;
}

static RUNS_SELDOM enum step step_header(struct walk *walk)
{
    switch (walk->next_header) {
    case IPV6_NEXT_HOP_BY_HOP: /* only right behind the IPv6 header */
        if (walk->headers > 0)
            return step_drop(walk, INET_DROP_IP6_EXTENSION);
        break;
    case IPV6_NEXT_FRAGMENT:
    case IPV6_NEXT_ROUTING:
    case IPV6_NEXT_DESTINATION:
        break;
    default:
        return STEP_DONE;
    }
    if (walk->headers++ == INET6_EXTENSIONS)
        return step_drop(walk, INET_DROP_IP6_EXTENSION);
    return walk->next_header == IPV6_NEXT_FRAGMENT ? step_fragment(walk) : step_extension(walk);
}

/* Moves what the packet carries to its IPv6 header. The frame stays where it begins, so an answer
 * in its place has the room that it always has. */
static RUNS_SELDOM void take_out(struct netbuf *nb, uint32_t len)
{
    uint8_t *at = nb->data + L4_OFFSET_6;

    nb->len = (uint16_t)(nb->len - len);
    memmove(at, at + len, nb->len - (uint32_t)L4_OFFSET_6);
    if (nb->csum_start >= len)
        nb->csum_start = (uint16_t)(nb->csum_start - len);
}

/* Goes over the headers from `at` on. Hop-by-hop options come behind the IPv6 header alone, and
 * there are others before what is in fragments. */
static RUNS_SELDOM __attribute__((noinline)) enum step
walk_all(struct walk *walk, const uint8_t *at, struct inet6_packet *packet)
{
    enum step came;

    walk->at = at;
    walk->end = at + packet->len;
    walk->next_header = packet->next_header;
    walk->headers = packet->in_fragments;
    walk->packet = packet;
    do {
        came = step_header(walk);
    } while (came == STEP_ON);
    return came;
}

RUNS_SELDOM bool inet6_has_headers(const uint8_t *at, const struct inet6_packet *packet)
{
    enum { LEAST = 8 }; /* of UDP's and ICMPv6's */
    struct inet6_packet copy = *packet;
    struct walk walk;
    const enum step came = walk_all(&walk, at, &copy);

    if (came == STEP_DROPPED)
        return walk.why != INET_DROP_IP6_EXTENSION;
    return came == STEP_DONE && walk.end - walk.at >= LEAST;
}

enum inet6_kind inet6_skip_extensions(struct inet *inet, struct netbuf *nb,
                                      struct inet6_packet *packet)
{
    const uint8_t *start = nb->data + L4_OFFSET_6;
    struct walk walk;
    const enum step came = walk_all(&walk, start, packet);

    if (came == STEP_DROPPED) {
        inet_drop(inet, walk.why);
        return INET6_NONE;
    }
    uint32_t len = (uint32_t)(walk.at - start);
    packet->next_header = walk.next_header;
    packet->len -= len;
    if (came == STEP_FRAGMENT)
        len -= (uint32_t)sizeof(struct ipv6_fragment);
    if (len > 0)
        take_out(nb, len);
    return came == STEP_FRAGMENT ? INET6_FRAGMENT : INET6_WHOLE;
}
