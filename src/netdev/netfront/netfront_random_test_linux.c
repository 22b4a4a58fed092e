/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A random hostile back end, toolstack and store against a random app on netfront: nothing may be
 * hurt, and after each round every buffer, grant and port is back. The same steps in every run,
 * unless it is told another seed; with many rounds, or for some time, it is a fuzzer.
 */
#include "boot/boot.h"
#include "netdev/netfront/netback_fake_test.h"
#include "netdev/received_test.h"

static uint64_t rounds, seconds, first_seed;
BOOT_KEY_RANGE("netfront.rounds", boot_parse_u64, &rounds, "60", "",
               "rounds of the random test of netfront", 1, 1000000000);
BOOT_KEY_RANGE("netfront.seconds", boot_parse_u64, &seconds, "0", "s",
               "run the random test of netfront for so long, whatever its rounds", 0, 86400);
BOOT_KEY_RANGE("netfront.seed", boot_parse_u64, &first_seed, "1", "",
               "where the random test of netfront begins", 1, UINT64_MAX);

enum { DESCS = 32, STEPS = 400 };

static struct netbuf *bufs[NETDEV_MAX_BURST];
static uint64_t seed;
static uint32_t honesty; /* once in so many times the back end does something wrong */

static uint32_t draw_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % n;
}

static bool lies(uint32_t seldom)
{
    return draw_below(honesty * seldom) == 0;
}

static uint32_t maybe(uint32_t truth)
{
    static const uint32_t lie[] = {0,    1,    13,    18,    255,   256,       4095,
                                   4096, 4097, 32767, 32768, 65535, UINT32_MAX};

    return lies(1) ? lie[draw_below(ARRAY_LEN(lie))] : truth;
}

/* --- the back end's rings --------------------------------------------------------------------- */

/* A page that it may write to gets headers, of a packet with a checksum that is left open. */
static void write_headers(uint32_t ref)
{
    uint8_t *page = fake_page(ref, netback.domid, true);
    static const uint16_t types[] = {0x0800, 0x86dd, 0x8100, 0x0806};

    for (uint32_t i = 0; i < 80; i += 4)
        store_be32(page + i, draw_below(UINT32_MAX));
    store_be16(page + 12, types[draw_below(ARRAY_LEN(types))]);
    store_be16(page + 16, types[draw_below(ARRAY_LEN(types))]);
    page[14] = (uint8_t)(0x40 + draw_below(16));
    page[20] = page[23] = (uint8_t)(draw_below(2) ? 17 : draw_below(64));
}

static void answer_some(uint32_t q)
{
    struct netback_slot slot;

    for (uint32_t n = draw_below(8); n > 0 && netback_next(q, &slot); n--) {
        if (!fake_granted(slot.ref, netback.domid, true))
            return; /* the front end closed, and the back end hasn't looked */
        if (draw_below(40) == 0) {
            netback_send_extra(q, (uint8_t)maybe(XEN_NETIF_EXTRA_TYPE_HASH), draw_below(3) == 0);
            continue;
        }
        const uint32_t ref = slot.ref;
        slot.id = (uint16_t)(lies(50) ? maybe(slot.id) : slot.id);
        slot.status = (int16_t)maybe(14 + draw_below(200));
        slot.offset = (uint16_t)(draw_below(4) ? 0 : maybe(draw_below(3000)));
        slot.flags = (uint16_t)(draw_below(8) ? draw_below(4) : draw_below(32));
        CHECK(netback_answer(q, 0, slot));
        if (draw_below(4) == 0)
            write_headers(ref);
    }
    netback_publish_rx(q);
}

static void finish(uint32_t q)
{
    struct netback_slot slot;

    for (uint32_t n = draw_below(8); n > 0 && netback_take(q, &slot); n--) {
        CHECK(slot.size > 0 && slot.offset < PAGE_SIZE);
        if (!fake_granted(slot.ref, netback.domid, false))
            return;
        netback_done(q, (uint16_t)(lies(50) ? maybe(slot.id) : slot.id),
                     (int16_t)(lies(1) ? maybe(0) : 0));
    }
    netback_publish_tx(q);
}

