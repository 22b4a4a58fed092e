/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of netfront with back ends that go away while they are used, and come back; with domains
 * that don't let go of pages; and with suspend. */
#include "boot/boot.h"
#include "netdev/netfront/netback_fake_test.h"

enum { FRAME = 100, DESCS = 32 };

static struct netbuf *bufs[NETDEV_MAX_BURST];
static uint8_t frame[65536];

#define OWN_NODE(name) fake_get("/local/domain/7/device/vif/%u/" name, netback.vif)

static void begin(void)
{
    netback_begin();
    CHECK_EQ(netback_start(1, DESCS), 0);
    netback_check_traffic(DESCS);
}

static void send_to_vif(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct netbuf *packet = fake_count_up(fake_pages(), 0, FRAME);
        CHECK_EQ(netdev_tx_burst(fake_vif, 0, &packet, 1), 1);
    }
}

/* Nothing moves, and nothing is hurt. */
static void check_stands_still(void)
{
    struct netbuf *packet = fake_count_up(fake_pages(), 0, FRAME);

    CHECK_EQ(netdev_rx_burst(fake_vif, 0, bufs, DESCS), 0);
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, &packet, 1), 0);
    CHECK_EQ(netdev_tx_reclaim(fake_vif, 0), 0);
    CHECK_EQ(netdev_tx_room(fake_vif, 0), 0);
    netbuf_free(packet);
}

TEST(netfront_goes_on_after_the_back_end_closed)
{
    static const char *const states[] = {"5", "6", "0", "1", "nonsense"};

    begin();
    for (uint32_t i = 0; i < ARRAY_LEN(states); i++) {
        send_to_vif(5);
        netback_say("state", states[i]);
        CHECK(fake_vif_link_up() ||
              fake_vif_link_up()); /* it closes with us and connects at once */
        CHECK_EQ(fake_drops_tx(NETDEV_DROP_STOP), 5 * (i + 1));
        netback_check_traffic(DESCS);
    }
    CHECK_EQ(netback.connections, 1 + ARRAY_LEN(states));
    netback_end();
}

static bool gone;
static uint64_t least_ns;

/* The back end seems to go, and is there again before core 0 looks once more. */
static void waver(uint32_t core)
{
    if (core == 0) {
        netback_say("state", "5");
        fake_vif_link_up();
        netback_say("state", "4");
        CHECK(fake_vif_link_up());
        store_release(&gone, true);
    }
    if (core != 1)
        return;
    while (!load_acquire(&gone) && !test_is_late())
        __builtin_ia32_pause();
    for (uint32_t i = 0; i < 5; i++) {
        const uint64_t start_ns = clock_ns();
        netdev_recover(fake_vif);
        least_ns = MIN(least_ns, clock_ns() - start_ns);
    }
}

/* Else each of its calls of netdev_recover would wait for core 0, and its loop stand still. */
TEST(netfront_cores_do_not_wait_when_the_back_end_wavered)
{
    begin();
    gone = false;
    least_ns = boot_cores() > 1 ? UINT64_MAX : 0;
    boot_run(waver);
    CHECK(least_ns < NETDEV_LOOK_NS);
    netback_check_traffic(DESCS);
    netback_end();
}

TEST(netfront_is_detached_and_attached)
{
    begin();
    for (uint32_t round = 0; round < 20; round++) {
        const uint16_t domid = round % 3 ? FAKE_OTHER_BACK : FAKE_BACK;
        send_to_vif(3);
        CHECK(netback_send(0, 0, FRAME, 0));
        netback_detach();
        CHECK(!fake_vif_link_up());
        CHECK_EQ(xen_grants_used(), 0);
        CHECK(netbuf_pool_whole(fake_pages()));
        check_stands_still();
        CHECK(!fake_vif_link_up());
        netback_attach(domid, round % 5);
        CHECK(fake_vif_link_up());
        CHECK_EQ(fake_front.vif, round % 5);
        netback_check_traffic(DESCS);
    }
    CHECK_EQ(fake_drops_tx(NETDEV_DROP_STOP), 3 * 20);
    CHECK_EQ(fake_drops_rx(NETDEV_DROP_STOP), 20);
    netback_end();
}

