/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of loop.h: what the end of a turn does, and when. */
#include "boot/test.h"
#include "netdev/loop.h"

enum { DEVICES = 2, BUFFERS = 4 };

#define SECOND_NS 1000000000ull

/* Devices of one queue pair that note what is asked of them. */
static struct mock {
    struct netdev dev;
    struct netdev_queue rx, tx;
    bool link;
    uint32_t recovered, reclaimed, announced;
} mocks[DEVICES];

static struct netdev_loop loop;
static struct inet inet;
static struct netbuf_pool *pool;
static bool tx_full;

static struct mock *mock_of(struct netdev *dev)
{
    return (struct mock *)dev; /* its first member */
}

_Static_assert(offsetof(struct mock, dev) == 0, "a device is the beginning of its mock");

static void mock_describe(struct netdev *dev, struct netdev_info *info)
{
    (void)dev;
    info->driver = "mock";
}

static bool mock_look(struct netdev *dev)
{
    mock_of(dev)->recovered++;
    return mock_of(dev)->link;
}

static int mock_arm(struct netdev *dev, uint16_t q, bool on)
{
    (void)dev, (void)q, (void)on;
    return NETDEV_OK;
}

static uint32_t mock_send(struct netdev_queue *q, struct netbuf **bufs, uint32_t n)
{
    for (uint32_t i = 0; i < DEVICES; i++)
        if (q == &mocks[i].tx && !tx_full)
            mocks[i].announced += n;
    if (tx_full)
        return 0;
    netbuf_free_bulk(bufs, n);
    return n;
}

static uint32_t mock_take_back(struct netdev_queue *q)
{
    q->room = !tx_full;
    for (uint32_t i = 0; i < DEVICES; i++)
        mocks[i].reclaimed += q == &mocks[i].tx;
    return 0;
}

static void begin_loop(void)
{
    static const struct netdev_ops ops = {.info = mock_describe,
                                          .recover = mock_look,
                                          .rx_intr = mock_arm,
                                          .tx_burst = mock_send,
                                          .tx_reclaim = mock_take_back};
    static const struct netbuf_pool_conf conf = {
        .name = "loop", .count = BUFFERS, .buf_bytes = 256, .headroom_bytes = 64};
    static const uint8_t mac[] = {2, 0, 0, 0, 0, 1};

    if (!pool)
        pool = netbuf_pool_create(&conf);
    CHECK(pool && netbuf_pool_whole(pool));
    tx_full = false;
    inet_init(&inet, mac, (struct ipv4_prefix){0x0a00020f, 24});
    netdev_loop_init(&loop);
    for (uint32_t i = 0; i < DEVICES; i++) {
        struct mock *mock = &mocks[i];
        *mock = (struct mock){.link = true};
        mock->dev = (struct netdev){.ops = &ops, .state = NETDEV_STARTED, .queue_pairs = 1};
        mock->dev.rxq[0] = &mock->rx;
        mock->dev.txq[0] = &mock->tx;
        mock->tx.room = 1;
        netdev_loop_add(&loop, &mock->dev, 0);
    }
}

/* A turn of those that wait for something. */
static void turn_in_time(bool busy)
{
    CHECK_IN_TIME();
    netdev_loop_turn(&loop, busy);
}

/* Turns until clock_ns() has got there. */
static void turn_until(uint64_t end_ns, bool busy)
{
    while (clock_ns() < end_ns)
        netdev_loop_turn(&loop, busy);
    netdev_loop_turn(&loop, busy);
}

TEST(loop_takes_sent_buffers_back_when_nothing_comes)
{
    begin_loop();
    netdev_loop_turn(&loop, false);
    for (uint32_t i = 0; i < DEVICES; i++)
        CHECK(mocks[i].reclaimed > 0);
}

TEST(loop_looks_at_each_link_again_and_again)
{
    begin_loop();
    loop.idle.limit = UINT64_MAX;
    while (mocks[0].recovered < 3)
        turn_in_time(false);
    CHECK(netdev_link_up(&mocks[0].dev) && netdev_link_up(&mocks[1].dev));
    CHECK_EQ(mocks[1].recovered, 3);
}

/* A look costs a busy loop some of its time, so it is put off: to the next turn without packets,
 * but no more than a second. */
TEST(loop_that_is_busy_looks_at_its_links_later)
{
    begin_loop();
    netdev_loop_turn(&loop, true);
    CHECK_EQ(mocks[0].recovered, 1); /* the first look isn't put off */
    while (!loop.look_is_late)
        turn_in_time(true);
    CHECK_EQ(mocks[0].recovered, 1);
    netdev_loop_turn(&loop, false);
    CHECK_EQ(mocks[0].recovered, 2);
    while (mocks[0].recovered == 2)
        turn_in_time(true);
    CHECK_EQ(mocks[1].recovered, 3);
}

