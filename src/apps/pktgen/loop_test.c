/* SPDX-License-Identifier: BSD-2-Clause */
/* loop_test.c - the loop over a device of our own: it ends when it should, and loses no buffer. */
#include "apps/pktgen/team.h"
#include "boot/boot.h"
#include "boot/test.h"

enum { RING = 16, BUFFERS = 64 };

/* A device whose transmit queue takes packets and keeps them until they are reclaimed, or gives
 * them to its own receive queue. */
static struct {
    struct netdev dev;
    struct netdev_queue rx, tx;
    struct netbuf *ring[RING];
    uint32_t held;
    uint64_t taken, take_max;          /* packets; no more than take_max are ever taken */
    uint64_t expected;                 /* number of the next packet */
    uint64_t lose_every;               /* of packets looped back */
    struct netbuf_pool *source;        /* received packets come from here; NULL: none come */
    uint64_t give_max, give_a_look;    /* packets; 0: all that are asked for */
    uint64_t last_look, closest_looks; /* in cycles; the time between the two closest ones */
    bool loops_back;
    uint32_t arms;
} fake;

static uint32_t lone_rx(struct netdev_queue *q, struct netbuf **bufs, uint32_t n)
{
    const uint64_t now = clock_cycles();
    uint32_t got = 0;

    fake.closest_looks = MIN(fake.closest_looks, now - fake.last_look);
    fake.last_look = now;
    if (fake.give_a_look)
        n = MIN(n, (uint32_t)fake.give_a_look);
    while (fake.source && got < n && q->stats.packets + got < fake.give_max &&
           (bufs[got] = netbuf_alloc(fake.source))) {
        memset(netbuf_append(bufs[got], 60), 0, 60);
        got++;
    }
    while (fake.loops_back && got < n && fake.held > 0) {
        bufs[got++] = fake.ring[0];
        memmove(fake.ring, fake.ring + 1, --fake.held * sizeof fake.ring[0]);
    }
    q->stats.packets += got;
    return got;
}

static uint32_t lone_reclaim(struct netdev_queue *q)
{
    uint32_t n = fake.loops_back ? 0 : fake.held;

    netbuf_free_bulk(fake.ring, n);
    fake.held -= n;
    q->room = RING - fake.held;
    return n;
}

static uint32_t lone_tx(struct netdev_queue *q, struct netbuf **bufs, uint32_t n)
{
    uint32_t took = 0;

    lone_reclaim(q);
    for (; took < n && fake.held < RING && fake.taken < fake.take_max; took++) {
        const struct packet *p = (const struct packet *)bufs[took]->data;
        if (!fake.source)
            CHECK_EQ(be32(p->stamp.sequence), fake.expected++);
        fake.taken++;
        if (fake.lose_every && fake.taken % fake.lose_every == 0)
            netbuf_free(bufs[took]);
        else
            fake.ring[fake.held++] = bufs[took];
    }
    q->room = RING - fake.held;
    q->stats.packets += took;
    return took;
}

static bool lone_recover(struct netdev *dev)
{
    return dev == &fake.dev;
}

static int lone_rx_intr(struct netdev *dev, uint16_t q, bool on)
{
    CHECK(dev == &fake.dev && q == 0);
    fake.arms += on;
    return NETDEV_OK;
}

static const struct netdev_ops ops = {
    .rx_intr = lone_rx_intr,
    .rx_burst = lone_rx,
    .tx_burst = lone_tx,
    .tx_reclaim = lone_reclaim,
    .recover = lone_recover,
};

static struct loop loop;
static struct team team;
static struct options options;
static struct value_sizes size_64 = {.count = 1, .bytes = (uint16_t[]){64}};

static struct netbuf_pool *loop_pool(void)
{
    static const struct netbuf_pool_conf conf = {
        .name = "loop_test", .count = BUFFERS, .buf_bytes = 256, .headroom_bytes = 64};
    static struct netbuf_pool *made;

    if (!made)
        made = netbuf_pool_create(&conf);
    return made;
}

/* Defaults of a run in which a second is a millisecond long. */
static void prepare_loop(enum options_mode mode)
{
    const struct traffic_conf traffic = {
        .sizes = &size_64, .numbered = true, .timed = mode >= OPTIONS_LATENCY};

    memset(&fake, 0, sizeof fake);
    memset(&loop, 0, sizeof loop);
    memset(&options, 0, sizeof options);
    team = (struct team){.loops = {&loop}, .count = 1};
    fake.dev = (struct netdev){.ops = &ops, .state = NETDEV_STARTED, .queue_pairs = 1};
    fake.dev.rxq[0] = &fake.rx;
    fake.dev.txq[0] = &fake.tx;
    fake.tx.room = RING;
    fake.take_max = fake.give_max = fake.closest_looks = UINT64_MAX;
    fake.loops_back = mode >= OPTIONS_LATENCY;
    options.mode.chosen = mode;
    options.cores = 1;
    options.burst = 7;
    options.seq = true;
    loop.options = &options;
    loop.team = &team;
    loop.dev = &fake.dev;
    loop.hz = clock_cycles_hz() / 1000;
    loop.tx_pool = loop_pool();
    loop.receive.numbered = true;
    loop.receive.timed = traffic.timed;
    traffic_init(&loop.traffic, &traffic);
    traffic_prefill(&loop.traffic, loop_pool());
}

