/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * driverbench - what the virtio-net driver alone costs, in cycles a packet: transmit with reclaim,
 * and receive with refill, against a device in memory that completes everything at once; and what
 * of that is the pool's: the driver frees what was sent, and takes buffers to receive into.
 *
 * Only the driver's or the pool's calls are timed. What the device does, and the app's own taking
 * and freeing of buffers, happens between two readings of the clock. Prints a line of CSV for each
 * case and round; bench/driver makes a table of them.
 */
#include "apps/driverbench/backend.h"
#include "boot/boot.h"

enum {
    BURST_MAX = 128,
    FRAME = 64,
    POOL_BUFFERS = 8192,
    HELD_MAX = 4096,
    BURSTS_WARM_UP = 300,
    CLOCK_TRIES = 50
};

static const uint16_t bursts[] = {1, 4, 8, 16, 32, 64, 128};
static const uint16_t ring_sizes[] = {128, 256, 1024, 4096};

static const struct variant {
    const char *name;
    uint64_t features;
} variants[] = {
    {"split", 0},
    {"packed", VIRTIO_BIT(VIRTIO_F_RING_PACKED)},
};

static uint64_t rounds, packets;
BOOT_KEY_RANGE("driverbench.rounds", boot_parse_u64, &rounds, "5", "", "rounds over all cases", 1,
               1000);
BOOT_KEY_RANGE("driverbench.packets", boot_parse_u64, &packets, "200000", "packets",
               "packets a case and round", 1000, 1ull << 40);

static struct backend backends[ARRAY_LEN(variants)];
static struct virtio_net nets[ARRAY_LEN(variants)];
static struct netbuf_pool *pool;
static struct netbuf *bufs[BURST_MAX];
static struct netbuf *held[HELD_MAX]; /* without a driver: as many as a ring would hold */
static uint32_t held_count, held_oldest;
static uint64_t clock_thousandths; /* what reading the clock twice costs */

/* The cycle counter, once everything before it is done and before anything after it begins: else
 * the processor would do part of a burst outside the measured time. */
static inline uint64_t clock_fenced(void)
{
    __builtin_ia32_lfence();
    uint64_t cycles = clock_cycles();
    __builtin_ia32_lfence();
    return cycles;
}

/* Waits a random while. The counter moves in steps of tens of cycles on some processors: what is
 * measured must not begin at the same point of a step each time. */
static void wait_randomly(void)
{
    static uint32_t seed = 1;

    seed = seed * 1664525 + 1013904223;
    for (uint32_t i = seed >> 26; i > 0; i--)
        __asm__ volatile("");
}

/* What two readings of the clock cost with nothing between them, in thousandths of a cycle: the
 * mean of many, and the least of some such means, as the machine may do other things meanwhile. */
static uint64_t clock_cost_thousandths(void)
{
    uint64_t least = UINT64_MAX;

    for (uint32_t try = 0; try < CLOCK_TRIES; try++) {
        uint64_t cycles = 0;
        for (uint32_t i = 0; i < 1000; i++) {
            wait_randomly();
            uint64_t start = clock_fenced();
            cycles += clock_fenced() - start;
        }
        least = MIN(least, cycles);
    }
    return least;
}

/* One burst sent, which reclaims the one before; returns its cycles. */
static uint64_t time_transmit(uint32_t v, uint16_t burst)
{
    const uint32_t n = netbuf_alloc_bulk(pool, bufs, burst);

    for (uint32_t i = 0; i < n; i++)
        netbuf_append(bufs[i], FRAME);
    wait_randomly();
    uint64_t start = clock_fenced();
    uint32_t taken = netdev_tx_burst(&nets[v].base, 0, bufs, n);
    uint64_t cycles = clock_fenced() - start;
    assert(taken == burst);
    backend_transmit(&backends[v]);
    return cycles;
}

/* One burst received and as many buffers put in their place; returns its cycles. */
static uint64_t time_receive(uint32_t v, uint16_t burst)
{
    backend_receive(&backends[v], burst, FRAME);
    wait_randomly();
    uint64_t start = clock_fenced();
    uint32_t n = netdev_rx_burst(&nets[v].base, 0, bufs, burst);
    uint64_t cycles = clock_fenced() - start;
    assert(n == burst && bufs[0]->len == FRAME);
    netbuf_free_bulk(bufs, n);
    return cycles;
}

/* Of the buffers held, the burst that is held for longest. */
static struct netbuf **longest_held(uint16_t burst)
{
    struct netbuf **oldest = &held[ALIGN_UP(held_oldest, burst) & (held_count - 1)];

    held_oldest = (uint32_t)(oldest - held) + burst;
    return oldest;
}

