/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet_hostile_test.h - packets of a hostile network: put_... writes a real one of a kind to
 * `frame`, mostly with addresses that a host would take, spoil() changes some of its bytes, its
 * length, its tag.
 */
#ifndef NETBUF_INET_HOSTILE_TEST_H
#define NETBUF_INET_HOSTILE_TEST_H

#include "boot/test.h"
#include "netbuf/arp.h"
#include "netbuf/icmp.h"
#include "netbuf/icmp6.h"
#include "netbuf/inet6_build.h"

enum {
    FRAME_MAX = 1514,
    VLAN = 5,
    TAG = 4,
    PIECES = 4,
    OUR_IP = 0x0a00020f,
    PORT = 11211,
};

static const uint8_t host_mac[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
static const uint8_t macs[][ETH_MAC_BYTES] = {
    {0x52, 0x54, 0x00, 0x12, 0x34, 0x56}, {0x52, 0x55, 0x0a, 0, 2, 2}, {2, 0, 0, 0, 0, 9},
    {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x33, 0x33, 0, 0, 0, 1},    {0}};
static const uint32_t ips[] = {0x0a000202, 0x0a000202, 0x0a000203, OUR_IP, 0x0a0002ff,
                               0xffffffff, 0x7f000001, 0xe0000001, 0,      0x08080808};
static const struct ipv6_address ip6s[] = {
    {.bytes = {0xfe, 0x80, [15] = 9}},
    {.bytes = {0xfe, 0x80, [8] = 0x50, 0x54, 0, 0xff, 0xfe, 0x12, 0x34, 0x56}}, /* ours */
    {.bytes = {0xff, 2, [15] = 1}},
    {.bytes = {0xff, 2, [11] = 1, 0xff, 0x12, 0x34, 0x56}},
    {.bytes = {0xfd, [15] = 3}},
    {.bytes = {[15] = 1}},
    {.bytes = {[10] = 0xff, 0xff, 10, 0, 2, 2}},
    {.bytes = {0}},
};

static struct inet host;
static uint8_t frame[2048];
static uint32_t frame_len;
static uint64_t dice;

static inline uint32_t roll(uint32_t limit)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)(dice >> 32) % limit;
}

/* The first of them in most cases, so that others are a packet's only fault. */
static inline uint32_t mostly(uint32_t first, uint32_t count)
{
    return roll(8) ? first : roll(count);
}

/* --- packets ------------------------------------------------------------------------------------
 */

static inline void put_noise(uint32_t at, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        frame[at + i] = (uint8_t)roll(256);
    frame_len = at + len;
}

static inline void put_eth(uint16_t type)
{
    eth_mac_copy(frame, macs[mostly(0, ARRAY_LEN(macs))]);
    eth_mac_copy(frame + ETH_MAC_BYTES, macs[mostly(1 + roll(2), ARRAY_LEN(macs))]);
    store_be16(frame + 12, type);
}

static inline void put_arp(void)
{
    struct arp_packet *arp = (struct arp_packet *)(frame + IP_OFFSET);

    put_eth(ETH_TYPE_ARP);
    *arp = (struct arp_packet){.hrd = be16(1),
                               .pro = be16(ETH_TYPE_IPV4),
                               .hln = 6,
                               .pln = 4,
                               .op = be16((uint16_t)(1 + roll(2))),
                               .spa = be32(ips[mostly(roll(3), ARRAY_LEN(ips))]),
                               .tpa = be32(ips[mostly(3, ARRAY_LEN(ips))])};
    eth_mac_copy(arp->sha, macs[mostly(1 + roll(2), ARRAY_LEN(macs))]);
    frame_len = IP_OFFSET + sizeof *arp;
}

static inline void put_ip4(uint8_t protocol)
{
    struct ipv4_header *ip = (struct ipv4_header *)(frame + IP_OFFSET);

    put_eth(ETH_TYPE_IPV4);
    *ip = (struct ipv4_header){.version_ihl = IPV4_VERSION_IHL,
                               .time_to_live = 64,
                               .protocol = protocol,
                               .source_address = be32(ips[mostly(roll(3), ARRAY_LEN(ips))]),
                               .destination_address = be32(ips[mostly(3, ARRAY_LEN(ips))])};
}

