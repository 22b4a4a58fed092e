/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netdev_app.c - what every app would write for itself on top of netdev.h's other calls: the usual
 * way to a started device, sending with patience, and the counters at the end.
 */
#include "boot/boot.h"
#include "netdev/netdev.h"

enum { POOL_BUF_MIN = 128 };

/* --- from FOUND to STARTED ------------------------------------------------------------------- */

RUNS_SELDOM int netdev_open_queues(struct netdev *dev, uint16_t pairs,
                                   const struct netdev_rxq_conf *rx,
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

RUNS_SELDOM int netdev_open(struct netdev *dev, struct netbuf_pool *pool, uint32_t offloads)
{
    const struct netdev_rxq_conf rx = {.pool = pool};
    const struct netdev_txq_conf tx = {0};

    return netdev_open_queues(dev, 1, &rx, &tx, offloads);
}

RUNS_SELDOM void netdev_cant_start(const struct netdev_info *info, int error)
{
    const char *reason = netdev_strerror(error);

    if (error == NETDEV_EINVAL || error == NETDEV_ENOTSUP || error == NETDEV_ENOMEM)
        boot_misconfigured("the network device %s at %s can't be started: %s.", info->driver,
                           info->where, reason);
    panic("The network device %s at %s can't be started: %s.", info->driver, info->where, reason);
}

RUNS_SELDOM void netdev_open_cores(struct netdev *dev, uint32_t cores, struct netbuf_pool **pools,
                                   uint32_t count, uint32_t room_bytes, uint32_t offloads)
{
    struct netdev_rxq_conf rx[NETDEV_MAX_QUEUE_PAIRS] = {0};
    const struct netdev_txq_conf tx[NETDEV_MAX_QUEUE_PAIRS] = {0};
    struct netdev_info info;

    netdev_info(dev, &info);
    if (info.queue_pairs_max < cores)
        boot_misconfigured(
            "cores=%u needs as many queue pairs, and %s at %s has %u; %s, or ask for fewer cores.",
            cores, info.driver, info.where, info.queue_pairs_max, netdev_advice.pairs);
    for (uint32_t core = 0; core < cores; core++)
        rx[core].pool = pools[core] = netdev_pool_create(&info, boot_app, count, room_bytes);
    int error = netdev_open_queues(dev, (uint16_t)cores, rx, tx, offloads);
    if (error)
        netdev_cant_start(&info, error);
}

/*
 * Where a frame begins in its buffer: at a multiple of 16 bytes, which is what the copies of a back
 * end need to be quick, and as early in a cache line as the device's header before it allows. With
 * virtio-net the header is at 4 and the frame at 16. So header and frame's headers lie in one line,
 * the one that a back end prefetches by the descriptor, and who changes or looks at them moves one
 * line between processors, not two.
 */
static uint32_t pool_headroom(const struct netdev_info *info)
{
    return CACHE_LINE + ALIGN_UP((uint32_t)info->headroom_bytes, 16u);
}

uint32_t netdev_pool_room_max(const struct netdev_info *info)
{
    return PAGE_SIZE - pool_headroom(info);
}

RUNS_SELDOM struct netbuf_pool *netdev_tx_pool_create(const struct netdev_info *info,
                                                      const char *name, uint32_t count,
                                                      uint32_t room_bytes)
{
    const uint32_t headroom = pool_headroom(info), room_max = netdev_pool_room_max(info);
    struct netbuf_pool_conf conf = {
        .name = name, .count = count, .headroom_bytes = (uint16_t)headroom};

    if (room_bytes > room_max && info->rx_buf_min_bytes != PAGE_SIZE)
        boot_misconfigured(
            "it needs packet buffers with room for %u bytes for %s at %s, and they have "
            "at most %u; ask for less, or set a lower MTU.",
            room_bytes, info->driver, info->where, room_max);
    room_bytes = MIN(room_bytes, room_max);
    conf.buf_bytes = (uint16_t)MAX(ALIGN_UP(headroom + room_bytes, CACHE_LINE), POOL_BUF_MIN);
    struct netbuf_pool *pool = netbuf_pool_create(&conf);
    if (!pool)
        boot_misconfigured(
            "this machine has %zu KiB left and %u packet buffers take %zu KiB; give it more "
            "memory.",
            boot_alloc_max() >> 10, count, netbuf_pool_bytes(&conf) >> 10);
    return pool;
}

RUNS_SELDOM struct netbuf_pool *netdev_pool_create(const struct netdev_info *info, const char *name,
                                                   uint32_t count, uint32_t room_bytes)
{
    return netdev_tx_pool_create(info, name, count,
                                 MAX(room_bytes, (uint32_t)info->rx_buf_min_bytes));
}

/* --- sending ------------------------------------------------------------------------------------
 */

void netdev_send_rest(struct netdev *dev, uint16_t q, struct netbuf **bufs, uint32_t n,
                      uint64_t patience_ns)
{
    const uint64_t start_ns = clock_ns();
    uint32_t sent = 0, took;

    do {
        took = netdev_tx_burst(dev, q, bufs + sent, n - sent);
        sent += took;
    } while (sent < n && (took > 0 || clock_ns() - start_ns < patience_ns));
    if (q < dev->queue_pairs && dev->txq[q])
        dev->txq[q]->stats.drops[NETDEV_DROP_NO_ROOM] += n - sent;
    netbuf_free_bulk(bufs + sent, n - sent);
}

/* --- counters -----------------------------------------------------------------------------------
 */

static RUNS_SELDOM void add_stats(struct netdev_queue_stats *sum, const struct netdev_queue *queue)
{
    sum->packets += queue->stats.packets;
    sum->bytes += queue->stats.bytes;
    sum->kicks += queue->stats.kicks;
    for (uint32_t i = 0; i < NETDEV_DROP_REASONS; i++)
        sum->drops[i] += queue->stats.drops[i];
}

RUNS_SELDOM void netdev_print_stats(struct netdev *dev)
{
    struct netdev_queue_stats rx = {0}, tx = {0};
    struct netdev_info info;
    char part[48];

    netdev_info(dev, &info);
    for (uint32_t q = 0; q < NETDEV_MAX_QUEUE_PAIRS && dev->rxq[q] && dev->txq[q]; q++) {
        add_stats(&rx, dev->rxq[q]);
        add_stats(&tx, dev->txq[q]);
    }
    print("%s: %s received %lu packets, sent %lu with %lu kicks.\n", boot_app, info.where,
          rx.packets, tx.packets, tx.kicks);
    format(part, sizeof part, "%s receive queue", info.where);
    netdev_print_drops(part, netdev_drop_names, rx.drops, NETDEV_DROP_REASONS);
    format(part, sizeof part, "%s transmit queue", info.where);
    netdev_print_drops(part, netdev_drop_names, tx.drops, NETDEV_DROP_REASONS);
}

RUNS_SELDOM void netdev_print_drops(const char *part, const char *const *names,
                                    const uint64_t *drops, uint32_t count)
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
