/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * balancer - one address in front of a pool: passes packets for its services on to back ends.
 * README.md has its keys and limits. This file has the set-up and the loop; balancer.c handles a
 * burst.
 *
 * Exits with 0, or with 1 if a packet buffer got lost on the way.
 */
#include "apps/balancer/balancer.h"
#include "boot/boot.h"
#include "netbuf/gateway.h"
#include "netdev/loop.h"

enum {
    BUFFERS = 1024,
    FRAME_BYTES = 1518,
    TRIES = 256, /* of making a table, a turn */
    TICK_NS = 5000000,
    QUESTIONS =
        32, /* a tick: fewer than a ring has room for, so that none is dropped for want of it */
};

static const char *parse_service(const struct boot_key *key, const char *text);
static const char *parse_backend(const struct boot_key *key, const char *text);
static const char *parse_way(const struct boot_key *key, const char *text);
static const char *parse_allow(const struct boot_key *key, const char *text);
static const char *parse_ask(const struct boot_key *key, const char *text);
static const char *parse_begin(const struct boot_key *key, const char *text);
static const char *parse_table(const struct boot_key *key, const char *text);

/* A back end that the command line gives. */
struct given {
    uint32_t ip;
    uint16_t weight;
};

static struct balancer_conf conf;
static struct given given[BACKENDS_MAX];
static uint32_t given_count;
static uint64_t table_size, idle_s, check_ms, check_down, check_up, check_port, control_port,
    drain_s;

BOOT_KEY("lb.service+", parse_service, &conf, NULL, "",
         "what is served: ADDRESS:PORT/udp or ADDRESS:PORT/tcp");
BOOT_KEY("lb.backend+", parse_backend, given, NULL, "", "a back end: ADDRESS or ADDRESS,weight=N");
BOOT_KEY("lb.way", parse_way, &conf, "direct", "", "how packets get to back ends: direct or nat");
BOOT_KEY("lb.table", parse_table, &table_size, "65537", "",
         "slots of the table, a prime number: a hundred for each back end, or more");
BOOT_KEY_RANGE("lb.flows", boot_parse_size, &conf.flows, "64k", "",
               "flows that are kept where they are; 8 bytes each", 1 << 7, 1 << 26);
BOOT_KEY_RANGE("lb.idle", boot_parse_u64, &idle_s, "60", "s",
               "a flow that was quiet for so long is forgotten", 1, FLOWS_IDLE_MAX_S);
BOOT_KEY_RANGE("lb.check.ms", boot_parse_u64, &check_ms, "500", "ms",
               "each back end is asked so often; 0: never, all are up", 0, 3600000);
BOOT_KEY_RANGE("lb.check.down", boot_parse_u64, &check_down, "3", "",
               "a back end is out after so many misses", 1, 1000);
BOOT_KEY_RANGE("lb.check.up", boot_parse_u64, &check_up, "2", "",
               "and in again after so many answers", 1, 1000);
BOOT_KEY_RANGE("lb.check.port", boot_parse_u64, &check_port, "0", "",
               "UDP port of back ends that is asked; 0: that of the first service", 0, 65535);
BOOT_KEY("lb.check.ask", parse_ask, &conf, "\\x00\\x01\\x00\\x00\\x00\\x01\\x00\\x00mn\\r\\n", "",
         "what they are asked, with \\r \\n \\\\ \\xNN; as it is, memcached's mn");
BOOT_KEY("lb.check.begin", parse_begin, &conf, "\\x00\\x01\\x00\\x00\\x00\\x01\\x00\\x00MN", "",
         "what an answer begins with");
BOOT_KEY_RANGE("lb.control", boot_parse_u64, &control_port, "0", "",
               "UDP port of net.ip that takes commands; 0: none", 0, 65535);
BOOT_KEY("lb.allow+", parse_allow, &conf, NULL, "",
         "network that may send commands; if not given, nobody");
BOOT_KEY_RANGE("lb.drain", boot_parse_u64, &drain_s, "60", "s",
               "a drained back end keeps its flows for so long at most", 0, 86400);
BOOT_KEY("lb.keep", boot_parse_bool, &conf.keeps_last, "off", "",
         "if no back end is up, on: go on with the last table; off: drop");

static struct balancer lb;
static struct netdev *dev;
static struct netbuf_pool *pool;
static struct netdev_loop loop;
static struct netdev_timer tick;
static struct netdev_info info;

/* --- the command line ----------------------------------------------------------------------------
 */

