/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend.h - a virtio-net device in memory that completes everything at once, behind the transport
 * table. It is as quick as it can be and checks nothing: what is measured is the driver.
 *
 * Order of calls: backend_init, then the device is an ordinary one for virtio_net; between the
 * driver's bursts, backend_transmit and backend_receive play the device's part.
 */
#ifndef APPS_DRIVERBENCH_BACKEND_H
#define APPS_DRIVERBENCH_BACKEND_H

#include "netdev/virtio/virtio_net.h"

struct backend_queue {
    struct virtio_queue_place place;
    uint16_t avail_idx, used_idx; /* the device's own */
    bool wrap;                    /* packed: its wrap counter */
};

struct backend {
    struct virtio_transport base;
    uint64_t features, driver_features;
    uint8_t status;
    struct backend_queue rx, tx;
};

/* A device that offers `features` beside VIRTIO_F_VERSION_1. */
void backend_init(struct backend *b, uint64_t features);

/* Takes all that the driver sent and returns it as used. */
void backend_transmit(struct backend *b);

/* Receives `n` packets of frame_bytes: uses that many of the driver's buffers, writing the device's
 * header, but not the frame. */
void backend_receive(struct backend *b, uint32_t n, uint32_t frame_bytes);

#endif
