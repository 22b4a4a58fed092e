/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap_linux.c - the driver of a tap interface: a read of its file is a frame from the host, a write
 * is one to it. Where the interface comes from is in tap_interface_linux.c.
 *
 * The receive queue keeps one buffer to read into. A frame that is longer than the buffer would be
 * cut by the kernel, unseen, so a read asks for one byte more than there is room for.
 *
 * If the interface is deleted, reads and writes fail with EBADFD: both queues stand still until
 * netdev_recover finds it again.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "boot/boot.h"
#include "boot/linux/linux.h"
#include "netdev/tap/tap.h"

enum {
    DESCS = NETDEV_MAX_BURST, /* there is no ring; what a transmit queue says it has room for */
    MTU_DEFAULT = 1500,
    FRAME_EXTRA = 18, /* bytes of a frame beyond its MTU: header and one VLAN tag */
    /* A frame is in one buffer, which is a page at most, with an app's headroom. */
    MTU_MAX_BYTES = PAGE_SIZE - 2 * CACHE_LINE - FRAME_EXTRA,
};

static struct tap *tap_of(struct netdev *dev)
{
    return (struct tap *)dev;
}

static uint32_t frame_max_bytes(const struct tap *tap)
{
    return (uint32_t)tap->mtu_bytes + FRAME_EXTRA;
}

/* --- receiving ------------------------------------------------------------------------------ */

/* False if the pool has no buffer to read into. */
static bool has_buffer(struct tap *tap)
{
    if (!tap->next && !(tap->next = netbuf_alloc(tap->pool)))
        tap->rx.base.stats.drops[NETDEV_DROP_NO_BUF]++;
    tap->rx.base.empty = !tap->next;
    return tap->next;
}

/* Reads a frame into tap->next. Returns its length, which is one too many for the buffer if the
 * frame is longer; negative if there is none. */
static ssize_t read_frame(struct tap *tap)
{
    uint8_t beyond;
    const struct iovec parts[] = {
        {tap->next->data, netbuf_tailroom(tap->next)},
        {&beyond, sizeof beyond},
    };
    const ssize_t len = readv(tap->fd, parts, ARRAY_LEN(parts));

    if (len < 0 && errno == EBADFD)
        tap->rx.base.broken = true;
    else if (len < 0 && errno != EAGAIN && errno != EINTR)
        tap->rx.base.stats.drops[NETDEV_DROP_BAD_META]++;
    return len;
}

static uint32_t tap_rx_burst(struct netdev_queue *base, struct netbuf **bufs, uint32_t n)
{
    struct tap *tap = ((struct tap_queue *)base)->tap;
    uint32_t count = 0;

    n = MIN(n, (uint32_t)NETDEV_MAX_BURST);
    for (uint32_t reads = 0; reads < n && !base->broken && has_buffer(tap); reads++) {
        const ssize_t len = read_frame(tap);
        if (len < 0)
            break;
        if (len < ETH_HLEN || (size_t)len > netbuf_tailroom(tap->next)) {
            base->stats.drops[NETDEV_DROP_BAD_LEN]++;
            continue; /* with the same buffer */
        }
        netbuf_append(tap->next, (uint32_t)len);
        base->stats.bytes += (uint64_t)len;
        bufs[count++] = tap->next;
        tap->next = NULL;
    }
    base->stats.packets += count;
    base->stats.bursts += count > 0;
    return count;
}

/* A file that is readable ends each wait. One without its interface always is, so it isn't waited
 * for: the loop sleeps until it looks at the link. */
static int tap_rx_intr(struct netdev *dev, uint16_t q, bool on)
{
    struct tap *tap = tap_of(dev);
    struct pollfd file = {.fd = tap->fd, .events = POLLIN};

    (void)q;
    on = on && !tap->rx.base.broken;
    const bool frames_wait = on && poll(&file, 1, 0) > 0 && file.revents & POLLIN;
    linux_wait_readable(tap->fd, on && !frames_wait);
    return frames_wait ? NETDEV_EAGAIN : NETDEV_OK;
}

/* --- transmitting --------------------------------------------------------------------------- */

enum outcome { SENT, REFUSED, NOT_NOW };

static enum outcome write_frame(struct tap *tap, const struct netbuf *nb)
{
    if (nb->next || nb->len < ETH_HLEN || nb->len > frame_max_bytes(tap) ||
        nb->flags & NETBUF_CSUM_PARTIAL)
        return REFUSED;
    if (write(tap->fd, nb->data, nb->len) == nb->len)
        return SENT;
    if (errno == EBADFD)
        tap->tx.base.broken = true;
    return tap->tx.base.broken || errno == EAGAIN || errno == EINTR ? NOT_NOW : REFUSED;
}

static uint32_t tap_tx_burst(struct netdev_queue *base, struct netbuf **bufs, uint32_t n)
{
    struct tap *tap = ((struct tap_queue *)base)->tap;
    uint32_t taken = 0, sent = 0;

    n = MIN(n, (uint32_t)NETDEV_MAX_BURST);
    while (taken < n && !base->broken) {
        const enum outcome outcome = write_frame(tap, bufs[taken]);
        if (outcome == NOT_NOW)
            break;
        if (outcome == SENT) {
            sent++;
            base->stats.bytes += bufs[taken]->len;
        } else {
            base->stats.drops[NETDEV_DROP_BAD_META]++;
        }
        netbuf_free(bufs[taken++]);
    }
    base->room = taken < n || base->broken ? 0 : DESCS;
    base->stats.packets += sent;
    base->stats.bursts += sent > 0;
    return taken;
}

