/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pktgen - sends, receives, reflects and times packets, to measure networks and this one's netdev.
 * README.md has its keys and what its lines mean. This file has the keys and the set-up; loop.c has
 * the loop.
 *
 * Exits with 0, or with 1 if a packet buffer got lost on the way.
 */
#include "apps/pktgen/team.h"
#include "boot/boot.h"

enum {
    ETH_EXTRA = 14, /* of a frame beyond its MTU */
    VLAN_TAG = 4,
};

#define SECONDS_MAX (365 * 86400ull)
#define COUNT_MAX   1000000000000000ull
#define RATE_MAX    1000000000000ull
#define WAIT_MAX_NS 1000000

static uint16_t size_list[VALUE_SIZES_MAX] UNCLEARED;
static struct options options = {
    .sizes = {.bytes = size_list},
    .mode = {.words = (const char *const[]){"tx", "rx", "fwd", "latency", "pingpong", NULL},
             .expected = "one of the words tx, rx, fwd, latency, pingpong"},
    .csum = {.words = (const char *const[]){"sw", "offload", "none", NULL},
             .expected = "one of the words sw, offload, none"},
    .report = {.words = (const char *const[]){"text", "json", NULL}, .expected = "text or json"},
};

BOOT_KEY("mode", value_parse_choice, &options.mode, "tx", "",
         "tx sends, rx receives, fwd sends back what comes with addresses and ports swapped, "
         "latency sends at a rate and times what comes back, pingpong sends when the last one came "
         "back");
BOOT_KEY("size", value_parse_sizes, &options.sizes, "64", "bytes",
         "frames to send, without the CRC as in testpmd's txpkts, 60 to 3968: 64, a list "
         "64,128,1500, a range 64-1500, or imix (7 x 60, 4 x 590, 1 x 1514)");
BOOT_KEY_RANGE("burst", boot_parse_u64, &options.burst, "32", "packets", "packets a call", 1,
               NETDEV_MAX_BURST);
BOOT_KEY_RANGE(
    "rate", value_parse_rate, &options.rate, NULL, "",
    "packets a second (20k, 14.88M) or bits a second on the wire (500Mbit, 10Gbit), over all "
    "cores; as fast as it goes if not given",
    1, RATE_MAX);
BOOT_KEY_RANGE(
    "count", value_parse_count, &options.count, NULL, "packets",
    "end after so many, as 5000, 20k or 100M, over all cores; without count, duration and idle "
    "it ends by Ctrl-C",
    1, COUNT_MAX);
BOOT_KEY_RANGE("duration", value_parse_seconds, &options.duration_ns, NULL, "s",
               "end after this time, as 10 or 0.5", 0, SECONDS_MAX);
BOOT_KEY_RANGE("idle", value_parse_seconds, &options.idle_ns, NULL, "s",
               "rx, fwd: end when no packet came for this time after the last one", 0, SECONDS_MAX);
BOOT_KEY_RANGE("warmup", value_parse_seconds, &options.warmup_ns, NULL, "s",
               "leave this time at the beginning out of rates and latency", 0, SECONDS_MAX);
BOOT_KEY_RANGE("window", boot_parse_u64, &options.window, NULL, "packets",
               "pingpong: packets in flight, of each core; 1 if not given", 1, 65536);
BOOT_KEY_RANGE(
    "wait", boot_parse_u64, &options.wait_ns, "200", "ns",
    "rx, fwd: when fewer packets came than half a burst, so long until the next look; more "
    "packets come at once then, and a lone one may be as much later",
    0, WAIT_MAX_NS);
BOOT_KEY_RANGE("wait.load", boot_parse_u64, &options.wait_load_ns, "10000", "ns",
               "the same where 24 packets and more come in this time; no longer than half the "
               "receive ring takes to fill",
               0, WAIT_MAX_NS);
BOOT_KEY("src.mac", value_parse_macs, &options.src_mac, NULL, "",
         "source MAC address or range; the device's if not given");
BOOT_KEY("dst.mac", value_parse_macs, &options.dst_mac, "02:00:00:00:00:00", "",
         "destination MAC address or range");
BOOT_KEY("src.ip", value_parse_ips, &options.src_ip, "198.18.0.1", "",
         "source IPv4 address or range a-b");
BOOT_KEY("dst.ip", value_parse_ips, &options.dst_ip, "198.18.0.2", "",
         "destination IPv4 address or range a-b");
BOOT_KEY("src.port", value_parse_ports, &options.src_port, "9", "", "source UDP port or range a-b");
BOOT_KEY("dst.port", value_parse_ports, &options.dst_port, "9", "",
         "destination UDP port or range a-b");
BOOT_KEY("csum", value_parse_choice, &options.csum, "sw", "",
         "UDP checksum: sw makes it here, offload leaves it to the device, none sends 0");
