/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio_fake_test.c - a virtio-net device in memory: see virtio_fake_test.h. */
#include "netdev/virtio/virtio_fake_test.h"

struct fake fake;
struct virtio_net fake_net;
struct netdev *const fake_dev = &fake_net.base;
enum vring_kind fake_kind;

static const uint64_t all_features =
    VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM) |
    VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_MTU) | VIRTIO_BIT(VIRTIO_NET_F_STATUS) |
    VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |
    VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) |
    VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX) | VIRTIO_BIT(VIRTIO_NET_F_MQ) |
    VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) |
    VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);

/* --- transport ------------------------------------------------------------------------------ */

static uint8_t status(struct virtio_transport *t)
{
    (void)t;
    return fake.status;
}

static void set_status(struct virtio_transport *t, uint8_t value)
{
    const uint64_t mergeable = VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF);

    (void)t;
    CHECK(value == 0 || (fake.status & ~value) == 0); /* a driver clears no bit but by a reset */
    fake.given_up += (value & ~fake.status & VIRTIO_CONFIG_S_FAILED) != 0;
    if (value == 0) {
        fake.resets++;
        if (fake.never_resets)
            return;
        memset(fake.queues, 0, sizeof fake.queues);
        fake.driver_features = 0;
        fake.pairs = 1;
        fake.rss_bytes = 0;
        memset(fake.mac, 0, sizeof fake.mac);
    }
    if (fake.refuses_features || (fake.needs_mergeable && !(fake.driver_features & mergeable)))
        value &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
    fake.status = value;
}

static uint64_t features(struct virtio_transport *t)
{
    (void)t;
    return fake.features;
}

static void set_features(struct virtio_transport *t, uint64_t value)
{
    (void)t;
    CHECK_EQ(value & ~fake.features, 0);
    fake.driver_features = value;
}

static uint32_t config(struct virtio_transport *t, uint32_t offset, uint32_t width_bytes)
{
    uint32_t value = 0;

    (void)t;
    CHECK(offset % width_bytes == 0 && offset + width_bytes <= sizeof fake.config);
    memcpy(&value, (uint8_t *)&fake.config + offset, width_bytes);
    return value;
}

static uint32_t config_generation(struct virtio_transport *t)
{
    (void)t;
    fake.generation += fake.never_still;
    return fake.generation;
}

/* Where the control queue is depends on what was negotiated. */
static uint16_t control_queue(void)
{
    const bool several = fake.driver_features & VIRTIO_BIT(VIRTIO_NET_F_MQ);

    return several ? (uint16_t)(2 * fake.config.max_virtqueue_pairs) : VIRTIO_NET_CONTROL;
}

static uint32_t queue_size_max(struct virtio_transport *t, uint16_t q)
{
    const uint64_t control = VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);

    (void)t;
    if (fake.hides_control && q == control_queue() && !(fake.driver_features & control))
        return 0;
    return q < FAKE_QUEUES ? fake.queue_max[q] : 0;
}

static bool queue_enable(struct virtio_transport *t, uint16_t q,
                         const struct virtio_queue_place *place)
{
    (void)t;
    if (fake.refuses_queues || q >= FAKE_QUEUES || place->size > fake.queue_max[q])
        return false;
    CHECK(!fake.queues[q].enabled);
    CHECK(fake.status & VIRTIO_CONFIG_S_FEATURES_OK);
    CHECK(!(fake.status & VIRTIO_CONFIG_S_DRIVER_OK));
    CHECK(IS_POWER_OF_2(place->size));
    CHECK(place->desc % 16 == 0 && place->avail % 2 == 0 && place->used % 4 == 0);
    CHECK(place->size <= FAKE_RING_MAX || fake_kind == VRING_SPLIT);
    memset(&fake.queues[q], 0, sizeof fake.queues[q]);
    fake.queues[q].place = *place;
    fake.queues[q].enabled = fake.queues[q].avail_wrap = fake.queues[q].used_wrap = true;
    fake.status |= fake.hates_queues ? VIRTIO_CONFIG_S_NEEDS_RESET : 0;
    return true;
}

