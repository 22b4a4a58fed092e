/* SPDX-License-Identifier: BSD-2-Clause */
/* look.c - what a received packet is; see look.h. */
#include "apps/balancer/look.h"
#include "netbuf/hash.h"

enum {
    PORTS = 4, /* bytes of a UDP or TCP header up to the end of its ports */
    TCP_BYTES = 20,
};

static enum look_kind look_dropped(struct balancer *lb, enum balancer_drop why)
{
    lb->drops[why]++;
    return LOOK_DROP;
}

/* `ip` 0 is any: with nat no two services have one port. */
static const struct balancer_service *find_service(const struct balancer *lb, uint32_t ip,
                                                   uint16_t port, uint8_t protocol)
{
    for (uint32_t i = 0; i < lb->conf.service_count; i++) {
        const struct balancer_service *s = &lb->conf.services[i];
        if ((ip == 0 || s->ip == ip) && s->port == port && s->protocol == protocol)
            return s;
    }
    return NULL;
}

static bool is_service_address(const struct balancer *lb, uint32_t ip)
{
    uint32_t i = 0;

    while (i < lb->conf.service_count && lb->conf.services[i].ip != ip)
        i++;
    return i < lb->conf.service_count;
}

/* Finds the headers of an IPv4 packet for us whose lengths agree; else it is the host's to judge.
 */
static bool find_headers(const struct balancer *lb, struct netbuf *nb, struct look *look)
{
    if (nb->len < sizeof *look->eth + sizeof *look->ip)
        return false;
    look->eth = (struct eth_header *)nb->data;
    look->ip = (struct ipv4_header *)(look->eth + 1);
    const uint32_t header = (look->ip->version_ihl & 15u) * 4;
    if (look->eth->type != be16(ETH_TYPE_IPV4) ||
        eth_mac_number(look->eth->destination) != lb->inet.mac_number ||
        look->ip->version_ihl >> 4 != 4 || header < sizeof *look->ip)
        return false;
    const uint32_t total = be16(look->ip->total_length);
    if (total < header || (!nb->next && total > nb->len - sizeof *look->eth))
        return false;
    look->ports = (struct udp_header *)((uint8_t *)look->ip + header);
    return true;
}

/* Bytes that the packet has behind its IP header. */
static uint32_t payload_bytes(const struct look *look)
{
    return be16(look->ip->total_length) - (look->ip->version_ihl & 15u) * 4;
}

static bool is_fragment(const struct look *look)
{
    return look->ip->flags_fragment_offset & be16(IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET);
}

/* nat: does the packet have what is to be mended? */
static bool has_checksum(const struct look *look)
{
    return payload_bytes(look) >= (look->ip->protocol == IPV4_PROTOCOL_UDP
                                       ? (uint32_t)sizeof(struct udp_header)
                                       : (uint32_t)TCP_BYTES);
}

static bool time_is_over(const struct balancer *lb, const struct look *look)
{
    return lb->conf.way == BALANCER_NAT && look->ip->time_to_live <= 1;
}

/* A packet to a service's address, of a protocol that services have. */
static enum look_kind look_at_flow(struct balancer *lb, struct look *look)
{
    const uint32_t to = be32(look->ip->destination_address);

    if (is_fragment(look))
        return look_dropped(lb, BALANCER_DROP_FRAGMENT);
    if (payload_bytes(look) < PORTS || (lb->conf.way == BALANCER_NAT && !has_checksum(look)))
        return look_dropped(lb, BALANCER_DROP_SHORT);
    look->service = find_service(lb, to, be16(look->ports->destination_port), look->ip->protocol);
    if (!look->service)
        return LOOK_HOST;
    if (time_is_over(lb, look))
        return look_dropped(lb, BALANCER_DROP_TTL);
    uint32_t ports;
    __builtin_memcpy(&ports, look->ports, sizeof ports);
    look->addresses = (uint64_t)look->ip->source_address << 32 | look->ip->destination_address;
    look->rest = (uint64_t)look->ip->protocol << 32 | ports;
    const uint64_t source = hash_mix(look->ip->source_address ^ lb->conf.seed, HASH_ODD);
    const uint64_t flow =
        hash_mix(hash_mix(look->addresses ^ lb->conf.seed, HASH_ODD) ^ look->rest, HASH_ODD);
    look->place = flows_place(&lb->flows, source, flow);
    flows_prefetch(&lb->flows, look->place);
    return LOOK_FLOW;
}

/* direct: a packet to somebody else, from the service's address? It is left as it is, so that a
 * part of a datagram is as good as any. */
static enum look_kind look_at_direct_answer(const struct balancer *lb, const struct look *look)
{
    return is_service_address(lb, be32(look->ip->source_address)) ? LOOK_ANSWER : LOOK_HOST;
}

/* nat: a packet to somebody else, from a back end's port of a service? */
static enum look_kind look_at_nat_answer(struct balancer *lb, struct look *look)
{
    if (backends_find(&lb->backends, be32(look->ip->source_address)) == BACKENDS_NONE)
        return LOOK_HOST;
    if (is_fragment(look))
        return look_dropped(lb, BALANCER_DROP_FRAGMENT);
    if (!has_checksum(look))
        return look_dropped(lb, BALANCER_DROP_SHORT);
    look->service = find_service(lb, 0, be16(look->ports->source_port), look->ip->protocol);
    if (!look->service)
        return LOOK_HOST;
    if (time_is_over(lb, look))
        return look_dropped(lb, BALANCER_DROP_TTL);
    return LOOK_ANSWER;
}

static enum look_kind kind_of(struct balancer *lb, struct netbuf *nb, struct look *look)
{
    if (!find_headers(lb, nb, look))
        return LOOK_HOST;
    if (look->ip->protocol != IPV4_PROTOCOL_UDP && look->ip->protocol != IPV4_PROTOCOL_TCP)
        return LOOK_HOST;
    const uint32_t to = be32(look->ip->destination_address);
    const bool is_for_service = is_service_address(lb, to);
    if (!is_for_service && to == lb->inet.prefix.address)
        return LOOK_HOST;
    if (nb->next) /* its first piece needn't have more than the IP header */
        return look_dropped(lb, BALANCER_DROP_LONG);
    if (is_for_service)
        return look_at_flow(lb, look);
    return lb->conf.way == BALANCER_NAT ? look_at_nat_answer(lb, look)
                                        : look_at_direct_answer(lb, look);
}

void look_at(struct look *look, struct balancer *lb, struct netbuf *nb)
{
    look->kind = kind_of(lb, nb, look);
}