static struct report_run run_alone(void)
{
    struct report_run result = {0};

    team_share(&loop, 0); /* of what the test has set by now */
    loop_run(&loop);
    team_result(&team, &result);
    CHECK(netbuf_pool_free_count(loop_pool()) == BUFFERS - fake.held);
    netbuf_free_bulk(fake.ring, fake.held); /* as netdev_stop does */
    CHECK(netbuf_pool_whole(loop_pool()));
    return result;
}

TEST(loop_sends_exactly_the_count_and_waits_for_it)
{
    prepare_loop(OPTIONS_TX);
    options.count = 1000;
    struct report_run r = run_alone();
    CHECK_EQ(fake.taken, 1000);
    CHECK_EQ(fake.held, 0);
    CHECK_EQ(r.made, 1000);
    CHECK_EQ(r.to.tx.packets, 1000);
    CHECK(r.to.now_cycles > r.from.now_cycles);
}

TEST(loop_ends_beside_a_device_that_takes_nothing_more)
{
    prepare_loop(OPTIONS_TX);
    options.duration_ns = 100000000000; /* 100 ms, as other programs run, too */
    fake.take_max = 20;
    CHECK_EQ(run_alone().made, 20); /* what the device never took was never sent */
}

TEST(loop_times_what_comes_back)
{
    static const enum options_mode modes[] = {OPTIONS_LATENCY, OPTIONS_PINGPONG};

    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        prepare_loop(modes[i]);
        options.count = 500;
        CHECK_EQ(run_alone().made, 500);
        CHECK_EQ(account_unique(&loop.receive.accounts[0]), 500);
        CHECK_EQ(loop.receive.latency.count, 500);
        CHECK_EQ(loop.receive.accounts[0].missing, 0);
    }
}

TEST(loop_pingpong_goes_on_after_losses)
{
    prepare_loop(OPTIONS_PINGPONG);
    options.count = 100;
    options.window = 3;
    fake.lose_every = 10;
    CHECK_EQ(run_alone().made, 100);
    CHECK_EQ(account_unique(&loop.receive.accounts[0]), 90);
}

TEST(loop_receives_until_count_or_idle)
{
    for (int idle = 0; idle < 2; idle++) {
        prepare_loop(OPTIONS_RX);
        fake.source = loop_pool();
        options.count = idle ? 0 : 100;
        options.idle_ns = idle ? 500000000 : 0;
        fake.give_max = idle ? 100 : UINT64_MAX;
        CHECK_EQ(run_alone().to.rx.packets, 100);
        CHECK_EQ(loop.receive.unnumbered, 100);
    }
}

TEST(loop_forwards_and_drops_what_finds_no_room_in_time)
{
    prepare_loop(OPTIONS_FWD);
    fake.source = loop_pool();
    fake.take_max = 50;
    options.count = 100;
    struct report_run r = run_alone();
    CHECK_EQ(fake.taken, 50);
    CHECK_EQ(r.to.rx.packets, 100);
    CHECK(r.forward_drops > 0 && r.forward_drops <= 50);
}

/* A burst is 7; the wait, 50 us as a second is a millisecond here, is no work of the loop. */
TEST(loop_leaves_the_ring_alone_when_little_came)
{
    static const struct {
        enum options_mode mode;
        uint64_t come, waits;
    } cases[] = {
        {OPTIONS_RX, 2, 35}, {OPTIONS_RX, 3, 0}, {OPTIONS_FWD, 1, 70}, {OPTIONS_FWD, 7, 0}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        prepare_loop(cases[i].mode);
        fake.source = loop_pool();
        fake.give_a_look = cases[i].come;
        options.count = 70;
        options.wait_ns = 50000000;
        CHECK_EQ(run_alone().to.rx.packets, 70);
        const uint64_t wait = value_cycles(options.wait_ns, loop.hz);
        CHECK((fake.closest_looks >= wait) == (cases[i].waits > 0));
        CHECK(loop.busy_cycles + cases[i].waits * wait <= loop.now - loop.start);
    }
    prepare_loop(OPTIONS_PINGPONG); /* a wait would be part of what it measures */
    options.count = 100;
    options.wait_ns = 50000000;
    run_alone();
    CHECK(fake.closest_looks < value_cycles(options.wait_ns, loop.hz));
}

/* In milliseconds, so a wait of 100 us without packets is long enough to go to sleep. */
TEST(loop_sleeps_when_it_has_nothing_to_do)
{
    prepare_loop(OPTIONS_RX);
    fake.source = loop_pool();
    fake.give_max = 100;
    options.idle_ns = 5000000000;
    struct report_run r = run_alone();
    CHECK_EQ(r.to.rx.packets, 100);
    CHECK(r.to.waits > 0 && fake.arms >= r.to.waits);
    prepare_loop(OPTIONS_TX); /* between packets; received packets don't wake it */
    options.rate.per_s = 1;
    options.count = 5;
    r = run_alone();
    CHECK_EQ(fake.taken, 5);
    CHECK(r.to.waits > 0 && fake.arms == 0);
    prepare_loop(OPTIONS_LATENCY); /* waking up would be part of what it measures */
    options.rate.per_s = 1;
    options.count = 5;
    CHECK_EQ(run_alone().to.waits, 0);
}
