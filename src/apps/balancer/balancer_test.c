/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the step: who gets a packet, as what, and who gets none. */
#include "apps/balancer/balancer_test.h"
#include "netbuf/checksum.h"
#include "netbuf/icmp.h"
#include "netbuf/udp.h"

enum { POOL = 64, TABLE = 251, FLOWS = 16384, IDLE_S = 60 };

static const uint8_t our_mac[] = {2, 0, 0, 0, 0, 1};
static const struct balancer_service service = {
    .ip = VIP, .port = PORT, .protocol = IPV4_PROTOCOL_UDP};

struct balancer lb;
struct netbuf_pool *balancer_pool;
uint64_t balancer_now_ns;
static struct balancer_host client, backends[BACKENDS];

/* --- what balancer_test.h says ------------------------------------------------------------------
 */

void balancer_host_init(struct balancer_host *host, uint32_t ip, uint8_t mac_end)
{
    const uint8_t mac[] = {2, 0, 0, 0, 1, mac_end};

    eth_mac_copy(host->mac, mac);
    inet_init(&host->inet, mac, (struct ipv4_prefix){.address = ip, .len = 24});
}

static void make_conf(struct balancer_conf *conf, enum balancer_way way)
{
    *conf = (struct balancer_conf){
        .ip = {.address = OUR_IP, .len = 24},
        .way = way,
        .service_count = 1,
        .services = {service},
        .allow_count = 1,
        .allow = {{.address = CLIENT_IP, .len = 32}},
        .check = {.every_ns = SECOND_NS,
                  .down_after = 3,
                  .up_after = 2,
                  .port = PORT,
                  .ask_len = 3,
                  .ask = "ask",
                  .begin_len = 2,
                  .begin = "ok"},
        .control_port = CONTROL_PORT,
        .drain_ns = 10 * SECOND_NS,
        .flows = FLOWS,
        .idle_s = IDLE_S,
        .table_size = TABLE,
        .seed = 12345,
    };
    eth_mac_copy(conf->mac, our_mac);
}

void balancer_build_table(void)
{
    while (backends_build(&lb.backends, 7))
        CHECK_IN_TIME();
}

/* Memory is taken once, by the first test. */
static void empty(const struct balancer_conf *conf)
{
    static struct balancer first;

    if (!balancer_pool) {
        static const struct netbuf_pool_conf pool = {
            .name = "balancer", .count = POOL, .buf_bytes = 2048, .headroom_bytes = 64};
        balancer_pool = netbuf_pool_create(&pool);
        CHECK(balancer_pool && balancer_init(&lb, conf));
        first = lb;
    }
    lb = first;
    lb.conf = *conf;
    inet_init(&lb.inet, conf->mac, conf->ip);
    inet_put_address(&lb.inet, 1, (struct ipv4_prefix){.address = VIP, .len = 32}, 0);
    memset(lb.flows.slots, 0, flows_room(&lb.flows) * sizeof *lb.flows.slots);
    memset(lb.flows.held, 0, BACKENDS_MAX * sizeof *lb.flows.held);
    memset(lb.backends.list, 0, BACKENDS_MAX * sizeof *lb.backends.list);
    memset(lb.backends.by_ip, 0xff, 4 * BACKENDS_MAX * sizeof *lb.backends.by_ip);
    memset(lb.clients, 0, BALANCER_CLIENTS * sizeof *lb.clients);
    lb.backends.is_stale = true;
}

void balancer_begin_cold(enum balancer_way way)
{
    struct balancer_conf conf;

    make_conf(&conf, way);
    empty(&conf);
    balancer_now_ns = 1000 * SECOND_NS;
    lb.flows.now_s = 1000;
    balancer_host_init(&client, CLIENT_IP, 0x50);
    for (uint32_t i = 0; i < BACKENDS; i++) {
        balancer_host_init(&backends[i], BACKEND_IP + i, (uint8_t)(0x60 + i));
        inet_put_address(&backends[i].inet, 1, (struct ipv4_prefix){.address = VIP, .len = 32},
                         INET_ADDRESS_QUIET);
        CHECK_EQ(backends_add(&lb.backends, BACKEND_IP + i, 1), i);
    }
    balancer_build_table();
}

