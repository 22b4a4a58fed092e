/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile network: packets of every kind, real ones with wrong addresses, lengths, options and
 * bytes, whole and in pieces, at a host that asks a DHCP server, hears routers and puts fragments
 * together. Whatever comes, each packet has one fate, what is sent is right, short enough and goes
 * to who can be meant, an answer has its room, and all buffers and slots are there in the end.
 */
#include "netbuf/inet_hostile_test.h"
#include "boot/boot.h"

enum { PACKETS = 60000, SLOTS = 4 };

static struct inet6 host6;
static struct inet_udp datagram;
static struct netbuf_pool *pool;
static uint8_t room[2048];
static struct netbuf whole;
static uint64_t now_ns;

static uint64_t packets_dropped(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < INET_DROP_REASONS; i++)
        if (i < INET_DROP_FRAGMENTS_LATE || i > INET_DROP_FRAGMENTS_SHARE)
            sum += host.drops[i];
    return sum;
}

/* A frame that leaves: from us, whole, with right sums, to one host or a group that may hear it. */
static void check_sent(bool answers)
{
    const uint32_t tag = host.vlan ? TAG : 0;
    static uint8_t sent[2048];

    CHECK(whole.len >= MIN(60 + tag, whole.buf_bytes - netbuf_headroom(&whole)));
    CHECK(whole.len <= FRAME_MAX + tag && !whole.next);
    CHECK(whole.data >= room && whole.data + whole.len <= room + whole.buf_bytes);
    CHECK(tag == 0 ||
          (load_be16(whole.data + 12) == ETH_TYPE_VLAN && load_be16(whole.data + 14) == VLAN));
    memcpy(sent, whole.data, 2 * ETH_MAC_BYTES);
    memcpy(sent + 12, whole.data + 12 + tag, whole.len - 12u - tag);
    CHECK(memcmp(sent + ETH_MAC_BYTES, host_mac, ETH_MAC_BYTES) == 0);
    CHECK(memcmp(sent, host_mac, ETH_MAC_BYTES) != 0);
    const struct ipv4_header *ip = (const struct ipv4_header *)(sent + IP_OFFSET);
    const struct ipv6_header *ip6 = (const struct ipv6_header *)(sent + IP_OFFSET);
    const uint16_t type = load_be16(sent + 12);
    bool to_group = false;
    if (type == ETH_TYPE_IPV4) {
        CHECK_EQ(csum_fold(csum_add(0, ip, sizeof *ip)), 0xffff);
        const uint32_t to = be32(ip->destination_address), len = be16(ip->total_length);
        CHECK(IP_OFFSET + len <= whole.len);
        CHECK(!answers || (ipv4_is_unicast(to) && inet_find_address(&host, to) == INET_ADDRESSES));
        if (ip->protocol == IPV4_PROTOCOL_ICMP)
            CHECK_EQ(csum_fold(csum_add(0, ip + 1, len - sizeof *ip)), 0xffff);
    } else if (type == ETH_TYPE_IPV6) {
        const uint32_t len = be16(ip6->payload_length);
        to_group = ipv6_is_group(&ip6->destination_address);
        CHECK(L4_OFFSET_6 + len <= whole.len);
        CHECK(to_group || ipv6_is_unicast(&ip6->destination_address));
        CHECK(!inet6_has(&host6, &ip6->destination_address));
        /* The report of a group has a header of 8 bytes before its message. */
        const bool report = ip6->next_header == IPV6_NEXT_HOP_BY_HOP;
        const uint32_t before = report ? 8 : 0;
        const uint8_t next = report ? IPV6_NEXT_ICMP : ip6->next_header;
        CHECK(!report || (to_group && !answers && ip6->hop_limit == 1));
        CHECK(!to_group || (next == IPV6_NEXT_ICMP && len <= 32));
        const uint64_t sum =
            csum_pseudo_6(&ip6->source_address, &ip6->destination_address, next, len - before);
        CHECK_EQ(csum_fold(csum_add(sum, (const uint8_t *)(ip6 + 1) + before, len - before)),
                 0xffff);
    } else {
        CHECK_EQ(type, ETH_TYPE_ARP);
    }
    CHECK(!answers || !(sent[0] & 1) == !to_group);
}

/* An app's part: it answers in place, at the length of what came or more, or refuses. */
static void answer_datagram(enum inet_verdict verdict)
{
    const struct inet_peer *from = &datagram.from;

    CHECK(from->port != 0 && from->local_port != 0);
    CHECK(from->family == INET_IPV6
              ? ipv6_is_unicast(&from->ip6) && !inet6_has(&host6, &from->ip6)
              : ipv4_is_unicast(from->ip) && inet_find_address(&host, from->ip) == INET_ADDRESSES);
    if (verdict == INET_UDP) {
        CHECK(datagram.payload == whole.data + inet_udp_headroom(from));
        CHECK(datagram.payload + datagram.payload_len <= whole.data + whole.len);
    }
    const uint32_t left = whole.buf_bytes - netbuf_headroom(&whole) - inet_udp_headroom(from);
    if (from->local_port == PORT) {
        inet_udp_build(&host, &whole, from, MIN(left, 1400u), false);
        check_sent(true);
    } else if (inet_refuse(&host, &whole, &datagram) == INET_REPLY) {
        check_sent(true);
    }
    if (verdict == INET_UDP_LARGE)
        inet_release(&host, &datagram);
}

/* Has the frame arrive: at the end of a buffer, or with so much room behind it; whole or in pieces.
 */
