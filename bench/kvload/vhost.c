/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost.c - see vhost.h. The library's own thread tells of the front end's coming and going. */
#include "vhost.h"

#include <linux/virtio_ring.h>
#include <stdlib.h>

#include <rte_mbuf.h>
#include <rte_spinlock.h>
#include <rte_vhost.h>

enum { TO_FRONT, FROM_FRONT, QUEUES }; /* the numbers of a first pair's queues */
enum { NO_DEVICE = -1, LINE = 64, FETCHED_LINES = 2 };

static struct {
    rte_spinlock_t lock; /* of all below; taken for each burst, so that a device can't go in it */
    int vid;
    struct rte_vhost_memory *memory;
    const struct vring_packed_desc *descs[QUEUES]; /* NULL: a split ring */
    uint16_t sizes[QUEUES];
} device = {.lock = RTE_SPINLOCK_INITIALIZER, .vid = NO_DEVICE};

static int take_device(int vid)
{
    uint64_t features = 0;

    rte_spinlock_lock(&device.lock);
    bool ready = rte_vhost_get_negotiated_features(vid, &features) == 0 &&
                 rte_vhost_get_mem_table(vid, &device.memory) == 0;
    for (uint16_t queue = 0; ready && queue < QUEUES; queue++) {
        struct rte_vhost_vring ring;
        ready = rte_vhost_get_vhost_vring(vid, queue, &ring) == 0;
        device.descs[queue] = features >> VIRTIO_F_RING_PACKED & 1 ? ring.desc_packed : NULL;
        device.sizes[queue] = ring.size;
        rte_vhost_enable_guest_notification(vid, queue, 0);
    }
    if (ready)
        device.vid = vid;
    rte_spinlock_unlock(&device.lock);
    return ready ? 0 : -1;
}

static void lose_device(int vid)
{
    rte_spinlock_lock(&device.lock);
    if (device.vid == vid) {
        device.vid = NO_DEVICE;
        free(device.memory);
        device.memory = NULL;
    }
    rte_spinlock_unlock(&device.lock);
}

bool vhost_listen(const char *path)
{
    static const struct rte_vhost_device_ops events = {.new_device = take_device,
                                                       .destroy_device = lose_device};

    return rte_vhost_driver_register(path, 0) == 0 &&
           rte_vhost_driver_callback_register(path, &events) == 0 &&
           rte_vhost_driver_start(path) == 0;
}

/* How many of a queue's next `max` descriptors hold a buffer that the library hasn't used. Fetches
 * the first lines of these buffers. The library looks at each descriptor itself, so a wrong count
 * here does no harm. Of a split ring nothing is known here, so that all may be there. The rings
 * must stay where they were when the device came: memory that a machine gets later isn't supported.
 */
static uint32_t look_ahead(uint16_t queue, uint32_t max, bool to_write)
{
    const struct vring_packed_desc *descs = device.descs[queue];
    uint16_t at, used;
    uint32_t n = 0;

    if (!descs || rte_vhost_get_vring_base(device.vid, queue, &at, &used))
        return max;
    uint16_t wrap = at >> 15;
    at &= 0x7fff;
    for (; n < max; n++) {
        uint16_t flags = __atomic_load_n(&descs[at].flags, __ATOMIC_ACQUIRE);
        if ((flags >> VRING_PACKED_DESC_F_AVAIL & 1) != wrap ||
            (flags >> VRING_PACKED_DESC_F_USED & 1) == wrap)
            break;
        uint64_t len = LINE;
        const char *buffer =
            (const char *)rte_vhost_va_from_guest_pa(device.memory, descs[at].addr, &len);
        for (uint32_t line = 0; line < FETCHED_LINES; line++) {
            if (to_write)
                __builtin_prefetch(buffer + line * LINE, 1);
            else
                __builtin_prefetch(buffer + line * LINE);
        }
        if (++at == device.sizes[queue]) {
            at = 0;
            wrap ^= 1;
        }
    }
    return n;
}

uint32_t vhost_receive(struct rte_mempool *pool, struct rte_mbuf **in, uint32_t max)
{
    uint32_t n = 0;

    if (!rte_spinlock_trylock(&device.lock))
        return 0;
    if (device.vid != NO_DEVICE && (n = look_ahead(FROM_FRONT, max, false)) > 0)
        n = rte_vhost_dequeue_burst(device.vid, FROM_FRONT, pool, in, (uint16_t)n);
    rte_spinlock_unlock(&device.lock);
    return n;
}

void vhost_expect(uint32_t n)
{
    if (!rte_spinlock_trylock(&device.lock))
        return;
    if (device.vid != NO_DEVICE)
        look_ahead(TO_FRONT, n, true);
    rte_spinlock_unlock(&device.lock);
}

uint32_t vhost_send(struct rte_mbuf **out, uint32_t n)
{
    uint32_t sent = 0;

    if (!rte_spinlock_trylock(&device.lock))
        return 0;
    if (device.vid != NO_DEVICE)
        sent = rte_vhost_enqueue_burst(device.vid, TO_FRONT, out, (uint16_t)n);
    rte_spinlock_unlock(&device.lock);
    return sent;
}
