/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet6_test.h - packets for the tests of IPv6: as inet_test.h, a test fills `raw` with a good
 * packet, breaks it, seals it and gives it to inet_input, flush at the end of its buffer.
 */
#ifndef NETBUF_INET6_TEST_H
#define NETBUF_INET6_TEST_H

#include "boot/test.h"
#include "netbuf/icmp6.h"
#include "netbuf/inet6_build.h"
#include "netbuf/udp.h"

#define SECOND_NS 1000000000ull

static const uint8_t our_mac[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
static const uint8_t peer_mac[] = {0x52, 0x55, 0x0a, 0x00, 0x02, 0x02};
static const struct ipv6_address ours = {
    .bytes = {0xfe, 0x80, [8] = 0x50, 0x54, 0, 0xff, 0xfe, 0x12, 0x34, 0x56}};
static const struct ipv6_address peer = {.bytes = {0xfe, 0x80, [15] = 9}};

static uint8_t raw[2048];
static uint32_t raw_len;
static struct eth_header *const eth = (struct eth_header *)raw;
static struct ipv6_header *const ip6 = (struct ipv6_header *)(raw + 14);
static struct icmp6_header *const icmp6 = (struct icmp6_header *)(raw + 54);
static struct nd_neighbour *const nd = (struct nd_neighbour *)(raw + 54);
static struct udp_header *const udp6 = (struct udp_header *)(raw + 54);
static struct mld_message *const report = (struct mld_message *)(raw + 62);

static struct inet inet;
static struct inet6 inet6;
static struct inet_udp got;
static uint8_t buffer[sizeof raw];
static struct netbuf packet;

static inline void write_group_mac(const struct ipv6_address *group)
{
    eth->destination[0] = eth->destination[1] = 0x33;
    memcpy(eth->destination + 2, group->bytes + 12, 4);
}

static inline void make_ip6(uint8_t next_header, uint32_t len)
{
    memset(raw, 0, sizeof raw);
    eth_mac_copy(eth->destination, our_mac);
    eth_mac_copy(eth->source, peer_mac);
    eth->type = be16(ETH_TYPE_IPV6);
    ip6->version_class = 0x60;
    ip6->next_header = next_header;
    ip6->hop_limit = ND_HOP_LIMIT;
    ip6->source_address = peer;
    ip6->destination_address = ours;
    raw_len = 54 + len;
}

/* Makes the length and the checksum of a packet without extension headers right. */
static inline void seal6(void)
{
    const uint32_t len = raw_len - 54;
    const uint8_t next = ip6->next_header;
    uint64_t sum = csum_pseudo_6(&ip6->source_address, &ip6->destination_address, next, len);

    ip6->payload_length = be16((uint16_t)len);
    if (next == IPV6_NEXT_UDP)
        udp6->length = be16((uint16_t)len);
    uint16_t *checksum = (uint16_t *)(raw + 54 + (next == IPV6_NEXT_UDP ? 6 : 2));
    store_be16((uint8_t *)checksum, 0);
    const uint16_t right = csum_finish(csum_add(sum, raw + 54, len));
    memcpy(checksum, &right, sizeof right);
}

static inline void make_ping6(uint32_t payload_len)
{
    make_ip6(IPV6_NEXT_ICMP, 8 + payload_len);
    icmp6->type = ICMP6_ECHO;
    memset(raw + 58, 0x5a, 4 + payload_len);
    seal6();
}

static inline void make_udp6(uint32_t payload_len)
{
    make_ip6(IPV6_NEXT_UDP, 8 + payload_len);
    udp6->source_port = be16(40000);
    udp6->destination_port = be16(11211);
    for (uint32_t i = 0; i < payload_len; i++)
        raw[62 + i] = (uint8_t)(i * 7 + 1);
    seal6();
}

/* A solicitation or advertisement about an address, without options. */
static inline void make_nd(uint8_t type, const struct ipv6_address *target)
{
    make_ip6(IPV6_NEXT_ICMP, 24);
    nd->type = type;
    nd->target = *target;
    seal6();
}

/* The same by who has no address, to those who may have this one. */
static inline void make_probe(const struct ipv6_address *target)
{
    make_nd(ICMP6_NEIGHBOUR_SOLICITATION, target);
    ip6->source_address = ipv6_nobody;
    ip6->destination_address = ipv6_solicited_node(target);
    write_group_mac(&ip6->destination_address);
    seal6();
}

/* A question for reports of all groups, by a switch or a router. */
static inline void make_query(uint16_t max_delay_ms)
{
    struct mld_message *query = (struct mld_message *)(raw + 54);

    make_ip6(IPV6_NEXT_ICMP, sizeof *query);
    ip6->hop_limit = 1;
    ip6->destination_address = ipv6_all_nodes;
    write_group_mac(&ipv6_all_nodes);
    query->type = ICMP6_LISTENER_QUERY;
    query->max_delay_ms = be16(max_delay_ms);
    seal6();
}

/* Puts an extension header of len bytes before all others. */
static inline void insert(uint8_t kind, const uint8_t *header, uint32_t len)
{
    memmove(raw + 54 + len, raw + 54, raw_len - 54);
    memcpy(raw + 54, header, len);
    raw[54] = ip6->next_header;
    ip6->next_header = kind;
    raw_len += len;
    ip6->payload_length = be16((uint16_t)(raw_len - 54));
}

static inline enum inet_verdict input6(uint16_t flags, uint32_t room)
{
    uint8_t *data = buffer + sizeof buffer - room - raw_len;

    memcpy(data, raw, raw_len);
    packet = (struct netbuf){.data = data,
                             .start = buffer,
                             .len = (uint16_t)raw_len,
                             .buf_bytes = sizeof buffer,
                             .flags = flags,
                             .csum_start = 54,
                             .csum_offset = 6};
    return inet_input(&inet, &packet, &got);
}

static inline bool next6(uint64_t now_ns)
{
    packet = (struct netbuf){.data = buffer, .start = buffer, .buf_bytes = 128};
    if (!inet_next_packet(&inet, now_ns, &packet))
        return false;
    memcpy(raw, buffer, packet.len);
    raw_len = packet.len;
    return true;
}

static inline bool is_report(void)
{
    return ip6->next_header == IPV6_NEXT_HOP_BY_HOP && report->type == ICMP6_LISTENER_REPORT;
}

/* Is it the report of an address' group? */
static inline bool check_report(const struct ipv6_address *from, const struct ipv6_address *address)
{
    static const uint8_t alert[] = {
        IPV6_NEXT_ICMP, 0, 5, 2, 0, 0, 1, 0}; /* RFC 2711, section 2.1 */
    const struct ipv6_address group = ipv6_solicited_node(address);
    const uint64_t sum =
        csum_pseudo_6(&ip6->source_address, &ip6->destination_address, IPV6_NEXT_ICMP, 24);

    CHECK(is_report());
    CHECK(raw_len == 54 + 8 + 24 && be16(ip6->payload_length) == 8 + 24 && ip6->hop_limit == 1);
    CHECK(memcmp(raw + 54, alert, sizeof alert) == 0);
    CHECK(ipv6_equal(&ip6->source_address, from) && ipv6_equal(&report->group, &group));
    CHECK(ipv6_equal(&ip6->destination_address, &group));
    CHECK(eth->destination[0] == 0x33 && memcmp(eth->destination + 2, group.bytes + 12, 4) == 0);
    CHECK(report->code == 0 && report->max_delay_ms == 0);
    return csum_fold(csum_add(sum, report, 24)) == 0xffff;
}

/* What is to be sent at now_ns and soon after is sent. */
static inline void pass6(uint64_t now_ns)
{
    static uint8_t kept[sizeof raw];
    const uint32_t len = raw_len;

    memcpy(kept, raw, sizeof raw);
    while (next6(now_ns))
        continue;
    memcpy(raw, kept, sizeof raw);
    raw_len = len;
}

/* A host whose link came and whose first addresses are tentative; it has IPv4's address no more, so
 * that all it sends is IPv6's. */
static inline void begin6(void)
{
    inet_init(&inet, our_mac, INET_NO_ADDRESS);
    inet6_init(&inet6, &inet, 1500);
    inet_arrived(&inet);
}

/* The same, ten seconds later: what it had to send is sent. */
static inline void init6(void)
{
    begin6();
    for (uint64_t now = 1; now < 10 * SECOND_NS; now += SECOND_NS / 2)
        while (next6(now))
            continue;
    CHECK(inet6_has(&inet6, &ours));
}

/* The word for why a fresh host drops the packet in `raw`; "" if it doesn't. */
static inline const char *why6(uint16_t flags)
{
    const char *word = "";

    static uint8_t kept[sizeof raw];
    const uint32_t len = raw_len;
    memcpy(kept, raw, sizeof raw);
    init6();
    memcpy(raw, kept, sizeof raw);
    raw_len = len;
    if (input6(flags, 64) != INET_DROPPED)
        return "";
    for (int i = 0; i < INET_DROP_REASONS; i++)
        if (inet.drops[i])
            word = *word ? "more than one" : inet_drop_names[i];
    return word;
}

#define CHECK_DROP6(word) CHECK_STR(why6(0), word)

/* After `breaking` a good packet, which is then sealed. */
#define CHECK_BROKEN6(make, breaking, word)                                                        \
    do {                                                                                           \
        make;                                                                                      \
        breaking;                                                                                  \
        seal6();                                                                                   \
        CHECK_DROP6(word);                                                                         \
    } while (0)

#endif