/* Makes the sums and lengths behind an IPv4 header of 20 bytes right. */
static inline void seal_ip4(void)
{
    struct ipv4_header *ip = (struct ipv4_header *)(frame + IP_OFFSET);
    struct udp_header *udp = (struct udp_header *)(frame + L4_OFFSET);
    struct icmp_header *icmp = (struct icmp_header *)(frame + L4_OFFSET);
    const uint32_t len = frame_len - L4_OFFSET;

    ip->total_length = be16((uint16_t)(frame_len - IP_OFFSET));
    ip->header_checksum = 0;
    ip->header_checksum = csum_finish(csum_add(0, ip, sizeof *ip));
    if (ip->protocol == IPV4_PROTOCOL_UDP) {
        udp->length = be16((uint16_t)len);
        udp->checksum = 0;
        const uint64_t sum = csum_pseudo(be32(ip->source_address), be32(ip->destination_address),
                                         IPV4_PROTOCOL_UDP, (uint16_t)len);
        udp->checksum = roll(8) ? csum_finish_udp(csum_add(sum, udp, len)) : 0;
    } else {
        icmp->checksum = 0;
        icmp->checksum = csum_finish(csum_add(0, icmp, len));
    }
}

static inline void put_ping4(void)
{
    put_ip4(IPV4_PROTOCOL_ICMP);
    put_noise(L4_OFFSET, 8 + roll(roll(4) ? 100 : FRAME_MAX - L4_OFFSET - 8));
    frame[L4_OFFSET] = ICMP_ECHO;
    frame[L4_OFFSET + 1] = 0;
    seal_ip4();
}

static inline void put_udp4(void)
{
    put_ip4(IPV4_PROTOCOL_UDP);
    put_noise(L4_OFFSET, 8 + roll(roll(4) ? 100 : FRAME_MAX - L4_OFFSET - 8));
    store_be16(frame + L4_OFFSET + 2, roll(3) ? PORT : (uint16_t)roll(70));
    seal_ip4();
}

static inline void put_options4(void)
{
    struct ipv4_header *ip = (struct ipv4_header *)(frame + IP_OFFSET);
    const uint32_t len = 4 + 4 * roll(10);

    put_udp4();
    if (frame_len + len > FRAME_MAX)
        return;
    memmove(frame + L4_OFFSET + len, frame + L4_OFFSET, frame_len - L4_OFFSET);
    frame_len += len;
    ip->version_ihl = (uint8_t)(IPV4_VERSION_IHL + len / 4);
    ip->total_length = be16((uint16_t)(frame_len - IP_OFFSET));
    ip->header_checksum = 0;
    ip->header_checksum = csum_finish(csum_add(0, ip, sizeof *ip + len));
}

/* Datagrams are sent in parts of which mostly the next one comes: which it is, and of what. */
struct series {
    uint32_t next;
};

struct part {
    uint32_t number, of, piece, offset;
    bool is_udp, more;
};

static inline struct part next_part(struct series *series)
{
    const uint32_t at = roll(16) ? series->next++ : roll(series->next + 1);
    struct part part = {.number = at % PIECES, .of = at / PIECES};

    part.piece = part.of & 1 ? 64 : 1400;
    part.is_udp = part.of % 4 < 3;
    part.more = part.number + 1 < PIECES;
    part.offset = roll(32) ? part.number * part.piece : 8 * roll(8192);
    return part;
}

/* The bytes of a part are 0 but for the first one's header. */
static inline void put_part(uint32_t at, const struct part *part)
{
    memset(frame + at, 0, part->piece);
    frame_len = at + part->piece;
    if (part->number > 0)
        return;
    store_be16(frame + at, 40000);
    store_be16(frame + at + 2, PORT);
    store_be16(frame + at + 4, (uint16_t)(PIECES * part->piece));
}

static inline void put_fragment4(void)
{
    static struct series series;
    struct ipv4_header *ip = (struct ipv4_header *)(frame + IP_OFFSET);
    const struct part part = next_part(&series);

    put_ip4(part.is_udp ? IPV4_PROTOCOL_UDP : IPV4_PROTOCOL_ICMP);
    ip->source_address = be32(ips[mostly(part.of % 3, ARRAY_LEN(ips))]);
    ip->identification = be16((uint16_t)part.of);
    put_part(L4_OFFSET, &part);
    if (part.number == 0 && !part.is_udp)
        memcpy(frame + L4_OFFSET, "\x08\0\xf7\xff\0\0\0", 8);
    ip->flags_fragment_offset =
        be16((uint16_t)((part.more ? IPV4_MORE_FRAGMENTS : 0) | part.offset / 8));
    ip->total_length = be16((uint16_t)(frame_len - IP_OFFSET));
    ip->header_checksum = csum_finish(csum_add(0, ip, sizeof *ip));
}