/* Both between two looks at the link, which is never seen down: the address is announced again. */
TEST(netfront_notices_another_back_end_in_its_place)
{
    begin();
    CHECK(fake_vif_link_up());
    send_to_vif(3);
    netback_detach();
    netback_attach(FAKE_OTHER_BACK, 0);
    const uint32_t arrivals = fake_vif->arrivals;
    CHECK(fake_vif_link_up());
    CHECK_EQ(netback.connections, 2);
    CHECK_EQ(fake_vif->arrivals, arrivals + 1);
    netback_check_traffic(DESCS);
    netback_end();
}

TEST(netfront_leaves_a_vif_alone_that_is_being_removed)
{
    begin();
    netback_say("online", "0");
    netback_say("state", "5");
    CHECK(!fake_vif_link_up() && !fake_vif_link_up());
    CHECK_STR(OWN_NODE("state"), "6");
    netback_detach();
    CHECK(!fake_vif_link_up());
    CHECK(!OWN_NODE("state"));
    netback_end();
}

TEST(netfront_takes_no_other_vif_than_its_own)
{
    begin();
    netback_detach();
    netback_attach(FAKE_BACK, 1);
    fake_put("00:16:3e:00:00:03", "/local/domain/7/device/vif/1/mac");
    CHECK(!fake_vif_link_up() && !fake_vif_link_up());
    fake_put("00:16:3e:00:00:02", "/local/domain/7/device/vif/1/mac");
    CHECK(fake_vif_link_up());
    netback_check_traffic(DESCS);
    netback_end();
}

TEST(netfront_tries_again_while_the_handshake_fails)
{
    for (uint32_t manner = NETBACK_SILENT; manner <= NETBACK_CLOSES; manner++) {
        begin();
        netdev_control_timeout_ns = 0; /* each wait is over at once */
        netback.connect = manner;
        netback_say("state", "6");
        for (uint32_t i = 0; i < 10; i++) {
            CHECK(!fake_vif_link_up());
            check_stands_still();
        }
        netdev_control_timeout_ns = 1000000000;
        netback.connect = NETBACK_FINE;
        CHECK(fake_vif_link_up() || fake_vif_link_up());
        netback_check_traffic(DESCS);
        netback_end();
    }
}

TEST(netfront_looks_at_the_store_a_few_times_a_second)
{
    begin();
    netback_detach();
    CHECK(!fake_vif_link_up());
    netback_attach(FAKE_BACK, 0);
    netback.connections = 0;
    fake_front.watch = -1; /* as if it did not fire */
    fake_front.next_look_ns = clock_ns() + 1000000000000;
    for (uint32_t i = 0; i < 1000; i++)
        CHECK(!netdev_recover(fake_vif));
    CHECK_EQ(netback.connections, 0);
    CHECK(fake_vif_link_up());
    netback_end();
}

TEST(netfront_without_carrier_is_connected_but_down)
{
    begin();
    netback_say("carrier", "0");
    CHECK(!netdev_recover(fake_vif));
    netback_check_traffic(DESCS);
    netback_say("carrier", "1");
    CHECK(netdev_recover(fake_vif));
    CHECK_EQ(netback.connections, 1);
    netback_end();
}

/* A store that doesn't answer says nothing about the back end. */
TEST(netfront_keeps_a_connection_while_the_store_is_silent)
{
    begin();
    netback_say("carrier", "1"); /* the watch fires */
    fake_xen.silent = true;
    CHECK(fake_vif_link_up());
    netback_check_traffic(DESCS);
    netback_say("state", "6");
    CHECK(fake_vif_link_up());
    fake_xen.silent = false;
    CHECK(fake_vif_link_up() ||
          fake_vif_link_up()); /* it saw that it closed, and connected again */
    CHECK_EQ(netback.connections, 2);
    netback_check_traffic(DESCS);
    netback_end();
}

