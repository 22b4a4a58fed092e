/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the shards: how many there are, and the times and ids that a core and a shard take over
 * from each other. cores_test.c has several cores at the same time. */
#include "apps/udpkv/shards.h"
#include "apps/udpkv/store_test.h"
#include "boot/boot.h"
#include "boot/test.h"

enum { COUNT = 4 };

static struct shards one, other; /* two cores' */

static void fresh_shards(void)
{
    one = other = test_shards(COUNT, STORE_MIN_BYTES);
}

/* A key that belongs to shard number n. */
static struct store_key key_of(uint32_t n)
{
    static char names[COUNT][8];

    for (uint32_t i = 0;; i++) {
        format(names[n], sizeof names[n], "k%u", i);
        struct store_key key = test_key(names[n]);
        if (shards_of(&one, key.hash) == shards_nth(&one, n))
            return key;
    }
}

/* Writes an item as the core does; its id. */
static uint64_t write(struct shards *core, uint32_t n)
{
    const struct store_value value = {.bytes = (const uint8_t *)"x", .len = 1};
    struct store *store = shards_nth(core, n);

    shards_lock(core, store);
    CHECK_EQ(store_put(store, STORE_SET, key_of(n), &value), STORE_OK);
    uint64_t cas = store_peek(store, key_of(n))->cas;
    shards_unlock(core, store);
    return cas;
}

static bool has(struct shards *core, uint32_t n)
{
    struct store *store = shards_nth(core, n);

    shards_lock(core, store);
    bool found = store_peek(store, key_of(n));
    shards_unlock(core, store);
    return found;
}

TEST(shards_are_as_many_as_memory_and_cores_allow)
{
    static uint8_t *memory;
    static const struct {
        size_t len;
        uint32_t cores, count;
    } cases[] = {
        {STORE_MIN_BYTES, 1, 1}, {16 << 20, 1, 1}, {STORE_MIN_BYTES, 2, 1}, {4 << 20, 2, 2},
        {(4 << 20) - 64, 2, 1},  {16 << 20, 8, 8}, {15 << 20, 8, 4},
    };

    if (!memory)
        memory = boot_alloc(16 << 20, CACHE_LINE);
    CHECK(memory);
    for (uint32_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct shards shards;
        memset(memory, 0, 16 << 20);
        shards_create(&shards, memory, cases[i].len, cases[i].cores, TEST_SEED);
        CHECK_EQ(shards.mask + 1, cases[i].count);
        CHECK_EQ(shards.locked, cases[i].cores > 1);
        CHECK(shards.shard_bytes * cases[i].count <= cases[i].len);
        CHECK(shards.shard_bytes * cases[i].count + cases[i].count * CACHE_LINE > cases[i].len);
    }
}

/* They are those that one store would give, however many shards there are. */
TEST(shards_ids_of_one_core_count_up)
{
    fresh_shards();
    for (uint64_t id = 1; id < 20; id++)
        CHECK_EQ(write(&one, id * 7 % COUNT), id);
    shards_flush(&one);
    CHECK_EQ(write(&one, 0), 21);
    shards_flush_at(&one, TEST_NOW_S); /* which is past, but takes an id */
    CHECK_EQ(write(&one, 1), 23);
    CHECK(has(&one, 0) && has(&one, 1) && !has(&one, 2) && !has(&one, 3));
}

TEST(shards_ids_grow_from_core_to_core)
{
    fresh_shards();
    CHECK_EQ(write(&one, 0), 1);
    CHECK_EQ(write(&one, 0), 2);
    CHECK_EQ(write(&other, 1), 1); /* whose core hasn't seen the ids of the first one */
    CHECK_EQ(write(&other, 0), 3);
    CHECK_EQ(write(&other, 2), 4);
    CHECK_EQ(write(&one, 0), 4);
    CHECK_EQ(write(&one, 2), 5);
}

/* A shard's time is the latest that a core which entered it had. A flush takes effect with it. */
TEST(shards_time_goes_forward_with_any_core)
{
    fresh_shards();
    write(&one, 0);
    write(&one, 1);
    shards_flush_at(&one, TEST_NOW_S + 10);
    CHECK(has(&other, 0));
    shards_tick(&other, TEST_NOW_S + 10);
    CHECK(!has(&other, 0));
    CHECK(has(&one, 1)); /* this shard hasn't got the new time */
    CHECK(!has(&one, 0));
    CHECK_EQ(shards_nth(&one, 0)->now_s, TEST_NOW_S + 10);
    write(&one, 0);
    CHECK(has(&other, 0) && !has(&other, 1));
}

TEST(shards_sums_are_of_all)
{
    struct shards_sum sum;

    fresh_shards();
    for (uint32_t i = 0; i < 3 * COUNT; i++)
        write(&one, i % COUNT);
    shards_sum(&other, &sum);
    CHECK(sum.stats.items == COUNT && sum.stats.total_items == 3 * COUNT);
    CHECK(sum.used_bytes >= sum.stats.bytes && sum.log_bytes > COUNT * STORE_MIN_BYTES / 2);
    shards_reset_stats(&other);
    shards_sum(&one, &sum);
    CHECK(sum.stats.items == COUNT && sum.stats.total_items == 0);
}
