/* SPDX-License-Identifier: BSD-2-Clause */
/* traffic_test.c - the packets are right: lengths, flows, numbers, checksums; and go back right. */
#include "apps/pktgen/receive.h"
#include "apps/pktgen/reflect.h"
#include "apps/pktgen/traffic.h"
#include "boot/test.h"
#include "netbuf/checksum.h"

enum { POOL = 16, BURST = 8 };

static struct traffic traffic;
static uint16_t size_list[VALUE_SIZES_MAX];
static struct value_sizes sizes = {.bytes = size_list};
static struct netbuf *bufs[POOL];

static const struct traffic_conf one_flow = {
    .sizes = &sizes,
    .src_mac = {0x020000000001, 0x020000000001, 0},
    .dst_mac = {0x020000000002, 0x020000000002, 0},
    .src_ip = {0x0a000001, 0x0a000001, 0},
    .dst_ip = {0x0a000002, 0x0a000002, 0},
    .src_port = {1000, 1000, 0},
    .dst_port = {2000, 2000, 0},
    .numbered = true,
};

static struct netbuf_pool *traffic_pool(void)
{
    static const struct netbuf_pool_conf conf = {
        .name = "traffic_test", .count = POOL, .buf_bytes = 2048, .headroom_bytes = 64};
    static struct netbuf_pool *made;

    if (!made)
        made = netbuf_pool_create(&conf);
    return made;
}

static void prepare_traffic(const struct traffic_conf *conf, const char *size)
{
    const struct boot_key key = {.dst = &sizes};

    CHECK(!value_parse_sizes(&key, size));
    traffic_init(&traffic, conf);
    traffic_prefill(&traffic, traffic_pool());
}

/* The next burst, in bufs. */
static void next_burst(void)
{
    CHECK_EQ(netbuf_alloc_bulk(traffic_pool(), bufs, BURST), BURST);
    traffic_fill(&traffic, bufs, BURST);
}

static void free_burst(void)
{
    netbuf_free_bulk(bufs, BURST);
    CHECK(netbuf_pool_whole(traffic_pool()));
}

static struct packet *packet(uint32_t i)
{
    return (struct packet *)bufs[i]->data;
}

static void check_lengths(const struct netbuf *nb)
{
    const struct packet *p = (const struct packet *)nb->data;

    CHECK_EQ(be16(p->eth.type), ETH_TYPE_IPV4);
    CHECK_EQ(be16(p->ip.total_length), nb->len - 14);
    CHECK_EQ(be16(p->udp.length), nb->len - 34);
    CHECK_EQ(csum_fold(csum_add_20(0, &p->ip)), 0xffff);
}

static void check_udp_sum(const struct netbuf *nb)
{
    const struct packet *p = (const struct packet *)nb->data;
    uint16_t len = be16(p->udp.length);
    uint64_t sum = csum_pseudo(be32(p->ip.source_address), be32(p->ip.destination_address),
                               IPV4_PROTOCOL_UDP, len);

    CHECK(p->udp.checksum != 0);
    CHECK_EQ(csum_fold(csum_add(sum, &p->udp, len)), 0xffff);
}

TEST(traffic_one_flow_is_valid_and_numbered)
{
    prepare_traffic(&one_flow, "64");
    for (uint32_t round = 0; round < 4; round++) {
        next_burst();
        for (uint32_t i = 0; i < BURST; i++) {
            CHECK_EQ(bufs[i]->len, 64);
            check_lengths(bufs[i]);
            check_udp_sum(bufs[i]);
            CHECK_EQ(be32(packet(i)->stamp.magic), PACKET_MAGIC);
            CHECK_EQ(be32(packet(i)->stamp.sequence), round * BURST + i);
            CHECK_EQ(load_be32(&packet(i)->eth.destination[2]), 2);
            CHECK_EQ(be16(packet(i)->udp.source_port), 1000);
        }
        free_burst();
    }
}

TEST(traffic_without_numbers_rewrites_nothing)
{
    struct traffic_conf conf = one_flow;
    uint8_t before[60];

    conf.numbered = false;
    prepare_traffic(&conf, "60");
    next_burst();
    check_lengths(bufs[0]);
    check_udp_sum(bufs[0]);
    CHECK_EQ(packet(0)->stamp.magic, 0);
    memcpy(before, bufs[0]->data, sizeof before);
    memset(bufs[1]->data, 0xa5, sizeof before); /* stays, as nothing is written there */
    traffic_fill(&traffic, bufs, 2);
    CHECK(memcmp(before, bufs[0]->data, sizeof before) == 0);
    for (uint32_t i = 0; i < sizeof before; i++)
        CHECK_EQ(bufs[1]->data[i], 0xa5);
    free_burst();
}

