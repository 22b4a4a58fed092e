/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet_frame.c - a frame's tag and its padding (IEEE 802.3, clause 3; 802.1Q, clause 9).
 *
 * Behind a source address there may be a tag of four bytes: 0x8100, and the number of a VLAN. What
 * is behind inet_input's first look knows no tags: the addresses are moved up by four bytes, so
 * that headers lie where they lie in a frame without one, and down again when an answer is
 * complete:
 *
 *     received   | destination source | 8100 VLAN | type, packet
 *     inside              | destination source | type, packet
 *
 * The number 0 is no VLAN but only a priority, so such a frame is taken like one without a tag.
 */
#include "boot/boot.h"
#include "netbuf/inet_build.h"

enum {
    TAG_BYTES = 4,
    VLAN_NUMBER = 0x0fff, /* of a tag's last two bytes; the others are a priority */
    FRAME_MIN = 60,       /* of an Ethernet frame, without its checksum */
};

static uint64_t configured_vlan;
BOOT_KEY_RANGE("net.vlan", boot_parse_u64, &configured_vlan, NULL, "",
               "number of the VLAN that we live in; if not given, frames without a tag are ours", 1,
               4094);

RUNS_SELDOM void inet_frame_init(struct inet *inet)
{
    inet->vlan = (uint16_t)configured_vlan;
    inet->plain_mac_number = inet->vlan ? INET_NO_MAC_NUMBER : inet->mac_number;
    inet->finish_below = inet->vlan ? UINT32_MAX : FRAME_MIN;
}

bool inet_untag(struct inet *inet, struct netbuf *nb)
{
    const bool tagged = be16(((const struct eth_header *)nb->data)->type) == ETH_TYPE_VLAN;
    uint32_t vlan = 0;

    if (tagged) {
        if (nb->len < sizeof(struct eth_header) + TAG_BYTES) {
            inet_drop(inet, INET_DROP_ETH_SHORT);
            return false;
        }
        vlan = inet_read_length(nb->data + sizeof(struct eth_header)) & VLAN_NUMBER;
    }
    if (vlan != inet->vlan) {
        inet_drop(inet, vlan == 0 ? INET_DROP_ETH_NO_VLAN : INET_DROP_ETH_VLAN);
        return false;
    }
    if (tagged) {
        memmove(nb->data + TAG_BYTES, nb->data, 2 * ETH_MAC_BYTES);
        netbuf_trim_front(nb, TAG_BYTES);
        nb->csum_start = (uint16_t)(nb->csum_start - TAG_BYTES);
    }
    return true;
}

void inet_pad(struct netbuf *nb)
{
    const uint32_t end = MIN((uint32_t)FRAME_MIN, nb->buf_bytes - netbuf_headroom(nb));

    if (nb->len < end && !nb->next) {
        memset(nb->data + nb->len, 0, end - nb->len);
        nb->len = (uint16_t)end;
    }
}

void inet_finish(const struct inet *inet, struct netbuf *nb)
{
    inet_pad(nb);
    if (inet->vlan == 0)
        return;
    uint8_t *frame = netbuf_prepend(nb, TAG_BYTES);
    assert(frame); /* a pool's headroom is larger */
    memmove(frame, frame + TAG_BYTES, 2 * ETH_MAC_BYTES);
    store_be16(frame + 2 * ETH_MAC_BYTES, ETH_TYPE_VLAN);
    store_be16(frame + sizeof(struct eth_header), inet->vlan);
    nb->csum_start = (uint16_t)(nb->csum_start + TAG_BYTES);
}
