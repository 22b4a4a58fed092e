/* SPDX-License-Identifier: BSD-2-Clause */
/* What tests of netfront begin and end with: the device, the back end, pools and packets. */
#include "netdev/netfront/netback_fake_test.h"

enum { FRAME = 100 };

struct netfront fake_front;
struct netdev *const fake_vif = &fake_front.base;

static struct netbuf_pool *make_pool(const char *name, uint16_t buf_bytes, uint16_t headroom_bytes)
{
    struct netbuf_pool *pool =
        netbuf_pool_create(&(struct netbuf_pool_conf){.name = name,
                                                      .count = FAKE_POOL,
                                                      .buf_bytes = buf_bytes,
                                                      .headroom_bytes = headroom_bytes});
    CHECK(pool);
    return pool;
}

struct netbuf_pool *fake_pages(void)
{
    static struct netbuf_pool *pool;

    return pool ? pool : (pool = make_pool("fake_pages", 4096, 64));
}

struct netbuf_pool *fake_small(void)
{
    static struct netbuf_pool *pool;

    return pool ? pool : (pool = make_pool("fake_small", 512, 128));
}

/* All zeroes but the memory that it has, which can't be given back. */
static void forget_front(void)
{
    struct netfront old = fake_front;

    netfront_grants_forget(&old);
    fake_front = (struct netfront){.pools_count = old.pools_count};
    memcpy(fake_front.rx, old.rx, sizeof old.rx);
    memcpy(fake_front.tx, old.tx, sizeof old.tx);
    memcpy(fake_front.pools, old.pools, sizeof old.pools);
    for (uint32_t q = 0; q < NETDEV_MAX_QUEUE_PAIRS; q++) {
        if (old.rx[q])
            netfront_rx_empty(&fake_front, old.rx[q]); /* of a test that failed */
        if (old.tx[q])
            netfront_tx_empty(old.tx[q]);
    }
}

void netback_begin(void)
{
    fake_xen_begin();
    fake_xen.changed = netback_react;
    netdev_control_timeout_ns = 1000000000;
    netback = (struct netback){0};
    netfront_vifs = (struct netfront_vifs){.watch = -1};
    netback_attach(FAKE_BACK, 0);
    forget_front();
    xen_on_resume(netfront_resumed, &fake_front);
    CHECK_EQ(netfront_init(&fake_front, 0), 0);
}

void netback_end(void)
{
    netdev_stop(fake_vif);
    for (uint32_t port = 1; port < FAKE_PORTS; port++)
        CHECK(!fake_xen.ports[port].used);
    CHECK_EQ(xen_grants_used(), 0);
    CHECK(netbuf_pool_whole(fake_pages()) && netbuf_pool_whole(fake_small()));
    netdev_control_timeout_ns = 1000000000;
}

int netback_start(uint16_t queue_pairs, uint16_t descs)
{
    struct netdev_info info;
    int error;

    netdev_info(fake_vif, &info);
    const struct netdev_conf conf = {.queue_pairs = queue_pairs, .offloads = info.offloads};
    const struct netdev_rxq_conf rx = {.descs = descs, .pool = fake_pages()};
    const struct netdev_txq_conf tx = {.descs = descs};
    if ((error = netdev_configure(fake_vif, &conf)))
        return error;
    for (uint16_t q = 0; q < queue_pairs; q++)
        if ((error = netdev_rxq_setup(fake_vif, q, &rx)) ||
            (error = netdev_txq_setup(fake_vif, q, &tx)))
            return error;
    return netdev_start(fake_vif);
}

bool fake_vif_link_up(void)
{
    fake_front.next_look_ns = fake_front.retry_ns = 0;
    return netdev_recover(fake_vif);
}

uint64_t fake_drops_rx(enum netdev_drop reason)
{
    struct netdev_queue_stats stats;

    return netdev_rxq_stats(fake_vif, 0, &stats) ? stats.drops[reason] : 0;
}

uint64_t fake_drops_tx(enum netdev_drop reason)
{
    struct netdev_queue_stats stats;

    return netdev_txq_stats(fake_vif, 0, &stats) ? stats.drops[reason] : 0;
}

/* --- packets -------------------------------------------------------------------------------- */

struct netbuf *fake_count_up(struct netbuf_pool *pool, uint8_t first, uint16_t len)
{
    struct netbuf *nb = netbuf_alloc(pool);

    CHECK(nb);
    uint8_t *bytes = netbuf_append(nb, len);
    CHECK(bytes);
    for (uint32_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(first + i);
    return nb;
}

bool fake_counts(const uint8_t *bytes, uint8_t first, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        if (bytes[i] != (uint8_t)(first + i))
            return false;
    return true;
}

void netback_check_traffic(uint32_t descs)
{
    static struct netbuf *bufs[NETFRONT_RING];
    static uint8_t frame[65536];
    uint16_t flags;

    for (uint16_t q = 0; q < netback.queues_count; q++) {
        for (uint32_t i = 0; i < descs; i++)
            CHECK(netback_send(q, (uint8_t)i, FRAME, 0));
        CHECK(!netback_send(q, 0, FRAME, 0));
        CHECK_EQ(netdev_rx_burst(fake_vif, q, bufs, descs), descs);
        for (uint32_t i = 0; i < descs; i++)
            CHECK(fake_counts(bufs[i]->data, (uint8_t)i, FRAME));
        CHECK_EQ(netdev_tx_burst(fake_vif, q, bufs, descs), descs);
        for (uint32_t i = 0; i < descs; i++)
            CHECK(netback_sent(q, frame, &flags) == FRAME && fake_counts(frame, (uint8_t)i, FRAME));
        CHECK_EQ(netdev_tx_reclaim(fake_vif, q), descs);
    }
}