void balancer_begin(enum balancer_way way)
{
    balancer_begin_cold(way);
    for (uint16_t i = 0; i < BACKENDS; i++) {
        lb.backends.list[i].has_mac = true;
        eth_mac_copy(lb.backends.list[i].mac, backends[i].mac);
        lb.backends.list[i].ask_ns = UINT64_MAX;
        backends_set_up(&lb.backends, i, true);
    }
    balancer_build_table();
}

struct netbuf *balancer_datagram(struct balancer_host *host, uint32_t to, uint16_t from_port,
                                 uint16_t to_port, const void *payload, uint32_t len)
{
    struct inet_peer peer = {.ip = to, .port = to_port, .local_port = from_port};
    struct netbuf *nb = netbuf_alloc(balancer_pool);

    CHECK(nb);
    eth_mac_copy(peer.mac, our_mac);
    memcpy(nb->data + INET_UDP_HEADROOM, payload, len);
    inet_udp_build(&host->inet, nb, &peer, len, false);
    return nb;
}

struct netbuf *balancer_give(struct netbuf *nb)
{
    return balancer_burst(&lb, &nb, 1, balancer_now_ns) == 1 ? nb : NULL;
}

const char *balancer_command(const char *command)
{
    static char text[2048];
    struct inet_udp udp;
    struct netbuf *nb = balancer_give(
        balancer_datagram(&client, OUR_IP, 5000, CONTROL_PORT, command, (uint32_t)strlen(command)));

    CHECK(nb);
    CHECK_EQ(inet_input(&client.inet, nb, &udp), INET_UDP);
    CHECK(udp.from.port == CONTROL_PORT && udp.payload_len < sizeof text);
    memcpy(text, udp.payload, udp.payload_len);
    text[udp.payload_len] = 0;
    netbuf_free(nb);
    return text;
}

/* --- the tests -----------------------------------------------------------------------------------
 */

/* A request of the client's from a port. */
static struct netbuf *request(uint16_t port)
{
    return balancer_datagram(&client, VIP, port, PORT, "question", 8);
}

/* The back end whose MAC address a frame has. */
static uint32_t receiver_of(const struct netbuf *nb)
{
    uint32_t i = 0;

    while (i < BACKENDS && memcmp(nb->data, backends[i].mac, ETH_MAC_BYTES) != 0)
        i++;
    CHECK(i < BACKENDS);
    return i;
}

/* Sends a request and tells who got it. */
static uint32_t ask_from(uint16_t port)
{
    struct netbuf *nb = balancer_give(request(port));

    CHECK(nb);
    const uint32_t who = receiver_of(nb);
    netbuf_free(nb);
    return who;
}

TEST(balancer_direct_changes_the_ethernet_header_alone)
{
    struct inet_udp udp;
    uint8_t before[64];

    balancer_begin(BALANCER_DIRECT);
    struct netbuf *nb = request(4000);
    memcpy(before, nb->data, INET_UDP_HEADROOM + 8);
    nb = balancer_give(nb);
    CHECK(nb && memcmp(nb->data + 14, before + 14, INET_UDP_HEADROOM - 6) == 0);
    CHECK(memcmp(nb->data + 6, our_mac, ETH_MAC_BYTES) == 0);
    struct balancer_host *backend = &backends[receiver_of(nb)];
    CHECK_EQ(inet_input(&backend->inet, nb, &udp), INET_UDP);
    CHECK(udp.from.ip == CLIENT_IP && udp.from.port == 4000 && udp.payload_len == 8);
    netbuf_free(nb);
    CHECK(netbuf_pool_whole(balancer_pool));
}

