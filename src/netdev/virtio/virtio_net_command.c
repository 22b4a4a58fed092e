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
        uint32_t reaped = vring_reap(&q->ring, kind, &done, NULL, 1, vring_fetch_owner, NULL);
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
    const struct vring_piece header = {&c->header, sizeof c->header, false};
    const struct vring_piece said = {c->data, len, false}, ack = {&c->ack, sizeof c->ack, true};
    const struct vring_piece with[] = {header, said, ack}, without[] = {header, ack};
    assert(len <= sizeof c->data);
    int error = net->control.base.broken ? NETDEV_EDEVICE : finish_command(net, deadline_ns);

    if (error)
        return error;
    c->header = (struct virtio_net_ctrl_hdr){class, cmd};
    c->ack = VIRTIO_NET_ERR;
    if (len > 0) {
        memcpy(c->data, data, len);
        vring_post(&net->control.ring, net->control.ring.kind, with, ARRAY_LEN(with), c);
    } else {
        vring_post(&net->control.ring, net->control.ring.kind, without, ARRAY_LEN(without), c);
    }
    virtio_net_publish(&net->control);
    error = finish_command(net, deadline_ns);
    if (error)
        return error;
    return *(volatile uint8_t *)&c->ack == VIRTIO_NET_OK ? 0 : NETDEV_EDEVICE;
}

/* A device drops what isn't for an address that it knows. If ours was made here and it can't be
 * told so, it has to let everything through. */
static bool has_to_be_promiscuous(const struct virtio_net *net)
{
    return net->mac_is_made && !(net->features & VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR));
}

int virtio_net_send_promisc(struct virtio_net *net, bool on)
{
    const uint8_t value = on || has_to_be_promiscuous(net);

    return virtio_net_command(net, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &value,
                              sizeof value);
}

/* A device that filters has none of our groups in its table (section 5.1.6.5.2), and IPv6's
 * neighbours ask by group. One that refuses is used as it is: most let all through. */
static void ask_for_groups(struct virtio_net *net)
{
    static const uint8_t on = 1;

    if (net->features & VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX))
        virtio_net_command(net, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, &on, sizeof on);
}

int virtio_net_send_settings(struct virtio_net *net)
{
    int error = 0;

    if (!net->control.ring.ready)
        return 0;
    if (net->mac_is_made && (net->features & VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR)))
        error = virtio_net_command(net, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, net->mac,
                                   sizeof net->mac);
    if (!error && (net->features & VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX)) &&
        (net->promisc != PROMISC_UNSET || has_to_be_promiscuous(net)))
        error = virtio_net_send_promisc(net, net->promisc == PROMISC_ON);
    if (!error)
        ask_for_groups(net);
    return error;
}

/* A device that was heard asks no more, until it has another reason. One that can't be told isn't
 * told again, as each try may wait for it, unless it ends asking by itself. */
void virtio_net_heed_status(struct virtio_net *net, uint32_t status)
{
    const bool asks = status & VIRTIO_NET_S_ANNOUNCE;

    if (!(net->features & VIRTIO_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE)) || !asks) {
        net->announces = false;
    } else if (!net->announces) {
        net->base.arrivals++;
        net->announces = virtio_net_command(net, VIRTIO_NET_CTRL_ANNOUNCE,
                                            VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0) != 0;
    }
}
