/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netdev.c - the list of devices, and the checks of state and arguments that stand between an app
 * and a driver: a driver is only ever called in a state, and with values, that it can serve.
 */
#include "netdev/netdev.h"
#include "boot/boot.h"

uint64_t netdev_control_timeout_ns = 1000000000;

enum { DEFAULT_DESCS = 256, MTU_MIN_BYTES = 68 /* RFC 791 */, POOL_BUF_MIN = 128 };

static struct netdev *devices[NETDEV_MAX];
static uint32_t device_count;

const char *const netdev_drop_names[NETDEV_DROP_REASONS] = {
    [NETDEV_DROP_NO_BUF] = "no_buf", [NETDEV_DROP_BAD_LEN] = "bad_len",
    [NETDEV_DROP_BAD_ID] = "bad_id", [NETDEV_DROP_BAD_META] = "bad_meta",
    [NETDEV_DROP_STOP] = "stop",
};

const char *netdev_strerror(int error)
{
    switch (error) {
    case NETDEV_OK:
        return "success";
    case NETDEV_ESTATE:
        return "the call is not allowed in the device's state";
    case NETDEV_EINVAL:
        return "a value is outside the device's limits";
    case NETDEV_ENOTSUP:
        return "the device can't do it";
    case NETDEV_ENOMEM:
        return "memory or the packet pool is too small";
    case NETDEV_EDEVICE:
        return "the device refused or broke its protocol";
    case NETDEV_ETIMEOUT:
        return "the device didn't answer in time";
    case NETDEV_EAGAIN:
        return "packets wait already";
    default:
        return "an unknown error";
    }
}

/* --- finding devices ------------------------------------------------------------------------ */

uint32_t netdev_probe(void)
{
    static bool probed;

    if (!probed) {
        probed = true;
        netdev_probe_platform();
    }
    return device_count;
}

struct netdev *netdev_get(uint32_t index)
{
    return index < device_count ? devices[index] : NULL;
}

bool netdev_register(struct netdev *dev)
{
    if (device_count == NETDEV_MAX)
        return false;
    devices[device_count++] = dev;
    return true;
}

/* --- from FOUND to STARTED and back --------------------------------------------------------- */

void netdev_info(struct netdev *dev, struct netdev_info *info)
{
    *info = (struct netdev_info){0};
    dev->ops->info(dev, info);
    info->state = dev->state;
}

static void forget_queues(struct netdev *dev)
{
    for (uint32_t q = 0; q < NETDEV_MAX_QUEUE_PAIRS; q++)
        dev->rxq[q] = dev->txq[q] = NULL;
    dev->queue_pairs = 0;
}

/* After a failed configure or start. */
static int back_to_found(struct netdev *dev, int error)
{
    dev->ops->stop(dev);
    forget_queues(dev);
    dev->state = NETDEV_FOUND;
    return error;
}

int netdev_configure(struct netdev *dev, const struct netdev_conf *conf)
{
    struct netdev_info info;

    if (dev->state == NETDEV_STARTED)
        return NETDEV_ESTATE;
    netdev_info(dev, &info);
    if (!conf || conf->queue_pairs == 0 || conf->queue_pairs > info.queue_pairs_max)
        return NETDEV_EINVAL;
    if (conf->offloads & ~info.offloads)
        return NETDEV_ENOTSUP;
    forget_queues(dev);
    int error = dev->ops->configure(dev, conf);
    if (error)
        return back_to_found(dev, error);
    dev->queue_pairs = conf->queue_pairs;
    dev->state = NETDEV_CONFIGURED;
    return NETDEV_OK;
}

static bool descs_allowed(const struct netdev_info *info, uint32_t descs, uint32_t max)
{
    return descs >= info->descs_min && descs <= max &&
           (!info->descs_power_of_2 || IS_POWER_OF_2(descs));
}

/* How many descriptors a queue gets of whom nobody asked for a number. */
static uint16_t default_descs(uint32_t max)
{
    uint32_t descs = DEFAULT_DESCS;

    while (descs > max && descs > 1)
        descs /= 2;
    return (uint16_t)descs;
}

int netdev_rxq_setup(struct netdev *dev, uint16_t q, const struct netdev_rxq_conf *conf)
{
    struct netdev_info info;

    if (dev->state != NETDEV_CONFIGURED)
        return NETDEV_ESTATE;
    if (!conf || !conf->pool || q >= dev->queue_pairs)
        return NETDEV_EINVAL;
    if (dev->rxq[q])
        return NETDEV_ESTATE;
    netdev_info(dev, &info);
    const struct netbuf_pool_conf *bufs = netbuf_pool_conf(conf->pool);
    struct netdev_rxq_conf chosen = *conf;
    if (chosen.descs == 0)
        chosen.descs = default_descs(MIN(bufs->count, info.rx_descs_max));
    if (!descs_allowed(&info, chosen.descs, info.rx_descs_max) ||
        bufs->headroom_bytes < info.headroom_bytes ||
        bufs->buf_bytes < MIN((uint32_t)info.rx_buf_min_bytes + bufs->headroom_bytes, PAGE_SIZE))
        return NETDEV_EINVAL;
    if (bufs->count < chosen.descs)
        return NETDEV_ENOMEM; /* the ring could never be filled */
    int error = dev->ops->rxq_setup(dev, q, &chosen);
    assert(error || dev->rxq[q]);
    return error;
}