TEST(balancer_spreads_flows_and_keeps_them)
{
    uint32_t who[200], shares[BACKENDS] = {0};

    balancer_begin(BALANCER_DIRECT);
    for (uint16_t i = 0; i < ARRAY_LEN(who); i++)
        shares[who[i] = ask_from(4000 + i)]++;
    for (uint32_t i = 0; i < BACKENDS; i++)
        CHECK(shares[i] > 25 && shares[i] < 90);
    backends_set_up(&lb.backends, 2, false);
    balancer_build_table();
    for (uint16_t i = 0; i < ARRAY_LEN(who); i++) {
        const uint32_t now = ask_from(4000 + i);
        CHECK(who[i] == 2 ? now != 2 : now == who[i]);
        who[i] = now;
    }
    backends_set_up(&lb.backends, 2, true); /* back again, and flows stay where they are now */
    balancer_build_table();
    for (uint16_t i = 0; i < ARRAY_LEN(who); i++)
        CHECK_EQ(ask_from(4000 + i), who[i]);
}

TEST(balancer_chooses_as_another_one_does)
{
    uint32_t who[50];

    balancer_begin(BALANCER_DIRECT);
    for (uint16_t i = 0; i < ARRAY_LEN(who); i++)
        who[i] = ask_from(4000 + i);
    balancer_begin(BALANCER_DIRECT);
    lb.conf.seed = 999; /* each has a secret of its own */
    for (uint16_t i = 0; i < ARRAY_LEN(who); i++)
        CHECK_EQ(ask_from(4000 + i), who[i]);
}

TEST(balancer_nat_goes_there_and_back)
{
    struct inet_udp udp;

    for (uint32_t with_checksum = 0; with_checksum < 2; with_checksum++) {
        balancer_begin(BALANCER_NAT);
        struct netbuf *nb = request(4000);
        if (!with_checksum)
            memset(nb->data + 40, 0, 2);
        nb = balancer_give(nb);
        CHECK(nb);
        struct balancer_host *backend = &backends[receiver_of(nb)];
        CHECK_EQ(inet_input(&backend->inet, nb, &udp), INET_UDP);
        CHECK(udp.from.ip == CLIENT_IP && udp.payload_len == 8);
        CHECK_EQ(nb->data[22], INET_TTL - 1);
        inet_udp_build(&backend->inet, nb, &udp.from, 8, false);
        nb = balancer_give(nb);
        CHECK(nb && memcmp(nb->data, client.mac, ETH_MAC_BYTES) == 0);
        CHECK_EQ(inet_input(&client.inet, nb, &udp), INET_UDP);
        CHECK(udp.from.ip == VIP && udp.from.port == PORT && udp.from.local_port == 4000);
        netbuf_free(nb);
        CHECK_EQ(lb.answers, 1);
    }
    CHECK(netbuf_pool_whole(balancer_pool));
}

/* A SYN to the service, which is one of TCP then. */
static struct netbuf *make_syn(void)
{
    struct netbuf *nb = request(4000);
    struct ipv4_header *ip = (struct ipv4_header *)(nb->data + 14);

    lb.conf.services[0].protocol = ip->protocol = IPV4_PROTOCOL_TCP;
    nb->len = 14 + 20 + 20;
    ip->total_length = be16(40);
    memset(nb->data + 38, 0, 16);
    nb->data[46] = 5 << 4;
    nb->data[47] = 2;
    const uint16_t checksum = csum_finish(
        csum_add(csum_pseudo(CLIENT_IP, VIP, IPV4_PROTOCOL_TCP, 20), nb->data + 34, 20));
    memcpy(nb->data + 50, &checksum, 2);
    ip->header_checksum = 0;
    ip->header_checksum = csum_finish(csum_add_20(0, ip));
    return nb;
}

