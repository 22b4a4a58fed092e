/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the step: datagrams in, datagrams out. */
#include "apps/reflect/reflect.h"
#include "boot/test.h"

static const uint8_t our_mac[] = {2, 0, 0, 0, 0, 1}, peer_mac[] = {2, 0, 0, 0, 0, 2};
static const struct ipv4_prefix our_ip = {0x0a00020f, 24}, peer_ip = {0x0a000202, 24};
static struct reflect us;
static struct inet peer;
static struct netbuf_pool *pool;

static void begin(void)
{
    static const struct netbuf_pool_conf conf = {
        .name = "reflect", .count = 8, .buf_bytes = 2048, .headroom_bytes = 64};

    if (!pool)
        pool = netbuf_pool_create(&conf);
    CHECK(pool);
    us = (struct reflect){.port = 7};
    inet_init(&us.inet, our_mac, our_ip);
    inet_init(&peer, peer_mac, peer_ip);
}

/* A datagram from the peer, whose payload is `len` bytes of `fill`. */
static struct netbuf *reflect_datagram_between(uint16_t from_port, uint16_t to_port, uint32_t len,
                                               int fill)
{
    const struct inet_peer to = {
        .ip = our_ip.address, .port = to_port, .local_port = from_port, .mac = {2, 0, 0, 0, 0, 1}};
    struct netbuf *nb = netbuf_alloc(pool);

    CHECK(nb);
    memset(nb->data + INET_UDP_HEADROOM, fill, len);
    inet_udp_build(&peer, nb, &to, len, false);
    return nb;
}

static struct netbuf *reflect_datagram(uint32_t len, int fill)
{
    return reflect_datagram_between(4000, 7, len, fill);
}

TEST(reflect_sends_back_what_came)
{
    struct netbuf *packets[2];
    struct inet_udp udp;

    begin();
    packets[0] = reflect_datagram(0, 0);
    packets[1] = reflect_datagram(1472, 'x');
    CHECK_EQ(reflect_burst(&us, packets, 2), 2);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_EQ(inet_input(&peer, packets[i], &udp), INET_UDP);
        CHECK_EQ(udp.payload_len, i * 1472);
        CHECK(udp.from.ip == our_ip.address && udp.from.port == 7 && udp.from.local_port == 4000);
        CHECK(i == 0 || (udp.payload[0] == 'x' && udp.payload[1471] == 'x'));
    }
    netbuf_free_bulk(packets, 2);
    CHECK(netbuf_pool_whole(pool));
}

TEST(reflect_frees_what_wants_no_answer_and_keeps_the_order)
{
    struct netbuf *packets[4];
    struct inet_udp udp;

    begin();
    for (uint32_t i = 0; i < 4; i++)
        packets[i] = reflect_datagram(i + 1, 'a');
    packets[1]->data[INET_UDP_HEADROOM]++; /* a wrong checksum */
    packets[2]->len = 10;                  /* no frame */
    CHECK_EQ(reflect_burst(&us, packets, 4), 2);
    CHECK_EQ(us.inet.drops[INET_DROP_UDP_CHECKSUM] + us.inet.drops[INET_DROP_ETH_SHORT], 2);
    CHECK_EQ(inet_input(&peer, packets[0], &udp), INET_UDP);
    CHECK_EQ(udp.payload_len, 1);
    CHECK_EQ(inet_input(&peer, packets[1], &udp), INET_UDP);
    CHECK_EQ(udp.payload_len, 4);
    netbuf_free_bulk(packets, 2);
    CHECK(netbuf_pool_whole(pool));
}

TEST(reflect_serves_one_port_and_no_other_reflector)
{
    struct netbuf *packets[2];

    begin();
    packets[0] = reflect_datagram_between(4000, 8, 10, 'a');
    packets[1] = reflect_datagram_between(7, 7, 10, 'a');
    CHECK_EQ(reflect_burst(&us, packets, 2), 1);
    CHECK_EQ(us.drops[REFLECT_DROP_PORT], 1);
    CHECK_EQ(us.drops[REFLECT_DROP_LOOP], 1);
    CHECK_EQ(us.inet.errors, 1); /* who asks another port is told that nobody is there */
    netbuf_free(packets[0]);
    CHECK(netbuf_pool_whole(pool));
}
