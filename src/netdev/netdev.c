/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netdev.c - the list of devices, and the checks of state and arguments that stand between an app
 * and a driver: a driver is only ever called in a state, and with values, that it can serve.
 */
#include "netdev/netdev.h"
#include "boot/boot.h"

uint64_t netdev_control_timeout_ns = 1000000000;

enum { DEFAULT_DESCS = 256, MTU_MIN_BYTES = 68 /* RFC 791 */ };

static struct netdev *devices[NETDEV_MAX];
static uint32_t device_count;

const char *const netdev_drop_names[NETDEV_DROP_REASONS] = {
    [NETDEV_DROP_NO_BUF] = "no_buf", [NETDEV_DROP_BAD_LEN] = "bad_len",
    [NETDEV_DROP_BAD_ID] = "bad_id", [NETDEV_DROP_BAD_META] = "bad_meta",
    [NETDEV_DROP_STOP] = "stop",     [NETDEV_DROP_NO_ROOM] = "no_room",
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

static bool any_unusable;

void netdev_unusable(void)
{
    any_unusable = true;
}

bool netdev_any_unusable(void)
{
    return any_unusable;
}

bool netdev_register(struct netdev *dev)
{
    if (device_count == NETDEV_MAX)
        return false;
    devices[device_count++] = dev;
    return true;
}

void netdev_random_mac(uint8_t mac[6])
{
    const uint64_t random = boot_random();

    memcpy(mac, &random, 6);
    mac[0] = (uint8_t)((mac[0] & ~1u) | 2u);
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

/* Says which argument of which device is wrong. What an app passes is the developer's, or comes
 * from a key: either way somebody looks at the console. */
static int refuse(const struct netdev_info *info, int error, const char *argument, uint32_t value,
                  uint32_t min, uint32_t max)
{
    print("%s: %s at %s takes %s ", boot_app, info->driver, info->where, argument);
    if (max == UINT32_MAX)
        print("of at least %u, not %u.\n", min, value);
    else
        print("from %u to %u, not %u.\n", min, max, value);
    return error;
}

int netdev_configure(struct netdev *dev, const struct netdev_conf *conf)
{
    struct netdev_info info;

    if (dev->state == NETDEV_STARTED)
        return NETDEV_ESTATE;
    netdev_info(dev, &info);
    assert(conf);
    if (conf->queue_pairs == 0 || conf->queue_pairs > info.queue_pairs_max)
        return refuse(&info, NETDEV_EINVAL, "queue_pairs", conf->queue_pairs, 1,
                      info.queue_pairs_max);
    if (conf->offloads & ~info.offloads) {
        print("%s: %s at %s has the offloads 0x%x of those wanted, 0x%x.\n", boot_app, info.driver,
              info.where, info.offloads, conf->offloads);
        return NETDEV_ENOTSUP;
    }
    forget_queues(dev);
    int error = dev->ops->configure(dev, conf);
    if (error)
        return back_to_found(dev, error);
    dev->queue_pairs = conf->queue_pairs;
    dev->state = NETDEV_CONFIGURED;
    return NETDEV_OK;
}

static int check_queue(const struct netdev *dev, const struct netdev_info *info, const char *what,
                       uint16_t q)
{
    return q < dev->queue_pairs
               ? NETDEV_OK
               : refuse(info, NETDEV_EINVAL, what, q, 0, (uint32_t)dev->queue_pairs - 1);
}

static int check_descs(const struct netdev_info *info, const char *what, uint32_t descs,
                       uint32_t max)
{
    if (descs < info->descs_min || descs > max)
        return refuse(info, NETDEV_EINVAL, what, descs, info->descs_min, max);
    if (info->descs_power_of_2 && !IS_POWER_OF_2(descs)) {
        print("%s: %s at %s takes %s that are a power of two, not %u.\n", boot_app, info->driver,
              info->where, what, descs);
        return NETDEV_EINVAL;
    }
    return NETDEV_OK;
}

/* Can the ring receive into such buffers, and be filled? */
static int check_pool(const struct netdev_info *info, const struct netbuf_pool_conf *bufs,
                      uint32_t descs)
{
    const uint32_t least = MIN((uint32_t)info->rx_buf_min_bytes + bufs->headroom_bytes, PAGE_SIZE);

    if (bufs->headroom_bytes < info->headroom_bytes)
        return refuse(info, NETDEV_EINVAL, "a pool's headroom_bytes", bufs->headroom_bytes,
                      info->headroom_bytes, UINT32_MAX);
    if (bufs->buf_bytes < least)
        return refuse(info, NETDEV_EINVAL, "a pool's buf_bytes", bufs->buf_bytes, least,
                      UINT32_MAX);
    if (bufs->count < descs) /* the ring could never be filled */
        return refuse(info, NETDEV_ENOMEM, "a pool's count", bufs->count, descs, UINT32_MAX);
    return NETDEV_OK;
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
    int error;

    assert(conf && conf->pool);
    if (dev->state != NETDEV_CONFIGURED)
        return NETDEV_ESTATE;
    netdev_info(dev, &info);
    if ((error = check_queue(dev, &info, "a receive queue's number", q)))
        return error;
    if (dev->rxq[q])
        return NETDEV_ESTATE;
    const struct netbuf_pool_conf *bufs = netbuf_pool_conf(conf->pool);
    struct netdev_rxq_conf chosen = *conf;
    if (chosen.descs == 0)
        chosen.descs = default_descs(MIN(bufs->count, info.rx_descs_max));
    if ((error = check_descs(&info, "rx descs", chosen.descs, info.rx_descs_max)) ||
        (error = check_pool(&info, bufs, chosen.descs)))
        return error;
    error = dev->ops->rxq_setup(dev, q, &chosen);
    assert(error || dev->rxq[q]);
    return error;
}

int netdev_txq_setup(struct netdev *dev, uint16_t q, const struct netdev_txq_conf *conf)
{
    struct netdev_info info;
    int error;

    assert(conf);
    if (dev->state != NETDEV_CONFIGURED)
        return NETDEV_ESTATE;
    netdev_info(dev, &info);
    if ((error = check_queue(dev, &info, "a transmit queue's number", q)))
        return error;
    if (dev->txq[q])
        return NETDEV_ESTATE;
    struct netdev_txq_conf chosen = *conf;
    if (chosen.descs == 0)
        chosen.descs = default_descs(info.tx_descs_max);
    if ((error = check_descs(&info, "tx descs", chosen.descs, info.tx_descs_max)))
        return error;
    error = dev->ops->txq_setup(dev, q, &chosen);
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

/* --- the other control calls ---------------------------------------------------------------- */

bool netdev_link_up(const struct netdev *dev)
{
    return load_acquire(&dev->link_up);
}

bool netdev_recover(struct netdev *dev)
{
    if (boot_core() != 0) {
        netdev_meet();
        return netdev_link_up(dev);
    }
    bool up = dev->ops->recover(dev);
    if (up != dev->link_up) { /* every burst of every core reads this cache line */
        dev->arrivals += up;
        store_release(&dev->link_up, up);
    }
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
        return refuse(&info, NETDEV_EINVAL, "mtu_bytes", mtu_bytes, MTU_MIN_BYTES,
                      info.mtu_max_bytes);
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