/* The address before `end` in text; false if there is none. */
static RUNS_SELDOM bool parse_address(const char *text, const char *end, uint32_t *ip)
{
    char address[IPV4_TEXT_BYTES];
    const size_t len = (size_t)(end - text);
    const struct boot_key key = {.dst = ip};

    if (len >= sizeof address)
        return false;
    memcpy(address, text, len);
    address[len] = 0;
    return !ipv4_parse_address(&key, address) && ipv4_is_unicast(*ip);
}

static RUNS_SELDOM const char *parse_service(const struct boot_key *key, const char *text)
{
    static const char *const expected = "ADDRESS:PORT/udp or ADDRESS:PORT/tcp";
    struct balancer_conf *c = key->dst;
    struct balancer_service *s = &c->services[c->service_count];
    const char *colon = strchr(text, ':'), *slash = strchr(text, '/');
    uint64_t port;

    if (c->service_count == BALANCER_SERVICES)
        return "at most 16 services";
    if (!colon || !slash || slash < colon || !parse_address(text, colon, &s->ip) ||
        !parse_u64(colon + 1, (size_t)(slash - colon - 1), 65535, &port) || port == 0)
        return expected;
    if (strcmp(slash, "/udp") == 0)
        s->protocol = IPV4_PROTOCOL_UDP;
    else if (strcmp(slash, "/tcp") == 0)
        s->protocol = IPV4_PROTOCOL_TCP;
    else
        return expected;
    s->port = (uint16_t)port;
    c->service_count++;
    return NULL;
}

static RUNS_SELDOM const char *parse_backend(const struct boot_key *key, const char *text)
{
    static const char option[] = ",weight=";
    struct given *one = (struct given *)key->dst + given_count;
    const char *comma = strchr(text, ','), *end = comma ? comma : text + strlen(text);
    uint64_t weight = 1;

    if (given_count == BACKENDS_MAX)
        return "at most 1024 back ends";
    if (!parse_address(text, end, &one->ip))
        return "ADDRESS or ADDRESS,weight=N";
    if (comma) {
        const char *number = comma + sizeof option - 1;
        if (strncmp(comma, option, sizeof option - 1) != 0 ||
            !parse_u64(number, strlen(number), MAGLEV_WEIGHT_MAX, &weight) || weight == 0)
            return "ADDRESS,weight=N, and N is 1 to 1000";
    }
    one->weight = (uint16_t)weight;
    given_count++;
    return NULL;
}

static RUNS_SELDOM const char *parse_way(const struct boot_key *key, const char *text)
{
    struct balancer_conf *c = key->dst;

    if (strcmp(text, "direct") != 0 && strcmp(text, "nat") != 0)
        return "direct or nat";
    c->way = text[0] == 'd' ? BALANCER_DIRECT : BALANCER_NAT;
    return NULL;
}

static RUNS_SELDOM const char *parse_allow(const struct boot_key *key, const char *text)
{
    struct balancer_conf *c = key->dst;

    if (c->allow_count == BALANCER_ALLOWED)
        return "at most 16 networks";
    const struct boot_key one = {.dst = &c->allow[c->allow_count]};
    const char *expected = ipv4_parse_prefix(&one, text);
    c->allow_count += expected == NULL;
    return expected;
}

static RUNS_SELDOM const char *parse_table(const struct boot_key *key, const char *text)
{
    uint64_t *size = key->dst;

    if (!parse_u64(text, strlen(text), MAGLEV_SIZE_MAX, size) || !maglev_size_is_right(*size))
        return "a prime number from 3 to 1048573";
    return NULL;
}

static RUNS_SELDOM int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that *text begins with, escaped or not; *text is then behind it. -1: it can't be read.
 */
static RUNS_SELDOM int parse_byte(const char **text)
{
    const char *at = *text;

    *text = at + 1;
    if (at[0] != '\\')
        return (uint8_t)at[0];
    *text = at + 2;
    if (at[1] == 'r' || at[1] == 'n' || at[1] == '\\')
        return at[1] == 'r' ? '\r' : at[1] == 'n' ? '\n' : '\\';
    if (at[1] != 'x' || hex_of(at[2]) < 0 || hex_of(at[3]) < 0)
        return -1;
    *text = at + 4;
    return hex_of(at[2]) * 16 + hex_of(at[3]);
}

static RUNS_SELDOM const char *parse_bytes(const char *text, uint8_t *bytes, uint32_t *len)
{
    for (*len = 0; *text; (*len)++) {
        const int byte = parse_byte(&text);
        if (byte < 0 || *len == BALANCER_CHECK_BYTES)
            return "up to 64 bytes, with \\r \\n \\\\ \\xNN";
        bytes[*len] = (uint8_t)byte;
    }
    return NULL;
}

static RUNS_SELDOM const char *parse_ask(const struct boot_key *key, const char *text)
{
    struct balancer_conf *c = key->dst;

    return parse_bytes(text, c->check.ask, &c->check.ask_len);
}