/* The back end writes over a part of the rings out of turn. */
static void overwrite(uint32_t q)
{
    struct netback_queue *b = &netback.queues[q];

    b->rx->req_event = b->rx->req_prod + draw_below(4);
    b->tx->req_event = b->tx->req_prod + draw_below(4);
    if (lies(100))
        b->rx->rsp_prod += maybe(1);
    if (lies(100))
        b->tx->rsp_prod += maybe(1);
    if (lies(4))
        b->rx->rsp_event = draw_below(UINT32_MAX);
    if (b->rx_rsp != b->rx->req_prod && b->rx_cons != b->rx_rsp && lies(4))
        memset(&b->rx->ring[b->rx_rsp % NETFRONT_RING], (int)draw_below(256), 8);
}

/* --- the toolstack, and the store ------------------------------------------------------------- */

static void change_node(void)
{
    static const char *const names[] = {"state",
                                        "online",
                                        "feature-sg",
                                        "feature-split-event-channels",
                                        "carrier",
                                        "feature-rx-copy",
                                        "multi-queue-max-queues"};
    static const char *const values[] = {"0", "1", "2", "3",  "4",  "5",          "6",
                                         "7", "8", "",  "-1", "1 ", "4294967296", "nonsense"};

    netback_say(names[draw_below(ARRAY_LEN(names))],
                lies(2) ? NULL : values[draw_below(ARRAY_LEN(values))]);
}

/* A vif that isn't used, or the used one with another address. */
static void change_vif(void)
{
    static const char *const macs[] = {NULL, "", "00:16:3e:00:00:02", "00:16:3e:00:00:03",
                                       "01:16:3e:00:00:02"};
    static const char *const states[] = {NULL, "1", "2", "5", "6", "nonsense"};
    const uint32_t vif = draw_below(4);

    fake_put(macs[draw_below(ARRAY_LEN(macs))], "/local/domain/7/device/vif/%u/mac", vif);
    if (vif == netback.vif)
        return;
    fake_put(lies(2) ? "nonsense" : "/local/domain/3/backend/vif/7/9",
             "/local/domain/7/device/vif/%u/backend", vif);
    fake_put(lies(2) ? NULL : "3", "/local/domain/7/device/vif/%u/backend-id", vif);
    fake_put(states[draw_below(ARRAY_LEN(states))], "/local/domain/3/backend/vif/7/9/state");
    if (draw_below(3) == 0)
        fake_put(NULL, "/local/domain/7/device/vif/%u", vif);
}

static void toolstack_step(void)
{
    netback.init_wait = lies(1) ? draw_below(4) : NETBACK_FINE;
    netback.connect = lies(1) ? draw_below(4) : NETBACK_FINE;
    netback.closing = lies(1) ? NETBACK_SILENT : NETBACK_FINE;
    netback.close = lies(1) ? NETBACK_SILENT : NETBACK_FINE;
    fake_xen.silent = lies(4);
    fake_xen.refuses = lies(4);
    fake_xen.conflicts = lies(1) ? draw_below(12) : 0;
    fake_xen.grants_max = lies(2) ? draw_below(FAKE_GRANTS) : FAKE_GRANTS - 1;
    fake_xen.ports_max = lies(2) ? draw_below(FAKE_PORTS) : FAKE_PORTS - 1;
    switch (draw_below(8)) {
    case 0:
        netback_detach();
        break;
    case 3:
    case 4:
        change_vif();
        break;
    case 1:
        netback_detach();
        netback_attach(draw_below(2) ? FAKE_BACK : FAKE_OTHER_BACK, draw_below(3));
        break;
    case 2:
        netback_detach();
        fake_suspend();
        netback_attach(FAKE_BACK, draw_below(3));
        break;
    default:
        change_node();
    }
}

/* Keeps pages that it was given, or lets go of all that it kept. */
static void hold_pages(void)
{
    struct fake_grant *g = &fake_xen.grants[1 + draw_below(400)];

    if (g->used && draw_below(2))
        g->busy = 1;
    else if (!netback.connected)
        for (uint32_t ref = 1; ref < FAKE_GRANTS; ref++)
            fake_xen.grants[ref].busy = 0;
}

static void back_step(void)
{
    const uint32_t q = draw_below(2);

    if (draw_below(60) == 0)
        toolstack_step();
    if (draw_below(40) == 0)
        hold_pages();
    if (!netback.connected || q >= netback.queues_count)
        return;
    overwrite(q);
    if (draw_below(2))
        answer_some(q);
    else
        finish(q);
}

/* --- the app ---------------------------------------------------------------------------------- */

static uint64_t received;

static void check_packet(const struct netbuf *packet)
{
    check_received(packet, 0);
    CHECK(netbuf_packet_pieces(packet) <= 18);
    CHECK(!(packet->flags & NETBUF_CSUM_PARTIAL) ||
          packet->csum_start + packet->csum_offset + 2 <= packet->len);
    received++;
}

