/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dpdk_peer.c - what testpmd can't do, on DPDK's own driver: IMIX traffic, and round-trip latency.
 *
 *   dpdk_peer EAL-OPTIONS -- imix                  sends the mix of pktgen's size=imix, without end
 *   dpdk_peer EAL-OPTIONS -- latency RATE SECONDS SIZE
 *                             sends RATE packets a second evenly, takes them back, and prints what
 *                             pktgen's mode=latency report=json does, as far as it is compared
 *
 * One queue pair of port 0, bursts of at most 32, as testpmd and pktgen here. The receive ring is
 * as large as the driver's queue_size= says, the transmit ring of 256.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

enum { RX_RING_MAX = 1024, TX_RING = 256, BURST = 32, BUFFERS = 16384, CACHE = 250, HEADERS = 42 };
enum { BUCKET_NS = 16, BUCKETS = 1 << 20, WINDOW = 1 << 16, DRAIN_MS = 200 };

struct stamp {
    uint64_t sequence;
    uint64_t cycles;
};

static const uint16_t imix[] = {60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 590, 60};
static struct rte_mempool *pool;
static uint8_t template[HEADERS];
static uint32_t buckets[BUCKETS + 1];
static uint64_t came[WINDOW]; /* the last number that fell on each place, plus one */

static void die(const char *what)
{
    fprintf(stderr, "dpdk_peer: %s\n", what);
    exit(1);
}