static RUNS_SELDOM const char *parse_begin(const struct boot_key *key, const char *text)
{
    struct balancer_conf *c = key->dst;

    return parse_bytes(text, c->check.begin, &c->check.begin_len);
}

/* --- set-up and loop -----------------------------------------------------------------------------
 */

static void configure(void)
{
    const char *problem = balancer_services_problem(&conf);

    if (problem)
        boot_misconfigured("%s; lb.service=ADDRESS:PORT/udp gives one.", problem);
    eth_mac_copy(conf.mac, info.mac);
    conf.ip = inet_ip;
    conf.gateway = gateway_of(inet_ip);
    conf.table_size = (uint32_t)table_size;
    conf.idle_s = (uint32_t)idle_s;
    conf.drain_ns = drain_s * 1000000000ull;
    conf.control_port = (uint16_t)control_port;
    conf.check.every_ns = check_ms * 1000000ull;
    conf.check.down_after = (uint32_t)check_down;
    conf.check.up_after = (uint32_t)check_up;
    conf.check.port = (uint16_t)(check_port ? check_port : conf.services[0].port);
    conf.seed = boot_random();
    if (!balancer_init(&lb, &conf))
        boot_misconfigured("this machine has no memory for lb.flows=%lu and lb.table=%lu, or there "
                           "are more than %u addresses; give it more memory, or ask for less.",
                           conf.flows, table_size, INET_ADDRESSES - 1);
    lb.inet.mtu_bytes = (uint16_t)MIN(info.mtu_bytes, (uint32_t)ETH_MTU);
    for (uint32_t i = 0; i < given_count; i++)
        backends_add(&lb.backends, given[i].ip, given[i].weight);
}

/* Drains, forgets, and asks back ends. */
static void run_tick(struct netdev_timer *timer)
{
    const uint64_t now_ns = clock_ns();
    struct netbuf *questions[QUESTIONS];
    const uint32_t room = netbuf_alloc_bulk(pool, questions, QUESTIONS);
    uint32_t n = 0;

    balancer_tick(&lb, now_ns);
    while (n < room && health_ask(&lb, now_ns, questions[n]))
        n++;
    netbuf_free_bulk(questions + n, room - n);
    netdev_send(dev, 0, questions, n, 0);
    netdev_loop_at(timer->loop, timer, now_ns + TICK_NS);
}

static void print_services(void)
{
    char ip[IPV4_TEXT_BYTES];

    for (uint32_t i = 0; i < conf.service_count; i++)
        print("balancer: serves %s:%u/%s by %s.\n", ipv4_format(ip, conf.services[i].ip),
              conf.services[i].port, conf.services[i].protocol == IPV4_PROTOCOL_UDP ? "udp" : "tcp",
              conf.way == BALANCER_DIRECT ? "direct" : "nat");
    print("balancer: %u back ends, asked every %lu ms; %lu flows are kept.\n", given_count,
          check_ms, flows_room(&lb.flows));
}

static void serve(void)
{
    struct netbuf *packets[BALANCER_BURST];

    while (!boot_stopping()) {
        const uint32_t came = netdev_rx_burst(dev, 0, packets, BALANCER_BURST);
        if (came > 0) {
            const uint32_t n = balancer_burst(&lb, packets, came, clock_ns());
            netdev_send(dev, 0, packets, n, NETDEV_PATIENCE_NS);
        }
        const bool builds = backends_build(&lb.backends, TRIES);
        netdev_loop_turn(&loop, came > 0 || builds);
    }
}

int app_main(void)
{
    dev = netdev_pick();
    netdev_open_cores(dev, 1, &pool, BUFFERS, FRAME_BYTES, 0);
    netdev_info(dev, &info);
    configure();
    netdev_loop_init(&loop);
    netdev_loop_add(&loop, dev, 0);
    netdev_loop_host(&loop, dev, 0, &lb.inet, pool);
    netdev_loop_serves(&loop, print_services);
    tick.run = run_tick;
    netdev_loop_at(&loop, &tick, clock_ns());

    serve();

    netdev_stop(dev);
    print(
        "balancer: passed on %lu packets and %lu answers, asked %lu times; %u of %u back ends are "
        "up.\n",
        lb.passed, lb.answers, lb.checks, lb.backends.up, lb.backends.count);
    netdev_print_drops("balancer", balancer_drop_names, lb.drops, BALANCER_DROP_REASONS);
    netdev_print_drops("inet", inet_drop_names, lb.inet.drops, INET_DROP_REASONS);
    netdev_print_stats(dev);
    return netbuf_pools_report() ? 0 : 1;
}