BOOT_KEY("seq", boot_parse_bool, &options.seq, "on", "",
         "number the packets, and look for numbers in those received");
BOOT_KEY("report", value_parse_choice, &options.report, "text", "",
         "the summary: text, or json for one object on a line of its own");
BOOT_KEY_RANGE("report.interval", value_parse_seconds, &options.interval_ns, "1", "s",
               "a line about the traffic each time; 0 for none", 0, SECONDS_MAX);
BOOT_KEY_RANGE("queues", boot_parse_u64, &options.queues, "1", "",
               "pairs of a receive and a transmit queue, which take turns on one core", 1,
               NETDEV_MAX_QUEUE_PAIRS);
BOOT_KEY_RANGE("tx.descs", boot_parse_u64, &options.tx_descs, NULL, "",
               "descriptors of the transmit ring; the driver's choice if not given", 1, 32768);
BOOT_KEY_RANGE("rx.descs", boot_parse_u64, &options.rx_descs, NULL, "",
               "descriptors of the receive ring; the driver's choice if not given", 1, 32768);
BOOT_KEY_RANGE(
    "pool", boot_parse_u64, &options.pool, NULL, "packets",
    "buffers of each core's pool that is sent from, or in rx and fwd received into; what the "
    "rings need if not given",
    1, 1 << 20);

/* What each core has of its own. */
static struct team team;
static struct pools {
    struct netbuf_pool *rx, *tx;
    char rx_name[8], tx_name[8];
} pools[BOOT_CORES_MAX];

/* The command line can be read, but contradicts itself. */
static RUNS_SELDOM void check_options(void)
{
    const char *problem = options_problem(&options);

    if (problem) {
        print("command line: %s.\n", problem);
        boot_exit(BOOT_EXIT_USAGE);
    }
}

static RUNS_SELDOM uint32_t largest_size(void)
{
    uint32_t largest = 0;

    for (uint32_t i = 0; i < options.sizes.count; i++)
        largest = MAX(largest, (uint32_t)options.sizes.bytes[i]);
    return largest;
}

static RUNS_SELDOM struct netdev *find_device(struct netdev_info *info)
{
    struct netdev *dev = netdev_pick();

    netdev_info(dev, info);
    if (options_sends(&options) && largest_size() > info->mtu_bytes + (uint32_t)ETH_EXTRA)
        boot_misconfigured(
            "size asks for frames of up to %u bytes and %s at %s sends up to %u, its MTU of %u and "
            "%d; choose smaller ones or raise the MTU where the host sets it.",
            largest_size(), info->driver, info->where, info->mtu_bytes + ETH_EXTRA, info->mtu_bytes,
            ETH_EXTRA);
    return dev;
}

/* Room for a whole frame; of a page if it is longer, and the device then takes several. */
static RUNS_SELDOM uint32_t receive_room(const struct netdev_info *info)
{
    const uint32_t frame = info->mtu_bytes + (uint32_t)(ETH_EXTRA + VLAN_TAG);

    return MIN(frame, netdev_pool_room_max(info));
}

/* What is sent comes from a pool of its own whose buffers are as small as can be, so that those of
 * a whole ring stay in the cache. */
static RUNS_SELDOM void create_pools(const struct netdev_info *info, struct pools *p)
{
    const uint32_t tx_descs = (uint32_t)(options.tx_descs ? options.tx_descs : LOOP_DESCS);
    const uint32_t rx_descs = (uint32_t)(options.rx_descs ? options.rx_descs : LOOP_DESCS);
    const uint32_t bursts = 2 * (uint32_t)options.burst, given = (uint32_t)options.pool;
    const uint32_t queues = (uint32_t)options.queues;
    uint32_t rx_count = queues * (rx_descs + tx_descs) + bursts;
    uint32_t tx_count = queues * tx_descs + bursts;

    if (given && options_sends(&options))
        tx_count = given;
    else if (given)
        rx_count = given;
    if (rx_count < queues * rx_descs || tx_count < options.burst)
        boot_misconfigured(
            "pool=%u is too small; it must hold a burst of %lu, and for mode=rx and mode=fwd the "
            "receive rings' %u.",
            given, options.burst, queues * rx_descs);
    p->rx = netdev_pool_create(info, p->rx_name, rx_count, receive_room(info));
    if (options_sends(&options))
        p->tx = netdev_tx_pool_create(info, p->tx_name, tx_count, largest_size());
}

static RUNS_SELDOM uint32_t queue_pairs(void)
{
    return options.cores > 1 ? options.cores : (uint32_t)options.queues;
}

