/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of netfront's handshake at start: in all its variants, with back ends that close, go away
 * or never answer. */
#include "netdev/netfront/netback_fake_test.h"

enum { DESCS = 32 };

#define OWN_NODE(name) fake_get("/local/domain/7/device/vif/%u/" name, netback.vif)

static void begin(void)
{
    netback_begin();
    CHECK_EQ(netback_start(1, DESCS), 0);
    netback_check_traffic(DESCS);
}

TEST(netfront_tells_what_the_store_says)
{
    struct netdev_info info;

    netback_begin();
    netdev_info(fake_vif, &info);
    CHECK_STR(info.where, "vif 0");
    CHECK(memcmp(info.mac, "\x00\x16\x3e\x00\x00\x02", 6) == 0);
    CHECK_EQ(info.mtu_bytes, 1500);
    CHECK_EQ(info.queue_pairs_max, 4);
    CHECK_EQ(info.offloads, NETDEV_OFFLOAD_RX_CSUM | NETDEV_OFFLOAD_TX_CSUM | NETDEV_OFFLOAD_SG);
    fake_put("9000", "/local/domain/7/device/vif/0/mtu");
    CHECK_EQ(netfront_init(&fake_front, 0), 0);
    netdev_info(fake_vif, &info);
    CHECK_EQ(info.mtu_bytes, 9000);
    netback_say("feature-sg", NULL);
    netback_say("multi-queue-max-queues", NULL);
    netback_say("feature-no-csum-offload", "1");
    CHECK_EQ(netfront_init(&fake_front, 0), 0);
    netdev_info(fake_vif, &info);
    CHECK_EQ(info.mtu_max_bytes, 1500);
    CHECK_EQ(info.queue_pairs_max, 1);
    CHECK_EQ(info.offloads, NETDEV_OFFLOAD_RX_CSUM);
    netback_say("multi-queue-max-queues", "0");
    fake_put("65536", "/local/domain/7/device/vif/0/mtu");
    CHECK_EQ(netfront_init(&fake_front, 0), 0);
    netdev_info(fake_vif, &info);
    CHECK(info.queue_pairs_max == 1 && info.mtu_bytes == 1500);
    netback_end();
}

TEST(netfront_refuses_nonsense_for_an_address)
{
    static const char *const bad[] = {"",
                                      "00:16:3e:00:00",
                                      "00:16:3e:00:00:0g",
                                      "01:16:3e:00:00:02",
                                      "00-16-3e-00-00-02",
                                      "00:16:3e:00:00:02:03"};

    netback_begin();
    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++) {
        fake_put(bad[i], "/local/domain/7/device/vif/0/mac");
        CHECK_EQ(netfront_init(&fake_front, 0), NETDEV_EDEVICE);
    }
    fake_put("00:16:3E:aB:00:02", "/local/domain/7/device/vif/0/mac");
    CHECK_EQ(netfront_init(&fake_front, 0), 0);
    netback_end();
}

TEST(netfront_refuses_small_receive_buffers)
{
    const struct netdev_conf conf = {.queue_pairs = 1};
    const struct netdev_rxq_conf rx = {.pool = fake_small()};
    struct netdev_info info;

    netback_begin();
    CHECK_EQ(netdev_configure(fake_vif, &conf), 0);
    CHECK_EQ(netdev_rxq_setup(fake_vif, 0, &rx), NETDEV_EINVAL);
    /* A pool made as an app makes it has whole pages. */
    netdev_info(fake_vif, &info);
    struct netbuf_pool *pool =
        netdev_pool_create(&info, "connect_test", DESCS, info.rx_buf_min_bytes);
    CHECK_EQ(netbuf_pool_conf(pool)->buf_bytes, PAGE_SIZE);
    netback_end();
}

TEST(netfront_connects_with_and_without_each_feature)
{
    for (uint32_t variant = 0; variant < 16; variant++) {
        const bool queues = variant & 1, split = variant & 2, sg = variant & 4;
        netback_begin();
        netback_say("multi-queue-max-queues", queues ? "3" : NULL);
        netback_say("feature-split-event-channels", split ? "1" : "0");
        netback_say("feature-sg", sg ? "1" : NULL);
        netback_say("feature-no-csum-offload", variant & 8 ? "1" : NULL);
        CHECK_EQ(netfront_init(&fake_front, 0), 0);
        CHECK_EQ(netback_start(queues ? 3 : 1, DESCS), 0);
        CHECK_EQ(netback.queues_count, queues ? 3 : 1);
        CHECK_EQ(netback.queues[0].tx_port != netback.queues[0].rx_port, split);
        CHECK(netdev_recover(fake_vif));
        netback_check_traffic(DESCS);
        netback_end();
        CHECK_STR(OWN_NODE("state"), "6");
    }
}

/* IPv6's neighbours ask by group: no filter may keep that away, whatever the app sets. */
TEST(netfront_gets_frames_to_groups)
{
    netback_begin();
    netback_say("feature-multicast-control", "1");
    netback_say("feature-dynamic-multicast-control", "1");
    fake_put("1", "/local/domain/7/device/vif/0/request-multicast-control"); /* an earlier one's */
    CHECK_EQ(netback_start(1, DESCS), 0);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_STR(OWN_NODE("request-multicast-control"), "0");
        CHECK_EQ(netdev_set_promisc(fake_vif, i == 0), 0);
    }
    netback_end();
}

