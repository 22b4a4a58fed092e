/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio.h - what a virtio driver knows of its device: a small table of calls, the transport. PCI,
 * MMIO and vhost-user implement it; unit tests put a device of their own behind it.
 *
 * Order of calls (virtio 1.2, section 3.1): virtio_negotiate (which resets first, always: firmware
 * may have used the device), ops->queue_enable for each queue, virtio_driver_ok; from then on
 * ops->kick. virtio_reset ends it all, virtio_give_up a start that failed. Each step adds a bit to
 * the status that the device shows, and so clears none that the device has set.
 *
 * Nothing that comes from a device is trusted: waits have deadlines, and a configuration that
 * changes during every reading is an error.
 */
#ifndef NETDEV_VIRTIO_H
#define NETDEV_VIRTIO_H

#include "boot/lib.h"

#include <linux/virtio_config.h>

#define VIRTIO_BIT(feature) (1ull << (feature))
#define VIRTIO_QUEUES_MAX   257 /* queues that a transport can drive: 128 pairs, a control queue */

struct virtio_transport;

/* Where a queue lies in memory. Addresses are those that the device uses. */
struct virtio_queue_place {
    uint16_t size;
    uint64_t desc, avail, used;
    bool wakes; /* its interrupts may be wanted: `arm` may be called */
};

struct virtio_transport_ops {
    /* Is there somebody who could start a device that has gone? Asked before the other cores are
     * stopped for it; touches no queue. NULL: always. */
    bool (*present)(struct virtio_transport *t);
    uint8_t (*status)(struct virtio_transport *t);
    void (*set_status)(struct virtio_transport *t, uint8_t status);
    uint64_t (*features)(struct virtio_transport *t);
    void (*set_features)(struct virtio_transport *t, uint64_t features);
    /* One field of the device's own configuration: width_bytes is 1, 2 or 4, offset a multiple of
     * it. A field that the device hasn't got reads as 0. */
    uint32_t (*config)(struct virtio_transport *t, uint32_t offset, uint32_t width_bytes);
    uint32_t (*config_generation)(struct virtio_transport *t);
    /* The largest size that the device allows for queue q; 0 if there is no such queue. */
    uint32_t (*queue_size_max)(struct virtio_transport *t, uint16_t q);
    /* Hands queue q (below VIRTIO_QUEUES_MAX) to the device. False if it can't be. */
    bool (*queue_enable)(struct virtio_transport *t, uint16_t q,
                         const struct virtio_queue_place *place);
    /* Tells the device that queue q has something new. Only for a queue that was enabled. */
    void (*kick)(struct virtio_transport *t, uint16_t q);
    /* For a queue that was enabled with `wakes`. Called with `on` right before the queue's ring
     * asks for interrupts: from then on one ends boot_wait on the calling core; false if none can
     * come. Called without `on` after the ring has stopped asking. NULL: no queue has interrupts.
     */
    bool (*arm)(struct virtio_transport *t, uint16_t q, bool on);
    /* For a device that didn't confirm its reset (section 3.3.1): keeps it from memory until its
     * status is next set to something else than 0. False if that can't be done. NULL: never can. */
    bool (*stop_dma)(struct virtio_transport *t);
    /* Does who runs the machine want the device back? Asked at each look at a started device; true
     * until it was given. NULL: never. */
    bool (*wanted_back)(struct virtio_transport *t);
    /* Gives it back. It is reset, and nothing of it is used until `present`. */
    void (*give_back)(struct virtio_transport *t);
};

/* A device's transport. Each kind of transport has a struct of its own that begins with this one,
 * and casts to it. */
struct virtio_transport {
    const struct virtio_transport_ops *ops;
    const char *driver; /* "virtio-net over PCI" */
    char where[24];     /* "pci 00:02.0" */
    bool all_pairs;     /* queue pairs that are enabled are in use, without a command */
};

/* Resets the device: it forgets its queues and touches none of our memory any more. 0, or
 * NETDEV_ETIMEOUT if it didn't say that it has (section 2.1: status 0). */
int virtio_reset(struct virtio_transport *t);

/* Resets the device and tells it that a driver is there. 0, NETDEV_ETIMEOUT, or NETDEV_EDEVICE if
 * it can't be started: it needs a reset again. */
int virtio_acknowledge(struct virtio_transport *t);

/* Resets, then offers `features` and reads back whether the device takes them: 0, NETDEV_ENOTSUP if
 * it hasn't got them now, NETDEV_EDEVICE if it refuses, NETDEV_ETIMEOUT. The device is then ready
 * for its queues. */
int virtio_negotiate(struct virtio_transport *t, uint64_t features);

/* The queues are there: the device may begin. 0, or NETDEV_EDEVICE if it found an error in what it
 * was told: it needs a reset. */
int virtio_driver_ok(struct virtio_transport *t);

/* Tells a device that could be reset, but not be used, that it has no driver (section 3.1.1). */
void virtio_give_up(struct virtio_transport *t);

/* True if the device says that it is broken, or has gone from its bus (all bits read as ones). */
bool virtio_needs_reset(struct virtio_transport *t);

/*
 * Reads `count` fields of width_bytes each, at most 4, from the device's configuration, all of one
 * generation (section 2.4.1): fields[i] is at offset + i * width_bytes. A single field is
 * never seen half changed. False if the configuration changed during each of 100 tries.
 */
bool virtio_config(struct virtio_transport *t, uint32_t offset, uint32_t width_bytes,
                   uint32_t count, uint32_t *fields);

#endif