/* Nothing is in flight: the kernel has copied what it took. */
static uint32_t tap_tx_reclaim(struct netdev_queue *base)
{
    base->room = base->broken ? 0 : DESCS;
    return 0;
}

/* --- netdev.h ------------------------------------------------------------------------------- */

static void tap_info(struct netdev *dev, struct netdev_info *info)
{
    const struct tap *tap = tap_of(dev);

    info->driver = "tap";
    format(info->where, sizeof info->where, "tap %s", tap->name);
    memcpy(info->mac, tap->mac, sizeof info->mac);
    info->mtu_bytes = tap->mtu_bytes;
    info->mtu_max_bytes = tap->mtu_max_bytes;
    info->queue_pairs_max = 1;
    info->rx_descs_max = info->tx_descs_max = DESCS;
    info->descs_min = 1;
    info->rx_buf_min_bytes = (uint16_t)frame_max_bytes(tap);
}

static int tap_configure(struct netdev *dev, const struct netdev_conf *conf)
{
    struct tap *tap = tap_of(dev);

    (void)conf; /* one queue pair, no offloads: netdev_configure has seen to it */
    tap->rx = (struct tap_queue){.tap = tap};
    tap->tx = (struct tap_queue){.tap = tap};
    return NETDEV_OK;
}

static int tap_rxq_setup(struct netdev *dev, uint16_t q, const struct netdev_rxq_conf *conf)
{
    tap_of(dev)->pool = conf->pool;
    dev->rxq[q] = &tap_of(dev)->rx.base;
    return NETDEV_OK;
}

static int tap_txq_setup(struct netdev *dev, uint16_t q, const struct netdev_txq_conf *conf)
{
    (void)conf;
    dev->txq[q] = &tap_of(dev)->tx.base;
    return NETDEV_OK;
}

static int tap_start(struct netdev *dev)
{
    tap_tx_reclaim(dev->txq[0]);
    return NETDEV_OK;
}

static void tap_stop(struct netdev *dev)
{
    struct tap *tap = tap_of(dev);

    linux_wait_readable(tap->fd, false);
    netbuf_free(tap->next);
    tap->next = NULL;
}

/* True if the interface is there again, and ours. Says so once if it is there and can't be had. */
static bool attach_again(struct tap *tap)
{
    const int error = tap->port->attach_again(tap);

    if (error != 0 && error != ENODEV && error != tap->told)
        print("tap %s: an interface of that name is there again, but can't be used: %s.\n",
              tap->name, strerror(error));
    tap->told = error;
    return error == 0;
}

/* Notices that the interface was deleted, and attaches to it when it is there again. True if
 * packets can go. */
static bool tap_recover(struct netdev *dev)
{
    struct tap *tap = tap_of(dev);
    enum tap_state state = tap->port->look(tap);

    if (state == TAP_GONE) {
        if (!tap->lost)
            print("tap %s: the interface has gone; the link is down until it is back.\n",
                  tap->name);
        tap->lost = tap->rx.base.broken = tap->tx.base.broken = true;
        if (attach_again(tap))
            state = tap->port->look(tap);
    }
    if (state != TAP_GONE && tap->lost) {
        print("tap %s: the interface is back.\n", tap->name);
        tap->lost = tap->rx.base.broken = tap->tx.base.broken = false;
    }
    return state == TAP_UP;
}

/* All frames come, whatever their address. */
static int tap_set_promisc(struct netdev *dev, bool on)
{
    (void)dev;
    (void)on;
    return NETDEV_OK;
}

static int tap_set_mtu(struct netdev *dev, uint16_t mtu_bytes)
{
    tap_of(dev)->mtu_bytes = mtu_bytes;
    return NETDEV_OK;
}

static const struct netdev_ops ops = {
    .info = tap_info,
    .configure = tap_configure,
    .rxq_setup = tap_rxq_setup,
    .txq_setup = tap_txq_setup,
    .start = tap_start,
    .stop = tap_stop,
    .recover = tap_recover,
    .set_promisc = tap_set_promisc,
    .set_mtu = tap_set_mtu,
    .rx_intr = tap_rx_intr,
    .rx_burst = tap_rx_burst,
    .tx_burst = tap_tx_burst,
    .tx_reclaim = tap_tx_reclaim,
};

void tap_limit_mtu(struct tap *tap, uint32_t mtu_bytes)
{
    tap->mtu_bytes = tap->mtu_max_bytes = (uint16_t)MIN(mtu_bytes, (uint32_t)MTU_MAX_BYTES);
}

void tap_init(struct tap *tap, const struct tap_port *port, const char *name, const uint8_t mac[6])
{
    *tap = (struct tap){.base = {.ops = &ops}, .port = port, .fd = -1, .control = -1};
    format(tap->name, sizeof tap->name, "%s", name);
    tap_limit_mtu(tap, MTU_DEFAULT);
    if (mac)
        memcpy(tap->mac, mac, sizeof tap->mac);
    else
        netdev_random_mac(tap->mac);
}
