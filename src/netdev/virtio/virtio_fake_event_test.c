/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio_fake_event_test.c - when the device of virtio_fake_test.h wants a kick, and interrupts. */
#include "netdev/virtio/virtio_fake_test.h"

static uint16_t *avail_event(const struct fake_queue *queue)
{
    struct vring_used *used = (struct vring_used *)queue->place.used;

    return (uint16_t *)&used->ring[queue->place.size];
}

static bool event_idx(void)
{
    return fake.driver_features & VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
}

void fake_needs_no_kicks(uint16_t q)
{
    fake.queues[q].needs_no_kicks = true;
    if (fake_kind == VRING_PACKED)
        ((struct vring_packed_desc_event *)fake.queues[q].place.used)->flags =
            VRING_PACKED_EVENT_FLAG_DISABLE;
    else if (event_idx()) /* names what it has seen: the last chain that was published */
        *avail_event(&fake.queues[q]) =
            (uint16_t)(((struct vring_avail *)fake.queues[q].place.avail)->idx - 1u);
    else
        fake_used(q)->flags = VRING_USED_F_NO_NOTIFY;
}

bool fake_wants_interrupt(const struct fake_queue *queue, uint16_t at, bool wrap)
{
    const struct vring_avail *avail = (const void *)queue->place.avail;
    const struct vring_packed_desc_event *event = (const void *)queue->place.avail;

    if (fake_kind == VRING_SPLIT)
        return event_idx() ? avail->ring[queue->place.size] == at : avail->flags == 0;
    return event->flags == VRING_PACKED_EVENT_FLAG_ENABLE ||
           (event->flags == VRING_PACKED_EVENT_FLAG_DESC &&
            event->off_wrap == (at | wrap << VRING_PACKED_EVENT_F_WRAP_CTR));
}

void fake_wants_kicks(const struct fake_queue *queue)
{
    const struct vring_avail *avail = (const void *)queue->place.avail;

    CHECK(!event_idx() || avail->flags == 0); /* section 2.6.7.1 */
    if (event_idx() && !queue->needs_no_kicks)
        *avail_event(queue) = avail->idx;
}
