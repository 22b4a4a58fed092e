/*
 * udpkv - an in-memory key-value server that speaks memcached's UDP protocol. README.md has its
 * keys and limits. This file has the set-up and the loop; server.c handles a burst.
 *
 * Exits with 0, or with 1 if a packet buffer got lost on the way.
 */
#include "apps/udpkv/bench.h"
#include "apps/udpkv/device_stats.h"
#include "apps/udpkv/server.h"
#include "boot/boot.h"
#include "netdev/idle.h"
#include "netdev/netdev.h"

enum {
    BURST = 32,
    OUT_MAX = NETDEV_MAX_BURST, /* packets that a burst of requests may bring */
    /* Two full rings of 256, a burst, what it brings, and the rest for bursts to come. */
    POOL_COUNT = 1024,
    RESERVE_BYTES = 64 << 10, /* left over when the store takes what the machine has */
    DEFAULT_MEM_BYTES = 64 << 20,
};

/* How long packets wait for room in the transmit ring before they are dropped. */
#define TX_PATIENCE_NS       1000000ull
#define ANNOUNCE_PATIENCE_NS 1000000000ull

static const char *parse_allow(const struct boot_key *key, const char *text);

static struct server_conf conf;
static uint64_t port, mem_bytes, bench_keys;
BOOT_KEY_RANGE("udpkv.port", boot_parse_u64, &port, "11211", "", "UDP port to serve", 1, 65535);
BOOT_KEY_RANGE("udpkv.mem", boot_parse_size, &mem_bytes, NULL, "bytes",
               "memory for items; if not given 64M, or what the machine has left", STORE_MIN_BYTES,
               STORE_MAX_BYTES);
BOOT_KEY("udpkv.allow+", parse_allow, &conf, NULL, "",
         "network whose requests are answered; if not given only net.ip's own");

BOOT_KEY_RANGE("udpkv.bench", boot_parse_u64, &bench_keys, "0", "keys",
               "measure the server's step alone with so many keys; 0: serve", 0, 1000000000);

static struct server server;
static uint64_t tx_dropped; /* answers for which the transmit ring had no room in time */
static struct netdev_idle idle;
static uint64_t next_look_ns; /* at the link */
static struct device_stats device_stats = {
    .idle = &idle, .inet = &server.inet, .tx_dropped = &tx_dropped};
static uint64_t clock_base_s;

static const char *parse_allow(const struct boot_key *key, const char *text)
{
    struct server_conf *c = key->dst;

    if (c->allow_count == SERVER_MAX_ALLOW)
        return "at most 16 networks";
    struct boot_key one = {.dst = &c->allow[c->allow_count]};
    const char *expected = ipv4_parse_prefix(&one, text);
    c->allow_count += expected == NULL;
    return expected;
}

static uint32_t now_s(void)
{
    return (uint32_t)(clock_base_s + clock_ns() / 1000000000ull);
}

static struct netdev *open_device(struct netdev_info *info)
{
    if (netdev_probe() == 0)
        panic("udpkv needs a network device and this machine has none; with QEMU add "
              "-netdev user,id=n0,hostfwd=udp:127.0.0.1:11211-:%lu "
              "-device virtio-net-pci,netdev=n0 (with -M microvm: virtio-net-device).",
              port);
    struct netdev *dev = netdev_get(0);
    netdev_info(dev, info);
    if (info->mtu_bytes < SERVER_MIN_MTU)
        panic("udpkv sends packets of up to %u bytes and the MTU of %s is %u; raise it.",
              (unsigned)SERVER_MIN_MTU, info->where, info->mtu_bytes);
    conf.pool = netdev_pool_create(info, "udpkv", POOL_COUNT,
                                   MAX((uint32_t)info->rx_buf_min_bytes, SERVER_BUF_BYTES));
    int error = netdev_open(dev, conf.pool, NETDEV_OFFLOAD_TX_CSUM | NETDEV_OFFLOAD_RX_CSUM);
    if (error)
        panic("The network device %s at %s can't be started: %s.", info->driver, info->where,
              netdev_strerror(error));
    return dev;
}

/* The store's memory comes last: it is what may be cut to what the machine has. */
static void create_store(void)
{
    size_t left = boot_alloc_max();
    uint64_t max = left > RESERVE_BYTES ? ALIGN_DOWN(left - RESERVE_BYTES, (size_t)4096) : 0;

    if (max < STORE_MIN_BYTES)
        panic("This machine has %lu KiB left for items and udpkv needs %u KiB; give it more "
              "memory.",
              max >> 10, STORE_MIN_BYTES >> 10);
    if (mem_bytes > max)
        panic("udpkv.mem=%luK is more than this machine has left for items; give it more memory, "
              "or at most udpkv.mem=%luK.",
              mem_bytes >> 10, max >> 10);
    conf.store_bytes = mem_bytes ? mem_bytes : MIN(max, (uint64_t)DEFAULT_MEM_BYTES);
    void *memory = boot_alloc(conf.store_bytes, CACHE_LINE);
    assert(memory);
    conf.store = store_create(memory, conf.store_bytes, boot_random());
}

/* Sends packets; owns them. Those that find no room in time are dropped. */
static void send(struct netdev *dev, struct netbuf **packets, uint32_t n, uint64_t patience_ns)
{
    uint32_t sent = netdev_tx_burst(dev, 0, packets, n);

    if (likely(sent == n))
        return;
    uint64_t start_ns = clock_ns();
    while (sent < n && clock_ns() - start_ns < patience_ns)
        sent += netdev_tx_burst(dev, 0, packets + sent, n - sent);
    tx_dropped += n - sent;
    netbuf_free_bulk(packets + sent, n - sent);
}

