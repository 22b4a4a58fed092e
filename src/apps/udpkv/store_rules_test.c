/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the store's rules: limits, times, numbers. */
#include "apps/udpkv/store_test.h"
#include "boot/test.h"

static uint8_t bytes[16 << 10]; /* for values whose content doesn't matter */

TEST(store_refuses_what_is_too_large)
{
    struct store *store = test_store(STORE_MIN_BYTES);
    struct store_value v = {.bytes = bytes, .len = (uint32_t)store->max_value + 1};

    test_set(store, "a", "old");
    CHECK_EQ(store_put(store, STORE_ADD, test_key("a"), &v), STORE_TOO_LARGE);
    CHECK(test_has(store, "a", "old"));
    CHECK_EQ(store_put(store, STORE_SET, test_key("a"), &v), STORE_TOO_LARGE);
    CHECK(!test_has(store, "a", "old"));
    v.len--;
    CHECK_EQ(store_put(store, STORE_SET, test_key("a"), &v), STORE_OK);
    v.len = 1;
    CHECK_EQ(store_put(store, STORE_APPEND, test_key("a"), &v), STORE_TOO_LARGE);
    CHECK_EQ(store_find(store, test_key("a"))->value_len, store->max_value);
    test_check_store(store);
}

TEST(store_expires)
{
    struct store *store = test_store(STORE_MIN_BYTES);
    struct store_value v = {.bytes = (const uint8_t *)"x", .len = 1, .expire_s = TEST_NOW_S + 10};

    store_put(store, STORE_SET, test_key("a"), &v);
    store_tick(store, TEST_NOW_S + 9);
    CHECK(test_has(store, "a", "x"));
    store_tick(store, TEST_NOW_S + 10);
    CHECK(!test_has(store, "a", "x"));
    CHECK_EQ(store->stats.items, 0);
    CHECK(!test_has(store, "a", "x"));
    CHECK_EQ(store->stats.get_expired, 1);
    CHECK_EQ(store->stats.get_flushed, 0);
    v.expire_s = STORE_EXPIRED;
    CHECK_EQ(store_put(store, STORE_ADD, test_key("a"), &v), STORE_OK);
    CHECK(!test_has(store, "a", "x"));
    test_check_store(store);
}

TEST(store_flushes_now_and_later)
{
    struct store *store = test_store(STORE_MIN_BYTES);

    test_set(store, "a", "x");
    store_flush(store);
    CHECK(!test_has(store, "a", "x"));
    test_set(store, "a", "x");
    store_flush_at(store, TEST_NOW_S + 10);
    test_set(store, "b", "y");
    store_tick(store, TEST_NOW_S + 8);
    CHECK(test_has(store, "a", "x") && test_has(store, "b", "y"));
    store_tick(store, TEST_NOW_S + 9);
    CHECK(!test_has(store, "a", "x") && !test_has(store, "b", "y"));
    test_set(store, "a", "z");
    store_flush_at(store, TEST_NOW_S); /* past: nothing */
    store_tick(store, TEST_NOW_S + 100);
    CHECK(test_has(store, "a", "z"));
    CHECK_EQ(store->stats.get_flushed, 3);
    store_peek(store, test_key("a"))->expire_s = STORE_EXPIRED;
    store_flush(store); /* both: counted as memcached does */
    CHECK_EQ(store_put(store, STORE_REPLACE, test_key("a"), &(struct store_value){0}),
             STORE_NOT_STORED);
    CHECK_EQ(store->stats.get_flushed, 4);
    CHECK_EQ(store->stats.get_expired, 0);
    test_check_store(store);
}

/* Where the head is at the tail, the oldest item is there, too. */
TEST(store_flushes_a_full_log)
{
    const char value[] = "of 38 bytes, so that an item takes 64 ";
    struct store *store = test_store(STORE_MIN_BYTES);
    char key[4];

    store->log_bytes = 32 * 64;
    for (uint32_t i = 0; i < 32 + 16; i++) {
        format(key, sizeof key, "%02u", i);
        CHECK_EQ(test_set(store, key, value), STORE_OK);
        if (i == 31) {
            CHECK(store->head == store->tail && store->used_bytes == store->log_bytes);
            CHECK(test_has(store, "00", value));
            store_flush(store);
            CHECK(!test_has(store, "00", value));
        }
    }
    for (uint32_t i = 0; i < 32 + 16; i++) {
        format(key, sizeof key, "%02u", i);
        CHECK_EQ(test_has(store, key, value), i >= 32);
    }
    CHECK_EQ(store->stats.evictions, 0);
    test_check_store(store);
}

TEST(store_adds_and_takes)
{
    struct store *store = test_store(STORE_MIN_BYTES);
    uint64_t n = 0;

    CHECK_EQ(store_add(store, test_key("n"), 1, false, &n), STORE_NOT_FOUND);
    test_set(store, "n", "99");
    CHECK_EQ(store_add(store, test_key("n"), 1, false, &n), STORE_OK);
    CHECK(n == 100 && test_has(store, "n", "100"));
    CHECK_EQ(store_add(store, test_key("n"), 95, true, &n), STORE_OK);
    CHECK(n == 5 && test_has(store, "n", "5  "));
    CHECK_EQ(store_add(store, test_key("n"), 6, true, &n), STORE_OK);
    CHECK(n == 0 && test_has(store, "n", "0  "));
    CHECK_EQ(store_add(store, test_key("n"), UINT64_MAX, false, &n), STORE_OK);
    CHECK(n == UINT64_MAX && test_has(store, "n", "18446744073709551615"));
    CHECK_EQ(store_add(store, test_key("n"), 3, false, &n), STORE_OK);
    CHECK(n == 2);
    test_set(store, "n", "x");
    CHECK_EQ(store_add(store, test_key("n"), 1, false, &n), STORE_NOT_NUMBER);
    test_check_store(store);
}

TEST(store_wants_its_least_memory)
{
    CHECK_PANICS(test_store(STORE_MIN_BYTES - 1));
}

/* Items so small that the index is full before the log is. */
static void put_small(struct store *store, uint32_t first, uint32_t count, uint32_t expire_s)
{
    for (uint32_t i = first; i < first + count; i++) {
        char key[8];
        struct store_value value = {.bytes = (const uint8_t *)"", .expire_s = expire_s};
        format(key, sizeof key, "%u", i);
        CHECK_EQ(store_put(store, STORE_SET, test_key(key), &value), STORE_OK);
    }
}

TEST(store_expired_items_give_their_slots_before_others)
{
    struct store *store = test_store(STORE_MIN_BYTES);

    put_small(store, 0, 6000, TEST_NOW_S + 10);
    uint64_t evictions = store->stats.evictions;
    CHECK(evictions > 0 && store->used_bytes < store->log_bytes);
    CHECK_EQ(store->stats.reclaimed, 0);
    store_tick(store, TEST_NOW_S + 10);
    put_small(store, 6000, 500, 0);
    CHECK_EQ(store->stats.evictions, evictions);
    CHECK(store->stats.reclaimed > 0);
    CHECK_EQ(store->stats.get_expired, 0);
    for (uint32_t i = 6000; i < 6500; i++) {
        char key[8];
        format(key, sizeof key, "%u", i);
        CHECK(test_has(store, key, ""));
    }
    test_check_store(store);
}
