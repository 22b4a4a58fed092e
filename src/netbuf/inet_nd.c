/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet_nd.c - the messages of neighbour discovery (RFC 4861) and what each brings about:
 *
 *     solicitation of an address of ours     is answered, to the MAC address that asked; while the
 *                                            address is tentative and the sender has none, it is a
 *                                            duplicate (RFC 4862, section 5.4.3)
 *     advertisement of an address of ours,   the same, or a conflict, of which the console is told
 *     or any message from one
 *     router advertisement                   goes to the core that may change addresses
 *
 * Nothing is kept of neighbours, so however many there are, or are made up, costs nothing.
 */
#include "boot/boot.h"
#include "netbuf/icmp6.h"
#include "netbuf/inet6_build.h"

enum {
    MESSAGE_BYTES = IPV6_MIN_MTU - sizeof(struct ipv6_header), /* a longer one isn't taken */
    WITH_MAC_BYTES = sizeof(struct nd_neighbour) + sizeof(struct nd_option_mac),
};

/* A copy of a received message: its memory may change. */
struct message {
    union {
        struct icmp6_header icmp;
        struct nd_neighbour neighbour;
        struct nd_router_advertisement router;
        uint8_t bytes[MESSAGE_BYTES];
    };
    uint32_t len;
};

/* --- what is sent -------------------------------------------------------------------------------
 */

static void write_mac_option(const struct inet *inet, uint8_t *at, uint8_t type)
{
    struct nd_option_mac *option = (struct nd_option_mac *)at;

    option->option = (struct nd_option){type, sizeof *option / 8};
    eth_mac_copy(option->mac, inet->mac);
}

static bool has_answer_room(const struct netbuf *nb)
{
    return netbuf_headroom(nb) + L4_OFFSET_6 + WITH_MAC_BYTES <= nb->buf_bytes;
}

static RUNS_SELDOM void build_advertisement(const struct inet *inet, struct netbuf *nb,
                                            const uint8_t *mac, const struct ipv6_address *ours,
                                            const struct ipv6_address *to, uint8_t flags)
{
    const struct inet6_packet packet = {.source = *ours,
                                        .destination = *to,
                                        .hop_limit = ND_HOP_LIMIT,
                                        .next_header = IPV6_NEXT_ICMP,
                                        .len = WITH_MAC_BYTES};
    uint8_t *at = nb->data + L4_OFFSET_6;

    *(struct nd_neighbour *)at = (struct nd_neighbour){
        .type = ICMP6_NEIGHBOUR_ADVERTISEMENT, .flags = flags, .target = *ours};
    write_mac_option(inet, at + sizeof(struct nd_neighbour), ND_OPTION_TARGET_MAC);
    inet6_build_icmp(inet, nb, mac, &packet);
}

RUNS_SELDOM void inet_nd_build_announcement(const struct inet *inet, struct netbuf *nb,
                                            const struct ipv6_address *address)
{
    uint8_t mac[ETH_MAC_BYTES];

    assert(has_answer_room(nb));
    inet6_group_mac(mac, &ipv6_all_nodes);
    build_advertisement(inet, nb, mac, address, &ipv6_all_nodes, ND_OVERRIDE);
}

RUNS_SELDOM void inet_nd_build_probe(const struct inet *inet, struct netbuf *nb,
                                     const struct ipv6_address *address)
{
    const struct ipv6_address group = ipv6_solicited_node(address);

    assert(has_answer_room(nb));
    *(struct nd_neighbour *)(nb->data + L4_OFFSET_6) =
        (struct nd_neighbour){.type = ICMP6_NEIGHBOUR_SOLICITATION, .target = *address};
    inet6_build_to_group(inet, nb, &ipv6_nobody, &group, ND_HOP_LIMIT, sizeof(struct nd_neighbour));
}

