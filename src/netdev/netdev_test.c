/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of netdev.c: which call is allowed in which state, and the limits of arguments. */
#include "boot/test.h"
#include "netdev/netdev.h"

/* A driver that does as it is told, or fails where it is told to. */
static struct {
    struct netdev dev;
    struct netdev_queue rx, tx;
    int configure_error, setup_error, start_error;
    uint32_t stops, bursts;
    uint16_t rx_descs, tx_descs;
    uint16_t mtu;
} mock;

static void mock_info(struct netdev *dev, struct netdev_info *info)
{
    (void)dev;
    info->queue_pairs_max = 2;
    info->driver = "mock";
    format(info->where, sizeof info->where, "nowhere 1");
    info->mtu_max_bytes = 9000;
    info->descs_min = 8;
    info->rx_descs_max = 512;
    info->tx_descs_max = 128;
    info->descs_power_of_2 = true;
    info->headroom_bytes = 12;
    info->rx_buf_min_bytes = 1518;
    info->offloads = NETDEV_OFFLOAD_SG;
}

static int mock_configure(struct netdev *dev, const struct netdev_conf *conf)
{
    (void)dev, (void)conf;
    return mock.configure_error;
}

static int mock_rxq_setup(struct netdev *dev, uint16_t q, const struct netdev_rxq_conf *conf)
{
    if (mock.setup_error)
        return mock.setup_error;
    mock.rx_descs = conf->descs;
    dev->rxq[q] = &mock.rx;
    return 0;
}

static int mock_txq_setup(struct netdev *dev, uint16_t q, const struct netdev_txq_conf *conf)
{
    mock.tx_descs = conf->descs;
    dev->txq[q] = &mock.tx;
    return 0;
}

static int mock_start(struct netdev *dev)
{
    (void)dev;
    return mock.start_error;
}

static void mock_stop(struct netdev *dev)
{
    (void)dev;
    mock.stops++;
}

static bool mock_recover(struct netdev *dev)
{
    (void)dev;
    return true;
}

static int mock_set_promisc(struct netdev *dev, bool on)
{
    (void)dev, (void)on;
    return 0;
}

static int mock_set_mtu(struct netdev *dev, uint16_t mtu_bytes)
{
    (void)dev;
    mock.mtu = mtu_bytes;
    return 0;
}

static int mock_rx_intr(struct netdev *dev, uint16_t q, bool on)
{
    (void)dev, (void)q, (void)on;
    return NETDEV_ENOTSUP;
}

static uint32_t mock_burst(struct netdev_queue *q, struct netbuf **bufs, uint32_t n)
{
    (void)q, (void)bufs;
    mock.bursts++;
    return n;
}

static uint32_t mock_reclaim(struct netdev_queue *q)
{
    (void)q;
    mock.bursts++;
    return 3;
}

static const struct netdev_ops mock_ops = {
    .info = mock_info,
    .configure = mock_configure,
    .rxq_setup = mock_rxq_setup,
    .txq_setup = mock_txq_setup,
    .start = mock_start,
    .stop = mock_stop,
    .recover = mock_recover,
    .set_promisc = mock_set_promisc,
    .set_mtu = mock_set_mtu,
    .rx_intr = mock_rx_intr,
    .rx_burst = mock_burst,
    .tx_burst = mock_burst,
    .tx_reclaim = mock_reclaim,
};

static struct netdev *const dev = &mock.dev;
static const struct netdev_conf one_pair = {.queue_pairs = 1};
static const struct netdev_txq_conf tx_default = {0};

static struct netbuf_pool *pool_of(uint32_t count, uint16_t buf_bytes, uint16_t headroom_bytes)
{
    const struct netbuf_pool_conf conf = {
        .name = "netdev", .count = count, .buf_bytes = buf_bytes, .headroom_bytes = headroom_bytes};
    struct netbuf_pool *pool = netbuf_pool_create(&conf);

    CHECK(pool != NULL);
    return pool;
}

static struct netdev_rxq_conf rx_default(void)
{
    static struct netbuf_pool *pool;

    if (!pool)
        pool = pool_of(64, 2048, 64);
    return (struct netdev_rxq_conf){.pool = pool};
}

static void begin(void)
{
    memset(&mock, 0, sizeof mock);
    mock.dev.ops = &mock_ops;
}

static void begin_started(void)
{
    begin();
    CHECK_EQ(netdev_open(dev, rx_default().pool, 0), 0);
}