/* A cycle counter that went back, as by a machine's sleep, stops nothing. */
TEST(loop_goes_on_when_the_cycle_counter_went_back)
{
    begin_loop();
    netdev_loop_turn(&loop, false);
    loop.rest_cycles += 1000 * clock_cycles_hz();
    netdev_loop_turn(&loop, true);
    CHECK(clock_cycles() - loop.rest_cycles < clock_cycles_hz());
}

TEST(loop_leaves_a_stopped_device_alone)
{
    begin_loop();
    loop.idle.limit = 0;
    mocks[0].dev.state = NETDEV_STOPPED;
    mocks[0].dev.rxq[0] = mocks[0].dev.txq[0] = NULL;
    while (mocks[1].recovered < 2)
        turn_in_time(false);
    CHECK(loop.idle.waits > 0);
}

TEST(loop_announces_its_host_whenever_the_link_comes)
{
    begin_loop();
    netdev_loop_host(&loop, &mocks[1].dev, 0, &inet, pool);
    netdev_loop_turn(&loop, true);
    CHECK_EQ(mocks[0].announced, 0);
    CHECK_EQ(mocks[1].announced, 1);
    turn_until(clock_ns() + loop.idle.wake_ns, true);
    CHECK_EQ(mocks[1].announced, 1); /* the second one is due after two seconds */
    CHECK(inet.due_ns > clock_ns());
    mocks[1].link = false;
    turn_until(clock_ns() + loop.idle.wake_ns, false);
    CHECK(!netdev_link_up(&mocks[1].dev));
    mocks[1].link = true;
    turn_until(clock_ns() + loop.idle.wake_ns, false);
    CHECK_EQ(mocks[1].announced, 2);
    mocks[1].dev.arrivals++; /* its driver had to start it again */
    turn_until(clock_ns() + loop.idle.wake_ns, false);
    CHECK_EQ(mocks[1].announced, 3);
    CHECK(netbuf_pool_whole(pool));
}

TEST(loop_sends_what_its_host_wants_to_ask_at_once)
{
    uint8_t mac[ETH_MAC_BYTES];

    begin_loop();
    netdev_loop_host(&loop, &mocks[0].dev, 0, &inet, pool);
    CHECK_EQ(mocks[0].announced, 1); /* at once */
    CHECK_EQ(inet_resolve(&inet, 0x0a000202, 0, clock_ns(), mac), INET_ASKING);
    netdev_loop_turn(&loop, true);
    CHECK_EQ(mocks[0].announced, 2);
    netdev_loop_turn(&loop, true);
    CHECK_EQ(mocks[0].announced, 2);
}

/* What can't be sent holds up nothing, and no buffer is lost. */
TEST(loop_sleeps_though_its_host_has_packets_and_no_link_or_room)
{
    begin_loop();
    netdev_loop_host(&loop, &mocks[0].dev, 0, &inet, pool);
    mocks[0].link = false;
    loop.idle.limit = 0;
    inet_arrived(&inet);
    while (netdev_link_up(&mocks[0].dev))
        turn_in_time(false);
    netdev_loop_turn(&loop, false);
    netdev_loop_turn(&loop, false);
    CHECK(loop.idle.waits > 0);
    CHECK(!netdev_link_up(&mocks[0].dev));
    const uint32_t announced = mocks[0].announced;
    inet_arrived(&inet);
    turn_until(clock_ns() + 2 * loop.idle.wake_ns, false);
    CHECK_EQ(mocks[0].announced, announced);
    tx_full = mocks[0].link = true;
    mocks[0].tx.room = 0;
    turn_until(clock_ns() + loop.idle.wake_ns, false);
    CHECK_EQ(mocks[0].announced, announced);
    CHECK_EQ(mocks[0].tx.stats.drops[NETDEV_DROP_NO_ROOM], 0); /* it waits for room */
    tx_full = false;
    turn_until(clock_ns() + 2 * loop.idle.wake_ns, false);
    CHECK(mocks[0].announced > announced);
    CHECK(netbuf_pool_whole(pool));
}

TEST(loop_that_slept_was_not_busy)
{
    begin_loop();
    loop.idle.limit = 0;
    const uint64_t start = clock_cycles(), end_ns = clock_ns() + 2 * loop.idle.wake_ns;
    while (clock_ns() < end_ns) {
        netdev_loop_turn(&loop, false); /* sleeps until the next look at the link */
        netdev_loop_turn(&loop, true);
    }
    CHECK(loop.idle.waits > 0);
    CHECK(loop.cycles_busy < loop.cycles_total / 2);
    CHECK(loop.cycles_total <= clock_cycles() - start + clock_cycles_hz() / 10);
}

/* --- timers -------------------------------------------------------------------------------------
 */

static uint64_t ran_ns[2];