static struct netbuf *make_packet(void)
{
    struct netbuf *nb =
        fake_count_up(draw_below(2) ? fake_pages() : fake_small(), 0, (uint16_t)draw_below(300));

    if (draw_below(3) == 0) {
        nb->flags = NETBUF_CSUM_PARTIAL;
        nb->csum_start = (uint16_t)draw_below(60);
        nb->csum_offset = (uint16_t)draw_below(20);
    }
    return nb;
}

static bool pools_have(uint32_t n)
{
    return netbuf_pool_free_count(fake_pages()) >= n && netbuf_pool_free_count(fake_small()) >= n;
}

static void send_some(uint16_t q)
{
    uint32_t n = 0;

    while (n < 1 + draw_below(8) && pools_have(24)) {
        bufs[n] = make_packet();
        for (uint32_t pieces = draw_below(4) ? 0 : draw_below(20); pieces > 0; pieces--)
            netbuf_chain(bufs[n], make_packet());
        n++;
    }
    uint32_t sent = netdev_tx_burst(fake_vif, q, bufs, n);
    netbuf_free_bulk(bufs + sent, n - sent);
}

static void app_step(void)
{
    const uint16_t q = (uint16_t)draw_below(2);
    uint32_t n;

    switch (draw_below(12)) {
    case 0:
        fake_vif_link_up();
        break;
    case 1:
        netdev_tx_reclaim(fake_vif, q);
        break;
    case 2:
        netdev_rx_intr(fake_vif, q, draw_below(2));
        break;
    case 3:
        netdev_set_promisc(fake_vif, draw_below(2));
        break;
    case 4:
        if (draw_below(20) == 0)
            netdev_stop(fake_vif);
        if (fake_vif->state != NETDEV_STARTED)
            netback_start((uint16_t)(1 + draw_below(2)), DESCS);
        break;
    case 5:
    case 6:
    case 7:
    case 8:
        send_some(q);
        break;
    default:
        n = netdev_rx_burst(fake_vif, q, bufs, 1 + draw_below(40));
        for (uint32_t i = 0; i < n; i++)
            check_packet(bufs[i]);
        netbuf_free_bulk(bufs, n);
    }
}

/* --- rounds ----------------------------------------------------------------------------------- */

static uint64_t dropped(enum netdev_drop from, enum netdev_drop to)
{
    uint64_t sum = 0;

    for (enum netdev_drop reason = from; reason <= to; reason++)
        sum += fake_drops_rx(reason) + fake_drops_tx(reason);
    return sum;
}

static void play_round(uint64_t *bad, uint64_t *lost)
{
    netback_begin();
    netdev_control_timeout_ns = 500000; /* a back end that doesn't answer costs that much */
    honesty = 4 + draw_below(60);
    netfront_vifs.at_start[netfront_vifs.count++] = &fake_front;
    netfront_vifs.watch = store_watch("device/vif");
    xen_on_resume(netfront_vifs_resumed, NULL);
    netback_start((uint16_t)(1 + draw_below(2)), DESCS);
    for (uint32_t step = 0; step < STEPS; step++) {
        back_step();
        app_step();
    }
    netdev_stop(fake_vif);
    *bad += dropped(NETDEV_DROP_BAD_LEN, NETDEV_DROP_BAD_META);
    *lost += dropped(NETDEV_DROP_STOP, NETDEV_DROP_STOP);
    for (uint32_t ref = 1; ref < FAKE_GRANTS; ref++) /* it lets go at last */
        fake_xen.grants[ref].busy = 0;
    fake_vif_link_up();
    netback_end();
}

TEST(netfront_random_hostile_back_end)
{
    const uint64_t end_ns = clock_ns() + seconds * 1000000000;
    uint64_t bad = 0, lost = 0, played = 0;

    received = 0;
    for (seed = first_seed; seconds ? clock_ns() < end_ns : played < rounds; played++) {
        const uint64_t began = seed;
        play_round(&bad, &lost);
        if (seconds && played % 10000 == 0)
            print("round %lu began with netfront.seed=%lu\n", played, began);
    }
    print("%lu rounds: %lu packets received, %lu dropped for what can't be, %lu in flight lost.\n",
          played, received, bad, lost);
    CHECK(received > 10 * played && bad > played && lost > played); /* neither all good nor bad */
}