static void take_pairs(uint8_t cmd, const struct fake_piece *says)
{
    fake.pairs_commands++;
    fake.rss_bytes = 0;
    if (cmd == VIRTIO_NET_CTRL_MQ_RSS_CONFIG) {
        CHECK(fake.driver_features & VIRTIO_BIT(VIRTIO_NET_F_RSS));
        CHECK(says->len <= sizeof fake.rss);
        memcpy(fake.rss, says->addr, says->len);
        fake.rss_bytes = says->len;
        return;
    }
    CHECK(cmd == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET && says->len == sizeof fake.pairs);
    memcpy(&fake.pairs, says->addr, sizeof fake.pairs);
}

static void carry_out(uint8_t class, uint8_t cmd, const struct fake_piece *says)
{
    if (class == VIRTIO_NET_CTRL_MQ) {
        take_pairs(cmd, says);
    } else if (class == VIRTIO_NET_CTRL_MAC) {
        CHECK(cmd == VIRTIO_NET_CTRL_MAC_ADDR_SET && says->len == sizeof fake.mac);
        CHECK(fake.driver_features & VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR));
        memcpy(fake.mac, says->addr, sizeof fake.mac);
    } else if (class == VIRTIO_NET_CTRL_ANNOUNCE) {
        CHECK(cmd == VIRTIO_NET_CTRL_ANNOUNCE_ACK && says->len == 0);
        CHECK(fake.driver_features & VIRTIO_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE));
        fake.announcements++;
        if (!fake.refuses_commands)
            fake.config.status &= (uint16_t)~VIRTIO_NET_S_ANNOUNCE;
    } else {
        CHECK(class == VIRTIO_NET_CTRL_RX && says->len == 1);
        CHECK(fake.driver_features & VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX));
        if (cmd == VIRTIO_NET_CTRL_RX_ALLMULTI) {
            fake.allmulti_on = *says->addr;
            return;
        }
        CHECK_EQ(cmd, VIRTIO_NET_CTRL_RX_PROMISC);
        fake.promisc++;
        fake.promisc_on = *says->addr;
    }
}

/* Carries out a command: the last descriptor is to answer in, those before are to read. */
static void answer_command(void)
{
    static const struct fake_piece nothing;
    struct fake_piece pieces[3];
    uint32_t id;

    while (!fake.silent && fake_take(control_queue(), &id)) {
        const uint32_t last = fake_chain(control_queue(), id, pieces, 3) - 1;
        CHECK(last == 1 || last == 2);
        CHECK(!pieces[0].device_writes && !pieces[last - 1].device_writes);
        CHECK(pieces[0].len == 2 && pieces[last].len == 1 && pieces[last].device_writes);
        carry_out(pieces[0].addr[0], pieces[0].addr[1], last == 2 ? &pieces[1] : &nothing);
        *pieces[last].addr = fake.refuses_commands ? VIRTIO_NET_ERR : VIRTIO_NET_OK;
        fake_use(control_queue(), id, 1);
    }
}

static void kick(struct virtio_transport *t, uint16_t q)
{
    (void)t;
    CHECK(q < FAKE_QUEUES && fake.queues[q].enabled);
    CHECK(fake.status & VIRTIO_CONFIG_S_DRIVER_OK && !(fake.status & VIRTIO_CONFIG_S_FAILED));
    fake.queues[q].kicks++;
    if (q == control_queue())
        answer_command();
}

static bool arm(struct virtio_transport *t, uint16_t q, bool on)
{
    void (*const hook)(void) = fake.on_arm;

    CHECK(t && q == VIRTIO_NET_RX);
    fake.queues[q].armed = on;
    if (on && hook) {
        fake.on_arm = NULL;
        hook();
    }
    return !fake.never_interrupts;
}

static bool stop_dma(struct virtio_transport *t)
{
    (void)t;
    CHECK(fake.status != 0);
    return fake.can_stop_dma;
}

static const struct virtio_transport_ops ops = {
    .status = status,
    .set_status = set_status,
    .features = features,
    .set_features = set_features,
    .config = config,
    .config_generation = config_generation,
    .queue_size_max = queue_size_max,
    .queue_enable = queue_enable,
    .kick = kick,
    .arm = arm,
    .stop_dma = stop_dma,
};

/* --- set-up --------------------------------------------------------------------------------- */

static struct netbuf_pool *make_pool(struct netbuf_pool **pool, uint32_t count, uint16_t buf_bytes)
{
    const struct netbuf_pool_conf conf = {
        .name = "fake", .count = count, .buf_bytes = buf_bytes, .headroom_bytes = 64};

