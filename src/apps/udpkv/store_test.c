/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the store: what clients see, compared with a simple model, and what happens when it is
 * full. store_rules_test.c has its limits and times. test_check_store walks the whole log and
 * compares it with the index and the counters. */
#include "apps/udpkv/store_test.h"
#include "apps/udpkv/log.h"
#include "boot/boot.h"
#include "boot/test.h"

struct store *test_store(size_t len_bytes)
{
    static uint8_t *memory; /* one for all tests: an image has no room for it, and none is freed */

    if (!memory)
        memory = boot_alloc(TEST_STORE_MAX, CACHE_LINE);
    assert(memory && len_bytes <= TEST_STORE_MAX);
    memset(memory, 0, TEST_STORE_MAX);
    struct store *store = store_create(memory, len_bytes, TEST_SEED);
    store_tick(store, TEST_NOW_S);
    return store;
}

struct shards test_shards(uint32_t count, size_t shard_bytes)
{
    struct shards shards = {.first = test_store(shard_bytes),
                            .shard_bytes = shard_bytes,
                            .mask = count - 1,
                            .locked = count > 1,
                            .now_s = TEST_NOW_S};

    assert(IS_POWER_OF_2(count) && count * shard_bytes <= TEST_STORE_MAX);
    for (uint32_t n = 1; n < count; n++)
        store_tick(store_create(shards_nth(&shards, n), shard_bytes, TEST_SEED), TEST_NOW_S);
    return shards;
}

static uint8_t bytes[16 << 10]; /* for values whose content doesn't matter */

enum store_result test_set(struct store *store, const char *key, const char *value)
{
    struct store_value v = {.bytes = (const uint8_t *)value, .len = (uint32_t)strlen(value)};
    return store_put(store, STORE_SET, test_key(key), &v);
}

bool test_has(struct store *store, const char *key, const char *value)
{
    struct item *item = store_find(store, test_key(key));
    return item && item->value_len == strlen(value) &&
           memcmp(item_value(item), value, item->value_len) == 0;
}

static bool in_index(const struct store *store, const struct item *item)
{
    uint64_t hash = store_hash(store, item_key(item), item->key_len);
    struct index_walk walk = index_walk(&store->index, hash);
    uint32_t *ref, found = 0;

    for (ref = index_next(&store->index, &walk); ref; ref = index_next(&store->index, &walk))
        found += *ref == log_ref(log_offset(store, item));
    return found == 1;
}

void test_check_store(const struct store *store)
{
    size_t at = store->tail, left = store->used_bytes;
    uint64_t items = 0, live_bytes = 0, slots = 0;

    while (left > 0) {
        const struct item *item = log_item(store, log_ref(at));
        size_t len = item->state == STORE_PAD ? item->value_len
                                              : log_footprint(item->key_len, item->value_len);
        CHECK(item->state >= STORE_LIVE && item->state <= STORE_PAD);
        CHECK(len > 0 && len <= left && len % STORE_LOG_UNIT == 0 && len <= store->log_bytes - at);
        if (item->state == STORE_LIVE) {
            items++;
            live_bytes += len;
            CHECK(in_index(store, item));
        }
        left -= len;
        at = at + len == store->log_bytes ? 0 : at + len;
    }
    CHECK_EQ(at, store->head);
    CHECK_EQ(items, store->stats.items);
    CHECK_EQ(live_bytes, store->stats.bytes);
    for (uint32_t i = 0; i < store->index.homes; i++) {
        const struct index_bucket *b = &store->index.buckets[i];
        for (;; b = &store->index.buckets[b->next]) {
            for (uint32_t s = 0; s < INDEX_SLOTS; s++)
                slots += b->tags[s] != 0;
            if (b->next == 0)
                break;
        }
    }
    CHECK_EQ(slots, items);
}

/* --- the model ----------------------------------------------------------------------------- */

enum { MODEL_KEYS = 160, MODEL_VALUE = 1500 };

struct model {
    bool there;
    uint32_t len, flags, expire_s;
    uint64_t cas;
    uint8_t value[MODEL_VALUE];
};

static struct model *model; /* of MODEL_KEYS */

static struct store_key model_key(uint32_t k, char *text)
{
    format(text, 251, "key%0*u", 1 + (int)(k % 7) * 30, k);
    return test_key(text);
}

/* The store must have the item that the model has for a key; a full store may have evicted it. */
static void model_compare(struct store *store, uint32_t k, bool may_forget)
{
    char text[251];
    struct model *m = &model[k];
    struct item *item = store_find(store, model_key(k, text));

    if (m->expire_s != 0 && m->expire_s <= store->now_s)
        m->there = false;
    if (!item && may_forget)
        m->there = false;
    CHECK_EQ(item != NULL, m->there);
    if (!item)
        return;
    CHECK_EQ(item->value_len, m->len);
    CHECK_EQ(item->flags, m->flags);
    CHECK_EQ(item->expire_s, m->expire_s);
    CHECK_EQ(item->cas, m->cas);
    CHECK(memcmp(item_value(item), m->value, m->len) == 0);
}

