/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udpkv - an in-memory key-value server that speaks memcached's UDP protocol. README.md has its
 * keys and limits. This file has the set-up and the loop; server.c handles a burst.
 *
 * Each core has a loop with a queue pair, a pool and a server of its own, and all have the items
 * together (shards.h).
 *
 * Exits with 0, or with 1 if a packet buffer got lost on the way.
 */
#include "apps/udpkv/bench.h"
#include "apps/udpkv/device_stats.h"
#include "apps/udpkv/number.h"
#include "apps/udpkv/server.h"
#include "boot/boot.h"
#include "netdev/loop.h"

enum {
    BURST = 32,
    OUT_MAX = NETDEV_MAX_BURST, /* packets that a burst of requests may bring */
    /* Two full rings of 256, a burst, what it brings, and the rest for bursts to come: a core's. */
    POOL_COUNT = 1024,
    RESERVE_BYTES = 64 << 10, /* left over when the store takes what the machine has */
    DEFAULT_MEM_BYTES = 64 << 20,
};

static const char *parse_allow(const struct boot_key *key, const char *text);
static const char *parse_bench(const struct boot_key *key, const char *text);

static struct server_conf conf;
static uint64_t port, mem_bytes;
static uint32_t bench_numbers[BENCH_NUMBERS] = {0, 32, 10, 32};
BOOT_KEY_RANGE("udpkv.port", boot_parse_u64, &port, "11211", "", "UDP port to serve", 1, 65535);
BOOT_KEY_RANGE("udpkv.mem", boot_parse_size, &mem_bytes, NULL, "bytes",
               "memory for items; if not given 64M, or what the machine has left", STORE_MIN_BYTES,
               STORE_MAX_BYTES);
BOOT_KEY("udpkv.allow+", parse_allow, &conf, NULL, "",
         "network whose requests are answered, of IPv4 or IPv6; if not given only our own ones");

BOOT_KEY("udpkv.bench", parse_bench, bench_numbers, "0", "",
         "measure the server's step alone: KEYS,VALUE,SETS,BURST; 0: serve");

/* What one core has for itself. */
struct core {
    struct server server;
    struct netdev_loop loop;
    struct netbuf *in[BURST], *out[OUT_MAX];
    uint64_t date_s; /* clock_unix_s() when it changed last, and the items' time then */
    uint32_t now_s;
};

static struct core *cores; /* boot_cores() of them */
static struct netbuf_pool *pools[BOOT_CORES_MAX];
static struct reassembly *reassemblies[BOOT_CORES_MAX];
static struct netdev *dev;
static struct inet6 inet6;
static struct netdev_info info;
static struct device_stats device_stats;
static uint64_t clock_base_s; /* the time when clock_ns() was 0; only grows */

static const char *parse_allow(const struct boot_key *key, const char *text)
{
    struct server_conf *c = key->dst;

    if (c->allow_count == SERVER_MAX_ALLOW || c->allow6_count == SERVER_MAX_ALLOW)
        return "at most 16 networks";
    if (strchr(text, ':')) {
        if (!ipv6_read_prefix(text, &c->allow6[c->allow6_count]))
            return "an address and prefix length such as fd00::/64";
        c->allow6_count++;
        return NULL;
    }
    struct boot_key one = {.dst = &c->allow[c->allow_count]};
    const char *expected = ipv4_parse_prefix(&one, text);
    c->allow_count += expected == NULL;
    return expected;
}

/* Of the four numbers the last ones may be left out. */
static const char *parse_bench(const struct boot_key *key, const char *text)
{
    static const uint32_t least[] = {0, 8, 0, 1}, most[] = {99999999, 1350, 100, BENCH_MAX_BURST};
    uint32_t *numbers = key->dst, n = 0;

    for (;;) {
        uint32_t len = 0;
        while (text[len] && text[len] != ',')
            len++;
        if (n == BENCH_NUMBERS || !number_u32((const uint8_t *)text, len, &numbers[n]) ||
            numbers[n] < least[n] || numbers[n] > most[n])
            return "up to 99999999 keys,8 to 1350 bytes of a value,% of sets,1 to 64 requests a "
                   "burst";
        if (!text[len])
            return NULL;
        text += len + 1;
        n++;
    }
}