static void open_port(void)
{
    struct rte_eth_conf conf = {0};

    if (rte_eth_dev_count_avail() != 1)
        die("there must be one port; is testpmd's socket there?");
    pool = rte_pktmbuf_pool_create("packets", BUFFERS, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    if (!pool || rte_eth_dev_configure(0, 1, 1, &conf) ||
        rte_eth_rx_queue_setup(0, 0, RX_RING_MAX, 0, NULL, pool) ||
        rte_eth_tx_queue_setup(0, 0, TX_RING, 0, NULL) || rte_eth_dev_start(0))
        die("the port can't be started");
    memset(template, 2, 12); /* two locally administered unicast addresses */
    template[12] = 8;        /* IPv4 */
    template[14] = 0x45;
    template[23] = 17; /* UDP */
}

static void fill(struct rte_mbuf *packet, uint16_t len)
{
    memcpy(rte_pktmbuf_mtod(packet, uint8_t *), template, HEADERS);
    packet->data_len = len;
    packet->pkt_len = len;
}

static void send_imix(void)
{
    struct rte_mbuf *packets[BURST];
    uint32_t next = 0;

    for (;;) {
        if (rte_pktmbuf_alloc_bulk(pool, packets, BURST))
            continue;
        for (uint32_t i = 0; i < BURST; i++) {
            fill(packets[i], imix[next]);
            next = next + 1 < RTE_DIM(imix) ? next + 1 : 0;
        }
        uint16_t sent = rte_eth_tx_burst(0, 0, packets, BURST);
        rte_pktmbuf_free_bulk(packets + sent, BURST - sent);
    }
}

static struct {
    uint64_t unique, reordered, duplicates, highest; /* highest: plus one */
    uint64_t min_ns, max_ns;
} seen = {.min_ns = UINT64_MAX};

static void receive(uint64_t hz)
{
    struct rte_mbuf *packets[BURST];
    uint16_t n = rte_eth_rx_burst(0, 0, packets, BURST);
    uint64_t now = n ? rte_rdtsc() : 0;

    for (uint16_t i = 0; i < n; i++) {
        struct stamp stamp;
        memcpy(&stamp, rte_pktmbuf_mtod_offset(packets[i], void *, HEADERS), sizeof stamp);
        uint64_t ns = (uint64_t)((double)(now - stamp.cycles) * 1e9 / (double)hz);
        uint64_t *place = &came[stamp.sequence % WINDOW];
        if (*place == stamp.sequence + 1) {
            seen.duplicates++;
            continue;
        }
        *place = stamp.sequence + 1;
        seen.unique++;
        seen.reordered += stamp.sequence + 1 < seen.highest;
        seen.highest = RTE_MAX(seen.highest, stamp.sequence + 1);
        seen.min_ns = RTE_MIN(seen.min_ns, ns);
        seen.max_ns = RTE_MAX(seen.max_ns, ns);
        buckets[RTE_MIN(ns / BUCKET_NS, (uint64_t)BUCKETS)]++;
    }
    rte_pktmbuf_free_bulk(packets, n);
}

/* The value that `part` of the packets don't exceed. */
static uint64_t quantile_ns(double part)
{
    uint64_t rest = (uint64_t)(part * (double)seen.unique);

    for (uint32_t i = 0; i < BUCKETS; i++) {
        if (buckets[i] >= rest)
            return RTE_MIN((i + 1ull) * BUCKET_NS, seen.max_ns);
        rest -= buckets[i];
    }
    return seen.max_ns;
}

static void report(uint64_t sent, double seconds)
{
    static const struct {
        const char *name;
        double part;
    } quantiles[] = {{"p50", .5}, {"p90", .9}, {"p99", .99}, {"p99.9", .999}, {"p99.99", .9999}};

    printf("{\"app\":\"dpdk_peer\",\"mode\":\"latency\",\"seconds\":%.9f", seconds);
    printf(",\"tx\":{\"packets\":%" PRIu64 ",\"mpps\":%.6f}", sent, sent / seconds / 1e6);
    printf(",\"sequence\":{\"unique\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"reordered\":%" PRIu64
           ",\"duplicates\":%" PRIu64 "}",
           seen.unique, sent - seen.unique, seen.reordered, seen.duplicates);
    printf(",\"latency_ns\":{\"count\":%" PRIu64 ",\"min\":%" PRIu64, seen.unique,
           seen.unique ? seen.min_ns : 0);
    for (size_t i = 0; i < RTE_DIM(quantiles); i++)
        printf(",\"%s\":%" PRIu64, quantiles[i].name, quantile_ns(quantiles[i].part));
    printf(",\"max\":%" PRIu64 "}}\n", seen.max_ns);
}

/* A packet is due every 1/rate; one that is late is sent at the next look, and late ones together.
 */
static void measure_latency(double rate, double seconds, uint16_t size)
{
    const uint64_t hz = rte_get_tsc_hz();
    const double interval = (double)hz / rate;
    const uint64_t start = rte_rdtsc(), count = (uint64_t)(rate * seconds);
    uint64_t sent = 0, last = start;

    while (sent < count && rte_rdtsc() - start < hz * (seconds + 1)) {
        struct rte_mbuf *packets[BURST];
        uint64_t now = rte_rdtsc();
        uint64_t due = (uint64_t)((double)(now - start) / interval) + 1;
        uint16_t n = (uint16_t)RTE_MIN(RTE_MIN(due, count) - sent, (uint64_t)BURST);
        if (n > 0 && rte_pktmbuf_alloc_bulk(pool, packets, n) == 0) {
            for (uint16_t i = 0; i < n; i++) {
                struct stamp stamp = {sent + i, now};
                fill(packets[i], size);
                memcpy(rte_pktmbuf_mtod_offset(packets[i], void *, HEADERS), &stamp, sizeof stamp);
            }
            uint16_t taken = rte_eth_tx_burst(0, 0, packets, n);
            rte_pktmbuf_free_bulk(packets + taken, n - taken);
            sent += taken;
            last = now;
        }
        receive(hz);
    }
    for (uint64_t end = rte_rdtsc() + hz / 1000 * DRAIN_MS; rte_rdtsc() < end;)
        receive(hz);
    report(sent, ((double)(last - start) + interval) / (double)hz);
}

int main(int argc, char **argv)
{
    int used = rte_eal_init(argc, argv);

    if (used < 0)
        die("wrong EAL options");
    argc -= used, argv += used;
    if (argc == 2 && strcmp(argv[1], "imix") == 0) {
        open_port();
        send_imix();
    } else if (argc == 5 && strcmp(argv[1], "latency") == 0) {
        double rate = atof(argv[2]), seconds = atof(argv[3]);
        int size = atoi(argv[4]);
        if (rate < 1 || seconds <= 0 || size < 60 || size > 1514)
            die("RATE is at least 1, SECONDS more than 0, SIZE 60 to 1514");
        open_port();
        measure_latency(rate, seconds, (uint16_t)size);
    } else {
        die("usage: dpdk_peer EAL-OPTIONS -- imix | latency RATE SECONDS SIZE");
    }
    rte_eal_cleanup();
    return 0;
}