TEST(traffic_sizes_take_turns)
{
    static const uint16_t want[] = {64, 1500, 65, 66};

    prepare_traffic(&one_flow, "64,1500,65-66");
    CHECK_EQ(traffic_next_bytes(&traffic, 0), 64);
    CHECK_EQ(traffic_next_bytes(&traffic, 9), 1500);
    for (uint32_t round = 0; round < 3; round++) {
        next_burst();
        for (uint32_t i = 0; i < BURST; i++) {
            CHECK_EQ(bufs[i]->len, want[i % 4]);
            check_lengths(bufs[i]);
            check_udp_sum(bufs[i]);
        }
        free_burst();
    }
}

/* A packet that came back is used for the next one of its size, and isn't touched. */
TEST(traffic_sizes_are_written_once)
{
    struct traffic_conf conf = one_flow;
    uint32_t touched = 0;

    conf.numbered = false;
    prepare_traffic(&conf, "64,64,128,64,1518");
    for (uint32_t round = 0; round < 200; round++) {
        next_burst();
        for (uint32_t i = 0; i < BURST; i++) {
            CHECK_EQ(bufs[i]->len, size_list[(round * BURST + i) % sizes.count]);
            check_lengths(bufs[i]);
            check_udp_sum(bufs[i]);
            touched += packet(i)->eth.source[0] != 0xee;
            packet(i)->eth.source[0] = 0xee; /* until it is written again */
        }
        free_burst();
    }
    CHECK(touched < 200 * BURST / 4);
}

TEST(traffic_flows_step_and_begin_anew)
{
    struct traffic_conf conf = one_flow;

    conf.src_mac.last = 0x020000000100;
    conf.dst_ip = (struct value_range){0x0a0000ff, 0x0a000101, 0};
    conf.src_port = (struct value_range){65534, 65535, 0};
    prepare_traffic(&conf, "128");
    for (uint32_t n = 0; n < 5 * BURST;) {
        next_burst();
        for (uint32_t i = 0; i < BURST; i++, n++) {
            check_lengths(bufs[i]);
            check_udp_sum(bufs[i]);
            CHECK_EQ(load_be32(&packet(i)->eth.source[2]), 1 + n);
            CHECK_EQ(be32(packet(i)->ip.destination_address), 0x0a0000ff + n % 3);
            CHECK_EQ(be32(packet(i)->ip.source_address), 0x0a000001);
            CHECK_EQ(be16(packet(i)->udp.source_port), 65534 + n % 2);
        }
        free_burst();
    }
}

TEST(traffic_offload_leaves_the_pseudo_header)
{
    struct traffic_conf conf = one_flow;

    conf.csum = TRAFFIC_CSUM_OFFLOAD;
    conf.dst_port.last = 2003;
    prepare_traffic(&conf, "64,100");
    for (int round = 0; round < 2; round++) {
        next_burst();
        for (uint32_t i = 0; i < BURST; i++) {
            CHECK_EQ(bufs[i]->flags, NETBUF_CSUM_PARTIAL);
            CHECK_EQ(bufs[i]->csum_start, 34);
            CHECK_EQ(bufs[i]->csum_offset, 6);
            CHECK_EQ(packet(i)->udp.checksum,
                     csum_fold(csum_pseudo(0x0a000001, 0x0a000002, 17, bufs[i]->len - 34)));
        }
        free_burst();
    }
}

TEST(traffic_no_checksum_is_zero)
{
    struct traffic_conf conf = one_flow;

    conf.csum = TRAFFIC_CSUM_NONE;
    prepare_traffic(&conf, "64,100");
    next_burst();
    for (uint32_t i = 0; i < BURST; i++) {
        CHECK_EQ(packet(i)->udp.checksum, 0);
        check_lengths(bufs[i]);
    }
    free_burst();
}

/* 65536 consecutive numbers have every checksum, 0 among them, which must be sent as 0xffff. */
TEST(traffic_checksum_is_never_zero)
{
    prepare_traffic(&one_flow, "60");
    for (uint32_t n = 0; n < 65536 + BURST; n += BURST) {
        next_burst();
        for (uint32_t i = 0; i < BURST; i++)
            check_udp_sum(bufs[i]);
        netbuf_free_bulk(bufs, BURST);
    }
}

TEST(traffic_timed_packets_are_valid)
{
    struct traffic_conf conf = one_flow;

    conf.timed = true;
    prepare_traffic(&conf, "64");
    next_burst();
    for (uint32_t i = 0; i < BURST; i++) {
        check_udp_sum(bufs[i]);
        CHECK(packet(i)->stamp.time != 0);
    }
    free_burst();
}

/* --- back again ---------------------------------------------------------------------------------
 */

