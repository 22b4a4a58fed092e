/* SPDX-License-Identifier: BSD-2-Clause */
/* team_test.c - shares and sums of several loops; and loops on as many cores as there are, over a
 * device of our own with a queue pair for each. */
#include "apps/pktgen/team.h"
#include "boot/test.h"

enum { RING = 16, BUFFERS = 64, LOOPS = 3 };

static struct loop loops[BOOT_CORES_MAX];
static struct team team;
static struct options options;
static struct netdev no_device;

static void prepare_team(enum options_mode mode, uint32_t count)
{
    memset(loops, 0, sizeof loops);
    memset(&options, 0, sizeof options);
    options.mode.chosen = mode;
    options.cores = count;
    options.queues = 1;
    options.burst = 7;
    options.seq = true;
    team = (struct team){.count = count};
    for (uint32_t i = 0; i < count; i++) {
        team.loops[i] = &loops[i];
        loops[i].options = &options;
        loops[i].team = &team;
        loops[i].dev = &no_device;
        loops[i].hz = clock_cycles_hz() / 1000; /* a second is a millisecond long */
        for (uint32_t s = 0; s < PACKET_STREAMS; s++)
            account_init(&loops[i].receive.accounts[s], mode < OPTIONS_LATENCY);
    }
}

static void share_all(void)
{
    for (uint32_t i = 0; i < team.count; i++)
        team_share(&loops[i], i);
}

/* --- shares and sums ---------------------------------------------------------------------------
 */

TEST(team_shares_what_is_sent)
{
    prepare_team(OPTIONS_TX, LOOPS);
    options.count = 11;
    options.rate.per_s = 100;
    options.rate.bits = true;
    share_all();
    for (uint32_t i = 0; i < LOOPS; i++) {
        CHECK_EQ(loops[i].count, i < 2 ? 4 : 3);
        CHECK_EQ(loops[i].rate.per_s, i < 1 ? 34 : 33);
        CHECK(loops[i].rate.bits);
        CHECK_EQ(loops[i].stream, i);
        CHECK(loops[i].queue_first == i && loops[i].queue_end == i + 1 && loops[i].queue == i);
    }
}

TEST(team_of_one_does_it_all)
{
    prepare_team(OPTIONS_RX, 1);
    options.count = 11;
    options.queues = 4;
    share_all();
    CHECK_EQ(loops[0].count, 11);
    CHECK(loops[0].queue_first == 0 && loops[0].queue_end == 4);
    loops[0].received = 11;
    CHECK(!team_received_enough(&loops[0])); /* it counts for itself */
}

TEST(team_counts_together_what_is_received)
{
    prepare_team(OPTIONS_RX, LOOPS);
    options.count = 11;
    share_all();
    for (uint32_t i = 0; i < LOOPS; i++)
        CHECK_EQ(loops[i].count, 0); /* it isn't known how many each will receive */
    loops[0].received = 4;
    loops[2].received = 6;
    CHECK(!team_received_enough(&loops[0]));
    loops[1].received = 1;
    CHECK(team_received_enough(&loops[0]));
}

TEST(team_is_idle_when_all_are)
{
    prepare_team(OPTIONS_RX, LOOPS);
    options.idle_ns = 1000000000;
    share_all();
    loops[0].now = 10 * loops[0].hz;
    CHECK(!team_received_enough(&loops[0])); /* nothing came as yet */
    loops[2].received = 1;
    loops[1].last_moved = 2 * loops[0].hz;
    loops[2].last_moved = loops[0].now - loops[0].hz + 1;
    CHECK(!team_received_enough(&loops[0]));
    loops[2].last_moved--;
    CHECK(team_received_enough(&loops[0]));
    loops[2].last_moved = loops[0].now + 5; /* another core's moment, after the leader's */
    CHECK(!team_received_enough(&loops[0]));
}

