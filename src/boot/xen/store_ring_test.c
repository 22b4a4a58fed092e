/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the store's protocol with a daemon that does as it should, and of its error answers. */
#include "boot/test.h"
#include "boot/xen/store_ring_fake_test.h"

static struct store_ring *ring;

TEST(store_ring_reads_and_writes)
{
    char value[32];

    ring = store_fake_start();
    CHECK_EQ(store_ring_read(ring, 0, "a", value, sizeof value), STORE_ENOENT);
    CHECK_EQ(store_ring_write(ring, 0, "a", "hello"), STORE_OK);
    CHECK_EQ(store_ring_read(ring, 0, "a", value, sizeof value), 5);
    CHECK_STR(value, "hello");
    CHECK_EQ(store_ring_write(ring, 0, "a", ""), STORE_OK);
    CHECK_EQ(store_ring_read(ring, 0, "a", value, sizeof value), 0);
    CHECK_STR(value, "");
    CHECK_EQ(store_ring_remove(ring, 0, "a"), STORE_OK);
    CHECK_EQ(store_ring_remove(ring, 0, "a"), STORE_ENOENT);
    CHECK_EQ(ring->dropped, 0);
}

/* The daemon connects: its indices are new, and whatever was in the page before counts no more. */
static void connect_late(void *arg, uint64_t deadline_ns)
{
    (void)arg, (void)deadline_ns;
    CHECK_EQ(store_fake.requests + store_fake.notifications, 0); /* nothing was sent before */
    store_fake_page.req_prod = store_fake_page.req_cons = store_fake.req_cons = 3;
    store_fake_page.rsp_prod = store_fake_page.rsp_cons = store_fake.rsp_prod = 900;
    ring->wait = store_fake_wait;
    store_release(&store_fake_page.connection, XENSTORE_CONNECTED);
}

TEST(store_ring_waits_for_a_daemon_that_connects_late)
{
    char value[8];

    ring = store_fake_start();
    store_fake_page.connection = XENSTORE_RECONNECT;
    store_fake_page.req_prod = 77; /* of a connection before */
    store_fake_page.rsp_prod = 4000;
    store_ring_start(ring);
    CHECK(!store_ring_watch_fired(ring, 0));
    CHECK(!ring->broken);
    ring->wait = connect_late;
    CHECK_EQ(store_ring_write(ring, 0, "a", "1"), STORE_OK);
    CHECK_EQ(store_ring_read(ring, 0, "a", value, sizeof value), 1);
}

TEST(store_ring_gives_up_on_a_daemon_that_never_connects)
{
    ring = store_fake_start_impatient();
    store_fake_page.connection = XENSTORE_RECONNECT;
    store_ring_start(ring);
    CHECK_EQ(store_ring_write(ring, 0, "a", "1"), STORE_ETIMEOUT);
    CHECK_EQ(store_fake_page.req_prod, 0);
    store_fake_page.connection = XENSTORE_CONNECTED;
    CHECK_EQ(store_ring_write(ring, 0, "b", "1"), STORE_OK);
}

TEST(store_ring_lists_names)
{
    char names[64];

    ring = store_fake_start();
    CHECK_EQ(store_ring_list(ring, 0, "x", names, sizeof names), 0);
    CHECK_EQ(names[0], 0);
    store_ring_write(ring, 0, "vif", "");
    store_ring_write(ring, 0, "console", "");
    CHECK_EQ(store_ring_list(ring, 0, "x", names, sizeof names), 2);
    CHECK_EQ(memcmp(names, "vif\0console\0", 13), 0);
    CHECK_EQ(store_ring_list(ring, 0, "x", names, 13), 2);
    CHECK_EQ(store_ring_list(ring, 0, "x", names, 12), STORE_EPROTO);
}