static void model_put(struct store *store, uint32_t k, enum store_mode mode, uint64_t *random)
{
    char text[251];
    struct model *m = &model[k];
    uint32_t r = test_random(random);
    struct store_value v = {.bytes = bytes,
                            .len = r % (r & 1 << 20 ? 40 : MODEL_VALUE),
                            .flags = r,
                            .expire_s = r & 1 << 21 ? store->now_s + r % 50 : 0,
                            .cas = m->cas + (r >> 22 & 1)};
    bool more = mode == STORE_APPEND || mode == STORE_PREPEND;
    enum store_result want = STORE_OK;

    if (more && m->there)
        v.len = MIN(v.len, MODEL_VALUE - m->len);
    memset(bytes, (int)r, v.len);
    if (mode == STORE_ADD ? m->there : mode != STORE_SET && !m->there)
        want = mode == STORE_CAS ? STORE_NOT_FOUND : STORE_NOT_STORED;
    else if ((mode == STORE_CAS || (more && v.cas != 0)) && v.cas != m->cas)
        want = STORE_EXISTS;
    CHECK_EQ(store_put(store, mode, model_key(k, text), &v), want);
    if (want != STORE_OK)
        return;
    if (more) {
        uint32_t at = mode == STORE_APPEND ? m->len : 0;
        memmove(m->value + at + v.len, m->value + at, m->len - at);
        memcpy(m->value + at, bytes, v.len);
        m->len += v.len;
    } else {
        memcpy(m->value, bytes, v.len);
        m->len = v.len;
        m->flags = v.flags;
        m->expire_s = v.expire_s;
    }
    m->there = true;
    m->cas = store->last_cas;
}

static void model_run(struct store *store, uint32_t steps, bool may_forget)
{
    uint64_t random = 88172645463325252;

    if (!model)
        model = boot_alloc(MODEL_KEYS * sizeof *model, 8);
    CHECK(model);
    memset(model, 0, MODEL_KEYS * sizeof *model);
    for (uint32_t step = 0; step < steps; step++) {
        char text[251];
        uint32_t r = test_random(&random), k = r % MODEL_KEYS;
        model_compare(store, k, may_forget);
        switch (r >> 16 & 15) {
        case 0 ... 8:
            model_put(store, k, (r >> 20) % 6, &random);
            break;
        case 9:
            CHECK_EQ(store_delete(store, model_key(k, text)), model[k].there);
            model[k].there = false;
            break;
        case 10:
            store_tick(store, store->now_s + (r >> 20 & 1));
            break;
        case 11:
            if ((r >> 20) % 256 == 1) {
                store_flush(store);
                for (uint32_t i = 0; i < MODEL_KEYS; i++)
                    model[i].there = false;
            }
            break;
        }
        if (step % 4096 == 0)
            test_check_store(store);
    }
    test_check_store(store);
}

TEST(store_agrees_with_a_model)
{
    struct store *store = test_store(1 << 20);

    model_run(store, 60000, false);
    CHECK_EQ(store->stats.evictions, 0);
}

TEST(store_agrees_with_a_model_when_it_is_full)
{
    struct store *store = test_store(STORE_MIN_BYTES);

    store->max_value = MODEL_VALUE;
    store->log_bytes = 64 << 10; /* less than the model's keys take */
    model_run(store, 60000, true);
    CHECK(store->stats.evictions > 100);
    CHECK(store->stats.moved_bytes > 0);
}

/* --- a full store -------------------------------------------------------------------------- */

TEST(store_keeps_what_is_used)
{
    struct store *store = test_store(STORE_MIN_BYTES);
    char key[32];

    test_set(store, "once", "read once");
    CHECK(test_has(store, "once", "read once"));
    for (uint32_t i = 0; i < 50; i++) {
        format(key, sizeof key, "hot%u", i);
        test_set(store, key, "used again and again");
    }
    for (uint32_t i = 0; i < 20000; i++) {
        format(key, sizeof key, "cold%u", i);
        CHECK_EQ(test_set(store, key, "written once, read never"), STORE_OK);
        format(key, sizeof key, "hot%u", i % 50);
        if (i % 2)
            CHECK(test_has(store, key, "used again and again"));
        else
            CHECK(store_put(store, STORE_REPLACE, test_key(key),
                            &(struct store_value){.bytes = (const uint8_t *)"used again and again",
                                                  .len = 20}) == STORE_OK);
    }
    CHECK(store->stats.evictions > 10000);
    CHECK(!test_has(store, "cold0", "written once, read never"));
    CHECK(!test_has(store, "once", "read once"));
    test_check_store(store);
}

/* Making room for the longer item must not evict the item that is extended. */
TEST(store_extends_the_item_that_is_next_to_go)
{
    struct store *store = test_store(STORE_MIN_BYTES);
    struct store_value more = {.bytes = bytes, .len = 100};
    char key[32];

    for (uint32_t i = 0; i < 10000; i++) {
        format(key, sizeof key, "k%u", i);
        test_set(store, key, "a value that nobody reads");
        struct item *item = log_item(store, log_ref(store->tail));
        if (item->state != STORE_LIVE || item->value_len > 1000)
            continue;
        format(key, sizeof key, "%.*s", item->key_len, (const char *)item_key(item));
        uint32_t len = item->value_len;
        CHECK_EQ(store_put(store, STORE_APPEND, test_key(key), &more), STORE_OK);
        CHECK_EQ(store_find(store, test_key(key))->value_len, len + 100);
    }
    CHECK(store->stats.evictions > 1000);
    test_check_store(store);
}