static RUNS_SELDOM void start_device(struct netdev *dev, const struct netdev_info *info)
{
    const bool offload = options.csum.chosen == TRAFFIC_CSUM_OFFLOAD;
    struct netdev_rxq_conf rx[NETDEV_MAX_QUEUE_PAIRS];
    struct netdev_txq_conf tx[NETDEV_MAX_QUEUE_PAIRS];

    for (uint32_t q = 0; q < queue_pairs(); q++) {
        const struct pools *p = &pools[q % options.cores];
        rx[q] = (struct netdev_rxq_conf){.descs = (uint16_t)options.rx_descs, .pool = p->rx};
        tx[q] = (struct netdev_txq_conf){.descs = (uint16_t)options.tx_descs};
    }
    if (offload && !(info->offloads & NETDEV_OFFLOAD_TX_CSUM))
        boot_misconfigured(
            "csum=offload needs a device that makes checksums and %s at %s doesn't; use csum=sw.",
            info->driver, info->where);
    if (queue_pairs() > info->queue_pairs_max)
        boot_misconfigured("%s=%u needs as many queue pairs, and %s at %s has %u; %s.",
                           options.cores > 1 ? "cores" : "queues", queue_pairs(), info->driver,
                           info->where, info->queue_pairs_max, netdev_advice.pairs);
    /* mode=fwd sends back what came in several buffers. */
    int error = netdev_open_queues(dev, (uint16_t)queue_pairs(), rx, tx,
                                   NETDEV_OFFLOAD_SG | (offload ? NETDEV_OFFLOAD_TX_CSUM : 0));
    if (error)
        netdev_cant_start(info, error);
    netdev_set_promisc(dev, true); /* what comes is for us; a device that can't filters nothing */
}

/* Each core's flows are others, if there are enough. */
static RUNS_SELDOM void prepare_traffic(const struct netdev_info *info, struct loop *l)
{
    const uint32_t core = l->stream, cores = options.cores;

    if (options.src_mac.times_set == 0)
        options.src_mac.first = options.src_mac.last =
            (uint64_t)load_be16(info->mac) << 32 | load_be32(info->mac + 2);
    const struct traffic_conf conf = {
        .sizes = &options.sizes,
        .src_mac = value_share(&options.src_mac, core, cores),
        .dst_mac = value_share(&options.dst_mac, core, cores),
        .src_ip = value_share(&options.src_ip, core, cores),
        .dst_ip = value_share(&options.dst_ip, core, cores),
        .src_port = value_share(&options.src_port, core, cores),
        .dst_port = value_share(&options.dst_port, core, cores),
        .csum = options.csum.chosen,
        .stream = core,
        .numbered = options.seq,
        .timed = options_round_trip(&options),
    };
    traffic_init(&l->traffic, &conf);
    traffic_prefill(&l->traffic, l->tx_pool);
}

static RUNS_SELDOM void prepare_loop(struct netdev *dev, const struct netdev_info *info,
                                     uint32_t core)
{
    struct pools *p = &pools[core];
    struct loop *l = boot_alloc(sizeof *l, CACHE_LINE);

    if (!l)
        boot_misconfigured("this machine has no memory left for %u loops; give it more.",
                           options.cores);
    format(p->rx_name, sizeof p->rx_name, "rx %u", core);
    format(p->tx_name, sizeof p->tx_name, "tx %u", core);
    create_pools(info, p);
    team.loops[core] = l;
    l->options = &options;
    l->team = &team;
    l->dev = dev;
    l->tx_pool = p->tx;
    l->hz = clock_cycles_hz();
    l->receive.numbered = options.seq;
    l->receive.timed = options_round_trip(&options);
    team_share(l, core);
    if (options_sends(&options))
        prepare_traffic(info, l);
}

static void run_loop(uint32_t core)
{
    loop_run(team.loops[core]);
}

static RUNS_SELDOM void print_queues(const struct netdev *dev)
{
    struct netdev_queue_stats rx, tx;

    for (uint16_t q = 0; q < queue_pairs() && queue_pairs() > 1; q++)
        if (netdev_rxq_stats(dev, q, &rx) && netdev_txq_stats(dev, q, &tx))
            print("pktgen: queue %u: %lu packets received, %lu sent.\n", q, rx.packets, tx.packets);
}

RUNS_SELDOM int app_main(void)
{
    struct report_run run = {0};
    struct netdev_info info;
    char mac[ETH_MAC_TEXT_BYTES];

    options.cores = team.count = boot_cores();
    check_options();
    struct netdev *dev = find_device(&info);
    for (uint32_t core = 0; core < team.count; core++)
        prepare_loop(dev, &info, core);
    start_device(dev, &info);
    print("pktgen: mode %s, MAC %s, %s at %s.\n", options.mode.words[options.mode.chosen],
          eth_mac_format(mac, info.mac), info.driver, info.where);

    boot_run(run_loop);

    netdev_stop(dev);
    print_queues(dev);
    team_result(&team, &run);
    run.info = &info;
    if (options.report.chosen)
        report_json(&run);
    else
        report_text(&run);
    return netbuf_pools_report() ? 0 : 1;
}