TEST(netfront_does_not_connect_to_fewer_queues)
{
    netback_begin();
    CHECK_EQ(netback_start(2, DESCS), 0);
    netback_say("multi-queue-max-queues", "1");
    netback_say("state", "6");
    CHECK(!fake_vif_link_up() && !fake_vif_link_up());
    netback_say("multi-queue-max-queues", "2");
    CHECK(fake_vif_link_up());
    netback_check_traffic(DESCS);
    netback_end();
}

/* What is in use is done by other means if the new back end doesn't do it. */
TEST(netfront_goes_on_with_fewer_features)
{
    uint16_t flags;

    begin();
    netback_detach();
    netback_attach(FAKE_BACK, 0);
    netback_say("feature-sg", NULL);
    netback_say("feature-split-event-channels", NULL);
    CHECK(fake_vif_link_up());
    netback_check_traffic(DESCS);
    struct netbuf *packet = fake_count_up(fake_pages(), 0, 64);
    netbuf_chain(packet, fake_count_up(fake_pages(), 64, 192));
    CHECK_EQ(netdev_tx_burst(fake_vif, 0, &packet, 1), 1);
    CHECK_EQ(netdev_tx_room(fake_vif, 0), DESCS - 1);
    CHECK(netback_sent(0, frame, &flags) == 256 && fake_counts(frame, 0, 256));
    netback_end();
}

/* --- pages that aren't let go of ---------------------------------------------------------------
 */

static void let_go(void)
{
    for (uint32_t ref = 1; ref < FAKE_GRANTS; ref++)
        fake_xen.grants[ref].busy = 0;
}

static void check_start_has_to_wait(void)
{
    netdev_control_timeout_ns = 1000000;
    CHECK_EQ(netback_start(1, DESCS), NETDEV_ETIMEOUT);
    netdev_control_timeout_ns = 1000000000;
}

/* The rings' pages can't be used for anything else, not even for the next connection. */
TEST(netfront_keeps_grants_that_cannot_be_taken_back)
{
    begin();
    netback.keeps_pages = true; /* both rings */
    netdev_control_timeout_ns = 1000000;
    CHECK_EQ(netdev_stop(fake_vif), 0);
    CHECK_EQ(xen_grants_used(), 2);
    CHECK_EQ(fake_front.kept, 2);
    netback.keeps_pages = false;
    check_start_has_to_wait();
    netback_detach();
    netback_attach(FAKE_OTHER_BACK, 0);
    check_start_has_to_wait();
    CHECK_EQ(xen_grants_used(), 2);
    let_go();
    CHECK_EQ(netback_start(1, DESCS), 0);
    netback_check_traffic(DESCS);
    netback_end();
    CHECK_EQ(fake_front.kept, 0);
}

/* Two packets are in flight and the back end has mapped the first one's page. */
static void begin_with_a_mapped_page(void)
{
    struct netback_slot slot;

    begin();
    send_to_vif(2);
    CHECK(netback_take(0, &slot));
    fake_xen.grants[slot.ref].busy++;
    netdev_control_timeout_ns = 1000000;
}

TEST(netfront_keeps_a_buffer_whose_page_is_kept)
{
    begin_with_a_mapped_page();
    netback_say("state", "6");
    while (fake_front.phase != NETFRONT_KEPT) {
        CHECK_IN_TIME();
        CHECK(!fake_vif_link_up());
    }
    CHECK_EQ(fake_front.kept, 1);
    CHECK_EQ(xen_grants_used(), 1);
    CHECK_EQ(fake_drops_tx(NETDEV_DROP_STOP), 2);
    for (uint32_t i = 0; i < 10; i++) {
        CHECK(!fake_vif_link_up());
        CHECK_EQ(netbuf_pool_free_count(fake_pages()), FAKE_POOL - 1);
    }
    let_go();
    CHECK(fake_vif_link_up());
    CHECK_EQ(fake_drops_tx(NETDEV_DROP_STOP), 2);
    netback_check_traffic(DESCS);
    netback_end();
}