/* A server's answer, mostly to the question that was asked last. */
static inline void put_dhcp(void)
{
    enum { AT = INET_UDP_HEADROOM + sizeof(struct dhcp_header) };
    struct ipv4_header *ip = (struct ipv4_header *)(frame + IP_OFFSET);
    struct udp_header *udp = (struct udp_header *)(frame + L4_OFFSET);
    struct dhcp_header *dhcp = (struct dhcp_header *)(frame + INET_UDP_HEADROOM);
    uint8_t options[] = {53, 1,   2,   54,  4, 10, 0, 2,  2, 51, 4, 0,  0, 1, 0,  1,
                         4,  255, 255, 255, 0, 3,  4, 10, 0, 2,  1, 52, 1, 0, 255};
    static const uint8_t types[] = {2, 2, 5, 5, 5, 6, 1};

    put_ip4(IPV4_PROTOCOL_UDP);
    ip->destination_address = be32(roll(2) ? IPV4_BROADCAST : OUR_IP);
    if (roll(2))
        memset(frame, 0xff, ETH_MAC_BYTES);
    *udp = (struct udp_header){be16(67), be16(68), 0, 0};
    memset(dhcp, 0, sizeof *dhcp);
    *dhcp = (struct dhcp_header){.op = DHCP_OP_REPLY, .htype = 1, .hlen = 6};
    dhcp->xid = be32(roll(8) ? host.dhcp.xid : roll(UINT32_MAX));
    dhcp->yiaddr = be32(ips[mostly(3, ARRAY_LEN(ips))]);
    dhcp->magic = be32(DHCP_MAGIC);
    memcpy(dhcp->chaddr, host_mac, sizeof host_mac);
    options[2] = types[roll(sizeof types)];
    options[29] = (uint8_t)mostly(0, 5);
    if (roll(4) == 0)
        options[roll(sizeof options)] = (uint8_t)roll(256);
    memcpy(frame + AT, options, sizeof options);
    frame_len = AT + sizeof options;
    seal_ip4();
}

static inline void put_ip6(uint8_t next_header, uint32_t from, uint32_t to)
{
    struct ipv6_header *ip = (struct ipv6_header *)(frame + IP_OFFSET);

    put_eth(ETH_TYPE_IPV6);
    *ip = (struct ipv6_header){.version_class = 6 << 4,
                               .next_header = next_header,
                               .hop_limit = roll(8) ? 255 : 64,
                               .source_address = ip6s[mostly(from, ARRAY_LEN(ip6s))],
                               .destination_address = ip6s[mostly(to, ARRAY_LEN(ip6s))]};
}

static inline void seal_ip6(void)
{
    struct ipv6_header *ip = (struct ipv6_header *)(frame + IP_OFFSET);
    const uint32_t len = frame_len - L4_OFFSET_6;
    const bool is_udp = ip->next_header == IPV6_NEXT_UDP;
    uint8_t *checksum = frame + L4_OFFSET_6 + (is_udp ? 6 : 2);

    ip->payload_length = be16((uint16_t)len);
    if (is_udp)
        store_be16(frame + L4_OFFSET_6 + 4, (uint16_t)len);
    store_be16(checksum, 0);
    const uint64_t sum =
        csum_pseudo_6(&ip->source_address, &ip->destination_address, ip->next_header, len);
    const uint16_t right = csum_finish_udp(csum_add(sum, frame + L4_OFFSET_6, len));
    memcpy(checksum, &right, sizeof right);
}

static inline void put_udp6(void)
{
    put_ip6(IPV6_NEXT_UDP, 0, 1);
    put_noise(L4_OFFSET_6, 8 + roll(roll(4) ? 100 : FRAME_MAX - L4_OFFSET_6 - 8));
    store_be16(frame + L4_OFFSET_6 + 2, roll(3) ? PORT : (uint16_t)roll(70));
    seal_ip6();
}

/* Echo, neighbour discovery with options, multicast listeners' queries. */
static inline void put_icmp6(void)
{
    static const uint8_t types[] = {ICMP6_ECHO, 134, 135, 135, 136, 133, 137, 130, 131, 143, 1};
    const uint8_t type = types[roll(sizeof types)];

    put_ip6(IPV6_NEXT_ICMP, roll(4) ? 0 : 7, 1 + roll(3));
    put_noise(L4_OFFSET_6, 8 + roll(roll(4) ? 64 : FRAME_MAX - L4_OFFSET_6 - 8));
    frame[L4_OFFSET_6] = type;
    frame[L4_OFFSET_6 + 1] = roll(16) == 0;
    if (type == ICMP6_NEIGHBOUR_SOLICITATION || type == ICMP6_NEIGHBOUR_ADVERTISEMENT) {
        memcpy(frame + L4_OFFSET_6 + 8, &ip6s[mostly(1, ARRAY_LEN(ip6s))], IPV6_ADDRESS_BYTES);
        frame_len = L4_OFFSET_6 + 24;
    }
    if (type == ICMP6_ROUTER_ADVERTISEMENT)
        frame_len = L4_OFFSET_6 + 16;
    for (uint32_t n = roll(4); n > 0 && type >= 133 && type <= 137; n--) {
        static const uint8_t kinds[] = {1, 2, 3, 3, 5, 25}, lengths[] = {1, 1, 4, 4, 1, 3};
        const uint32_t kind = roll(sizeof kinds), at = frame_len;
        memset(frame + at, 0, 32);
        put_noise(at, lengths[kind] * 8u);
        frame[at] = kinds[kind];
        frame[at + 1] = roll(16) ? lengths[kind] : (uint8_t)roll(8);
        if (kinds[kind] == ND_OPTION_PREFIX) {
            static const uint8_t start[] = {64, 0xc0, 0, 0, 1};
            memcpy(frame + at + 2, start, sizeof start);
            memset(frame + at + 8, 0, 8);
            memset(frame + at + 16, 0x20, 2);
        }
    }
    seal_ip6();
}

