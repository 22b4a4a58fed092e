/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of vifs that nobody uses: those of the start, those that come later, and one that comes
 * back with another address. */
#include "boot/boot.h"
#include "netdev/netfront/netback_fake_test.h"

enum { DESCS = 32 };

#define FRONT "/local/domain/7/device/vif/%u/"
#define BACK  "/local/domain/3/backend/vif/7/%u"

/* A vif without a back end behind it, whose state is the test's. */
static void attach_another(uint32_t vif, const char *mac)
{
    char path[64];

    format(path, sizeof path, BACK, vif);
    fake_put("2", BACK "/state", vif);
    fake_put(path, FRONT "backend", vif);
    fake_put("3", FRONT "backend-id", vif);
    fake_put(mac, FRONT "mac", vif);
    fake_put("1", FRONT "state", vif);
}

static void detach_another(uint32_t vif)
{
    fake_put(NULL, "/local/domain/7/device/vif/%u", vif);
    fake_put(NULL, BACK, vif);
}

/* Its back end is to close, and the front end says Closed at the next look. */
static void check_answered(uint32_t vif)
{
    CHECK(strcmp(fake_get(FRONT "state", vif), "6") != 0);
    fake_put("5", BACK "/state", vif);
    fake_vif_link_up();
    CHECK_STR(fake_get(FRONT "state", vif), "6");
}

/* fake_vif is vif 0 and used, vif 1 is there and isn't. */
static void begin(void)
{
    static struct netfront other;

    netback_begin();
    attach_another(1, "00:16:3e:00:00:11");
    other = (struct netfront){0};
    CHECK_EQ(netfront_init(&other, 1), 0);
    netfront_vifs.at_start[netfront_vifs.count++] = &fake_front;
    netfront_vifs.at_start[netfront_vifs.count++] = &other;
    netfront_vifs.watch = store_watch("device/vif");
    xen_on_resume(netfront_vifs_resumed, NULL);
    CHECK_EQ(netback_start(1, DESCS), 0);
    CHECK(fake_vif_link_up());
}

TEST(netfront_unused_vifs_answer_their_back_ends)
{
    begin();
    for (uint32_t i = 0; i < 3; i++) {
        check_answered(1);
        detach_another(1);
        CHECK(fake_vif_link_up());
        attach_another(1, "00:16:3e:00:00:12");
        CHECK(fake_vif_link_up());
    }
    netback_check_traffic(DESCS);
    netback_end();
}

static uint32_t late_count(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < NETFRONT_LATE_MAX; i++)
        count += netfront_vifs.late[i].where[0] != 0;
    return count;
}

TEST(netfront_vifs_that_come_late_answer_their_back_ends)
{
    begin();
    for (uint32_t vif = 2; vif < 30; vif++) {
        attach_another(vif, vif % 2 ? "00:16:3e:00:00:12" : "nonsense");
        CHECK(fake_vif_link_up());
        CHECK_EQ(late_count(), 1);
        check_answered(vif);
        detach_another(vif);
        CHECK(fake_vif_link_up());
        CHECK_EQ(late_count(), 0);
    }
    attach_another(3, "00:16:3e:00:00:12"); /* under the number of an earlier one */
    CHECK(fake_vif_link_up());
    netback_detach();
    fake_suspend(); /* watches are gone */
    netback_attach(FAKE_BACK, 0);
    CHECK(fake_vif_link_up());
    check_answered(1);
    check_answered(3);
    netback_end();
}

/* One more than it has entries for: its turn comes when another one goes. */
TEST(netfront_looks_after_some_late_vifs)
{
    begin();
    for (uint32_t vif = 2; vif <= 2 + NETFRONT_LATE_MAX; vif++) {
        attach_another(vif, "00:16:3e:00:00:12");
        CHECK(fake_vif_link_up());
        CHECK_EQ(late_count(), MIN(vif - 1, (uint32_t)NETFRONT_LATE_MAX));
    }
    check_answered(2);
    detach_another(2);
    CHECK(fake_vif_link_up());
    CHECK_EQ(late_count(), NETFRONT_LATE_MAX);
    check_answered(2 + NETFRONT_LATE_MAX);
    netback_end();
}

TEST(netfront_refuses_its_vif_with_another_address)
{
    begin();
    netback_detach();
    CHECK(!fake_vif_link_up());
    netback_attach(FAKE_BACK, 0);
    fake_put("00:16:3e:00:00:03", FRONT "mac", 0);
    for (uint32_t i = 0; i < 3; i++)
        CHECK(!fake_vif_link_up());
    CHECK_EQ(netback.connections, 1);
    CHECK_STR(fake_get(FRONT "state", 0), "1");
    check_answered(0);
    netback_detach();
    CHECK(!fake_vif_link_up());
    netback_attach(FAKE_BACK, 0);
    CHECK(fake_vif_link_up());
    netback_check_traffic(DESCS);
    netback_end();
}

/* Its own vif goes before there was a connection, or while there can't be one. */
TEST(netfront_answers_a_back_end_that_it_never_connected_to)
{
    for (uint32_t online = 0; online < 2; online++) {
        begin();
        netback_detach();
        netback.init_wait = NETBACK_SILENT;
        netback_attach(FAKE_BACK, 0);
        for (uint32_t i = 0; i < 3; i++)
            CHECK(!fake_vif_link_up());
        CHECK_EQ(fake_front.phase, NETFRONT_MEETING);
        netback_say("online", online ? "1" : "0");
        check_answered(0);
        fake_put("1", FRONT "state", 0); /* as a toolstack that makes it anew */
        netback_say("online", "0");
        CHECK(!fake_vif_link_up());
        check_answered(0);
        netback_end();
    }
}

/* One with its address is taken, under whichever number, and isn't called unused. */
TEST(netfront_takes_a_late_vif_with_its_address)
{
    begin();
    netback_detach();
    CHECK(!fake_vif_link_up());
    netback_attach(FAKE_BACK, 4);
    netfront_look_at_vifs();
    CHECK_EQ(late_count(), 0);
    CHECK(fake_vif_link_up());
    CHECK_EQ(fake_front.vif, 4);
    CHECK_EQ(late_count(), 0);
    netback_check_traffic(DESCS);
    netback_end();
}