static enum inet_verdict arrive_hostile(uint32_t behind)
{
    uint32_t pieces = roll(4) ? 0 : 1 + roll(3), at = pieces ? roll(frame_len + 1) : frame_len;
    const uint64_t before = packets_dropped(), errors = host.errors, wholes = host.reassembled;
    const bool fits = pieces == 0 || roll(8) > 0; /* into the first piece's buffer */
    const uint32_t headroom = (uint32_t)sizeof room - (fits ? behind + frame_len : at);

    CHECK(behind + frame_len <= sizeof room);
    memcpy(room + headroom, frame, at);
    whole = (struct netbuf){
        .data = room + headroom, .start = room, .len = (uint16_t)at, .buf_bytes = sizeof room};
    while (at < frame_len) {
        struct netbuf *nb = netbuf_alloc(pool);
        CHECK(nb);
        const uint32_t len = --pieces > 0 ? roll(frame_len - at + 1) : frame_len - at;
        memcpy(netbuf_append(nb, len), frame + at, len);
        netbuf_chain(&whole, nb);
        at += len;
        pieces = MAX(pieces, 1u);
    }
    const enum inet_verdict verdict = inet_input(&host, &whole, &datagram);
    CHECK_EQ(packets_dropped() - before, verdict == INET_DROPPED);
    if (verdict == INET_DROPPED) {
        netbuf_free(whole.next);
        return verdict;
    }
    /* An answer in place has the room that the frame's own headers had. */
    CHECK(!whole.next && netbuf_headroom(&whole) <= headroom + TAG);
    if (verdict == INET_REPLY) {
        const uint32_t quoted = host.errors > errors ? L4_OFFSET_6 + 8 : 0;
        const uint32_t advert = L4_OFFSET_6 + sizeof(struct nd_neighbour) + 8 + TAG;
        check_sent(true);
        CHECK(whole.len <= MAX(frame_len, advert) + quoted || host.reassembled > wholes);
    } else {
        answer_datagram(verdict);
    }
    CHECK(netbuf_pool_whole(pool));
    return verdict;
}

/* What the host sends by itself, as time goes on. */
static void pass_time(void)
{
    now_ns += (uint64_t)roll(2000) * 1000000;
    for (uint32_t sent = 0;; sent++) {
        CHECK(sent < 32);
        memset(room, 0, sizeof room);
        whole = (struct netbuf){.data = room + 64, .start = room, .buf_bytes = sizeof room};
        if (!inet_next_packet(&host, now_ns, &whole))
            return;
        check_sent(false);
    }
}

static void flood(uint16_t vlan, uint32_t verdicts[4])
{
    static void (*const kinds[])(void) = {
        put_arp,  put_ping4, put_udp4,  put_options4,    put_fragment4, put_fragment4, put_dhcp,
        put_udp6, put_icmp6, put_icmp6, put_extensions6, put_fragment6, put_fragment6};

    inet_init(&host, host_mac, INET_NO_ADDRESS);
    host.vlan = vlan;
    host.plain_mac_number = vlan ? INET_NO_MAC_NUMBER : host.mac_number;
    host.finish_below = vlan ? UINT32_MAX : host.finish_below;
    inet_use_dhcp(&host, NULL, 1);
    inet6_init(&host6, &host, ETH_MTU);
    host6.lines = 0; /* the console has no use for them */
    void *memory = boot_alloc(reassembly_bytes(SLOTS), CACHE_LINE);
    CHECK(memory);
    host.reassembly = reassembly_create(memory, SLOTS, 1);
    inet_arrived(&host);
    for (uint32_t i = 0; i < PACKETS; i++) {
        if (i % 1000 == 0)
            inet_put_address(&host, 1, (struct ipv4_prefix){OUR_IP, 24}, 0);
        memset(frame, 0, sizeof frame);
        kinds[roll(ARRAY_LEN(kinds))]();
        spoil();
        verdicts[arrive_hostile(roll(2) ? 0 : 2048 - 64 - frame_len)]++;
        if (roll(16) == 0)
            pass_time();
    }
    for (uint32_t i = 0; i < SLOTS; i++) { /* each can be had, as none is held */
        struct reassembly_fragment f = {.bytes = frame, .len = 8, .max_bytes = 8, .more = true};
        struct reassembly_whole got;
        f.key.source[0] = (uint8_t)(i + 1);
        CHECK_EQ(reassembly_add(host.reassembly, &f, UINT64_MAX - REASSEMBLY_NS, &got),
                 REASSEMBLY_KEPT);
    }
}

TEST(inet_lives_through_a_hostile_network)
{
    static const struct netbuf_pool_conf conf = {
        .name = "hostile", .count = 8, .buf_bytes = 2048, .headroom_bytes = 64};

    if (!pool)
        pool = netbuf_pool_create(&conf);
    CHECK(pool);
    for (uint16_t vlan = 0; vlan <= VLAN; vlan += VLAN) {
        uint32_t verdicts[4] = {0}, reasons = 0;
        dice = 88172645463325252 + vlan;
        now_ns = 1;
        flood(vlan, verdicts);
        for (uint32_t i = 0; i < INET_DROP_REASONS; i++)
            reasons += host.drops[i] > 0;
        for (uint32_t i = 0; i < ARRAY_LEN(verdicts); i++) /* it gets everywhere */
            CHECK(verdicts[i] > PACKETS / 4000);
        CHECK(reasons > INET_DROP_REASONS * 2 / 3);
    }
    CHECK(netbuf_pool_whole(pool));
}