    if (!*pool)
        *pool = netbuf_pool_create(&conf);
    CHECK(*pool != NULL);
    return *pool;
}

struct netbuf_pool *fake_pool(void)
{
    static struct netbuf_pool *pool;

    return make_pool(&pool, FAKE_POOL, 2048);
}

struct netbuf_pool *fake_small_pool(void)
{
    static struct netbuf_pool *pool;

    return make_pool(&pool, FAKE_SMALL_POOL, FAKE_SMALL_BUF);
}

void fake_reset_at_last(void)
{
    fake.never_resets = false;
    CHECK_EQ(netdev_configure(fake_dev, &(struct netdev_conf){.queue_pairs = 1}), 0);
}

int fake_examine(void)
{
    return virtio_net_init(&fake_net, &fake.base);
}

/* Clears the driver, but keeps its rings' memory, as nothing gives it back. */
static void clear_net(void)
{
    const struct virtio_net old = fake_net;

    memset(&fake_net, 0, sizeof fake_net);
    for (uint32_t q = 0; q < NETDEV_MAX_QUEUE_PAIRS; q++) {
        fake_net.rx[q].memory = old.rx[q].memory;
        fake_net.rx[q].memory_bytes = old.rx[q].memory_bytes;
        fake_net.tx[q].memory = old.tx[q].memory;
        fake_net.tx[q].memory_bytes = old.tx[q].memory_bytes;
    }
    fake_net.control.memory = old.control.memory;
    fake_net.control.memory_bytes = old.control.memory_bytes;
}

void fake_begin(void)
{
    static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3};

    if (fake_net.base.state == NETDEV_STARTED)
        netdev_stop(fake_dev); /* a test before this one failed */
    if (fake_net.base.ops)
        fake_reset_at_last();
    clear_net();
    netdev_control_timeout_ns = 20000000; /* a device that never answers shall cost little */
    memset(&fake, 0, sizeof fake);
    fake.base = (struct virtio_transport){.ops = &ops, .driver = "fake", .where = "fake 0"};
    fake.features = all_features;
    if (fake_kind == VRING_PACKED)
        fake.features |= VIRTIO_BIT(VIRTIO_F_RING_PACKED);
    memcpy(fake.config.mac, mac, 6);
    fake.config.status = VIRTIO_NET_S_LINK_UP;
    fake.config.mtu = 1500;
    for (uint32_t q = 0; q < FAKE_QUEUES; q++)
        fake.queue_max[q] = 256;
    CHECK_EQ(fake_examine(), 0);
}

int fake_start(struct netbuf_pool *pool, uint16_t rx_descs, uint16_t tx_descs)
{
    struct netdev_info info;
    int error;

    netdev_info(fake_dev, &info);
    const struct netdev_conf conf = {.queue_pairs = 1, .offloads = info.offloads};
    const struct netdev_rxq_conf rx = {.descs = rx_descs, .pool = pool};
    const struct netdev_txq_conf tx = {.descs = tx_descs};
    if ((error = netdev_configure(fake_dev, &conf)) ||
        (error = netdev_rxq_setup(fake_dev, 0, &rx)) ||
        (error = netdev_txq_setup(fake_dev, 0, &tx)))
        return error;
    return netdev_start(fake_dev);
}

int fake_start_pairs(struct netbuf_pool *const *pools, uint16_t pairs, uint16_t descs)
{
    const struct netdev_conf conf = {.queue_pairs = pairs};
    const struct netdev_txq_conf tx = {.descs = descs};
    int error = netdev_configure(fake_dev, &conf);

    for (uint16_t q = 0; q < pairs && !error; q++) {
        const struct netdev_rxq_conf rx = {.descs = descs, .pool = pools[q]};
        if (!(error = netdev_rxq_setup(fake_dev, q, &rx)))
            error = netdev_txq_setup(fake_dev, q, &tx);
    }
    return error ? error : netdev_start(fake_dev);
}

void fake_end(void)
{
    if (fake_net.base.state == NETDEV_STARTED)
        CHECK_EQ(netdev_stop(fake_dev), 0);
    CHECK(netbuf_pool_whole(fake_pool()));
    CHECK(netbuf_pool_whole(fake_small_pool()));
}
