/* SPDX-License-Identifier: BSD-2-Clause */
/* account_test.c - loss, reordering and duplicates, crafted and at random. */
#include "apps/pktgen/account.h"
#include "boot/test.h"

static struct account a;

static void add_all(uint32_t first, uint32_t count)
{
    for (uint32_t s = first; s != first + count; s++)
        CHECK(account_add(&a, s));
}

#define CHECK_ACCOUNT(unique_, missing_, reordered_, duplicates_, stale_)                          \
    do {                                                                                           \
        CHECK_EQ(account_unique(&a), unique_);                                                     \
        CHECK_EQ(a.missing, missing_);                                                             \
        CHECK_EQ(a.reordered, reordered_);                                                         \
        CHECK_EQ(a.duplicates, duplicates_);                                                       \
        CHECK_EQ(a.stale, stale_);                                                                 \
    } while (0)

TEST(account_in_order)
{
    account_init(&a, false);
    CHECK_ACCOUNT(0, 0, 0, 0, 0);
    add_all(0, 3 * ACCOUNT_WINDOW + 5);
    CHECK_ACCOUNT(3 * ACCOUNT_WINDOW + 5, 0, 0, 0, 0);
}

TEST(account_tells_loss_reordering_and_duplicates_apart)
{
    account_init(&a, false);
    add_all(0, 10);
    CHECK(account_add(&a, 15)); /* 10 to 14 are missing */
    CHECK_ACCOUNT(11, 5, 0, 0, 0);
    CHECK(account_add(&a, 12));
    CHECK_ACCOUNT(12, 4, 1, 0, 0);
    CHECK(!account_add(&a, 12));
    CHECK(!account_add(&a, 3));
    CHECK(!account_add(&a, 15));
    CHECK_ACCOUNT(12, 4, 1, 3, 0);
}

TEST(account_counts_what_is_missing_at_the_start)
{
    account_init(&a, false);
    CHECK(account_add(&a, 7));
    CHECK_ACCOUNT(1, 7, 0, 0, 0);
    account_init(&a, true);
    CHECK(account_add(&a, 7));
    CHECK_ACCOUNT(1, 0, 0, 0, 0);
    CHECK(!account_add(&a, 6)); /* from before the first packet that came */
    CHECK_ACCOUNT(1, 0, 0, 0, 1);
}

TEST(account_forgets_what_a_window_ago_was_lost)
{
    account_init(&a, false);
    add_all(0, 100);
    add_all(101, ACCOUNT_WINDOW); /* 100 never came, and its bit is used again */
    CHECK_ACCOUNT(ACCOUNT_WINDOW + 100, 1, 0, 0, 0);
    CHECK(!account_add(&a, 100));
    CHECK_ACCOUNT(ACCOUNT_WINDOW + 100, 1, 0, 0, 1);
    CHECK(!account_add(&a, 101));
    CHECK_ACCOUNT(ACCOUNT_WINDOW + 100, 1, 0, 1, 1);
}

TEST(account_a_gap_longer_than_the_window)
{
    static const uint32_t gaps[] = {ACCOUNT_WINDOW - 1, ACCOUNT_WINDOW, ACCOUNT_WINDOW + 1,
                                    5 * ACCOUNT_WINDOW + 3};

    for (size_t i = 0; i < ARRAY_LEN(gaps); i++) {
        account_init(&a, false);
        add_all(0, 50);
        add_all(50 + gaps[i], 20);
        CHECK_ACCOUNT(70, gaps[i], 0, 0, 0);
        CHECK(account_add(&a, 50 + gaps[i] - 1));
        CHECK_ACCOUNT(71, gaps[i] - 1, 1, 0, 0);
        add_all(70 + gaps[i], 2 * ACCOUNT_WINDOW);
        CHECK_EQ(a.missing, gaps[i] - 1);
    }
}

TEST(account_numbers_wrap_after_32_bits)
{
    account_init(&a, true);
    add_all(UINT32_MAX - 99, 200);
    CHECK_ACCOUNT(200, 0, 0, 0, 0);
    CHECK(!account_add(&a, UINT32_MAX));
    CHECK_EQ(a.duplicates, 1);
    CHECK(account_add(&a, 110));
    CHECK_EQ(a.missing, 10);
}

/* Every packet of a run, some lost, some twice, some late, against sums made beside it. */
TEST(account_random_runs_add_up)
{
    static uint8_t times[20000];
    uint64_t state = 42;

    for (int round = 0; round < 20; round++) {
        uint64_t came = 0, unique = 0, highest = 0;
        memset(times, 0, sizeof times);
        account_init(&a, false);
        for (uint32_t i = 0; i < sizeof times; i++) {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            uint32_t dice = (uint32_t)(state >> 33), s = i;
            if (dice % 8 == 0)
                continue;
            if (dice % 8 == 1)
                s = i - MIN(i, dice / 8 % 300);
            came++;
            CHECK_EQ(account_add(&a, s), times[s] == 0);
            unique += times[s]++ == 0;
            highest = MAX(highest, s);
        }
        CHECK_EQ(account_unique(&a), unique);
        CHECK_EQ(a.missing, highest + 1 - unique);
        CHECK_EQ(a.duplicates, came - unique);
        CHECK_EQ(a.stale, 0);
    }
}

TEST(account_any_number_is_safe)
{
    uint64_t state = 7;

    account_init(&a, false);
    for (int i = 0; i < 2000; i++) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        account_add(&a, (uint32_t)(state >> 32));
    }
    CHECK(a.first + a.missing <= a.next);
    CHECK_EQ(account_unique(&a) + a.duplicates + a.stale, 2000);
}

/* Packets of one stream that come to two places are counted as if they came to one. */
TEST(account_sum_of_places)
{
    static struct account places[3];
    const struct account *const all[] = {&places[0], &places[1], &places[2]};
    struct account_sum sum = {0};

    for (uint32_t i = 0; i < ARRAY_LEN(places); i++)
        account_init(&places[i], true);
    account_add_stream(&sum, all, 3);
    CHECK(!sum.any && sum.unique + sum.missing + sum.first == 0);
    for (uint32_t n = 1000; n < 300000; n++) {
        if (n % 100 == 7)
            continue; /* lost */
        account_add(&places[n % 5 == 0], n);
        if (n % 1000 == 8)
            account_add(&places[n % 5 == 0], n);
    }
    account_add_stream(&sum, all, 3);
    CHECK(sum.any);
    CHECK_EQ(sum.first, 1000);
    CHECK_EQ(sum.missing, 2990);
    CHECK_EQ(sum.unique, 299000 - 2990);
    CHECK_EQ(sum.duplicates, 299);
    CHECK_EQ(sum.reordered + sum.stale, 0);
    account_init(&places[2], false);
    account_add(&places[2], 2); /* another stream */
    account_add_stream(&sum, &all[2], 1);
    CHECK_EQ(sum.first, 0);
    CHECK_EQ(sum.missing, 2990 + 2);
    CHECK_EQ(sum.unique, 299000 - 2990 + 1);
}
