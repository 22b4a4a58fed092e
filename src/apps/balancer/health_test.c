/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of who is up: questions, answers, and those that are none. */
#include "apps/balancer/balancer_test.h"
#include "netbuf/arp.h"

static struct balancer_host backend, liar;

/* A balancer that knows one back end, whose MAC address it has, and has asked nobody yet. */
static void begin(void)
{
    balancer_begin_cold(BALANCER_DIRECT);
    for (uint16_t i = 1; i < BACKENDS; i++)
        backends_remove(&lb.backends, i);
    balancer_build_table();
    balancer_host_init(&backend, BACKEND_IP, 0x60);
    balancer_host_init(&liar, BACKEND_IP + 9, 0x70);
}

/* The neighbour tells its MAC address. */
static void tell_mac(void)
{
    struct netbuf *nb = netbuf_alloc(balancer_pool);

    inet_announce(&backend.inet, nb);
    CHECK(!balancer_give(nb));
}

/* What the balancer sends in the next `every_ns`; NULL if that is nothing. */
static struct netbuf *next_question(void)
{
    struct netbuf *nb = netbuf_alloc(balancer_pool);

    CHECK(nb);
    balancer_now_ns += lb.conf.check.every_ns;
    balancer_tick(&lb, balancer_now_ns);
    if (health_ask(&lb, balancer_now_ns, nb))
        return nb;
    netbuf_free(nb);
    return NULL;
}

/* Has the question, which the balancer then asks, answered so. */
static void answer_with(const char *text, int port_change, struct balancer_host *from)
{
    struct netbuf *nb = next_question();
    struct inet_udp udp;

    CHECK(nb);
    CHECK_EQ(inet_input(&backend.inet, nb, &udp), INET_UDP);
    CHECK(udp.payload_len == 3 && memcmp(udp.payload, "ask", 3) == 0);
    const uint16_t port = (uint16_t)(udp.from.port + port_change);
    netbuf_free(nb);
    nb = balancer_give(balancer_datagram(from, OUR_IP, PORT, port, text, (uint32_t)strlen(text)));
    netbuf_free(nb); /* an error, perhaps */
}

static void make_known(void)
{
    struct netbuf *nb;

    begin();
    CHECK(!next_question()); /* it has been asked for by ARP */
    nb = netbuf_alloc(balancer_pool);
    CHECK(inet_next_packet(&lb.inet, balancer_now_ns, nb));
    while (memcmp(nb->data + 12, "\x08\x06", 2) != 0 ||
           nb->data[41] != (BACKEND_IP & 0xff)) /* after announcements */
        CHECK(inet_next_packet(&lb.inet, balancer_now_ns += SECOND_NS, nb));
    CHECK_EQ(inet_input(&backend.inet, nb, &(struct inet_udp){0}), INET_REPLY);
    netbuf_free(balancer_give(nb));
}

static bool is_up(void)
{
    return lb.backends.list[0].is_up;
}

TEST(health_the_first_answer_is_enough)
{
    make_known();
    CHECK(!is_up());
    answer_with("ok then", 0, &backend);
    CHECK(is_up());
    CHECK_EQ(lb.backends.up, 1);
}

TEST(health_misses_in_a_row_put_it_out)
{
    make_known();
    answer_with("ok", 0, &backend);
    for (uint32_t round = 0; round < 2; round++) {
        netbuf_free(next_question());
        netbuf_free(next_question());
        CHECK(is_up());
        answer_with("ok", 0, &backend); /* that was two, and it begins anew */
    }
    for (uint32_t misses = 0; misses < 3; misses++) {
        CHECK(is_up());
        netbuf_free(next_question());
    }
    netbuf_free(next_question());
    CHECK(!is_up());
    CHECK_EQ(lb.backends.up, 0);
    CHECK(netbuf_pool_whole(balancer_pool));
}

TEST(health_answers_in_a_row_bring_it_back)
{
    make_known();
    answer_with("ok", 0, &backend);
    for (uint32_t i = 0; i < 4; i++)
        netbuf_free(next_question());
    CHECK(!is_up());
    tell_mac();
    answer_with("ok", 0, &backend);
    CHECK(!is_up());
    netbuf_free(next_question()); /* a miss in between */
    answer_with("ok", 0, &backend);
    CHECK(!is_up());
    answer_with("ok", 0, &backend);
    CHECK(is_up());
}

TEST(health_only_the_answer_that_was_asked_for_counts)
{
    make_known();
    answer_with("no", 0, &backend);
    CHECK_EQ(lb.backends.list[0].wrong, 1);
    answer_with("o", 0, &backend);
    answer_with("", 0, &backend);
    answer_with("ok", 1, &backend); /* to another port */
    answer_with("ok", 0, &liar);    /* from another address */
    CHECK(!is_up());
    CHECK_EQ(lb.backends.list[0].wrong, 3);
    CHECK_EQ(lb.backends.list[0].answers, 0);
    CHECK(netbuf_pool_whole(balancer_pool));
}

TEST(health_an_answer_counts_once)
{
    struct inet_udp udp;

    make_known();
    struct netbuf *nb = next_question();
    CHECK(nb && inet_input(&backend.inet, nb, &udp) == INET_UDP);
    const uint16_t port = udp.from.port;
    netbuf_free(nb);
    for (uint32_t i = 0; i < 5; i++)
        netbuf_free(balancer_give(balancer_datagram(&backend, OUR_IP, PORT, port, "ok", 2)));
    CHECK_EQ(lb.backends.list[0].answers, 1);
}

TEST(health_questions_come_from_ports_that_differ)
{
    uint32_t same = 0, last = 0;

    make_known();
    for (uint32_t i = 0; i < 50; i++) {
        netbuf_free(next_question());
        same += lb.backends.list[0].nonce_port == last;
        last = lb.backends.list[0].nonce_port;
        CHECK(last >= 49152);
        tell_mac();
    }
    CHECK(same < 5);
}

TEST(health_without_questions_all_are_up)
{
    begin();
    lb.conf.check.every_ns = 0;
    CHECK(!next_question());
    tell_mac();
    balancer_now_ns += BALANCER_RESOLVE_NS;
    CHECK(!next_question());
    CHECK(is_up());
}

TEST(health_looks_for_some_addresses_at_a_time)
{
    begin();
    for (uint32_t i = 0; i < 100; i++)
        backends_add(&lb.backends, BACKEND_IP + 20 + i, 1);
    CHECK(!next_question());
    CHECK_EQ(lb.backends.sought, INET_ARP_ASKED / 2);
    for (uint32_t i = 0; i < 100; i++)
        backends_remove(&lb.backends, backends_find(&lb.backends, BACKEND_IP + 20 + i));
    CHECK(lb.backends.sought <= 1);
}
