/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the store's protocol with a daemon that answers late, never, or what can't be. */
#include "boot/boot.h"
#include "boot/test.h"
#include "boot/xen/store_ring_fake_test.h"

static struct store_ring *ring;

TEST(store_ring_answers_that_cannot_be)
{
    char value[64];
    uint32_t tx;

    ring = store_fake_start();
    store_fake.wrong_tx = 1;
    CHECK_EQ(store_ring_begin(ring, &tx), STORE_EPROTO);
    store_fake.wrong_tx = 0;
    store_fake.wrong_type = 1;
    CHECK_EQ(store_ring_write(ring, 0, "a", "1"), STORE_EPROTO);
    store_fake.wrong_type = 0;
    store_fake.answer = "no";
    store_fake.answer_len = 3;
    CHECK_EQ(store_ring_write(ring, 0, "a", "1"), STORE_EPROTO);
    static const struct {
        const char *text;
        size_t len;
    } lists[] = {{"a", 1}, {"a\0b", 3}, {"", 1}, {"a\0\0b", 5}, {"\0a", 3}};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        store_fake.answer = lists[i].text;
        store_fake.answer_len = lists[i].len;
        CHECK_EQ(store_ring_list(ring, 0, "a", value, sizeof value), STORE_EPROTO);
    }
    store_fake.answer = NULL;
    CHECK_EQ(store_ring_read(ring, 0, "a", value, sizeof value), 1);
}

TEST(store_ring_drops_an_answer_to_another_request)
{
    char value[8];

    ring = store_fake_start_impatient();
    store_ring_write(ring, 0, "a", "1");
    for (uint32_t wrong = 1; wrong != 0; wrong <<= 1) {
        store_fake.wrong_id = wrong;
        CHECK_EQ(store_ring_read(ring, 0, "a", value, sizeof value), STORE_ETIMEOUT);
    }
    CHECK_EQ(ring->dropped, 32);
    ring = store_fake_start();
    store_fake.wrong_id = 0;
    CHECK_EQ(store_ring_write(ring, 0, "a", "1"), STORE_OK);
}

TEST(store_ring_ends_waiting_for_a_silent_daemon)
{
    char value[8];

    ring = store_fake_start_impatient();
    store_fake.silent = 2;
    CHECK_EQ(store_ring_write(ring, 0, "a", "1"), STORE_ETIMEOUT);
    CHECK_EQ(store_ring_read(ring, 0, "a", value, sizeof value), STORE_ETIMEOUT);
    ring->timeout_ns = 100000000000ull;
    CHECK_EQ(store_ring_read(ring, 0, "a", value, sizeof value), 1);
    CHECK_EQ(ring->dropped, 0);
}

/* The answer of a call whose time ran out comes during the next one. */
TEST(store_ring_drops_late_answers)
{
    char value[8];

    ring = store_fake_start_impatient();
    store_fake.deaf = true;
    CHECK_EQ(store_ring_write(ring, 0, "a", "1"), STORE_ETIMEOUT);
    CHECK_EQ(store_ring_write(ring, 0, "b", "2"), STORE_ETIMEOUT);
    store_fake.deaf = false;
    ring->timeout_ns = 100000000000ull;
    CHECK_EQ(store_ring_read(ring, 0, "b", value, sizeof value), 1);
    CHECK_STR(value, "2");
    CHECK_EQ(ring->dropped, 2);
}

/* Time runs out while a request is in the ring in part only. */
TEST(store_ring_sends_the_rest_of_a_request_first)
{
    static char value[STORE_VALUE_MAX + 1], got[STORE_VALUE_MAX + 1];

    ring = store_fake_start_impatient();
    store_fake.deaf = true;
    memset(value, 'v', STORE_VALUE_MAX);
    CHECK_EQ(store_ring_write(ring, 0, "long", value), STORE_ETIMEOUT);
    CHECK_EQ(store_fake_page.req_prod, RING);
    CHECK_EQ(store_ring_write(ring, 0, "never", "sent"), STORE_ETIMEOUT);
    store_fake.deaf = false;
    ring->timeout_ns = 100000000000ull;
    CHECK_EQ(store_ring_read(ring, 0, "long", got, sizeof got), STORE_VALUE_MAX);
    CHECK_STR(got, value);
    CHECK_EQ(store_ring_read(ring, 0, "never", got, sizeof got), STORE_ENOENT);
}

static void check_broken(void)
{
    char value[8];
    uint32_t requests = store_fake.requests;

    CHECK(ring->broken);
    CHECK_EQ(store_ring_read(ring, 0, "a", value, sizeof value), STORE_EPROTO);
    CHECK_EQ(store_ring_watch(ring, "a"), STORE_EPROTO);
    CHECK(!store_ring_watch_fired(ring, 0));
    CHECK_EQ(store_fake.requests, requests);
}

