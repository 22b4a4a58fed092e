/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of queues that several cores use, each its own: with as many cores as the key `cores` says;
 * one is fine, too. */
#include "boot/boot.h"
#include "netdev/virtio/virtio_fake_test.h"

enum { DESCS = 16, FRAME = 100, BUFFERS = 64, ROUNDS = 20, TURNS = 16 };

/* What the cores leave to be checked, as a test fails on core 0 alone. */
static struct {
    struct netbuf_pool *pool;
    uint64_t moved, up, down;
} __attribute__((aligned(CACHE_LINE))) of_core[BOOT_CORES_MAX];
static bool over, gone;
static uint32_t recovered;

static void begin(void)
{
    const struct netbuf_pool_conf conf = {
        .name = "cores", .count = BUFFERS, .buf_bytes = 2048, .headroom_bytes = 64};
    struct netbuf_pool *pools[BOOT_CORES_MAX];

    fake_begin();
    fake.config.max_virtqueue_pairs = NETDEV_MAX_QUEUE_PAIRS;
    CHECK_EQ(fake_examine(), 0);
    for (uint32_t core = 0; core < boot_cores(); core++) {
        if (!of_core[core].pool)
            of_core[core].pool = netbuf_pool_create(&conf);
        pools[core] = of_core[core].pool;
        of_core[core].moved = of_core[core].up = of_core[core].down = 0;
    }
    CHECK_EQ(fake_start_pairs(pools, (uint16_t)boot_cores(), DESCS), 0);
    recovered = 0;
    over = gone = false;
}

static void end(void)
{
    fake_end();
    for (uint32_t core = 0; core < boot_cores(); core++)
        CHECK(netbuf_pool_whole(of_core[core].pool));
}

/* Sends what the ring takes, and uses the pool beside it. */
static void use_queues(uint32_t core)
{
    struct netbuf *bufs[DESCS];
    const uint16_t q = (uint16_t)core;

    for (uint32_t turn = 0; turn < TURNS; turn++) {
        uint32_t n = netbuf_alloc_bulk(of_core[core].pool, bufs, DESCS);
        for (uint32_t i = 0; i < n; i++)
            memset(netbuf_append(bufs[i], FRAME), (int)core, FRAME);
        uint32_t took = netdev_tx_burst(fake_dev, q, bufs, n);
        netbuf_free_bulk(bufs + took, n - took);
        of_core[core].moved += took;
        n = netdev_rx_burst(fake_dev, q, bufs, DESCS);
        netbuf_free_bulk(bufs, n);
    }
}

static void look_at_link(uint32_t core)
{
    if (netdev_recover(fake_dev))
        of_core[core].up++;
    else
        of_core[core].down++;
}

/* On core 0: until the device is back, while the others go on. */
static bool recover(void)
{
    fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    fake_net.lost.next_try_ns = 0;
    while (!netdev_recover(fake_dev)) {
        use_queues(0);
        if (test_is_late())
            return false;
    }
    return true;
}

static void lose_device(uint32_t core)
{
    while (!load_acquire(&over) && !test_is_late()) {
        use_queues(core);
        if (core != 0) {
            look_at_link(core);
            continue;
        }
        recovered += recover();
        store_release(&over, ++of_core[0].up >= ROUNDS);
    }
}

TEST(netdev_cores_use_a_device_that_goes_and_comes_back)
{
    struct netdev_queue_stats stats;

    begin();
    boot_run(lose_device);
    CHECK_EQ(recovered, ROUNDS);
    for (uint16_t q = 0; q < boot_cores(); q++) {
        CHECK(netdev_txq_stats(fake_dev, q, &stats));
        CHECK_EQ(stats.packets, of_core[q].moved);
        CHECK(stats.drops[NETDEV_DROP_STOP] <= stats.packets);
        CHECK(q > 0 || stats.packets > 0);
    }
    end();
}

/* The others end before the device goes: nobody waits for them. */
static void end_early(uint32_t core)
{
    use_queues(core);
    if (core == 0)
        recovered += recover();
}

TEST(netdev_cores_that_ended_are_not_waited_for)
{
    begin();
    boot_run(end_early);
    CHECK_EQ(recovered, 1);
    end();
}

/* Core 0 asks the others to meet, and never comes again: they go on, and tell that the link is
 * down, which is what it saw last. */
static void ask_and_leave(uint32_t core)
{
    if (core == 0) {
        fake.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        fake.refuses_features = true;
        fake_net.lost.next_try_ns = 0;
        netdev_recover(fake_dev);
        store_release(&gone, true);
        return;
    }
    while (!load_acquire(&gone) && !test_is_late())
        __builtin_ia32_pause();
    look_at_link(core);
}

TEST(netdev_cores_wait_for_nobody_who_does_not_come)
{
    begin();
    uint64_t start_ns = clock_ns();
    boot_run(ask_and_leave);
    for (uint32_t core = 1; core < boot_cores(); core++)
        CHECK(of_core[core].down == 1 && of_core[core].up == 0);
    CHECK(clock_ns() - start_ns < 20000000000ull); /* it did end */
    fake.refuses_features = false;
    fake_net.lost.next_try_ns = 0;
    CHECK(netdev_recover(fake_dev)); /* nobody else runs now */
    end();
}

/* Core 0 asks, and before anybody came there is no need any more. */
static void ask_in_vain(uint32_t core)
{
    if (core == 0) {
        netdev_hold_others();
        netdev_ask_no_more();
        store_release(&gone, true);
        return;
    }
    while (!load_acquire(&gone) && !test_is_late())
        __builtin_ia32_pause();
    netdev_meet();
    of_core[core].up = 1;
}

TEST(netdev_cores_that_need_not_meet_go_on)
{
    begin();
    for (uint32_t round = 0; round < ROUNDS; round++) {
        gone = false;
        boot_run(ask_in_vain);
        netdev_let_go(); /* if all had ended before core 0 asked, it has what it asked for */
    }
    end();
}

/* Somebody wants the device back, and doesn't any more before the others came: nobody waits. */
static bool wanted;

static bool is_wanted(struct virtio_transport *t)
{
    (void)t;
    return wanted;
}

/* As where nobody else runs: core 0 needs to ask nobody. */
static void give_at_once(struct virtio_transport *t)
{
    CHECK(boot_others() == 0 && t->ops->status(t) == 0);
}

static void want_in_vain(uint32_t core)
{
    uint64_t least_ns = UINT64_MAX;

    if (core == 0) {
        wanted = true;
        netdev_recover(fake_dev);
        wanted = false;
        netdev_recover(fake_dev);
        store_release(&gone, true);
        return;
    }
    while (!load_acquire(&gone))
        __builtin_ia32_pause();
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const uint64_t start_ns = clock_ns();
        netdev_meet();
        least_ns = MIN(least_ns, clock_ns() - start_ns);
    }
    of_core[core].up = least_ns < NETDEV_LOOK_NS;
}

TEST(netdev_cores_go_on_with_a_device_that_is_not_wanted_back_any_more)
{
    static struct virtio_transport_ops ops;

    begin();
    ops = *fake.base.ops;
    ops.wanted_back = is_wanted;
    ops.give_back = give_at_once;
    fake.base.ops = &ops;
    boot_run(want_in_vain);
    for (uint32_t core = 1; core < boot_cores(); core++)
        CHECK_EQ(of_core[core].up, 1);
    end();
}