TEST(balancer_nat_mends_the_checksum_of_tcp)
{
    balancer_begin(BALANCER_NAT);
    struct netbuf *nb = balancer_give(make_syn());
    CHECK(nb);
    const uint32_t to = BACKEND_IP + receiver_of(nb);
    CHECK_EQ(csum_fold(csum_add_20(0, nb->data + 14)), 0xffff);
    CHECK_EQ(
        csum_fold(csum_add(csum_pseudo(CLIENT_IP, to, IPV4_PROTOCOL_TCP, 20), nb->data + 34, 20)),
        0xffff);
    netbuf_free(nb);
    nb = make_syn();
    nb->len = 14 + 20 + 12; /* its checksum is cut off */
    ((struct ipv4_header *)(nb->data + 14))->total_length = be16(32);
    CHECK(!balancer_give(nb));
    CHECK_EQ(lb.drops[BALANCER_DROP_SHORT], 1);
}

/* Has the packet dropped for a reason. */
static void check_drop(struct netbuf *nb, enum balancer_drop why)
{
    const uint64_t before = lb.drops[why];

    CHECK(!balancer_give(nb));
    CHECK_EQ(lb.drops[why], before + 1);
    CHECK(netbuf_pool_whole(balancer_pool));
}

TEST(balancer_drops_and_counts)
{
    balancer_begin(BALANCER_NAT);
    struct netbuf *nb = request(4000);
    nb->data[20] = 0x20; /* more fragments */
    check_drop(nb, BALANCER_DROP_FRAGMENT);
    nb = request(4000);
    nb->data[21] = 1; /* a later one */
    check_drop(nb, BALANCER_DROP_FRAGMENT);
    nb = request(4000);
    nb->data[22] = 1;
    check_drop(nb, BALANCER_DROP_TTL);
    nb = request(4000);
    nb->data[16] = 0, nb->data[17] = 27; /* the UDP header is cut */
    check_drop(nb, BALANCER_DROP_SHORT);
    nb = request(4000);
    netbuf_chain(nb, netbuf_alloc(balancer_pool));
    check_drop(nb, BALANCER_DROP_LONG);
    nb = request(4000);
    nb->len = 34; /* the first piece ends behind the IP header, at the end of its buffer */
    memmove(nb->start + nb->buf_bytes - nb->len, nb->data, nb->len);
    nb->data = nb->start + nb->buf_bytes - nb->len;
    netbuf_chain(nb, netbuf_alloc(balancer_pool));
    check_drop(nb, BALANCER_DROP_LONG);
    check_drop(balancer_datagram(&backends[0], 0x0a0000c8, PORT, 77, "answer", 6),
               BALANCER_DROP_NO_CLIENT);
    lb.backends.list[0].has_mac = lb.backends.list[1].has_mac = false;
    lb.backends.list[2].has_mac = lb.backends.list[3].has_mac = false;
    check_drop(request(4000), BALANCER_DROP_NO_MAC);
    for (uint16_t i = 0; i < BACKENDS; i++)
        backends_set_up(&lb.backends, i, false);
    balancer_build_table();
    check_drop(request(4001), BALANCER_DROP_NO_BACKEND);
}

TEST(balancer_goes_on_with_the_last_table_if_told_so)
{
    balancer_begin(BALANCER_DIRECT);
    lb.backends.keeps_last = true;
    const uint32_t who = ask_from(4000);
    for (uint16_t i = 0; i < BACKENDS; i++)
        backends_set_up(&lb.backends, i, false);
    balancer_build_table();
    CHECK_EQ(ask_from(4000), who);
    ask_from(4001);
    /* Where another one is up, who went keeps nothing. */
    backends_set_up(&lb.backends, (uint16_t)((who + 1) % BACKENDS), true);
    balancer_build_table();
    CHECK_EQ(ask_from(4000), (who + 1) % BACKENDS);
}

