/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ideal - the least that a front end can do on virtio's rings: it posts the same prepared
 * descriptors again and again and touches no packet. What the back end moves beside it is the
 * limit that bench/pktgen holds drivers against.
 *
 * The device is opened through netdev, with an empty pool, so that the driver posts nothing. Then
 * this app takes over the memory of the two rings (ring.h), and the driver isn't called until the
 * device is stopped. A device that goes away meanwhile isn't noticed.
 */
#include "apps/ideal/ring.h"
#include "boot/boot.h"
#include "netbuf/eth.h"
#include "netdev/virtio/virtio_net.h"

enum {
    ETH_TYPE_EXPERIMENT = 0x88b5, /* IEEE 802, local experimental EtherType 1 */
    FRAME_MAX = 1518,
    LOOKS = 4096, /* at a ring, before the end of the app is asked for */
};

enum ideal_mode { IDEAL_TX, IDEAL_RX, IDEAL_FWD };

/* 7 x 60, 4 x 590 and 1 x 1514 bytes, as pktgen's mix; in this order the first four, of which a
 * ring of 2^n has one more, have nearly the mean of all. */
static const uint16_t imix[] = {60, 590, 60, 590, 60, 1514, 60, 590, 60, 590, 60, 60};

static enum ideal_mode mode;
static uint64_t size, burst, descs[2], frame_at; /* size 0: the mix */

static const char *parse_mode(const struct boot_key *key, const char *text)
{
    static const char *const words[] = {"tx", "rx", "fwd"};

    for (uint32_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(text, words[i]) == 0) {
            *(enum ideal_mode *)key->dst = (enum ideal_mode)i;
            return NULL;
        }
    return "one of the words tx, rx, fwd";
}

static const char *parse_size_or_mix(const struct boot_key *key, const char *text)
{
    if (strcmp(text, "imix") != 0)
        return boot_parse_u64(key, text) ? "a number from 60 to 1514, or imix" : NULL;
    *(uint64_t *)key->dst = 0;
    return NULL;
}

BOOT_KEY("mode", parse_mode, &mode, "tx", "",
         "tx posts frames, rx buffers, fwd frames where they came");
BOOT_KEY_RANGE("size", parse_size_or_mix, &size, "64", "bytes",
               "tx: frames without the CRC, 60 to 1514, or imix (7 x 60, 4 x 590, 1 x 1514)", 60,
               1514);
BOOT_KEY_RANGE("burst", boot_parse_u64, &burst, "32", "descriptors",
               "posted together: a power of two, up to the rings' size", IDEAL_LINE, 256);
BOOT_KEY_RANGE("rx.descs", boot_parse_u64, &descs[0], "256", "", "descriptors of the receive ring",
               IDEAL_LINE, 32768);
BOOT_KEY_RANGE("tx.descs", boot_parse_u64, &descs[1], "256", "",
               "descriptors of the transmit ring; for fwd as many as the other's", IDEAL_LINE,
               32768);
BOOT_KEY_RANGE("frame.at", boot_parse_u64, &frame_at, "0", "bytes",
               "where in its cache line a frame begins; the device's header is before it", 0, 63);

static struct virtio_net *net;
static struct ideal_ring rx, tx;

/* The driver gets a pool as it wants one, and finds it empty. */
static void open_device(void)
{
    struct netdev *dev = netdev_pick();
    struct netdev_info info;

    netdev_info(dev, &info);
    if (strncmp(info.driver, "virtio-net", strlen("virtio-net")) != 0)
        boot_misconfigured("it drives the rings of virtio-net, and %s at %s has others; start it "
                           "on PLAT=kvm or linux with vhost=.",
                           info.driver, info.where);
    struct netbuf_pool *pool = netdev_pool_create(&info, "none", (uint32_t)descs[0], FRAME_MAX);
    while (netbuf_alloc(pool))
        ;
    const struct netdev_rxq_conf rx_conf = {.descs = (uint16_t)descs[0], .pool = pool};
    const struct netdev_txq_conf tx_conf = {.descs = (uint16_t)descs[1]};
    int error = netdev_open_queues(dev, 1, &rx_conf, &tx_conf, 0);
    if (error)
        netdev_cant_start(&info, error);
    netdev_set_promisc(dev, true);
    net = (struct virtio_net *)dev;
    print("ideal: %s at %s, %s rings.\n", info.driver, info.where,
          net->tx[0].ring.kind == VRING_PACKED ? "packed" : "split");
}

