/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio_net_command.c - commands to a virtio-net device (virtio 1.1, section 5.1.6.5): a chain of
 * three pieces on the control queue, the last of which the device answers in. */
#include "boot/boot.h"
#include "netdev/virtio/virtio_net.h"

/* Waits until no command is under way. */
static int finish_command(struct virtio_net *net, uint64_t deadline_ns)
{
    struct virtio_net_queue *q = &net->control;
    const enum vring_kind kind = q->ring.kind;
    void *done;

    while (vring_room(&q->ring, kind) < q->descs) {
        uint32_t reaped = vring_reap(&q->ring, kind, &done, NULL, 1);
        if (vring_broken(&q->ring, kind))
            virtio_net_broken(q);
        if (q->base.broken)
            return NETDEV_EDEVICE;
        if (reaped == 0 && clock_ns() >= deadline_ns)
            return NETDEV_ETIMEOUT;
    }
    return 0;
}

int virtio_net_command(struct virtio_net *net, uint8_t class, uint8_t cmd, const void *data,
                       uint32_t len)
{
    const uint64_t deadline_ns = clock_ns() + netdev_control_timeout_ns;
    struct virtio_net_command *c = &net->command;
    const struct vring_piece pieces[] = {
        {&c->header, sizeof c->header, false},
        {c->data, len, false},
        {&c->ack, sizeof c->ack, true},
    };
    assert(len > 0 && len <= sizeof c->data);
    int error = net->control.base.broken ? NETDEV_EDEVICE : finish_command(net, deadline_ns);

    if (error)
        return error;
    c->header = (struct virtio_net_ctrl_hdr){class, cmd};
    memcpy(c->data, data, len);
    c->ack = VIRTIO_NET_ERR;
    vring_post(&net->control.ring, net->control.ring.kind, pieces, ARRAY_LEN(pieces), c);
    virtio_net_publish(&net->control);
    error = finish_command(net, deadline_ns);
    if (error)
        return error;
    return *(volatile uint8_t *)&c->ack == VIRTIO_NET_OK ? 0 : NETDEV_EDEVICE;
}

int virtio_net_send_promisc(struct virtio_net *net, bool on)
{
    const uint8_t value = on;

    return virtio_net_command(net, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &value,
                              sizeof value);
}