int netdev_txq_setup(struct netdev *dev, uint16_t q, const struct netdev_txq_conf *conf)
{
    struct netdev_info info;

    if (dev->state != NETDEV_CONFIGURED)
        return NETDEV_ESTATE;
    if (!conf || q >= dev->queue_pairs)
        return NETDEV_EINVAL;
    if (dev->txq[q])
        return NETDEV_ESTATE;
    netdev_info(dev, &info);
    struct netdev_txq_conf chosen = *conf;
    if (chosen.descs == 0)
        chosen.descs = default_descs(info.tx_descs_max);
    if (!descs_allowed(&info, chosen.descs, info.tx_descs_max))
        return NETDEV_EINVAL;
    int error = dev->ops->txq_setup(dev, q, &chosen);
    assert(error || dev->txq[q]);
    return error;
}

int netdev_start(struct netdev *dev)
{
    if (dev->state != NETDEV_CONFIGURED)
        return NETDEV_ESTATE;
    for (uint32_t q = 0; q < dev->queue_pairs; q++)
        if (!dev->rxq[q] || !dev->txq[q])
            return NETDEV_ESTATE;
    int error = dev->ops->start(dev);
    if (error)
        return back_to_found(dev, error);
    dev->state = NETDEV_STARTED;
    return NETDEV_OK;
}

int netdev_stop(struct netdev *dev)
{
    if (dev->state != NETDEV_STARTED)
        return NETDEV_ESTATE;
    dev->ops->stop(dev);
    dev->state = NETDEV_STOPPED;
    return NETDEV_OK;
}

int netdev_open_queues(struct netdev *dev, uint16_t pairs, const struct netdev_rxq_conf *rx,
                       const struct netdev_txq_conf *tx, uint32_t offloads)
{
    struct netdev_info info;
    int error;

    netdev_info(dev, &info);
    const struct netdev_conf conf = {.queue_pairs = pairs, .offloads = offloads & info.offloads};
    if ((error = netdev_configure(dev, &conf)))
        return error;
    for (uint16_t q = 0; q < pairs; q++)
        if ((error = netdev_rxq_setup(dev, q, &rx[q])) ||
            (error = netdev_txq_setup(dev, q, &tx[q])))
            return error;
    return netdev_start(dev);
}

int netdev_open(struct netdev *dev, struct netbuf_pool *pool, uint32_t offloads)
{
    const struct netdev_rxq_conf rx = {.pool = pool};
    const struct netdev_txq_conf tx = {0};

    return netdev_open_queues(dev, 1, &rx, &tx, offloads);
}

struct netbuf_pool *netdev_pool_create(const struct netdev_info *info, const char *name,
                                       uint32_t count, uint32_t room_bytes)
{
    /* The device's header begins a cache line: so the frame's own headers lie in the same one, and
     * whoever changes or looks at them moves one line between processors, not two. */
    const uint32_t headroom = CACHE_LINE + info->headroom_bytes;
    struct netbuf_pool_conf conf = {
        .name = name, .count = count, .headroom_bytes = (uint16_t)headroom};

    room_bytes = MIN(room_bytes, PAGE_SIZE - headroom);
    conf.buf_bytes = (uint16_t)MAX(ALIGN_UP(headroom + room_bytes, CACHE_LINE), POOL_BUF_MIN);
    struct netbuf_pool *pool = netbuf_pool_create(&conf);
    if (!pool)
        panic("This machine has %zu KiB left and %u packet buffers take %zu KiB; give it more "
              "memory.",
              boot_alloc_max() >> 10, count, netbuf_pool_bytes(&conf) >> 10);
    return pool;
}

/* --- the other control calls ---------------------------------------------------------------- */

bool netdev_link_up(struct netdev *dev)
{
    if (boot_core() != 0) {
        netdev_meet();
        return load_acquire(&dev->link_up);
    }
    bool up = dev->ops->link_up(dev);
    if (up != dev->link_up) /* every burst of every core reads this cache line */
        store_release(&dev->link_up, up);
    return up;
}

int netdev_set_promisc(struct netdev *dev, bool on)
{
    return dev->state == NETDEV_STARTED ? dev->ops->set_promisc(dev, on) : NETDEV_ESTATE;
}

int netdev_set_mtu(struct netdev *dev, uint16_t mtu_bytes)
{
    struct netdev_info info;

    if (dev->state == NETDEV_STARTED)
        return NETDEV_ESTATE;
    netdev_info(dev, &info);
    if (mtu_bytes < MTU_MIN_BYTES || mtu_bytes > info.mtu_max_bytes)
        return NETDEV_EINVAL;
    return dev->ops->set_mtu(dev, mtu_bytes);
}

int netdev_rx_intr(struct netdev *dev, uint16_t q, bool on)
{
    if (dev->state != NETDEV_STARTED)
        return NETDEV_ESTATE;
    return q < dev->queue_pairs ? dev->ops->rx_intr(dev, q, on) : NETDEV_EINVAL;
}

static bool copy_stats(const struct netdev_queue *queue, struct netdev_queue_stats *stats)
{
    if (queue)
        *stats = queue->stats;
    return queue != NULL;
}

bool netdev_rxq_stats(const struct netdev *dev, uint16_t q, struct netdev_queue_stats *stats)
{
    return q < NETDEV_MAX_QUEUE_PAIRS && copy_stats(dev->rxq[q], stats);
}

bool netdev_txq_stats(const struct netdev *dev, uint16_t q, struct netdev_queue_stats *stats)
{
    return q < NETDEV_MAX_QUEUE_PAIRS && copy_stats(dev->txq[q], stats);
}

void netdev_print_drops(const char *part, const char *const *names, const uint64_t *drops,
                        uint32_t count)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < count; i++)
        sum += drops[i];
    print("%s: %s dropped %lu", boot_app, part, sum);
    for (uint32_t i = 0; i < count; i++)
        if (drops[i])
            print(", %s %lu", names[i], drops[i]);
    print(".\n");
}