static void note_time(struct netdev_timer *timer)
{
    *(uint64_t *)timer->arg = clock_ns();
}

TEST(loop_runs_a_timer_once_when_it_is_due)
{
    struct netdev_timer soon = {.run = note_time, .arg = &ran_ns[0]};
    struct netdev_timer never = {.run = note_time, .arg = &ran_ns[1]};

    begin_loop();
    loop.idle.limit = 0; /* a sleep ends in time for it */
    netdev_loop_at(&loop, &never, clock_ns() + 3600 * SECOND_NS);
    for (uint32_t round = 0; round < 3; round++) {
        ran_ns[0] = ran_ns[1] = 0;
        const uint64_t due_ns = clock_ns() + SECOND_NS / 500;
        netdev_loop_at(&loop, &soon, due_ns);
        turn_until(due_ns + SECOND_NS / 500, round == 1);
        CHECK(ran_ns[0] >= due_ns);
        const uint64_t first_ns = ran_ns[0];
        turn_until(clock_ns() + SECOND_NS / 500, round == 1);
        CHECK_EQ(ran_ns[0], first_ns);
        CHECK_EQ(ran_ns[1], 0);
    }
    netdev_loop_at(&loop, &soon, clock_ns());
    netdev_loop_at(&loop, &soon, NETDEV_TIMER_NEVER); /* called off */
    ran_ns[0] = 0;
    netdev_loop_turn(&loop, true);
    CHECK_EQ(ran_ns[0], 0);
}

static uint32_t ticks;

static void tick(struct netdev_timer *timer)
{
    ticks++;
    netdev_loop_at(timer->loop, timer, timer->due_ns + SECOND_NS / 1000);
}

TEST(loop_runs_a_timer_again_and_again_without_drifting)
{
    struct netdev_timer timer = {.run = tick};
    const uint64_t start_ns = clock_ns();

    begin_loop();
    ticks = 0;
    netdev_loop_at(&loop, &timer, start_ns);
    turn_until(start_ns + SECOND_NS / 100, true);
    while (timer.due_ns < clock_ns()) /* it catches up, a period a turn */
        turn_in_time(true);
    CHECK_EQ(timer.due_ns, start_ns + ticks * (SECOND_NS / 1000));
    CHECK(ticks >= 10);
}

/* --- netdev_send --------------------------------------------------------------------------------
 */

TEST(loop_send_drops_and_counts_what_finds_no_room)
{
    struct netbuf *packets[BUFFERS];

    begin_loop();
    tx_full = true;
    CHECK_EQ(netbuf_alloc_bulk(pool, packets, BUFFERS), BUFFERS);
    netdev_send(&mocks[0].dev, 0, packets, 1, 0);
    netdev_send(&mocks[0].dev, 0, packets + 1, BUFFERS - 1, NETDEV_PATIENCE_NS);
    netdev_send(&mocks[0].dev, 0, packets, 0, 0);
    CHECK_EQ(mocks[0].tx.stats.drops[NETDEV_DROP_NO_ROOM], BUFFERS);
    CHECK(netbuf_pool_whole(pool));
}

static uint32_t said;

static void say_it(void)
{
    said++;
}

TEST(loop_says_what_is_served_whenever_there_is_an_address)
{
    const struct ipv4_prefix first = {0x0a00020f, 24}, second = {0x0a000210, 24};

    begin_loop();
    said = 0;
    inet_set_address(&inet, INET_NO_ADDRESS);
    netdev_loop_host(&loop, &mocks[0].dev, 0, &inet, pool);
    netdev_loop_serves(&loop, say_it);
    turn_in_time(true);
    CHECK_EQ(said, 0);
    for (uint32_t time = 1; time <= 3; time++) { /* again, if it was gone meanwhile */
        inet_set_address(&inet, time == 2 ? second : first);
        turn_in_time(true);
        turn_in_time(false);
        CHECK_EQ(said, time);
        inet_set_address(&inet, time == 1 ? first : INET_NO_ADDRESS);
        turn_in_time(true);
        CHECK_EQ(said, time);
    }
    netdev_loop_serves(&loop, say_it);
    CHECK_EQ(said, 3);
}

TEST(loop_of_another_core_follows_the_host)
{
    static struct inet other;

    begin_loop();
    inet_init(&other, inet.mac, inet.prefix);
    netdev_loop_join(&loop, &other, &inet);
    CHECK(inet_has_address(&other));
    inet_set_address(&inet, INET_NO_ADDRESS);
    struct netbuf *nb = netbuf_alloc(pool);
    CHECK(!inet_next_packet(&inet, clock_ns(), nb)); /* which tells the others */
    netbuf_free(nb);
    turn_until(clock_ns() + 2 * loop.idle.wake_ns, true);
    CHECK(!inet_has_address(&other));
}