TEST(store_ring_has_transactions)
{
    uint32_t tx = 0;

    ring = store_fake_start();
    CHECK_EQ(store_ring_begin(ring, &tx), STORE_OK);
    CHECK_EQ(tx, TX);
    CHECK_EQ(store_ring_write(ring, tx, "a", "1"), STORE_OK);
    CHECK_EQ(store_ring_end(ring, tx, true), STORE_OK);
    store_fake.error = "EAGAIN";
    CHECK_EQ(store_ring_end(ring, tx, true), STORE_EAGAIN);
    store_fake.error = NULL;
    static const char *const bad[] = {"0", "x", "", "99999999999", "1 "};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        store_fake.answer = bad[i];
        store_fake.answer_len = strlen(bad[i]) + 1;
        CHECK_EQ(store_ring_begin(ring, &tx), STORE_EPROTO);
    }
    CHECK_EQ(tx, TX);
}

/* Both are longer than the ring is. */
TEST(store_ring_passes_long_messages_in_pieces)
{
    static char path[STORE_PATH_MAX + 1], value[STORE_VALUE_MAX + 1], got[STORE_VALUE_MAX + 1];
    static char names[3000];

    for (uint32_t chunk = 0; chunk < 600; chunk = chunk * 3 + 1) {
        ring = store_fake_start();
        store_fake.chunk = chunk;
        memset(path, 'p', STORE_PATH_MAX);
        for (int i = 0; i < STORE_VALUE_MAX; i++)
            value[i] = (char)('a' + i % 25);
        CHECK_EQ(store_ring_write(ring, 0, path, value), STORE_OK);
        CHECK_EQ(store_ring_read(ring, 0, path, got, sizeof got), STORE_VALUE_MAX);
        CHECK_STR(got, value);
        for (char c = '0'; c < '0' + NODES - 1; c++) {
            path[0] = c;
            CHECK_EQ(store_ring_write(ring, 0, path, "x"), STORE_OK);
        }
        CHECK_EQ(store_ring_list(ring, 0, "", names, sizeof names), NODES);
    }
}

TEST(store_ring_refuses_what_is_too_long)
{
    static char path[STORE_PATH_MAX + 2], value[STORE_VALUE_MAX + 2], got[8];

    ring = store_fake_start();
    memset(path, 'p', STORE_PATH_MAX + 1);
    memset(value, 'v', STORE_VALUE_MAX + 1);
    CHECK_EQ(store_ring_write(ring, 0, path, ""), STORE_EPROTO);
    CHECK_EQ(store_ring_write(ring, 0, "a", value), STORE_EPROTO);
    CHECK_EQ(store_ring_read(ring, 0, path, got, sizeof got), STORE_EPROTO);
    CHECK_EQ(store_ring_watch(ring, path), STORE_EPROTO);
    CHECK_EQ(store_fake.requests, 0);
    CHECK_EQ(store_ring_write(ring, 0, "a", "12345678"), STORE_OK);
    CHECK_EQ(store_ring_read(ring, 0, "a", got, sizeof got), STORE_EPROTO);
    CHECK_EQ(store_ring_write(ring, 0, "a", "1234567"), STORE_OK);
    CHECK_EQ(store_ring_read(ring, 0, "a", got, sizeof got), 7);
}

TEST(store_ring_watch_fires_once_an_event)
{
    ring = store_fake_start();
    int a = store_ring_watch(ring, "a"), b = store_ring_watch(ring, "b");
    CHECK_EQ(a, 0);
    CHECK_EQ(b, 1);
    CHECK(store_ring_watch_fired(ring, b));
    CHECK(store_ring_watch_fired(ring, a));
    CHECK(!store_ring_watch_fired(ring, a));
    store_fake_event("a/below", "0");
    store_fake_event("a", "0");
    store_fake_write();
    CHECK(!store_ring_watch_fired(ring, b));
    CHECK(store_ring_watch_fired(ring, a));
    CHECK(!store_ring_watch_fired(ring, a));
    store_ring_unwatch(ring, a);
    store_fake_event("a", "0");
    store_fake_write();
    CHECK(!store_ring_watch_fired(ring, b));
    CHECK_EQ(ring->dropped, 1);
    CHECK_EQ(store_ring_watch(ring, "c"), 0);
}

TEST(store_ring_notes_events_between_request_and_answer)
{
    char value[8];

    ring = store_fake_start();
    int watch = store_ring_watch(ring, "some");
    CHECK(store_ring_watch_fired(ring, watch));
    store_fake.token = "0";
    CHECK_EQ(store_ring_write(ring, 0, "a", "1"), STORE_OK);
    CHECK(store_ring_watch_fired(ring, watch));
    store_fake.chunk = 5;
    CHECK_EQ(store_ring_read(ring, 0, "a", value, sizeof value), 1);
    CHECK(store_ring_watch_fired(ring, watch));
    CHECK_EQ(ring->dropped, 0);
}