/* The pool alone: takes a burst and gives back another one; returns the cycles of the first. */
static uint64_t time_alloc(uint32_t v, uint16_t burst)
{
    struct netbuf **oldest = longest_held(burst);

    (void)v;
    wait_randomly();
    uint64_t start = clock_fenced();
    uint32_t n = netbuf_alloc_bulk(pool, bufs, burst);
    uint64_t cycles = clock_fenced() - start;
    assert(n == burst);
    netbuf_free_bulk(oldest, burst);
    memcpy(oldest, bufs, burst * sizeof(bufs[0]));
    return cycles;
}

/* The same; returns the cycles of the second. */
static uint64_t time_free(uint32_t v, uint16_t burst)
{
    struct netbuf **oldest = longest_held(burst);
    const uint32_t n = netbuf_alloc_bulk(pool, bufs, burst);

    (void)v;
    assert(n == burst);
    wait_randomly();
    uint64_t start = clock_fenced();
    netbuf_free_bulk(oldest, burst);
    uint64_t cycles = clock_fenced() - start;
    memcpy(oldest, bufs, burst * sizeof(bufs[0]));
    return cycles;
}

static void measure_bursts(uint32_t round, const char *ring, uint32_t v, const char *direction,
                           uint64_t (*step)(uint32_t v, uint16_t burst), uint16_t descs)
{
    for (uint32_t b = 0; b < ARRAY_LEN(bursts); b++) {
        const uint64_t count = packets / bursts[b];
        uint64_t cycles = 0;
        for (uint32_t i = 0; i < BURSTS_WARM_UP; i++)
            step(v, bursts[b]);
        for (uint64_t i = 0; i < count; i++)
            cycles += step(v, bursts[b]);
        cycles -= MIN(cycles, count * clock_thousandths / 1000);
        uint64_t hundredths = cycles * 100 / (count * bursts[b]);
        print("%u,%s,%s,%u,%u,%lu.%02lu\n", round, ring, direction, descs, bursts[b],
              hundredths / 100, hundredths % 100);
    }
}

/* As many buffers are held by nobody in particular as a ring of `descs` would hold. */
static void measure_pool(uint32_t round, uint16_t descs)
{
    held_count = netbuf_alloc_bulk(pool, held, descs);
    held_oldest = 0;
    assert(held_count == descs);
    measure_bursts(round, "none", 0, "alloc", time_alloc, descs);
    measure_bursts(round, "none", 0, "free", time_free, descs);
    netbuf_free_bulk(held, held_count);
}

static void start_rings(struct netdev *dev, uint16_t descs)
{
    const struct netdev_conf conf = {.queue_pairs = 1};
    const struct netdev_rxq_conf rx = {.descs = descs, .pool = pool};
    const struct netdev_txq_conf tx = {.descs = descs};
    int error = netdev_configure(dev, &conf);

    if (!error)
        error = netdev_rxq_setup(dev, 0, &rx);
    if (!error)
        error = netdev_txq_setup(dev, 0, &tx);
    if (!error)
        error = netdev_start(dev);
    if (error)
        panic("driverbench's device in memory doesn't start: %s; this is a bug.",
              netdev_strerror(error));
}

int app_main(void)
{
    static const struct netbuf_pool_conf conf = {
        .name = "packets", .count = POOL_BUFFERS, .buf_bytes = 2048, .headroom_bytes = 128};

    pool = netbuf_pool_create(&conf);
    if (!pool)
        boot_misconfigured("there is no memory for %d packet buffers; give the machine 32M.",
                           POOL_BUFFERS);
    for (uint32_t v = 0; v < ARRAY_LEN(variants); v++) {
        backend_init(&backends[v], variants[v].features);
        int error = virtio_net_init(&nets[v], &backends[v].base);
        if (error)
            panic("driverbench's device in memory isn't taken: %s; this is a bug.",
                  netdev_strerror(error));
    }
    clock_thousandths = clock_cost_thousandths();
    print("round,ring,direction,ring_size,burst,cycles_packet\n");
    for (uint32_t round = 0; round < rounds && !boot_stopping(); round++)
        for (uint32_t size = 0; size < ARRAY_LEN(ring_sizes); size++) {
            measure_pool(round, ring_sizes[size]);
            for (uint32_t v = 0; v < ARRAY_LEN(variants); v++) {
                start_rings(&nets[v].base, ring_sizes[size]);
                measure_bursts(round, variants[v].name, v, "tx", time_transmit, ring_sizes[size]);
                measure_bursts(round, variants[v].name, v, "rx", time_receive, ring_sizes[size]);
                netdev_stop(&nets[v].base);
            }
        }
    return netbuf_pool_whole(pool) ? 0 : 1;
}