/* A key whose size changes with every write leaves dead items behind, which take the space that
 * others need: no live one may be evicted. */
TEST(store_reclaims_dead_items_first)
{
    struct store *store = test_store(STORE_MIN_BYTES);
    struct store_value large = {.bytes = bytes, .len = (uint32_t)store->max_value};
    char key[32];

    store_put(store, STORE_SET, test_key("large"), &large);
    for (uint32_t i = 0; i < 1000; i++) {
        format(key, sizeof key, "quiet%u", i);
        test_set(store, key, "neither read nor written again, but there is room");
    }
    for (uint32_t i = 0; i < 20000; i++) {
        struct store_value v = {.bytes = bytes, .len = i * 37 % 600};
        CHECK_EQ(store_put(store, STORE_SET, test_key("noisy"), &v), STORE_OK);
    }
    CHECK_EQ(store->stats.evictions, 0);
    CHECK_EQ(store->stats.items, 1002);
    test_check_store(store);
}

TEST(store_overwrites_in_place_if_the_footprint_stays)
{
    struct store *store = test_store(STORE_MIN_BYTES);

    test_set(store, "a", "12345");
    size_t used = store->used_bytes;
    for (uint32_t i = 0; i < 100; i++)
        CHECK_EQ(test_set(store, "a", i % 2 ? "1234567" : "12"), STORE_OK);
    CHECK_EQ(store->used_bytes, used);
    CHECK(test_has(store, "a", "1234567"));
    CHECK_EQ(test_set(store, "a", "12345678"), STORE_OK);
    CHECK(store->used_bytes > used);
    test_check_store(store);
}

/* What log.h says of its work holds, with a log in which every item was used. */
TEST(store_work_is_bounded)
{
    struct store *store = test_store(1 << 20);
    char key[32];

    for (uint32_t i = 0; i < 20000; i++) {
        format(key, sizeof key, "k%u", i);
        test_set(store, key, "x");
    }
    for (uint32_t i = 0; i < 20000; i++) {
        format(key, sizeof key, "k%u", i);
        store_find(store, test_key(key));
    }
    for (uint32_t i = 0; i < 200; i++) {
        struct store_value v = {.bytes = bytes, .len = i * 331 % (uint32_t)sizeof bytes};
        uint64_t moved = store->stats.moved_bytes, touched = store->stats.touched;
        format(key, sizeof key, "new%u", i);
        CHECK_EQ(store_put(store, STORE_SET, test_key(key), &v), STORE_OK);
        size_t len = log_footprint((uint32_t)strlen(key), v.len);
        CHECK(store->stats.moved_bytes - moved <= 8 * len + 4096);
        CHECK(store->stats.touched - touched <= (10 * len + 4096) / 24);
    }
    test_check_store(store);
}

TEST(store_wraps_with_large_values)
{
    struct store *store = test_store(STORE_MIN_BYTES);
    uint64_t random = 42;
    char key[32];

    CHECK(store->max_value <= sizeof bytes && store->max_value > 14000);
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t r = test_random(&random);
        struct store_value v = {.bytes = bytes, .len = r % (uint32_t)(store->max_value + 1)};
        memset(bytes, (int)i, v.len);
        format(key, sizeof key, "k%u", r >> 28);
        CHECK_EQ(store_put(store, STORE_SET, test_key(key), &v), STORE_OK);
        struct item *item = store_find(store, test_key(key));
        CHECK(item && item->value_len == v.len);
        CHECK(memcmp(item_value(item), bytes, v.len) == 0);
        v.len = MIN(100u, (uint32_t)store->max_value - v.len);
        CHECK_EQ(store_put(store, STORE_APPEND, test_key(key), &v), STORE_OK);
    }
    test_check_store(store);
}

TEST(store_survives_a_full_index)
{
    struct store *store = test_store(STORE_MIN_BYTES);
    struct store_value nothing = {.bytes = bytes};
    char key[32];

    for (uint32_t i = 0; i < 20000; i++) {
        format(key, sizeof key, "%05x", i);
        CHECK_EQ(store_put(store, STORE_SET, test_key(key), &nothing), STORE_OK);
        CHECK(store_find(store, test_key(key)));
    }
    CHECK(store->stats.items > 4700); /* of 5120 slots */
    test_check_store(store);
    for (uint32_t i = 20000; i < 120000; i++) { /* tags are equal at times, keys never */
        format(key, sizeof key, "%05x", i);
        CHECK(!store_find(store, test_key(key)));
    }
    for (uint32_t i = 0; i < 20000; i++) {
        format(key, sizeof key, "%05x", i);
        store_delete(store, test_key(key));
    }
    CHECK_EQ(store->stats.items, 0);
    test_check_store(store);
}
