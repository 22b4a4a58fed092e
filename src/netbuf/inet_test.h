/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet_test.h - packets for the tests of inet.c.
 *
 * A test fills `raw` with a good packet, breaks it through the header pointers, seals it (makes the
 * lengths and checksums right again) and gives it to inet_input. The packet is put flush at the end
 * of its buffer, behind which ASan has forbidden memory.
 */
#ifndef NETBUF_INET_TEST_H
#define NETBUF_INET_TEST_H

#include "boot/test.h"
#include "netbuf/arp.h"
#include "netbuf/checksum.h"
#include "netbuf/icmp.h"
#include "netbuf/inet.h"
#include "netbuf/udp.h"

enum { OUR_IP = 0x0a00020f, PEER_IP = 0x0a000202, OUR_PORT = 11211, PEER_PORT = 40000 };

static const uint8_t our_mac[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
static const uint8_t peer_mac[] = {0x52, 0x55, 0x0a, 0x00, 0x02, 0x02};
static const uint8_t nobody[ETH_MAC_BYTES];
static const uint8_t everybody[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t group[] = {0x01, 0x00, 0x5e, 0x00, 0x00, 0x01};

static uint8_t raw[2048];
static uint32_t raw_len;
static struct eth_header *const eth = (struct eth_header *)raw;
static struct arp_packet *const arp = (struct arp_packet *)(raw + 14);
static struct ipv4_header *const ip = (struct ipv4_header *)(raw + 14);
static struct icmp_header *const icmp = (struct icmp_header *)(raw + 34);
static struct udp_header *const udp = (struct udp_header *)(raw + 34);

static struct inet inet;
static struct inet_udp got;
static uint8_t buffer[sizeof raw];
static struct netbuf packet;

static inline void make_eth(uint16_t type)
{
    memset(raw, 0, sizeof raw);
    eth_mac_copy(eth->destination, our_mac);
    eth_mac_copy(eth->source, peer_mac);
    eth->type = be16(type);
}

static inline void make_arp(uint16_t op)
{
    make_eth(ETH_TYPE_ARP);
    *arp = (struct arp_packet){be16(1), be16(ETH_TYPE_IPV4), 6,   4,           be16(op),
                               {0},     be32(PEER_IP),       {0}, be32(OUR_IP)};
    eth_mac_copy(arp->sha, peer_mac);
    raw_len = 42;
}

/* Does inet know a neighbour's address? Looks without asking. */
static inline bool knows(uint32_t neighbour, uint8_t mac[ETH_MAC_BYTES])
{
    static struct inet copy;

    copy = inet;
    return inet_resolve(&copy, neighbour, 0, 0, mac) == INET_KNOWN;
}

/* Makes lengths and checksums right. What is behind raw_len at that moment isn't part of it. */
static inline void seal(void)
{
    uint16_t len = (uint16_t)(raw_len - 34);

    ip->total_length = be16((uint16_t)(len + 20));
    ip->header_checksum = 0;
    ip->header_checksum = csum_finish(csum_add(0, ip, 20));
    if (ip->protocol == IPV4_PROTOCOL_ICMP) {
        icmp->checksum = 0;
        icmp->checksum = csum_finish(csum_add(0, icmp, len));
    } else {
        uint64_t sum = csum_pseudo(be32(ip->source_address), be32(ip->destination_address),
                                   IPV4_PROTOCOL_UDP, len);
        udp->length = be16(len);
        udp->checksum = 0;
        udp->checksum = csum_finish(csum_add(sum, udp, len));
    }
}

static inline void make_ip(uint8_t protocol, uint32_t payload_len)
{
    make_eth(ETH_TYPE_IPV4);
    ip->version_ihl = 0x45;
    ip->time_to_live = 1;
    ip->identification = be16(0x1234);
    ip->flags_fragment_offset = be16(0x4000); /* don't fragment */
    ip->protocol = protocol;
    ip->source_address = be32(PEER_IP);
    ip->destination_address = be32(OUR_IP);
    for (uint32_t i = 0; i < payload_len; i++)
        raw[42 + i] = (uint8_t)(i * 7 + 1);
    raw_len = 42 + payload_len;
}

static inline void make_ping(uint32_t payload_len)
{
    make_ip(IPV4_PROTOCOL_ICMP, payload_len);
    icmp->type = ICMP_ECHO;
    icmp->identifier = be16(77);
    icmp->sequence_number = be16(3);
    seal();
}

static inline void make_udp(uint32_t payload_len)
{
    make_ip(IPV4_PROTOCOL_UDP, payload_len);
    udp->source_port = be16(PEER_PORT);
    udp->destination_port = be16(OUR_PORT);
    seal();
}

/* The packet in `raw` arrives, with a driver's flags, with `room` bytes of its buffer behind it. */
static inline enum inet_verdict input(uint16_t flags, uint32_t room)
{
    uint8_t *data = buffer + sizeof buffer - room - raw_len;

    memcpy(data, raw, raw_len);
    packet = (struct netbuf){.data = data,
                             .start = buffer,
                             .len = (uint16_t)raw_len,
                             .buf_bytes = sizeof buffer,
                             .flags = flags,
                             .csum_start = 34,
                             .csum_offset = 6};
    return inet_input(&inet, &packet, &got);
}

static inline void init(void)
{
    inet_init(&inet, our_mac, (struct ipv4_prefix){OUR_IP, 24});
}

/* The word for why a fresh host drops the packet in `raw`; "" if it doesn't. */
static inline const char *why(uint16_t flags)
{
    const char *word = "";
    uint64_t drops = 0;

    init();
    if (input(flags, 0) != INET_DROPPED)
        return "";
    for (int i = 0; i < INET_DROP_REASONS; i++) {
        drops += inet.drops[i];
        if (inet.drops[i])
            word = inet_drop_names[i];
    }
    CHECK_EQ(drops, 1);
    CHECK_EQ(inet.udp_packets + inet.echo_replies + inet.arp_replies, 0);
    return word;
}

#define CHECK_DROP(word) CHECK_STR(why(0), word)

/* After `breaking` a good packet, which is then sealed. */
#define CHECK_BROKEN(make, breaking, word)                                                         \
    do {                                                                                           \
        make;                                                                                      \
        breaking;                                                                                  \
        seal();                                                                                    \
        CHECK_DROP(word);                                                                          \
    } while (0)

#endif