TEST(team_is_done_when_all_are)
{
    prepare_team(OPTIONS_TX, LOOPS);
    share_all();
    for (uint32_t i = 0; i < LOOPS; i++) {
        CHECK(!team_done(&team));
        loops[i].done = true;
    }
    CHECK(team_done(&team));
    CHECK(team_leads(&loops[0]) && !team_leads(&loops[1]));
}

/* Answers to a stream come to any core; each number is found at one of them. */
TEST(team_finds_every_number_wherever_it_came)
{
    struct report_run run = {0};

    prepare_team(OPTIONS_LATENCY, LOOPS);
    share_all();
    for (uint32_t i = 0; i < LOOPS; i++)
        loops[i].made = 1000;
    for (uint32_t n = 0; n < 1000; n++)
        for (uint32_t s = 0; s < LOOPS; s++) {
            CHECK(team_awaits_answers(&team));
            account_add(&loops[n * n % LOOPS].receive.accounts[s], n);
        }
    CHECK(!team_awaits_answers(&team));
    loops[2].made += 5;                              /* these never come back */
    account_add(&loops[0].receive.accounts[1], 999); /* it came there before */
    loops[1].receive.unnumbered = 2;
    histogram_add(&loops[1].receive.latency, 30);
    histogram_add(&loops[2].receive.latency, 10);
    loops[0].pace.skipped_cycles = 4;
    loops[2].pace.skipped_cycles = 9;
    loops[0].last_moved = 70;
    loops[1].first_moved = 50;
    loops[2].first_moved = 40;
    loops[2].last_moved = 90;
    team_result(&team, &run);
    CHECK_EQ(run.made, 3005);
    CHECK_EQ(run.numbers.unique, 3000);
    CHECK_EQ(run.numbers.missing, 0);
    CHECK_EQ(run.numbers.duplicates, 1);
    CHECK_EQ(run.unnumbered, 2);
    CHECK(run.latency->count == 2 && run.latency->min == 10 && run.latency->max == 30);
    CHECK_EQ(run.skipped_cycles, 9);
    CHECK(run.from.now_cycles == 40 && run.to.now_cycles == 90);
}

/* --- loops on cores ----------------------------------------------------------------------------
 */

/* A queue that keeps what it is given, or gives it to its own receive queue. */
struct fake_queue {
    struct netdev_queue base;
    struct netbuf *ring[RING];
    uint32_t held;
    uint64_t wrong; /* packets that aren't its core's next one */
    uint64_t expected;
} __attribute__((aligned(CACHE_LINE)));

_Static_assert(offsetof(struct fake_queue, base) == 0, "a queue is found by its base");

static struct {
    struct netdev dev;
    struct fake_queue rx[BOOT_CORES_MAX], tx[BOOT_CORES_MAX];
    bool loops_back;
} fake;

static uint32_t pair_reclaim(struct netdev_queue *base)
{
    struct fake_queue *q = (struct fake_queue *)base;
    uint32_t n = fake.loops_back ? 0 : q->held;

    netbuf_free_bulk(q->ring, n);
    q->held -= n;
    base->room = RING - q->held;
    return n;
}

static uint32_t pair_tx(struct netdev_queue *base, struct netbuf **bufs, uint32_t n)
{
    struct fake_queue *q = (struct fake_queue *)base;
    uint32_t took = 0;

    pair_reclaim(base);
    for (; took < n && q->held < RING; took++) {
        const struct packet *p = (const struct packet *)bufs[took]->data;
        q->wrong += be32(p->stamp.magic) != PACKET_MAGIC + boot_core() ||
                    be32(p->stamp.sequence) != q->expected++;
        q->ring[q->held++] = bufs[took];
    }
    base->room = RING - q->held;
    base->stats.packets += took;
    return took;
}