/* Keys of an earlier connection would mislead the back end. */
TEST(netfront_takes_old_keys_away)
{
    netback_begin();
    CHECK_EQ(netback_start(1, DESCS), 0);
    netback_check_traffic(DESCS);
    CHECK_EQ(netdev_stop(fake_vif), 0);
    CHECK_EQ(netback_start(2, DESCS), 0);
    CHECK(!OWN_NODE("tx-ring-ref") && !OWN_NODE("event-channel-tx"));
    CHECK(OWN_NODE("queue-1/tx-ring-ref"));
    netback_check_traffic(DESCS);
    CHECK_EQ(netdev_stop(fake_vif), 0);
    netback_say("feature-split-event-channels", "0");
    CHECK_EQ(netback_start(1, DESCS), 0);
    CHECK(!OWN_NODE("multi-queue-num-queues") && !OWN_NODE("event-channel-rx"));
    CHECK(OWN_NODE("event-channel"));
    netback_check_traffic(DESCS);
    netback_end();
}

TEST(netfront_asks_for_checksums_as_the_app_does)
{
    const struct netdev_rxq_conf rx = {.pool = fake_pages(), .descs = DESCS};
    const struct netdev_txq_conf tx = {.descs = DESCS};

    begin();
    CHECK_STR(OWN_NODE("feature-no-csum-offload"), "0");
    CHECK_STR(OWN_NODE("feature-ipv6-csum-offload"), "1");
    CHECK_EQ(netdev_stop(fake_vif), 0);
    CHECK_EQ(netdev_open_queues(fake_vif, 1, &rx, &tx, 0), 0);
    CHECK_STR(OWN_NODE("feature-no-csum-offload"), "1");
    CHECK_STR(OWN_NODE("feature-ipv6-csum-offload"), "0");
    netback_check_traffic(DESCS);
    netback_end();
}

TEST(netfront_repeats_a_transaction_that_met_another)
{
    netback_begin();
    fake_xen.conflicts = 3;
    CHECK_EQ(netback_start(1, DESCS), 0);
    CHECK_EQ(fake_xen.conflicts, 0);
    CHECK_EQ(netback.connections, 1);
    netback_check_traffic(DESCS);
    CHECK_EQ(netdev_stop(fake_vif), 0);
    fake_xen.conflicts = 1000;
    CHECK_EQ(netback_start(1, DESCS), NETDEV_EDEVICE);
    CHECK_EQ(fake_xen.conflicts, 1000 - 8);
    netback_end();
}

static void check_start_fails(int error)
{
    netdev_control_timeout_ns = 2000000;
    CHECK_EQ(netback_start(1, DESCS), error);
    CHECK_EQ(fake_vif->state, NETDEV_FOUND);
    CHECK_EQ(xen_grants_used(), 0);
    netdev_control_timeout_ns = 1000000000;
}

TEST(netfront_start_fails_with_a_back_end_that_closes_or_is_silent)
{
    for (uint32_t manner = NETBACK_SILENT; manner <= NETBACK_GOES; manner++) {
        netback_begin();
        netback.connect = manner;
        check_start_fails(manner == NETBACK_SILENT ? NETDEV_ETIMEOUT : NETDEV_EDEVICE);
        netback_end();
        netback_begin();
        netback_say("state", "6");
        netback.init_wait = manner;
        check_start_fails(NETDEV_ETIMEOUT);
        netback_end();
    }
}

TEST(netfront_start_fails_without_what_it_needs_and_then_works)
{
    netback_begin();
    netback_say("feature-rx-copy", NULL);
    check_start_fails(NETDEV_ENOTSUP);
    netback_say("feature-rx-copy", "1");
    fake_xen.grants_max = 20;
    check_start_fails(NETDEV_ENOMEM);
    fake_xen.grants_max = FAKE_POOL + 1; /* none for the second ring */
    check_start_fails(NETDEV_ENOMEM);
    fake_xen.grants_max = FAKE_GRANTS - 1;
    fake_xen.ports_max = 1;
    check_start_fails(NETDEV_ENOMEM);
    fake_xen.ports_max = FAKE_PORTS - 1;
    fake_xen.silent = true;
    check_start_fails(NETDEV_ETIMEOUT);
    fake_xen.silent = false;
    fake_xen.refuses = true;
    check_start_fails(NETDEV_ETIMEOUT);
    fake_xen.refuses = false;
    CHECK_EQ(netback_start(1, DESCS), 0);
    netback_check_traffic(DESCS);
    netback_end();
}

TEST(netfront_is_not_found_without_an_answer)
{
    netback_begin();
    netback_say("state", "1");
    netback.init_wait = NETBACK_SILENT;
    netdev_control_timeout_ns = 2000000;
    CHECK_EQ(netfront_init(&fake_front, 0), NETDEV_ETIMEOUT);
    fake_xen.silent = true;
    CHECK_EQ(netfront_init(&fake_front, 0), NETDEV_ETIMEOUT);
    fake_xen.silent = false;
    netback_end();
}

/* Of three nodes one is a device that answers. */
TEST(netfront_probe_registers_what_answers)
{
    const uint32_t before = netdev_probe();
    struct netdev_info info;

    netback_begin();
    netback_attach(FAKE_BACK, 5);
    fake_put("1", "/local/domain/7/device/vif/nonsense/state");
    fake_put("1", "/local/domain/7/device/vif/6/state");
    fake_put(NULL, "/local/domain/7/device/vif/0");
    netdev_control_timeout_ns = 2000000;
    netfront_probe();
    if (before < NETDEV_MAX) { /* another test fills the list */
        CHECK_EQ(netdev_probe(), before + 1);
        netdev_info(netdev_get(before), &info);
        CHECK_STR(info.where, "vif 5");
        CHECK_STR(info.driver, "netfront");
    }
    netback_end();
}