static inline void insert_header6(uint8_t kind, const uint8_t *header, uint32_t len)
{
    struct ipv6_header *ip = (struct ipv6_header *)(frame + IP_OFFSET);

    if (frame_len + len > FRAME_MAX)
        return;
    memmove(frame + L4_OFFSET_6 + len, frame + L4_OFFSET_6, frame_len - L4_OFFSET_6);
    memcpy(frame + L4_OFFSET_6, header, len);
    frame[L4_OFFSET_6] = ip->next_header;
    ip->next_header = kind;
    frame_len += len;
    ip->payload_length = be16((uint16_t)(frame_len - L4_OFFSET_6));
}

static inline void put_extensions6(void)
{
    static const uint8_t kinds[] = {IPV6_NEXT_DESTINATION, IPV6_NEXT_DESTINATION, IPV6_NEXT_ROUTING,
                                    IPV6_NEXT_HOP_BY_HOP, IPV6_NEXT_FRAGMENT};
    uint8_t header[264];

    if (roll(2))
        put_udp6();
    else
        put_icmp6();
    for (uint32_t n = 1 + roll(INET6_EXTENSIONS + 1); n > 0; n--) {
        const uint8_t kind = kinds[roll(sizeof kinds)];
        const uint32_t units = kind == IPV6_NEXT_FRAGMENT ? 1 : 1 + roll(roll(3) ? 4 : 33);
        memset(header, 0, sizeof header);
        header[1] = kind == IPV6_NEXT_FRAGMENT ? 0 : (uint8_t)(units - 1);
        header[2] = kind == IPV6_NEXT_ROUTING ? 4 : 0;
        if (roll(16) == 0)
            header[1 + roll(units * 8 - 1)] = (uint8_t)roll(256);
        insert_header6(kind, header, units * 8);
    }
}

static inline void put_fragment6(void)
{
    static struct series series;
    const struct part part = next_part(&series);
    const uint8_t next = part.is_udp ? IPV6_NEXT_UDP : IPV6_NEXT_ICMP;
    uint8_t header[8] = {0, 0, 0, 0, 0, 0, (uint8_t)(part.of >> 8), (uint8_t)part.of};

    put_ip6(next, 0, 1);
    put_part(L4_OFFSET_6, &part);
    if (part.number == 0) {
        const uint32_t len = PIECES * part.piece;
        uint8_t *at = frame + L4_OFFSET_6;
        if (!part.is_udp)
            memcpy(at, "\x80\0\0\0\0\0\0", 8);
        uint64_t sum = csum_pseudo_6(&ip6s[0], &ip6s[1], next, len);
        const uint16_t right = csum_finish(csum_add(sum, at, 8));
        memcpy(at + (part.is_udp ? 6 : 2), &right, sizeof right);
    }
    store_be16(header + 2, (uint16_t)(part.offset | part.more));
    insert_header6(IPV6_NEXT_FRAGMENT, header, sizeof header);
}

static inline void spoil(void)
{
    for (uint32_t n = roll(4) ? 0 : 1 + roll(3); n > 0; n--)
        frame[roll(roll(2) ? 64 : frame_len)] = (uint8_t)roll(256);
    if (roll(16) == 0)
        frame_len = roll(frame_len + 1);
    else if (roll(16) == 0 && frame_len + 50 < FRAME_MAX)
        frame_len += roll(50);
    if (frame_len < IP_OFFSET || (host.vlan ? roll(8) == 0 : roll(8) != 0))
        return;
    memmove(frame + 16, frame + 12, frame_len - 12);
    store_be16(frame + 12, ETH_TYPE_VLAN);
    store_be16(frame + 14, (uint16_t)(roll(8) << 13 | (roll(8) ? host.vlan : roll(8))));
    frame_len += TAG;
}

#endif