TEST(reflect_swaps_all_and_twice_is_nothing)
{
    uint8_t before[64];

    prepare_traffic(&one_flow, "64");
    next_burst();
    memcpy(before, bufs[0]->data, sizeof before);
    reflect(bufs[0]);
    check_lengths(bufs[0]);
    check_udp_sum(bufs[0]);
    CHECK_EQ(load_be32(&packet(0)->eth.destination[2]), 1);
    CHECK_EQ(load_be32(&packet(0)->eth.source[2]), 2);
    CHECK_EQ(be32(packet(0)->ip.source_address), 0x0a000002);
    CHECK_EQ(be32(packet(0)->ip.destination_address), 0x0a000001);
    CHECK_EQ(be16(packet(0)->udp.source_port), 2000);
    CHECK_EQ(be16(packet(0)->udp.destination_port), 1000);
    reflect(bufs[0]);
    CHECK(memcmp(before, bufs[0]->data, sizeof before) == 0);
    free_burst();
}

/* Changes one thing of a packet, after which only so many bytes may be swapped. */
static void check_kept(uint32_t offset, uint8_t byte, uint16_t len, uint32_t kept_from)
{
    uint8_t before[64];

    prepare_traffic(&one_flow, "64");
    next_burst();
    bufs[0]->data[offset] = byte;
    bufs[0]->len = len;
    memcpy(before, bufs[0]->data, sizeof before);
    reflect(bufs[0]);
    CHECK(memcmp(before, bufs[0]->data + 6, 6) == 0);
    CHECK(memcmp(before + 6, bufs[0]->data, 6) == 0);
    CHECK(memcmp(before + kept_from, bufs[0]->data + kept_from, sizeof before - kept_from) == 0);
    free_burst();
}

TEST(reflect_swaps_no_more_than_there_is)
{
    check_kept(12, 0x86, 64, 12); /* not IPv4 */
    check_kept(14, 0x46, 64, 12); /* with options */
    check_kept(23, 6, 64, 12);    /* TCP */
    check_kept(0, 1, 41, 12);     /* too short for UDP */
    check_kept(0, 1, 14, 12);     /* nothing but an Ethernet header */
    check_kept(21, 1, 64, 34);    /* a later fragment has addresses, but no ports */
}

TEST(receive_counts_numbers_and_others)
{
    static struct receive r;

    memset(&r, 0, sizeof r);
    account_init(&r.accounts[0], false);
    r.numbered = r.timed = true;
    prepare_traffic(&(struct traffic_conf){.sizes = &sizes, .numbered = true, .timed = true}, "64");
    next_burst();
    packet(1)->stamp.sequence = be32(20); /* skips a dozen */
    packet(2)->stamp.sequence = be32(20); /* a duplicate has no latency */
    packet(3)->stamp.magic = 0;
    bufs[4]->len = sizeof(struct packet) - 1;
    packet(5)->stamp.time = UINT64_MAX; /* from the future */
    receive_burst(&r, bufs, BURST, 0);
    CHECK(netbuf_pool_whole(traffic_pool()));
    CHECK_EQ(r.unnumbered, 2);
    CHECK_EQ(r.accounts[0].duplicates, 1);
    CHECK_EQ(r.latency.count, 5);
    CHECK_EQ(account_unique(&r.accounts[0]), 5);
}

TEST(receive_tells_streams_apart)
{
    static struct receive r;

    memset(&r, 0, sizeof r);
    r.numbered = true;
    for (uint32_t s = 0; s < PACKET_STREAMS; s++)
        account_init(&r.accounts[s], true);
    prepare_traffic(&(struct traffic_conf){.sizes = &sizes, .numbered = true, .stream = 3}, "64");
    next_burst();
    check_udp_sum(bufs[0]);
    CHECK_EQ(be32(packet(0)->stamp.magic), PACKET_MAGIC + 3);
    packet(1)->stamp.magic = be32(PACKET_MAGIC + PACKET_STREAMS - 1);
    packet(2)->stamp.magic = be32(PACKET_MAGIC + PACKET_STREAMS);
    packet(4)->stamp.magic = be32(PACKET_MAGIC - 1);
    packet(5)->stamp.magic = be32(PACKET_MAGIC);
    receive_burst(&r, bufs, BURST, 0);
    CHECK(netbuf_pool_whole(traffic_pool()));
    CHECK_EQ(r.unnumbered, 2);
    CHECK_EQ(account_unique(&r.accounts[3]), BURST - 4);
    CHECK_EQ(account_unique(&r.accounts[PACKET_STREAMS - 1]), 1);
    CHECK(account_unique(&r.accounts[0]) == 1 && r.accounts[0].first == 5);
}

TEST(receive_without_numbers_only_frees)
{
    static struct receive r;

    memset(&r, 0, sizeof r);
    account_init(&r.accounts[0], false);
    prepare_traffic(&one_flow, "64");
    next_burst();
    receive_burst(&r, bufs, BURST, 0);
    CHECK(netbuf_pool_whole(traffic_pool()));
    CHECK_EQ(r.unnumbered + r.accounts[0].next, 0);
}
