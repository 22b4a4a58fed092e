/* SPDX-License-Identifier: BSD-2-Clause */
/* A random hostile device against a random app: nothing may be hurt, and after stop every buffer is
 * back. The same steps in every run. */
#include "netdev/received_test.h"
#include "netdev/virtio/virtio_fake_test.h"

enum { DESCS = 16 };

static struct netbuf *bufs[NETDEV_MAX_BURST];

static uint64_t seed;

static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % n;
}

/* `truth`, or once in `honesty` calls something else. */
static uint32_t maybe(uint32_t truth, uint32_t honesty)
{
    static const uint32_t lies[] = {0, 1, 11, 12, 26, 200, 205, 2048, UINT16_MAX, UINT32_MAX};

    return random_below(honesty) == 0 ? lies[random_below(ARRAY_LEN(lies))] : truth;
}

/* The device writes over a part of the ring out of turn. */
static void overwrite(uint16_t q, uint32_t honesty)
{
    if (fake_kind == VRING_PACKED) {
        struct vring_packed_desc *slot = fake_slots(q) + random_below(DESCS);
        if (random_below(honesty * 20) == 0)
            memset(slot, (int)random_below(256), sizeof *slot);
        if (random_below(honesty * 20) == 0)
            slot->flags = (uint16_t)random_below(65536);
        return;
    }
    if (random_below(honesty * 20) == 0)
        fake_used(q)->idx = (uint16_t)random_below(65536);
    if (random_below(honesty * 2) == 0)
        memset(fake_desc(q, random_below(DESCS)), (int)random_below(256),
               sizeof(struct vring_desc));
    fake_used(q)->flags = (uint16_t)random_below(2);
}

static void device_step(uint32_t honesty)
{
    uint16_t q = (uint16_t)random_below(2);
    uint32_t id = random_below(DESCS), ignored;

    overwrite(q, honesty);
    if (random_below(honesty) == 0)
        fake_take(q, &ignored); /* uses another one than it took */
    else if (!fake_take(q, &id))
        return;
    /* Headers are found through the driver's own account, as descriptors may be overwritten. */
    struct netbuf *nb = id < DESCS ? vring_flight(&fake_net.rx->ring)->shadow[id].owner : NULL;
    if (q == VIRTIO_NET_RX && nb) {
        uint8_t *header = nb->data - VIRTIO_NET_HEADER;
        const struct virtio_net_hdr_v1 h = {
            .flags = (uint8_t)random_below(4),
            .gso_type = (uint8_t)maybe(0, honesty),
            .csum_start = (uint16_t)random_below(300),
            .csum_offset = (uint16_t)maybe(6, honesty),
            .num_buffers = (uint16_t)maybe(1 + random_below(3) / 2, honesty),
        };
        memcpy(header, &h, sizeof h);
    }
    /* Pieces of any length, also shorter than a header. */
    fake_use(q, maybe(id, honesty * 4), maybe(10 + random_below(166), honesty));
}

static void app_step(void)
{
    uint32_t n = random_below(8), sent;

    switch (random_below(3)) {
    case 0:
        n = netdev_rx_burst(fake_dev, 0, bufs, 1 + n);
        for (uint32_t i = 0; i < n; i++) {
            check_received(bufs[i], VIRTIO_NET_HEADER);
            CHECK(!(bufs[i]->flags & NETBUF_CSUM_PARTIAL) ||
                  bufs[i]->csum_start + bufs[i]->csum_offset + 2 <= bufs[i]->len);
        }
        netbuf_free_bulk(bufs, n);
        break;
    case 1:
        for (uint32_t i = 0; i < n; i++) {
            bufs[i] = fake_packet(0, (uint16_t)random_below(200));
            if (random_below(4) == 0)
                netbuf_chain(bufs[i], fake_packet(0, (uint16_t)random_below(200)));
        }
        sent = netdev_tx_burst(fake_dev, 0, bufs, n);
        netbuf_free_bulk(bufs + sent, n - sent);
        break;
    default:
        netdev_tx_reclaim(fake_dev, 0);
    }
}

FAKE_TEST(virtio_net_random_hostile_device)
{
    uint64_t received = 0, dropped = 0;
    struct netdev_queue_stats rx;

    fake_begin();
    seed = 0x9e3779b97f4a7c15;
    for (uint32_t round = 0; round < 400; round++) {
        bool small = random_below(2);
        uint32_t honesty = 4 + random_below(60);
        CHECK_EQ(fake_start(small ? fake_small_pool() : fake_pool(), DESCS, DESCS), 0);
        for (uint32_t step = 0; step < 200; step++) {
            device_step(honesty);
            app_step();
        }
        fake_end();
        CHECK(netdev_rxq_stats(fake_dev, 0, &rx));
        received += rx.packets;
        dropped += rx.drops[NETDEV_DROP_BAD_ID] + rx.drops[NETDEV_DROP_BAD_LEN] +
                   rx.drops[NETDEV_DROP_BAD_META];
    }
    CHECK(received > 1000 && dropped > 100); /* neither all good nor all bad */
}
