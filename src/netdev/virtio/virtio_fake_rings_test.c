/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio_fake_rings_test.c - what the device in memory does with its rings, and the network behind
 * it: see virtio_fake_test.h. */
#include "netdev/virtio/virtio_fake_test.h"

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

bool fake_receive_on(uint16_t q, const struct virtio_net_hdr_v1 *header, uint8_t first,
                     uint32_t len)
{
    struct virtio_net_hdr_v1 h = header ? *header : (struct virtio_net_hdr_v1){0};
    uint32_t ids[64], lens[64], count = 0, at = 0;
    uint8_t *head = NULL;

    while (at < len || count == 0) {
        if (count == ARRAY_LEN(ids) || !fake_take(q, &ids[count]))
            return false;
        struct fake_piece piece;
        CHECK_EQ(fake_chain(q, ids[count], &piece, 1), 1);
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
        fake_use(q, ids[i], lens[i]);
    return true;
}

bool fake_receive(const struct virtio_net_hdr_v1 *header, uint8_t first, uint32_t len)
{
    return fake_receive_on(VIRTIO_NET_RX, header, first, len);
}

bool fake_sent_on(uint16_t q, struct virtio_net_hdr_v1 *header, uint8_t *frame, uint32_t *len)
{
    struct fake_piece pieces[VIRTIO_NET_PIECES_MAX];
    uint32_t id, skip = VIRTIO_NET_HEADER;

    if (!fake_take(q, &id))
        return false;
    *len = 0;
    uint32_t count = fake_chain(q, id, pieces, VIRTIO_NET_PIECES_MAX);
    memcpy(header, pieces[0].addr, skip);
    for (uint32_t i = 0; i < count; i++, skip = 0) {
        CHECK(!pieces[i].device_writes && pieces[i].len > skip);
        memcpy(frame + *len, pieces[i].addr + skip, pieces[i].len - skip);
        *len += pieces[i].len - skip;
    }
    fake_use(q, id, 0);
    return true;
}

bool fake_sent(struct virtio_net_hdr_v1 *header, uint8_t *frame, uint32_t *len)
{
    return fake_sent_on(VIRTIO_NET_TX, header, frame, len);
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