/* The same at a stop: the app's later looks bring the buffer back. */
TEST(netfront_gives_a_kept_buffer_back_after_a_stop)
{
    begin_with_a_mapped_page();
    CHECK_EQ(netdev_stop(fake_vif), 0);
    fake_vif_link_up();
    CHECK_EQ(netbuf_pool_free_count(fake_pages()), FAKE_POOL - 1);
    check_start_has_to_wait(); /* configured anew, in FOUND, it keeps it still */
    CHECK_EQ(netbuf_pool_free_count(fake_pages()), FAKE_POOL - 1);
    let_go();
    fake_vif_link_up();
    CHECK(netbuf_pool_whole(fake_pages()));
    CHECK_EQ(xen_grants_used(), 0);
    CHECK_EQ(netback_start(1, DESCS), 0);
    netback_check_traffic(DESCS);
    netback_end();
}

/* The same of a device that was configured for more queues than it ever had. */
TEST(netfront_with_kept_pages_and_without_its_queues_is_suspended)
{
    const struct netdev_conf conf = {.queue_pairs = 4};

    begin_with_a_mapped_page();
    CHECK_EQ(netdev_stop(fake_vif), 0);
    CHECK_EQ(netdev_configure(fake_vif, &conf), 0);
    struct netfront_tx *const tx = fake_front.tx[3];
    fake_front.tx[3] = NULL; /* a test before this one may have had four */
    netback_detach();
    fake_suspend();
    fake_front.tx[3] = tx;
    CHECK_EQ(xen_grants_used(), 0);
    CHECK(netbuf_pool_whole(fake_pages()));
    netback_attach(FAKE_BACK, 0);
    CHECK_EQ(netback_start(1, DESCS), 0);
    netback_check_traffic(DESCS);
    netback_end();
}

/* --- the way down -------------------------------------------------------------------------------
 */

/* As one whose handler of Closing frees its rings: who says Closed at once finds them mapped. */
TEST(netfront_closes_before_it_is_closed)
{
    begin();
    netback.frees_closing = true;
    CHECK_EQ(netdev_stop(fake_vif), 0);
    CHECK_EQ(xen_grants_used(), 0);
    CHECK_STR(OWN_NODE("state"), "6");
    netback_end();
}

/* What a busy dom0 would do some time later. */
static uint64_t late_ns;

static void react_late(void)
{
    if (clock_ns() >= late_ns)
        netback_react();
}

static void let_go_late(void)
{
    netback_react();
    if (clock_ns() >= late_ns)
        let_go();
}

TEST(netfront_stops_with_patience_for_a_busy_dom0)
{
    for (uint32_t round = 0; round < 2; round++) {
        begin();
        send_to_vif(1);
        netdev_control_timeout_ns = 5000000;
        late_ns = clock_ns() + 3 * netdev_control_timeout_ns;
        fake_xen.changed = react_late;
        fake_xen.waited = round == 0 ? react_late : let_go_late;
        netback.keeps_pages = round == 1;
        CHECK_EQ(netdev_stop(fake_vif), 0);
        CHECK_EQ(xen_grants_used(), 0);
        CHECK(netbuf_pool_whole(fake_pages()));
        netback_end();
    }
}

/* --- suspend and resume ----------------------------------------------------------------------- */

TEST(netfront_goes_on_after_a_suspend)
{
    begin();
    for (uint32_t round = 0; round < 4; round++) {
        send_to_vif(4);
        CHECK(netback_send(0, 0, FRAME, 0));
        netback_detach();
        fake_suspend();
        CHECK_EQ(xen_grants_used(), 0);
        CHECK(netbuf_pool_whole(fake_pages()));
        check_stands_still();
        CHECK_EQ(fake_drops_tx(NETDEV_DROP_STOP), 4 * (round + 1));
        CHECK_EQ(fake_drops_rx(NETDEV_DROP_STOP), round + 1);
        netback_attach(FAKE_BACK, 0);
        CHECK(fake_vif_link_up());
        netback_check_traffic(DESCS);
    }
    CHECK_EQ(netdev_stop(fake_vif), 0);
    fake_suspend(); /* while it is stopped */
    CHECK_EQ(netback_start(1, DESCS), 0);
    netback_check_traffic(DESCS);
    netback_end();
}