TEST(netdev_calls_in_the_wrong_state)
{
    const struct netdev_rxq_conf rx = rx_default();
    struct netbuf *bufs[1];

    begin();
    CHECK_EQ(netdev_rxq_setup(dev, 0, &rx), NETDEV_ESTATE);
    CHECK_EQ(netdev_txq_setup(dev, 0, &tx_default), NETDEV_ESTATE);
    CHECK_EQ(netdev_start(dev), NETDEV_ESTATE);
    CHECK_EQ(netdev_stop(dev), NETDEV_ESTATE);
    CHECK_EQ(netdev_set_promisc(dev, true), NETDEV_ESTATE);
    CHECK_EQ(netdev_rx_intr(dev, 0, true), NETDEV_ESTATE);
    CHECK_EQ(netdev_configure(dev, &one_pair), 0);
    CHECK_EQ(netdev_start(dev), NETDEV_ESTATE); /* queues aren't set up */
    CHECK_EQ(netdev_rxq_setup(dev, 0, &rx), 0);
    CHECK_EQ(netdev_rxq_setup(dev, 0, &rx), NETDEV_ESTATE); /* once only */
    CHECK_EQ(netdev_start(dev), NETDEV_ESTATE);
    CHECK_EQ(netdev_txq_setup(dev, 0, &tx_default), 0);
    CHECK_EQ(netdev_txq_setup(dev, 0, &tx_default), NETDEV_ESTATE);
    CHECK_EQ(netdev_rx_burst(dev, 0, bufs, 1), 0);
    CHECK_EQ(netdev_tx_burst(dev, 0, bufs, 1), 0);
    CHECK_EQ(netdev_tx_reclaim(dev, 0), 0);
    CHECK_EQ(mock.bursts, 0);
    CHECK_EQ(netdev_start(dev), 0);
    CHECK_EQ(netdev_configure(dev, &one_pair), NETDEV_ESTATE);
    CHECK_EQ(netdev_start(dev), NETDEV_ESTATE);
    CHECK_EQ(netdev_set_mtu(dev, 1500), NETDEV_ESTATE);
    CHECK_EQ(netdev_open(dev, rx.pool, 0), NETDEV_ESTATE);
    CHECK_EQ(mock.stops, 0);
    CHECK_EQ(netdev_stop(dev), 0);
    CHECK_EQ(netdev_stop(dev), NETDEV_ESTATE);
    CHECK_EQ(netdev_start(dev), NETDEV_ESTATE); /* configure first */
    CHECK_EQ(mock.stops, 1);
}

TEST(netdev_states_and_bursts)
{
    struct netdev_queue_stats stats;
    struct netdev_info info;
    struct netbuf *bufs[1];

    begin_started();
    netdev_info(dev, &info);
    CHECK_EQ(info.state, NETDEV_STARTED);
    mock.rx.more = 5;
    mock.tx.room = 6;
    mock.rx.stats.packets = 7;
    CHECK_EQ(netdev_rx_burst(dev, 0, bufs, 1), 1);
    CHECK_EQ(netdev_tx_burst(dev, 0, bufs, 1), 1);
    CHECK_EQ(netdev_tx_reclaim(dev, 0), 3);
    CHECK_EQ(netdev_rx_more(dev, 0), 5);
    CHECK_EQ(netdev_tx_room(dev, 0), 6);
    CHECK_EQ(netdev_rx_burst(dev, 1, bufs, 1), 0);
    CHECK_EQ(netdev_rx_more(dev, 1), 0);
    CHECK(netdev_rxq_stats(dev, 0, &stats));
    CHECK_EQ(stats.packets, 7);
    CHECK(!netdev_rxq_stats(dev, 1, &stats));
    CHECK(!netdev_txq_stats(dev, UINT16_MAX, &stats));
    CHECK_EQ(netdev_rx_intr(dev, 0, true), NETDEV_ENOTSUP);
    CHECK_EQ(netdev_rx_intr(dev, 1, true), NETDEV_EINVAL);
    CHECK_EQ(netdev_set_promisc(dev, true), 0);
    CHECK(netdev_recover(dev));
    CHECK_EQ(netdev_stop(dev), 0);
    CHECK_EQ(netdev_rx_burst(dev, 0, bufs, 1), 0);
    CHECK(netdev_rxq_stats(dev, 0, &stats)); /* counters are there until configure */
    CHECK_EQ(netdev_open(dev, rx_default().pool, 0), 0);
}

TEST(netdev_failures_lead_back_to_found)
{
    const struct netdev_rxq_conf rx = rx_default();
    struct netdev_info info;

    begin();
    mock.configure_error = NETDEV_ETIMEOUT;
    CHECK_EQ(netdev_configure(dev, &one_pair), NETDEV_ETIMEOUT);
    CHECK_EQ(mock.stops, 1);
    mock.configure_error = 0;
    mock.setup_error = NETDEV_ENOMEM;
    CHECK_EQ(netdev_open(dev, rx.pool, 0), NETDEV_ENOMEM);
    mock.setup_error = 0;
    mock.start_error = NETDEV_EDEVICE;
    CHECK_EQ(netdev_open(dev, rx.pool, 0), NETDEV_EDEVICE);
    CHECK_EQ(mock.stops, 2);
    netdev_info(dev, &info);
    CHECK_EQ(info.state, NETDEV_FOUND);
    CHECK(dev->rxq[0] == NULL && dev->txq[0] == NULL);
    mock.start_error = 0;
    CHECK_EQ(netdev_open(dev, rx.pool, 0), 0);
}