static void announce(struct netdev *dev)
{
    struct netbuf *nb = netbuf_alloc(conf.pool);

    assert(nb);
    inet_announce(&server.inet, nb);
    send(dev, &nb, 1, ANNOUNCE_PATIENCE_NS);
}

/* Looks at the link now and then while nothing comes, which also brings a lost device back. */
static void look_at_link(struct netdev *dev)
{
    if (clock_ns() < next_look_ns)
        return;
    netdev_link_up(dev);
    next_look_ns = clock_ns() + netdev_idle_wake_ns;
}

static void print_size(uint64_t bytes)
{
    if (bytes % (1 << 20) == 0)
        print("%lu MiB", bytes >> 20);
    else
        print("%lu KiB", bytes >> 10);
}

static void print_serves(const struct netdev_info *info)
{
    char ip[IPV4_TEXT_BYTES];
    const uint8_t *mac = info->mac;

    print("udpkv: serves %s:%lu/udp, MAC %02x:%02x:%02x:%02x:%02x:%02x, %s at %s, ",
          ipv4_format(ip, conf.ip.address), port, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],
          info->driver, info->where);
    print_size(conf.store_bytes);
    print(" for items%s.\n", mem_bytes == 0 && conf.store_bytes < DEFAULT_MEM_BYTES
                                 ? ", which is all that this machine has left"
                                 : "");
}

static void print_summary(const struct netdev *dev)
{
    const struct text_stats *text = &server.text.stats;
    const struct store_stats *store = &conf.store->stats;
    struct netdev_queue_stats rx, tx;

    print("udpkv: %lu requests, %lu answers in %lu datagrams, %lu commands; %lu hits, %lu misses; "
          "%lu items in %lu bytes, %lu evicted.\n",
          server.requests, server.answers, server.datagrams, server.text.commands, text->get_hits,
          text->get_misses, store->items, store->bytes, store->evictions);
    print("udpkv: answered %lu ARP requests and %lu pings.\n", server.inet.arp_replies,
          server.inet.echo_replies);
    netdev_print_drops("server", server_drop_names, server.drops, SERVER_DROP_REASONS);
    netdev_print_drops("inet", inet_drop_names, server.inet.drops, INET_DROP_REASONS);
    if (netdev_rxq_stats(dev, 0, &rx) && netdev_txq_stats(dev, 0, &tx)) {
        print("udpkv: received %lu packets, sent %lu with %lu kicks; %lu found no room to be "
              "sent.\n",
              rx.packets, tx.packets, tx.kicks, tx_dropped);
        netdev_idle_print(idle.waits, boot_interrupts());
        netdev_print_drops("receive queue", netdev_drop_names, rx.drops, NETDEV_DROP_REASONS);
        netdev_print_drops("transmit queue", netdev_drop_names, tx.drops, NETDEV_DROP_REASONS);
    }
}

/* A server without a device, measured; the exit code. */
static int bench(void)
{
    static const struct netbuf_pool_conf pool = {
        .name = "udpkv", .count = POOL_COUNT, .buf_bytes = 1664, .headroom_bytes = 64};
    static const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 1};

    conf.pool = netbuf_pool_create(&pool);
    if (!conf.pool)
        panic("This machine has no memory for packet buffers; give it 8 MiB.");
    create_store();
    memcpy(conf.mac, mac, sizeof mac);
    conf.ip = inet_ip;
    conf.port = (uint16_t)port;
    conf.now_s = (uint32_t)clock_unix_s();
    server_init(&server, &conf);
    return bench_run(&server, bench_keys);
}

int app_main(void)
{
    static struct netbuf *in[BURST], *out[OUT_MAX];
    struct netdev_info info;

    if (bench_keys)
        return bench();
    struct netdev *dev = open_device(&info);

    create_store();
    memcpy(conf.mac, info.mac, sizeof conf.mac);
    conf.ip = inet_ip;
    conf.port = (uint16_t)port;
    netdev_info(dev, &info);
    conf.csum_offload = info.offloads & NETDEV_OFFLOAD_TX_CSUM;
    clock_base_s = clock_unix_s() - clock_ns() / 1000000000ull;
    conf.now_s = now_s();
    device_stats.dev = dev;
    conf.part = (struct text_part){"netdev", device_stats_show, &device_stats};
    server_init(&server, &conf);
    netdev_idle_init(&idle, dev, 0, 1);
    announce(dev);
    print_serves(&info);

    for (uint64_t before = clock_cycles(), now; !boot_stopping(); before = now) {
        uint32_t came = netdev_rx_burst(dev, 0, in, BURST), n;
        if (came == 0) {
            netdev_tx_reclaim(dev, 0);
            look_at_link(dev);
        } else if ((n = server_burst(&server, in, came, out, OUT_MAX, now_s())) > 0) {
            send(dev, out, n, TX_PATIENCE_NS);
        }
        netdev_idle(&idle, came > 0, next_look_ns);
        now = clock_cycles();
        server_count_turn(&server, now - before, came > 0);
    }

    netdev_stop(dev);
    print_summary(dev);
    return netbuf_pools_report() ? 0 : 1;
}