static void *ideal_memory(size_t bytes)
{
    void *memory = boot_alloc(bytes, PAGE_SIZE);

    if (!memory)
        boot_misconfigured("it needs %zu bytes for descriptors and frames; give the machine more "
                           "memory.",
                           bytes);
    return memory;
}

static void write_frame(uint8_t *frame)
{
    memset(frame, 0, ETH_MAC_BYTES);
    frame[0] = 2; /* an address that is local and nobody's */
    memcpy(frame + ETH_MAC_BYTES, net->mac, ETH_MAC_BYTES);
    store_be16(frame + 2 * ETH_MAC_BYTES, ETH_TYPE_EXPERIMENT);
}

/* Takes over a ring and gives each descriptor a buffer. All of them have room for any frame, an odd
 * number of cache lines apart, so that they spread over all sets of a cache. */
static void take_over(struct ideal_ring *r, struct virtio_net_queue *q, bool device_writes)
{
    const uint32_t count = vring_size(&q->ring), offset = CACHE_LINE + (uint32_t)frame_at;
    const uint32_t lines = (ALIGN_UP(offset + FRAME_MAX, CACHE_LINE) / CACHE_LINE) | 1;
    uint8_t *buffers = ideal_memory((size_t)count * lines * CACHE_LINE);

    ideal_begin(r, &q->ring, MIN((uint32_t)burst, count), device_writes,
                ideal_memory(count * sizeof(struct ideal_desc)));
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *frame = buffers + (size_t)i * lines * CACHE_LINE + offset;
        uint32_t len_bytes = size ? (uint32_t)size : imix[i % ARRAY_LEN(imix)];
        if (device_writes || mode == IDEAL_FWD)
            len_bytes = FRAME_MAX;
        else
            write_frame(frame);
        ideal_prepare(r, q->ring.kind, i, (uintptr_t)frame - VIRTIO_NET_HEADER,
                      VIRTIO_NET_HEADER + len_bytes);
    }
}

static void kick(const struct virtio_net_queue *q)
{
    q->transport->ops->kick(q->transport, q->index);
}

IDEAL_INLINE uint32_t step(enum ideal_mode way, enum vring_kind kind)
{
    return way == IDEAL_FWD ? ideal_forward(&rx, &tx, kind)
                            : ideal_turn(way == IDEAL_TX ? &tx : &rx, kind);
}

/* Returns how many descriptors were posted. If nothing moves the device is kicked: it may be one
 * that doesn't look at its rings by itself. */
IDEAL_INLINE uint64_t post_for_ever(enum ideal_mode way, enum vring_kind kind)
{
    uint64_t posted = 0;

    while (!boot_stopping()) {
        const uint64_t before = posted;
        for (uint32_t look = 0; look < LOOKS; look++) {
            const uint32_t n = step(way, kind);
            posted += n;
            if (n == 0)
                __builtin_ia32_pause();
        }
        if (posted == before) {
            kick(&net->tx[0]);
            kick(&net->rx[0]);
        }
    }
    return posted;
}

/* A loop of its own for each way and kind of ring, with nothing in it to be decided. */
static uint64_t post_in(enum vring_kind kind)
{
    const bool packed = kind == VRING_PACKED;

    if (mode != IDEAL_TX)
        while (ideal_turn(&rx, kind) > 0 && rx.at != 2 * rx.size)
            ;
    if (mode == IDEAL_TX)
        return packed ? post_for_ever(IDEAL_TX, VRING_PACKED)
                      : post_for_ever(IDEAL_TX, VRING_SPLIT);
    if (mode == IDEAL_RX)
        return packed ? post_for_ever(IDEAL_RX, VRING_PACKED)
                      : post_for_ever(IDEAL_RX, VRING_SPLIT);
    return packed ? post_for_ever(IDEAL_FWD, VRING_PACKED) : post_for_ever(IDEAL_FWD, VRING_SPLIT);
}

int app_main(void)
{
    if (!IS_POWER_OF_2(burst) || (mode == IDEAL_FWD && descs[0] != descs[1]))
        boot_misconfigured("burst=%lu must be a power of two, and for mode=fwd rx.descs=%lu and "
                           "tx.descs=%lu alike.",
                           burst, descs[0], descs[1]);
    open_device();
    take_over(&rx, &net->rx[0], true);
    take_over(&tx, &net->tx[0], false);
    uint64_t posted = post_in(net->tx[0].ring.kind);
    netdev_stop(&net->base);
    print("ideal: %lu descriptors posted.\n", posted);
    return 0;
}