TEST(netdev_configure_limits)
{
    struct netdev_conf conf = one_pair;

    begin();
    CHECK_PANICS(netdev_configure(dev, NULL));
    conf.queue_pairs = 0;
    CHECK_EQ(netdev_configure(dev, &conf), NETDEV_EINVAL);
    conf.queue_pairs = 3;
    CHECK_EQ(netdev_configure(dev, &conf), NETDEV_EINVAL);
    conf.queue_pairs = 2;
    conf.offloads = NETDEV_OFFLOAD_SG | NETDEV_OFFLOAD_TX_CSUM;
    CHECK_EQ(netdev_configure(dev, &conf), NETDEV_ENOTSUP);
    conf.offloads = NETDEV_OFFLOAD_SG;
    CHECK_EQ(netdev_configure(dev, &conf), 0);
    CHECK_EQ(netdev_set_mtu(dev, 67), NETDEV_EINVAL);
    CHECK_EQ(netdev_set_mtu(dev, 9001), NETDEV_EINVAL);
    CHECK_EQ(netdev_set_mtu(dev, 9000), 0);
    CHECK_EQ(mock.mtu, 9000);
    CHECK_EQ(netdev_open(dev, rx_default().pool, ~0u), 0); /* takes what there is */
}

TEST(netdev_queue_limits)
{
    static const uint16_t bad[] = {4, 7, 12, 1024, UINT16_MAX};
    struct netdev_rxq_conf rx = rx_default();
    struct netdev_txq_conf tx = {0};

    begin();
    CHECK_EQ(netdev_configure(dev, &one_pair), 0);
    CHECK_PANICS(netdev_rxq_setup(dev, 0, NULL));
    CHECK_PANICS(netdev_txq_setup(dev, 0, NULL));
    CHECK_EQ(netdev_rxq_setup(dev, 1, &rx), NETDEV_EINVAL);
    CHECK_EQ(netdev_txq_setup(dev, 1, &tx), NETDEV_EINVAL);
    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++) {
        rx.descs = tx.descs = bad[i];
        CHECK_EQ(netdev_rxq_setup(dev, 0, &rx), NETDEV_EINVAL);
        CHECK_EQ(netdev_txq_setup(dev, 0, &tx), NETDEV_EINVAL);
    }
    rx.descs = 128; /* the pool has 64 */
    CHECK_EQ(netdev_rxq_setup(dev, 0, &rx), NETDEV_ENOMEM);
    rx = (struct netdev_rxq_conf){.pool = NULL};
    CHECK_PANICS(netdev_rxq_setup(dev, 0, &rx));
    rx.pool = pool_of(8, 2048, 8); /* too little headroom */
    CHECK_EQ(netdev_rxq_setup(dev, 0, &rx), NETDEV_EINVAL);
    rx.pool = pool_of(8, 2048, 2048 - 1517); /* too little room behind it */
    CHECK_EQ(netdev_rxq_setup(dev, 0, &rx), NETDEV_EINVAL);
    rx.pool = pool_of(8, 2048, 2048 - 1518);
    CHECK_EQ(netdev_rxq_setup(dev, 0, &rx), 0);
    CHECK_EQ(mock.rx_descs, 8); /* no more than the pool has */
    CHECK_EQ(netdev_txq_setup(dev, 0, &tx_default), 0);
    CHECK_EQ(mock.tx_descs, 128); /* no more than the device has */
}

TEST(netdev_every_error_and_drop_has_a_name)
{
    for (int error = NETDEV_EAGAIN; error <= NETDEV_OK; error++)
        CHECK(strcmp(netdev_strerror(error), "an unknown error") != 0);
    CHECK_STR(netdev_strerror(NETDEV_EAGAIN - 1), "an unknown error");
    for (uint32_t i = 0; i < NETDEV_DROP_REASONS; i++)
        CHECK(netdev_drop_names[i] != NULL);
}

TEST(netdev_registers_so_many_devices)
{
    static struct netdev many[NETDEV_MAX];
    uint32_t found = netdev_probe();

    for (uint32_t i = found; i < NETDEV_MAX; i++) {
        many[i].ops = &mock_ops;
        CHECK(netdev_register(&many[i]));
        CHECK(netdev_get(i) == &many[i]);
    }
    CHECK(!netdev_register(dev));
    CHECK_EQ(netdev_probe(), NETDEV_MAX); /* only counts now */
    CHECK(netdev_get(NETDEV_MAX) == NULL);
}