TEST(balancer_leaves_what_is_not_for_a_service_to_the_host)
{
    balancer_begin(BALANCER_NAT);
    /* Another port of the service's address: an error says that nobody is there. */
    struct netbuf *nb = balancer_give(balancer_datagram(&client, VIP, 4000, 80, "x", 1));
    CHECK(nb && nb->data[23] == IPV4_PROTOCOL_ICMP);
    CHECK_EQ(lb.drops[BALANCER_DROP_PORT], 1);
    netbuf_free(nb);
    /* Another host's, and one for another MAC address. */
    CHECK(!balancer_give(balancer_datagram(&client, 0x0a0000c8, 4000, PORT, "x", 1)));
    nb = request(4000);
    nb->data[5]++;
    CHECK(!balancer_give(nb));
    CHECK_EQ(lb.inet.drops[INET_DROP_IP_DESTINATION] + lb.inet.drops[INET_DROP_ETH_DESTINATION], 2);
    CHECK_EQ(lb.passed, 0);
    CHECK(netbuf_pool_whole(balancer_pool));
}

TEST(balancer_keeps_the_order_of_a_burst)
{
    struct netbuf *packets[BALANCER_BURST];

    balancer_begin(BALANCER_DIRECT);
    for (uint16_t i = 0; i < BALANCER_BURST; i++) {
        packets[i] = request(4000);
        packets[i]->data[INET_UDP_HEADROOM] = (uint8_t)i;
        if (i % 3 == 0)
            packets[i]->len = 20;
    }
    const uint32_t n = balancer_burst(&lb, packets, BALANCER_BURST, balancer_now_ns);
    CHECK_EQ(n, BALANCER_BURST - 11);
    for (uint32_t i = 1; i < n; i++)
        CHECK(packets[i]->data[INET_UDP_HEADROOM] > packets[i - 1]->data[INET_UDP_HEADROOM]);
    netbuf_free_bulk(packets, n);
    CHECK(netbuf_pool_whole(balancer_pool));
}

TEST(balancer_takes_packets_cut_anywhere)
{
    balancer_begin(BALANCER_NAT);
    for (uint32_t len = 0; len <= INET_UDP_HEADROOM + 8; len++) {
        struct netbuf *nb = request(4000);
        /* At the end of its buffer, behind which nothing may be read. */
        uint8_t *end = nb->start + nb->buf_bytes;
        memmove(end - len, nb->data, len);
        nb->data = end - len;
        nb->len = (uint16_t)len;
        nb = balancer_give(nb);
        CHECK(!nb || len == INET_UDP_HEADROOM + 8);
        netbuf_free(nb);
    }
    CHECK(netbuf_pool_whole(balancer_pool));
}

TEST(balancer_refuses_services_that_contradict_each_other)
{
    struct balancer_conf conf;

    make_conf(&conf, BALANCER_NAT);
    CHECK(!balancer_services_problem(&conf));
    conf.services[1] = conf.services[0];
    conf.service_count = 2;
    CHECK(balancer_services_problem(&conf));
    conf.services[1].ip++;
    CHECK(balancer_services_problem(&conf));
    conf.way = BALANCER_DIRECT;
    CHECK(!balancer_services_problem(&conf));
    conf.service_count = 0;
    CHECK(balancer_services_problem(&conf));
}

TEST(balancer_direct_passes_answers_on_that_come_through_it)
{
    struct inet_udp udp;

    balancer_begin(BALANCER_DIRECT);
    struct netbuf *nb = balancer_give(request(4000));
    struct balancer_host *backend = &backends[receiver_of(nb)];
    CHECK_EQ(inet_input(&backend->inet, nb, &udp), INET_UDP);
    const struct inet_peer asker = udp.from;
    inet_udp_build(&backend->inet, nb, &asker, 8, false);
    CHECK(memcmp(nb->data, our_mac, ETH_MAC_BYTES) == 0);
    nb = balancer_give(nb);
    CHECK(nb && inet_input(&client.inet, nb, &udp) == INET_UDP);
    CHECK(udp.from.ip == VIP && udp.from.local_port == 4000);
    CHECK_EQ(lb.answers, 1);
    struct inet_peer other = asker;
    other.ip = 0x0a0000c8;
    inet_udp_build(&backend->inet, nb, &other, 8, false);
    check_drop(nb, BALANCER_DROP_NO_CLIENT);
}
