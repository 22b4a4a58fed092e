/* SPDX-License-Identifier: BSD-2-Clause */
/* netfront_csum.c - finds and completes checksums that are left open in a packet. */
#include "netdev/netfront/netfront_csum.h"
#include "netbuf/checksum.h"
#include "netbuf/eth.h"

enum {
    ETHER = 14,
    VLAN_TAG = 4,
    TYPE_VLAN = 0x8100, /* IEEE 802.1Q */
    TYPE_IPV6 = 0x86dd,
    IPV6 = 40,
    IPV6_EXTENSIONS_MAX = 8,
    HOP_BY_HOP = 0, /* RFC 8200, section 4 */
    ROUTING = 43,
    DESTINATION = 60,
    TCP = 6,
    UDP = 17,
};

/* Where a packet's layer 4 begins, and what it is. */
struct place {
    uint16_t type; /* of the frame, behind a VLAN tag */
    uint8_t protocol;
    bool tagged;
    uint32_t start;
};

static uint8_t byte_at(const struct netbuf *nb, uint32_t at)
{
    return *(const volatile uint8_t *)(nb->data + at);
}

static uint16_t type_at(const struct netbuf *nb, uint32_t at)
{
    return (uint16_t)(byte_at(nb, at) << 8 | byte_at(nb, at + 1));
}

/* Passes over the extension headers that may stand before UDP and TCP. */
static bool find_ipv6(const struct netbuf *nb, uint32_t at, struct place *p)
{
    uint8_t next;

    if (at + IPV6 > nb->len)
        return false;
    next = byte_at(nb, at + 6);
    at += IPV6;
    for (uint32_t i = 0; i < IPV6_EXTENSIONS_MAX; i++) {
        if (next != HOP_BY_HOP && next != ROUTING && next != DESTINATION)
            break;
        if (at + 2 > nb->len)
            return false;
        next = byte_at(nb, at);
        at += (byte_at(nb, at + 1) + 1u) * 8;
    }
    p->protocol = next;
    p->start = at;
    return true;
}

static bool find_ipv4(const struct netbuf *nb, uint32_t at, struct place *p)
{
    if (at + 20 > nb->len)
        return false;
    p->protocol = byte_at(nb, at + 9);
    p->start = at + (byte_at(nb, at) & 15u) * 4;
    return true;
}

static bool find_layer4(const struct netbuf *nb, struct place *p)
{
    uint32_t at = ETHER;

    if (nb->len < ETHER + VLAN_TAG)
        return false;
    p->type = type_at(nb, 12);
    p->tagged = p->type == TYPE_VLAN;
    if (p->tagged) {
        p->type = type_at(nb, 12 + VLAN_TAG);
        at += VLAN_TAG;
    }
    if (p->type == ETH_TYPE_IPV4)
        return find_ipv4(nb, at, p);
    return p->type == TYPE_IPV6 && find_ipv6(nb, at, p);
}

/* Where the sum stands in the header of layer 4; 0 if there is none. */
static uint16_t sum_offset(uint8_t protocol)
{
    return protocol == UDP ? 6 : protocol == TCP ? 16 : 0;
}

bool netfront_csum_find(struct netbuf *packet)
{
    struct place p;

    if (!find_layer4(packet, &p))
        return false;
    const uint16_t offset = sum_offset(p.protocol);
    if (offset == 0 || p.start + offset + 2 > packet->len)
        return false;
    packet->flags = NETBUF_CSUM_PARTIAL;
    packet->csum_start = (uint16_t)p.start;
    packet->csum_offset = offset;
    return true;
}

bool netfront_csum_known(const struct netbuf *packet, bool ipv4, bool ipv6)
{
    struct place p;

    if (!find_layer4(packet, &p) || p.tagged || (p.type == ETH_TYPE_IPV4 ? !ipv4 : !ipv6))
        return false;
    return p.start == packet->csum_start && sum_offset(p.protocol) == packet->csum_offset &&
           p.start + packet->csum_offset + 2u <= packet->len;
}

bool netfront_csum_finish(struct netbuf *packet)
{
    const uint32_t at = packet->csum_start + (uint32_t)packet->csum_offset;

    if (packet->next && !netbuf_linearize(packet))
        return false;
    if (at + 2 > packet->len)
        return false;
    /* UDP's form is right for others, too. */
    const uint16_t sum = csum_finish_udp(
        csum_add(0, packet->data + packet->csum_start, packet->len - (size_t)packet->csum_start));
    memcpy(packet->data + at, &sum, 2);
    packet->flags &= (uint16_t)~NETBUF_CSUM_PARTIAL;
    return true;
}