TEST(store_ring_length_over_the_limit)
{
    struct xsd_sockmsg header = {XS_WATCH_EVENT, 0, 0, XENSTORE_PAYLOAD_MAX};
    static const uint32_t lengths[] = {XENSTORE_PAYLOAD_MAX + 1, 0x7fffffff, UINT32_MAX - HEADER,
                                       UINT32_MAX};

    ring = store_fake_start();
    memcpy(store_fake_page.rsp, &header, HEADER);
    store_fake_page.rsp_prod = HEADER;
    CHECK(!store_ring_watch_fired(ring, 0));
    CHECK(!ring->broken);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        ring = store_fake_start();
        header.len = lengths[i];
        memcpy(store_fake_page.rsp, &header, HEADER);
        store_fake_page.rsp_prod = RING;
        CHECK(!store_ring_watch_fired(ring, 0));
        check_broken();
    }
}

TEST(store_ring_answer_of_the_largest_length)
{
    static char text[XENSTORE_PAYLOAD_MAX], value[XENSTORE_PAYLOAD_MAX + 1];

    ring = store_fake_start();
    memset(text, 't', sizeof text);
    store_fake.answer = text;
    store_fake.answer_len = sizeof text;
    store_ring_write(ring, 0, "a", "");
    CHECK_EQ(store_ring_read(ring, 0, "a", value, sizeof value), XENSTORE_PAYLOAD_MAX);
    CHECK_EQ(memcmp(text, value, sizeof text), 0);
    CHECK_EQ(value[sizeof text], 0);
}

TEST(store_ring_runaway_indices)
{
    static const uint32_t steps[] = {RING + 1, 0x80000000, UINT32_MAX}; /* the last: one back */

    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        ring = store_fake_start();
        store_fake_page.rsp_prod += steps[i];
        CHECK(!store_ring_watch_fired(ring, 0));
        check_broken();
        ring = store_fake_start();
        store_fake_page.req_cons -= steps[i];
        CHECK_EQ(store_ring_write(ring, 0, "a", "1"), STORE_EPROTO);
        check_broken();
    }
}

TEST(store_ring_indices_wrap)
{
    char value[8];

    ring = store_fake_start();
    store_fake_page.req_prod = store_fake_page.req_cons = store_fake.req_cons = UINT32_MAX - 20;
    store_fake_page.rsp_prod = store_fake_page.rsp_cons = store_fake.rsp_prod = UINT32_MAX - 5;
    store_ring_start(ring);
    CHECK_EQ(store_ring_write(ring, 0, "a", "12"), STORE_OK);
    CHECK_EQ(store_ring_read(ring, 0, "a", value, sizeof value), 2);
    CHECK_STR(value, "12");
    CHECK(store_fake_page.req_prod < 100 && store_fake_page.rsp_prod < 100);
}

/* It starts anew on a new page, as after the domain has moved. */
TEST(store_ring_starts_again)
{
    ring = store_fake_start();
    CHECK_EQ(store_ring_watch(ring, "a"), 0);
    store_fake_page.rsp_prod += RING + 1;
    CHECK(store_ring_watch_fired(ring, 0));
    check_broken();
    memset(&store_fake_page, 0, sizeof store_fake_page);
    memset(&store_fake, 0, sizeof store_fake);
    store_ring_start(ring);
    CHECK_EQ(store_ring_write(ring, 0, "a", "1"), STORE_OK);
    CHECK_EQ(store_ring_watch(ring, "b"), 0);
}

/* A daemon that writes whatever it likes. */
static void write_anything(void *arg, uint64_t deadline_ns)
{
    static const uint32_t types[] = {XS_READ, XS_ERROR, XS_WATCH_EVENT, XS_DIRECTORY};
    uint64_t dice = boot_random();
    struct xsd_sockmsg header = {types[dice % ARRAY_LEN(types)], ring->req_id - (dice >> 8 & 1), 0,
                                 (uint32_t)(dice >> 16 & 63)};

    (void)arg, (void)deadline_ns;
    if ((dice >> 10) % 500 == 0)
        header.len = (uint32_t)(dice >> 32);
    for (size_t i = 0; i < HEADER; i++)
        store_fake_page.rsp[MASK_XENSTORE_IDX(store_fake.rsp_prod + i)] =
            ((const char *)&header)[i];
    for (uint32_t i = 0; i < MIN(header.len, 64u); i++)
        store_fake_page.rsp[MASK_XENSTORE_IDX(store_fake.rsp_prod + HEADER + i)] =
            (char)(boot_random() & 0x31);
    store_fake.rsp_prod += HEADER + MIN(header.len, 64u);
    store_fake_page.rsp_prod = dice >> 40 & 0xff ? store_fake.rsp_prod : (uint32_t)boot_random();
    store_fake_page.req_cons = dice >> 48 & 0xff ? ring->req_prod : (uint32_t)boot_random();
}

TEST(store_ring_survives_any_daemon)
{
    char text[100];
    uint32_t broken = 0, answered = 0;

    for (int round = 0; round < 300; round++) {
        ring = store_fake_start();
        ring->wait = write_anything;
        for (int i = 0; i < 20 && !ring->broken; i++) {
            answered += store_ring_read(ring, 0, "a", text, sizeof text) >= 0;
            answered += store_ring_list(ring, 0, "a", text, sizeof text) > 0;
            if (!(ring->watches & 1))
                store_ring_watch(ring, "a");
            store_ring_watch_fired(ring, 0);
        }
        broken += ring->broken;
    }
    CHECK(broken > 0 && answered > 0);
}