/* The time by which items expire: the date, but where that is set back it goes on as before, so
 * that no item lives for longer than its client wanted. A machine that was stopped finds the date
 * ahead: then what expired meanwhile is gone. */
static RUNS_SELDOM uint32_t time_at(uint64_t date_s)
{
    const uint64_t run_s = clock_ns() / 1000000000ull;
    uint64_t base_s = __atomic_load_n(&clock_base_s, __ATOMIC_RELAXED);

    while (date_s > base_s + run_s &&
           !__atomic_compare_exchange_n(&clock_base_s, &base_s, date_s - run_s, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
    return (uint32_t)MAX(base_s + run_s, date_s);
}

static uint32_t core_now_s(struct core *core)
{
    const uint64_t date_s = clock_unix_s();

    if (unlikely(date_s != core->date_s)) {
        core->date_s = date_s;
        core->now_s = time_at(date_s);
    }
    return core->now_s;
}

static RUNS_SELDOM void create_cores(void)
{
    const size_t len = boot_cores() * sizeof *cores;

    cores = boot_alloc(len, CACHE_LINE);
    if (!cores)
        boot_misconfigured(
            "this machine has %zu KiB left and udpkv needs %zu KiB for its cores; give it more "
            "memory.",
            boot_alloc_max() >> 10, len >> 10);
}

static RUNS_SELDOM void open_device(void)
{
    dev = netdev_pick();
    netdev_info(dev, &info);
    if (info.mtu_bytes < SERVER_MIN_MTU)
        boot_misconfigured(
            "the MTU of %s at %s is %u and at least %u are needed, which every IPv4 network has; "
            "raise it where the host sets it.",
            info.driver, info.where, info.mtu_bytes, SERVER_MIN_MTU);
    netdev_open_cores(dev, boot_cores(), pools, POOL_COUNT, SERVER_BUF_BYTES,
                      NETDEV_OFFLOAD_TX_CSUM | NETDEV_OFFLOAD_RX_CSUM);
    netdev_info(dev, &info);
    for (uint32_t i = 0; i < boot_cores(); i++)
        reassemblies[i] = inet_reassembly_create();
}

/* The store's memory comes last: it is what may be cut to what the machine has. */
static RUNS_SELDOM void create_store(void)
{
    size_t left = boot_alloc_max();
    uint64_t max = left > RESERVE_BYTES ? ALIGN_DOWN(left - RESERVE_BYTES, (size_t)4096) : 0;

    if (max < STORE_MIN_BYTES)
        boot_misconfigured(
            "this machine has %lu KiB left for items and udpkv needs %u KiB; give it more "
            "memory.",
            max >> 10, STORE_MIN_BYTES >> 10);
    if (mem_bytes > max)
        boot_misconfigured(
            "udpkv.mem=%luK is more than this machine has left for items; give it more memory, "
            "or at most udpkv.mem=%luK.",
            mem_bytes >> 10, max >> 10);
    conf.store_bytes = mem_bytes ? mem_bytes : MIN(max, (uint64_t)DEFAULT_MEM_BYTES);
    void *memory = boot_alloc_private(conf.store_bytes, CACHE_LINE);
    assert(memory);
    shards_create(&conf.shards, memory, conf.store_bytes, boot_cores(), boot_random());
}

/* A core's loop. */
static void serve(uint32_t number)
{
    struct core *core = &cores[number];
    const uint16_t q = (uint16_t)number;

    while (!boot_stopping()) {
        uint32_t came = netdev_rx_burst(dev, q, core->in, BURST);
        if (came > 0) {
            uint32_t n =
                server_burst(&core->server, core->in, came, core->out, OUT_MAX, core_now_s(core));
            netdev_send(dev, q, core->out, n, NETDEV_PATIENCE_NS);
        }
        netdev_loop_turn(&core->loop, came > 0);
    }
}

static RUNS_SELDOM void print_size(uint64_t bytes)
{
    if (bytes % (1 << 20) == 0)
        print("%lu MiB", bytes >> 20);
    else
        print("%lu KiB", bytes >> 10);
}

static RUNS_SELDOM void print_nobody(enum inet_family family)
{
    const struct server *server = &cores[0].server;
    const char version = family == INET_IPV4 ? '4' : '6';
    char ip[IPV4_TEXT_BYTES];

    if (!server_answers_nobody(server, family))
        return;
    print("udpkv: answers nobody by IPv%c, as ", version);
    if (server->conf.allow_near6)
        print("%s/32 is a network without neighbours",
              ipv4_format(ip, server->inet.prefix.address));
    else
        print("no udpkv.allow is a network of IPv%c", version);
    print("; say whom to answer: udpkv.allow=NETWORK/BITS.\n");
}

static RUNS_SELDOM void print_serves(void)
{
    const struct inet *inet = &cores[0].server.inet;
    char ip[IPV4_TEXT_BYTES], mac[ETH_MAC_TEXT_BYTES];

    print("udpkv: serves %s:%lu/udp", ipv4_format(ip, inet->prefix.address), port);
    inet_print_lease(inet);
    print(", MAC %s, %s at %s, ", eth_mac_format(mac, info.mac), info.driver, info.where);
    print_size(conf.store_bytes);
    if (boot_cores() > 1)
        print(" in %u shards", conf.shards.mask + 1);
    print(" for items%s", mem_bytes == 0 && conf.store_bytes < DEFAULT_MEM_BYTES
                              ? ", which is all that this machine has left"
                              : "");
    if (boot_cores() > 1)
        print(", on %u cores", boot_cores());
    if (conf.part_bytes < SERVER_PART_BYTES)
        print(", answers in datagrams of %u bytes, as the MTU is %u", conf.part_bytes,
              info.mtu_bytes);
    print(".\n");
    print_nobody(INET_IPV4);
}

static RUNS_SELDOM void add_drops(uint64_t *sums, const uint64_t *drops, uint32_t reasons)
{
    for (uint32_t i = 0; i < reasons; i++)
        sums[i] += drops[i];
}

static RUNS_SELDOM void print_device_summary(void)
{
    uint64_t waits = 0, interrupts = 0;

    for (uint32_t i = 0; i < boot_cores(); i++) {
        waits += cores[i].loop.idle.waits;
        interrupts += cores[i].loop.idle.interrupts;
    }
    netdev_idle_print(waits, interrupts);
    netdev_print_stats(dev);
}

/* Adds what the other cores' servers have counted to core 0's. */
static RUNS_SELDOM void sum_servers(struct server *sum)
{
    for (uint32_t i = 1; i < boot_cores(); i++) {
        const struct server *one = &cores[i].server;
        sum->requests += one->requests;
        sum->answers += one->answers;
        sum->datagrams += one->datagrams;
        sum->text.commands += one->text.commands;
        sum->inet.arp_replies += one->inet.arp_replies;
        sum->inet.nd_replies += one->inet.nd_replies;
        sum->inet.echo_replies += one->inet.echo_replies;
        sum->inet.errors += one->inet.errors;
        add_drops(sum->drops, one->drops, SERVER_DROP_REASONS);
        add_drops(sum->inet.drops, one->inet.drops, INET_DROP_REASONS);
    }
}

static RUNS_SELDOM void print_summary(void)
{
    struct server *server = &cores[0].server;
    const struct text_stats text = text_sum_stats(&server->text);
    struct shards_sum items;

    sum_servers(server);
    shards_sum(&server->text.shards, &items);
    print("udpkv: %lu requests, %lu answers in %lu datagrams, %lu commands; %lu hits, %lu misses; "
          "%lu items in %lu bytes, %lu evicted.\n",
          server->requests, server->answers, server->datagrams, server->text.commands,
          text.get_hits, text.get_misses, items.stats.items, items.stats.bytes,
          items.stats.evictions);
    print("udpkv: answered %lu ARP requests, %lu neighbour solicitations and %lu pings.\n",
          server->inet.arp_replies, server->inet.nd_replies, server->inet.echo_replies);
    netdev_print_drops("server", server_drop_names, server->drops, SERVER_DROP_REASONS);
    netdev_print_drops("inet", inet_drop_names, server->inet.drops, INET_DROP_REASONS);
    print_device_summary();
}

static RUNS_SELDOM void init_server(uint32_t core)
{
    conf.pool = pools[core];
    conf.reassembly = reassemblies[core];
    conf.cycles_busy = &cores[core].loop.cycles_busy;
    conf.cycles_total = &cores[core].loop.cycles_total;
    server_init(&cores[core].server, &conf);
    if (core > 0)
        server_join(&cores[0].server, &cores[core].server);
}

/* The servers without a device, measured; the exit code. */
static RUNS_SELDOM int bench(void)
{
    static const struct netbuf_pool_conf pool = {
        .name = "udpkv", .count = POOL_COUNT, .buf_bytes = 1664, .headroom_bytes = 80};
    static const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 1};
    struct server *servers[BOOT_CORES_MAX];

    for (uint32_t i = 0; i < boot_cores(); i++)
        if (!(pools[i] = netbuf_pool_create(&pool)))
            boot_misconfigured("this machine has no memory left to measure with; give it more.");
    create_store();
    memcpy(conf.mac, mac, sizeof mac);
    conf.ip = (struct ipv4_prefix){0x0a00020f, 24}; /* nobody's: no packet leaves the cores */
    conf.port = (uint16_t)port;
    conf.now_s = (uint32_t)clock_unix_s();
    for (uint32_t i = 0; i < boot_cores(); i++) {
        servers[i] = &cores[i].server;
        init_server(i);
    }
    return bench_run(servers, bench_numbers);
}

static RUNS_SELDOM void init_servers(void)
{
    memcpy(conf.mac, info.mac, sizeof conf.mac);
    conf.ip = inet_ip;
    conf.port = (uint16_t)port;
    conf.part_bytes = server_part_bytes(info.mtu_bytes);
    conf.csum_offload = info.offloads & NETDEV_OFFLOAD_TX_CSUM;
    conf.now_s = time_at(clock_unix_s());
    conf.part = (struct text_part){"netdev", device_stats_show, &device_stats};
    device_stats.dev = dev;
    for (uint32_t i = 0; i < boot_cores(); i++) {
        init_server(i);
        if (i == 0)
            inet6_init(&inet6, &cores[0].server.inet, info.mtu_bytes);
        else if (cores[0].server.inet.inet6)
            inet6_join(&inet6, &cores[i].server.inet);
        cores[i].server.inet.mtu_bytes = (uint16_t)MIN(info.mtu_bytes, (uint32_t)ETH_MTU);
        device_stats.inets[i] = &cores[i].server.inet;
        device_stats.idles[i] = &cores[i].loop.idle;
        netdev_loop_init(&cores[i].loop);
        netdev_loop_add(&cores[i].loop, dev, (uint16_t)i);
        if (i > 0)
            netdev_loop_join(&cores[i].loop, &cores[i].server.inet, &cores[0].server.inet);
    }
    device_stats.queue_pairs = boot_cores();
    netdev_loop_host(&cores[0].loop, dev, 0, &cores[0].server.inet, pools[0]);
}

RUNS_SELDOM int app_main(void)
{
    create_cores();
    if (bench_numbers[BENCH_KEYS])
        return bench();
    open_device();
    create_store();
    init_servers();
    netdev_loop_serves(&cores[0].loop, print_serves);
    inet6_print(&cores[0].server.inet, "udpkv");
    if (cores[0].server.inet.inet6)
        print_nobody(INET_IPV6);

    boot_run(serve);

    netdev_stop(dev);
    print_summary();
    return netbuf_pools_report() ? 0 : 1;
}