RUNS_SELDOM void inet_nd_build_router_question(const struct inet *inet, struct netbuf *nb)
{
    uint8_t *at = nb->data + L4_OFFSET_6;

    assert(has_answer_room(nb));
    *(struct icmp6_header *)at = (struct icmp6_header){.type = ICMP6_ROUTER_SOLICITATION};
    write_mac_option(inet, at + sizeof(struct icmp6_header), ND_OPTION_SOURCE_MAC);
    inet6_build_to_group(inet, nb, &inet->inet6->own[0].prefix.address, &ipv6_all_routers,
                         ND_HOP_LIMIT, sizeof(struct icmp6_header) + sizeof(struct nd_option_mac));
}

/* --- what is received ---------------------------------------------------------------------------
 */

/* The option at `at`, or NULL at the end; *wrong if it is cut or has no length. */
static const struct nd_option *option_at(const struct message *m, uint32_t at, bool *wrong)
{
    const struct nd_option *option = (const struct nd_option *)(m->bytes + at);

    *wrong = at < m->len && (m->len - at < sizeof *option || option->length == 0 ||
                             option->length * 8u > m->len - at);
    return at < m->len && !*wrong ? option : NULL;
}

/* Are the options from `at` on well formed, and none of type `forbidden`? */
static RUNS_SELDOM bool options_fit(const struct message *m, uint32_t at, uint8_t forbidden)
{
    const struct nd_option *option;
    bool wrong;

    while ((option = option_at(m, at, &wrong))) {
        if (option->type == forbidden)
            return false;
        at += option->length * 8u;
    }
    return !wrong;
}

/* RFC 4861, section 7.1.1. */
static bool is_solicitation(const struct message *m, const struct inet6_packet *packet)
{
    const bool nobody = ipv6_equal(&packet->source, &ipv6_nobody);

    if (m->len < sizeof m->neighbour || ipv6_is_group(&m->neighbour.target) ||
        !options_fit(m, sizeof m->neighbour, nobody ? ND_OPTION_SOURCE_MAC : 0))
        return false;
    const struct ipv6_address group = ipv6_solicited_node(&m->neighbour.target);
    return !nobody || ipv6_equal(&packet->destination, &group);
}

static RUNS_SELDOM enum inet_verdict solicitation_input(struct inet *inet, struct netbuf *nb,
                                                        const struct message *m,
                                                        const struct inet6_packet *packet)
{
    const bool nobody = ipv6_equal(&packet->source, &ipv6_nobody);
    uint8_t mac[ETH_MAC_BYTES];

    if (!is_solicitation(m, packet))
        return inet_drop(inet, INET_DROP_ND_FORMAT);
    struct inet6_own *own = inet6_find(inet->inet6, &m->neighbour.target);
    if (own && nobody && inet6_give_up(inet, own))
        return inet_drop(inet, INET_DROP_ND_CONFLICT);
    if (!own || inet6_state(own) != INET6_VALID)
        return inet_drop(inet, INET_DROP_ND_TARGET);
    if (!has_answer_room(nb))
        return inet_drop(inet, INET_DROP_ROOM);
    if (nobody)
        inet6_group_mac(mac, &ipv6_all_nodes);
    else
        eth_mac_copy(mac, ((const struct eth_header *)nb->data)->source);
    build_advertisement(inet, nb, mac, &m->neighbour.target,
                        nobody ? &ipv6_all_nodes : &packet->source,
                        nobody ? ND_OVERRIDE : ND_OVERRIDE | ND_SOLICITED);
    inet->nd_replies++;
    return INET_REPLY;
}

/* RFC 4861, section 7.1.2. */
static RUNS_SELDOM enum inet_verdict advertisement_input(struct inet *inet, const struct message *m,
                                                         const struct inet6_packet *packet)
{
    if (m->len < sizeof m->neighbour || ipv6_is_group(&m->neighbour.target) ||
        ipv6_equal(&packet->source, &ipv6_nobody) ||
        (ipv6_is_group(&packet->destination) && m->neighbour.flags & ND_SOLICITED) ||
        !options_fit(m, sizeof m->neighbour, 0))
        return inet_drop(inet, INET_DROP_ND_FORMAT);
    struct inet6_own *own = inet6_find(inet->inet6, &m->neighbour.target);
    if (!own)
        return inet_drop(inet, INET_DROP_ND_ADVERT);
    inet6_contest(inet, own);
    return inet_drop(inet, INET_DROP_ND_CONFLICT);
}

