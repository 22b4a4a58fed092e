/* SPDX-License-Identifier: BSD-2-Clause */
/* store_test.h - what the tests of the store share. In store_test.c. */
#ifndef UDPKV_STORE_TEST_H
#define UDPKV_STORE_TEST_H

#include "apps/udpkv/shards.h"

#define TEST_NOW_S     1700000000u /* when every test begins */
#define TEST_SEED      0x1234567890abcdef
#define TEST_STORE_MAX (2u << 20)

/* A fresh, empty store of at most TEST_STORE_MAX, at TEST_NOW_S. It takes the memory of the one
 * given before. */
struct store *test_store(size_t len_bytes);

/* The same in so many shards, a power of two; of several each is locked when it is entered. */
struct shards test_shards(uint32_t count, size_t shard_bytes);

/* Fails the test if the log's pieces don't lie one behind the other from tail to head, or a live
 * one isn't in the index exactly once. */
void test_check_store(const struct store *store);

enum store_result test_set(struct store *store, const char *key, const char *value);
bool test_has(struct store *store, const char *key, const char *value);

static inline struct store_key test_key(const char *text)
{
    const struct store store = {.seed = TEST_SEED};
    uint32_t len = (uint32_t)strlen(text);
    return (struct store_key){(const uint8_t *)text, (uint8_t)len,
                              store_hash(&store, (const uint8_t *)text, len)};
}

/* Pseudo-random numbers, the same ones in every run. *state isn't 0. */
static inline uint32_t test_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32);
}

#endif