static uint32_t pair_rx(struct netdev_queue *base, struct netbuf **bufs, uint32_t n)
{
    struct fake_queue *q = &fake.tx[(struct fake_queue *)base - fake.rx];
    uint32_t got = fake.loops_back ? MIN(n, q->held) : 0;

    memcpy(bufs, q->ring, got * sizeof bufs[0]);
    memmove(q->ring, q->ring + got, (q->held - got) * sizeof q->ring[0]);
    q->held -= got;
    base->stats.packets += got;
    return got;
}

static bool pairs_recover(struct netdev *dev)
{
    return dev == &fake.dev;
}

static const struct netdev_ops ops = {
    .rx_burst = pair_rx,
    .tx_burst = pair_tx,
    .tx_reclaim = pair_reclaim,
    .recover = pairs_recover,
};

static void run_on_core(uint32_t core)
{
    loop_run(&loops[core]);
}

static struct report_run run_cores(enum options_mode mode, uint64_t count, uint64_t duration_ns)
{
    static uint16_t size_list[] = {64};
    static const struct value_sizes size_64 = {.count = 1, .bytes = size_list};
    static const struct netbuf_pool_conf conf = {
        .name = "team_test", .count = BUFFERS, .buf_bytes = 256, .headroom_bytes = 64};
    static struct netbuf_pool *pools[BOOT_CORES_MAX];
    struct report_run result = {0};

    prepare_team(mode, boot_cores());
    options.count = count;
    options.duration_ns = duration_ns;
    share_all();
    memset(&fake, 0, sizeof fake);
    fake.loops_back = mode >= OPTIONS_LATENCY;
    fake.dev = (struct netdev){.ops = &ops, .state = NETDEV_STARTED};
    fake.dev.queue_pairs = (uint16_t)boot_cores();
    for (uint32_t core = 0; core < boot_cores(); core++) {
        struct loop *l = &loops[core];
        const struct traffic_conf traffic = {
            .sizes = &size_64, .stream = core, .numbered = true, .timed = fake.loops_back};
        fake.dev.rxq[core] = &fake.rx[core].base;
        fake.dev.txq[core] = &fake.tx[core].base;
        fake.tx[core].base.room = RING;
        if (!pools[core])
            pools[core] = netbuf_pool_create(&conf);
        l->dev = &fake.dev;
        l->hz = clock_cycles_hz(); /* in real time, as a core may have to wait for another */
        l->tx_pool = pools[core];
        l->receive.numbered = true;
        l->receive.timed = fake.loops_back;
        traffic_init(&l->traffic, &traffic);
        traffic_prefill(&l->traffic, pools[core]);
    }
    boot_run(run_on_core);
    team_result(&team, &result);
    for (uint32_t core = 0; core < boot_cores(); core++) {
        CHECK(netbuf_pool_whole(pools[core]));
        CHECK_EQ(fake.tx[core].wrong, 0);
    }
    return result;
}

TEST(team_sends_the_count_from_all_cores)
{
    struct report_run r = run_cores(OPTIONS_TX, 1001, 0);
    uint64_t most = (1001 + boot_cores() - 1) / boot_cores();

    CHECK_EQ(r.made, 1001);
    CHECK_EQ(r.to.tx.packets, 1001);
    for (uint32_t core = 0; core < boot_cores(); core++)
        CHECK(loops[core].made == most || loops[core].made == most - 1);
}

TEST(team_times_what_comes_back_to_all_cores)
{
    struct report_run r = run_cores(OPTIONS_LATENCY, 1001, 0);

    CHECK_EQ(r.made, 1001);
    CHECK_EQ(r.numbers.unique, 1001);
    CHECK_EQ(r.numbers.missing + r.numbers.duplicates + r.numbers.reordered, 0);
    CHECK_EQ(r.latency->count, 1001);
}

TEST(team_ends_on_all_cores_when_the_time_is_over)
{
    struct report_run r = run_cores(OPTIONS_TX, 0, 5000000);

    CHECK(r.made > 0);
    CHECK(team.stop);
}