/* Takes a prefix that hosts shall make addresses of (RFC 4862, section 5.5.3). */
static void hear_prefix(const struct inet6 *inet6, struct inet6_heard *heard,
                        const struct nd_option_prefix *option)
{
    struct ipv6_prefix prefix = {option->prefix, option->flags & ND_PREFIX_ON_LINK ? 64 : 128};

    if (!(option->flags & ND_PREFIX_AUTONOMOUS) || option->prefix_len != 64 ||
        be32(option->preferred_s) > be32(option->valid_s) || heard->count == INET6_ROUTED)
        return;
    memcpy(prefix.address.bytes + 8, &inet6->interface_id, sizeof inet6->interface_id);
    if (!ipv6_is_unicast(&prefix.address) || ipv6_is_link_local(&prefix.address))
        return;
    heard->prefixes[heard->count].prefix = prefix;
    heard->prefixes[heard->count++].valid_s = be32(option->valid_s);
}

static RUNS_SELDOM void hear_option(const struct inet6 *inet6, struct inet6_heard *heard,
                                    const struct nd_option *option)
{
    if (option->type == ND_OPTION_PREFIX && option->length == sizeof(struct nd_option_prefix) / 8)
        hear_prefix(inet6, heard, (const struct nd_option_prefix *)option);
    if (option->type == ND_OPTION_MTU && option->length == sizeof(struct nd_option_mtu) / 8) {
        const uint32_t mtu = be32(((const struct nd_option_mtu *)option)->mtu);
        if (mtu >= IPV6_MIN_MTU && mtu <= inet6->device_mtu_bytes)
            heard->mtu = mtu;
    }
}

/* RFC 4861, section 6.1.2. */
static RUNS_SELDOM enum inet_verdict router_input(struct inet *inet, const struct message *m,
                                                  const struct inet6_packet *packet)
{
    struct inet6_heard heard = {.mtu = 0};
    const struct nd_option *option;
    uint32_t at = sizeof m->router;
    bool wrong;

    if (m->len < sizeof m->router || !ipv6_is_link_local(&packet->source) || !options_fit(m, at, 0))
        return inet_drop(inet, INET_DROP_ND_FORMAT);
    for (; (option = option_at(m, at, &wrong)); at += option->length * 8u)
        hear_option(inet->inet6, &heard, option);
    const bool taken = !inet->inet6->has_routed || inet6_hear(inet, &heard);
    return inet_drop(inet, taken ? INET_DROP_ND_ADVERT : INET_DROP_ND_BUSY);
}

RUNS_SELDOM enum inet_verdict inet_nd_input(struct inet *inet, struct netbuf *nb,
                                            const struct inet6_packet *packet)
{
    struct message m;

    if (packet->hop_limit != ND_HOP_LIMIT)
        return inet_drop(inet, INET_DROP_ND_HOPS);
    if (packet->len > sizeof m.bytes || packet->in_fragments) /* RFC 6980 */
        return inet_drop(inet, INET_DROP_ND_FORMAT);
    memcpy(m.bytes, nb->data + L4_OFFSET_6, packet->len);
    m.len = packet->len;
    if (m.icmp.code != 0)
        return inet_drop(inet, INET_DROP_ND_FORMAT);
    if (inet6_has(inet->inet6, &packet->source)) {
        inet6_contest(inet, inet6_find(inet->inet6, &packet->source));
        return inet_drop(inet, INET_DROP_ND_CONFLICT);
    }
    if (m.icmp.type == ICMP6_NEIGHBOUR_SOLICITATION)
        return solicitation_input(inet, nb, &m, packet);
    if (m.icmp.type == ICMP6_NEIGHBOUR_ADVERTISEMENT)
        return advertisement_input(inet, &m, packet);
    return router_input(inet, &m, packet);
}
