/* virtio_fake_test.c - a virtio-net device in memory: see virtio_fake_test.h. */
#include "netdev/virtio_fake_test.h"

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
    if (value == 0) {
        fake.resets++;
        if (fake.never_resets)
            return;
        memset(fake.queues, 0, sizeof fake.queues);
        fake.driver_features = 0;
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

static uint32_t queue_size_max(struct virtio_transport *t, uint16_t q)
{
    (void)t;
    return q < FAKE_QUEUES ? fake.queue_max[q] : 0;
}

static bool queue_enable(struct virtio_transport *t, uint16_t q,
                         const struct virtio_queue_place *place)
{
    (void)t;
    CHECK(q < FAKE_QUEUES && !fake.queues[q].enabled);
    CHECK(fake.status & VIRTIO_CONFIG_S_FEATURES_OK);
    CHECK(!(fake.status & VIRTIO_CONFIG_S_DRIVER_OK));
    CHECK(place->size <= fake.queue_max[q] && IS_POWER_OF_2(place->size));
    CHECK(place->desc % 16 == 0 && place->avail % 2 == 0 && place->used % 4 == 0);
    if (fake.refuses_queues)
        return false;
    CHECK(place->size <= FAKE_RING_MAX || fake_kind == VRING_SPLIT);
    memset(&fake.queues[q], 0, sizeof fake.queues[q]);
    fake.queues[q].place = *place;
    fake.queues[q].enabled = fake.queues[q].avail_wrap = fake.queues[q].used_wrap = true;
    return true;
}

/* Carries out a command: the first two descriptors are to read, the third to answer in. */
static void answer_command(void)
{
    struct fake_piece pieces[3];
    uint32_t id;

    while (!fake.silent && fake_take(VIRTIO_NET_CONTROL, &id)) {
        CHECK_EQ(fake_chain(VIRTIO_NET_CONTROL, id, pieces, 3), 3);
        CHECK(!pieces[0].device_writes && !pieces[1].device_writes && pieces[2].device_writes);
        CHECK(pieces[0].len == 2 && pieces[1].len == 1 && pieces[2].len == 1);
        fake.promisc++;
        fake.promisc_on = *pieces[1].addr;
        *pieces[2].addr = fake.refuses_commands ? VIRTIO_NET_ERR : VIRTIO_NET_OK;
        fake_use(VIRTIO_NET_CONTROL, id, 1);
    }
}

static void kick(struct virtio_transport *t, uint16_t q)
{
    (void)t;
    CHECK(q < FAKE_QUEUES && fake.queues[q].enabled);
    CHECK(fake.status & VIRTIO_CONFIG_S_DRIVER_OK);
    fake.queues[q].kicks++;
    if (q == VIRTIO_NET_CONTROL)
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

int fake_examine(void)
{
    return virtio_net_init(&fake_net, &fake.base);
}

/* Clears the driver, but keeps its rings' memory, as nothing gives it back. */
static void clear_net(void)
{
    const struct virtio_net old = fake_net;

    memset(&fake_net, 0, sizeof fake_net);
    fake_net.rx.memory = old.rx.memory;
    fake_net.rx.memory_bytes = old.rx.memory_bytes;
    fake_net.tx.memory = old.tx.memory;
    fake_net.tx.memory_bytes = old.tx.memory_bytes;
    fake_net.control.memory = old.control.memory;
    fake_net.control.memory_bytes = old.control.memory_bytes;
}

void fake_begin(void)
{
    static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3};

    if (fake_net.base.state == NETDEV_STARTED)
        netdev_stop(fake_dev); /* a test before this one failed */
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

void fake_end(void)
{
    if (fake_net.base.state == NETDEV_STARTED)
        CHECK_EQ(netdev_stop(fake_dev), 0);
    CHECK(netbuf_pool_whole(fake_pool()));
    CHECK(netbuf_pool_whole(fake_small_pool()));
}

/* --- the device's side ---------------------------------------------------------------------- */

struct vring_desc *fake_desc(uint16_t q, uint32_t id)
{
    CHECK(fake.queues[q].enabled && id < fake.queues[q].place.size && fake_kind == VRING_SPLIT);
    return (struct vring_desc *)fake.queues[q].place.desc + id;
}

struct vring_used *fake_used(uint16_t q)
{
    CHECK(fake.queues[q].enabled && fake_kind == VRING_SPLIT);
    return (struct vring_used *)fake.queues[q].place.used;
}

struct vring_packed_desc *fake_slots(uint16_t q)
{
    CHECK(fake.queues[q].enabled && fake_kind == VRING_PACKED);
    return (struct vring_packed_desc *)fake.queues[q].place.desc;
}

static bool take_split(struct fake_queue *queue, uint32_t *id)
{
    const struct vring_avail *avail = (const struct vring_avail *)queue->place.avail;

    if (load_acquire(&avail->idx) == queue->avail_idx)
        return false;
    CHECK((uint16_t)(avail->idx - queue->avail_idx) <= queue->place.size);
    fake_wants_kicks(queue);
    *id = avail->ring[queue->avail_idx++ % queue->place.size];
    return true;
}

static void advance(const struct fake_queue *queue, uint16_t *idx, bool *wrap, uint32_t count)
{
    *idx = (uint16_t)(*idx + count);
    if (*idx >= queue->place.size) {
        *idx = (uint16_t)(*idx - queue->place.size);
        *wrap = !*wrap;
    }
}

static bool take_packed(struct fake_queue *queue, uint32_t *id)
{
    const struct vring_packed_desc *slots = (const void *)queue->place.desc;
    const uint16_t first = queue->avail_idx;
    uint16_t flags = load_acquire(&slots[first].flags), count = 0;

    if (!(flags & VRING_PACKED_AVAIL) == queue->avail_wrap ||
        !(flags & VRING_PACKED_USED) != queue->avail_wrap)
        return false;
    do {
        queue->taken[queue->avail_idx] = slots[queue->avail_idx];
        flags = slots[queue->avail_idx].flags;
        *id = slots[queue->avail_idx].id;
        advance(queue, &queue->avail_idx, &queue->avail_wrap, 1);
        if (++count > queue->place.size || *id >= queue->place.size)
            return false; /* a test has overwritten the ring */
    } while (flags & VRING_DESC_F_NEXT);
    queue->chains[*id].at = first;
    queue->chains[*id].count = count;
    return true;
}

bool fake_take(uint16_t q, uint32_t *id)
{
    struct fake_queue *queue = &fake.queues[q];

    if (!queue->enabled)
        return false;
    return fake_kind == VRING_PACKED ? take_packed(queue, id) : take_split(queue, id);
}

static void use_packed(struct fake_queue *queue, uint32_t id, uint32_t len)
{
    struct vring_packed_desc *slot = (void *)queue->place.desc;
    const uint16_t flags = queue->used_wrap ? VRING_PACKED_AVAIL | VRING_PACKED_USED : 0;

    slot += queue->used_idx;
    slot->id = (uint16_t)id;
    slot->len = len;
    store_release(&slot->flags, flags);
    uint32_t count = id < queue->place.size ? queue->chains[id].count : 0;
    advance(queue, &queue->used_idx, &queue->used_wrap, MAX(count, 1u));
}

void fake_use(uint16_t q, uint32_t id, uint32_t len)
{
    struct fake_queue *queue = &fake.queues[q];
    const uint16_t at = queue->used_idx;
    const bool wrap = queue->used_wrap;

    if (fake_kind == VRING_PACKED) {
        use_packed(queue, id, len);
    } else {
        struct vring_used *used = fake_used(q);
        used->ring[queue->used_idx++ % queue->place.size] = (struct vring_used_elem){id, len};
        store_release(&used->idx, queue->used_idx);
    }
    full_fence(); /* the driver sees the chain before we look whether it wants to be told of it */
    if (!fake_wants_interrupt(queue, at, wrap))
        return;
    queue->interrupts++;
    if (fake.on_interrupt)
        fake.on_interrupt();
}

uint32_t fake_chain(uint16_t q, uint32_t id, struct fake_piece *pieces, uint32_t max)
{
    const struct fake_queue *queue = &fake.queues[q];
    const bool packed = fake_kind == VRING_PACKED;
    uint32_t at = packed ? queue->chains[id].at : id, count = 0;
    uint16_t flags;

    do {
        const struct vring_packed_desc *taken = &queue->taken[at % queue->place.size];
        const struct vring_desc *desc = packed ? NULL : fake_desc(q, at);
        CHECK(count < max);
        flags = packed ? taken->flags : desc->flags;
        pieces[count++] =
            (struct fake_piece){(uint8_t *)(packed ? taken->addr : desc->addr),
                                packed ? taken->len : desc->len, flags & VRING_DESC_F_WRITE};
        at = packed ? at + 1 : desc->next;
    } while (flags & VRING_DESC_F_NEXT);
    return count;
}

/* --- the network's side --------------------------------------------------------------------- */

bool fake_receive(const struct virtio_net_hdr_v1 *header, uint8_t first, uint32_t len)
{
    struct virtio_net_hdr_v1 h = header ? *header : (struct virtio_net_hdr_v1){0};
    uint32_t ids[64], lens[64], count = 0, at = 0;
    uint8_t *head = NULL;

    while (at < len || count == 0) {
        if (count == ARRAY_LEN(ids) || !fake_take(VIRTIO_NET_RX, &ids[count]))
            return false;
        struct fake_piece piece;
        CHECK_EQ(fake_chain(VIRTIO_NET_RX, ids[count], &piece, 1), 1);
        CHECK(piece.device_writes);
        uint8_t *to = piece.addr;
        uint32_t skip = count == 0 ? VIRTIO_NET_HEADER : 0, n = MIN(len - at, piece.len - skip);
        head = count == 0 ? to : head;
        for (uint32_t i = 0; i < n; i++)
            to[skip + i] = (uint8_t)(first + at + i);
        at += n;
        lens[count++] = skip + n;
    }
    if (!header)
        h.num_buffers = (uint16_t)count;
    memcpy(head, &h, sizeof h);
    for (uint32_t i = 0; i < count; i++)
        fake_use(VIRTIO_NET_RX, ids[i], lens[i]);
    return true;
}

bool fake_sent(struct virtio_net_hdr_v1 *header, uint8_t *frame, uint32_t *len)
{
    struct fake_piece pieces[VIRTIO_NET_PIECES_MAX];
    uint32_t id, skip = VIRTIO_NET_HEADER;

    if (!fake_take(VIRTIO_NET_TX, &id))
        return false;
    *len = 0;
    uint32_t count = fake_chain(VIRTIO_NET_TX, id, pieces, VIRTIO_NET_PIECES_MAX);
    memcpy(header, pieces[0].addr, skip);
    for (uint32_t i = 0; i < count; i++, skip = 0) {
        CHECK(!pieces[i].device_writes && pieces[i].len > skip);
        memcpy(frame + *len, pieces[i].addr + skip, pieces[i].len - skip);
        *len += pieces[i].len - skip;
    }
    fake_use(VIRTIO_NET_TX, id, 0);
    return true;
}

struct netbuf *fake_packet(uint8_t first, uint16_t len)
{
    struct netbuf *nb = netbuf_alloc(fake_pool());

    CHECK(nb != NULL);
    uint8_t *bytes = netbuf_append(nb, len);
    CHECK(bytes != NULL);
    for (uint32_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(first + i);
    return nb;
}

bool fake_counts_up(const uint8_t *bytes, uint8_t first, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        if (bytes[i] != (uint8_t)(first + i))
            return false;
    return true;
}

uint64_t fake_rx_drops(enum netdev_drop reason)
{
    struct netdev_queue_stats stats;

    CHECK(netdev_rxq_stats(fake_dev, 0, &stats));
    return stats.drops[reason];
}

uint64_t fake_tx_drops(enum netdev_drop reason)
{
    struct netdev_queue_stats stats;

    CHECK(netdev_txq_stats(fake_dev, 0, &stats));
    return stats.drops[reason];
}
