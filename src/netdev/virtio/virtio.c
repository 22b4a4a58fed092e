/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio.c - the steps of starting a virtio device that are the same for every transport. */
#include "netdev/virtio/virtio.h"
#include "boot/boot.h"
#include "netdev/netdev.h"

enum { CONFIG_TRIES = 100 };

static void add_status(struct virtio_transport *t, uint8_t bit)
{
    t->ops->set_status(t, t->ops->status(t) | bit);
}

int virtio_reset(struct virtio_transport *t)
{
    const uint64_t deadline_ns = clock_ns() + netdev_control_timeout_ns;

    t->ops->set_status(t, 0);
    while (t->ops->status(t) != 0)
        if (clock_ns() >= deadline_ns)
            return NETDEV_ETIMEOUT;
    return 0;
}

int virtio_acknowledge(struct virtio_transport *t)
{
    int error = virtio_reset(t);

    if (error)
        return error;
    add_status(t, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    add_status(t, VIRTIO_CONFIG_S_DRIVER);
    return virtio_needs_reset(t) ? NETDEV_EDEVICE : 0;
}

int virtio_negotiate(struct virtio_transport *t, uint64_t features)
{
    const uint8_t of_interest = VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_NEEDS_RESET;
    int error = virtio_acknowledge(t);

    if (error)
        return error;
    /* What is behind the transport now may be another device than the one that was examined. */
    if (features & ~t->ops->features(t))
        return NETDEV_ENOTSUP;
    t->ops->set_features(t, features);
    add_status(t, VIRTIO_CONFIG_S_FEATURES_OK);
    return (t->ops->status(t) & of_interest) == VIRTIO_CONFIG_S_FEATURES_OK ? 0 : NETDEV_EDEVICE;
}

int virtio_driver_ok(struct virtio_transport *t)
{
    add_status(t, VIRTIO_CONFIG_S_DRIVER_OK);
    return virtio_needs_reset(t) ? NETDEV_EDEVICE : 0;
}

void virtio_give_up(struct virtio_transport *t)
{
    add_status(t, VIRTIO_CONFIG_S_FAILED);
}

bool virtio_needs_reset(struct virtio_transport *t)
{
    return t->ops->status(t) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

bool virtio_config(struct virtio_transport *t, uint32_t offset, uint32_t width_bytes,
                   uint32_t count, uint32_t *fields)
{
    if (count == 1) { /* a single field is never read half changed */
        *fields = t->ops->config(t, offset, width_bytes);
        return true;
    }
    for (uint32_t tries = 0; tries < CONFIG_TRIES; tries++) {
        uint32_t generation = t->ops->config_generation(t);
        for (uint32_t i = 0; i < count; i++)
            fields[i] = t->ops->config(t, offset + i * width_bytes, width_bytes);
        if (t->ops->config_generation(t) == generation)
            return true;
    }
    return false;
}