TEST(store_ring_has_a_limit_of_watches)
{
    ring = store_fake_start();
    for (int i = 0; i < STORE_WATCHES_MAX; i++)
        CHECK_EQ(store_ring_watch(ring, "a"), i);
    CHECK_EQ(store_ring_watch(ring, "a"), STORE_EREFUSED);
    store_ring_unwatch(ring, 7);
    CHECK_EQ(store_ring_watch(ring, "a"), 7);
}

static uint32_t waits;

static void count_wait(void *arg, uint64_t deadline_ns)
{
    (void)arg;
    CHECK_EQ(deadline_ns, 1234);
    waits++;
}

TEST(store_ring_waits_only_if_nothing_has_fired)
{
    ring = store_fake_start();
    int watch = store_ring_watch(ring, "a");
    ring->wait = count_wait;
    waits = 0;
    store_ring_wait(ring, 1234); /* a new watch has fired */
    CHECK_EQ(waits, 0);
    CHECK(store_ring_watch_fired(ring, watch));
    store_ring_wait(ring, 1234);
    CHECK_EQ(waits, 1);
    store_fake_event("a", "0");
    store_fake_write();
    store_ring_wait(ring, 1234); /* what lies in the ring counts */
    CHECK_EQ(waits, 1);
    CHECK(store_ring_watch_fired(ring, watch));
}

/* The daemon set the watch, but its answer came too late: asked again, it says that it has it. */
TEST(store_ring_watch_that_is_there_already)
{
    ring = store_fake_start();
    store_fake.error = "EEXIST";
    int watch = store_ring_watch(ring, "a");
    CHECK_EQ(watch, 0);
    CHECK(store_ring_watch_fired(ring, watch));
    store_fake.error = "EACCES";
    CHECK_EQ(store_ring_watch(ring, "b"), STORE_EREFUSED);
    store_fake.error = NULL;
    CHECK_EQ(store_ring_watch(ring, "c"), 1);
}

TEST(store_ring_drops_events_that_name_no_watch)
{
    static const char *const tokens[] = {"1", "16", "-1", "", "0x0", "00000000000000000000001"};

    ring = store_fake_start();
    int watch = store_ring_watch(ring, "a");
    CHECK(store_ring_watch_fired(ring, watch));
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
        store_fake_event("a", tokens[i]);
    store_fake_queue(XS_WATCH_EVENT, 0, 0, "", 0);
    store_fake_queue(XS_WATCH_EVENT, 0, 0, "a", 1);
    store_fake_queue(XS_WATCH_EVENT, 0, 0, "a", 2);
    store_fake_queue(XS_WATCH_EVENT, 0, 0,
                     "a\0"
                     "0",
                     3); /* not closed */
    store_fake_write();
    CHECK(!store_ring_watch_fired(ring, watch));
    CHECK_EQ(ring->dropped, ARRAY_LEN(tokens) + 4);
    CHECK(!ring->broken);
}

TEST(store_ring_error_answers)
{
    char value[8];
    static const struct {
        const char *text;
        size_t len;
        int error;
    } cases[] = {
        {"ENOENT", 7, STORE_ENOENT},   {"EAGAIN", 7, STORE_EAGAIN}, {"EACCES", 7, STORE_EREFUSED},
        {"EQUOTA", 7, STORE_EREFUSED}, {"ENOENT", 6, STORE_EPROTO}, {"", 0, STORE_EPROTO},
    };

    ring = store_fake_start();
    store_fake.error = "";
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        store_fake.answer = cases[i].text;
        store_fake.answer_len = cases[i].len;
        CHECK_EQ(store_ring_read(ring, 0, "a", value, sizeof value), cases[i].error);
        CHECK_EQ(store_ring_write(ring, 0, "a", ""), cases[i].error);
        CHECK_EQ(store_ring_list(ring, 0, "a", value, sizeof value), cases[i].error);
    }
}
