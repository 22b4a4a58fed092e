/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the table: shares, what moves, steps. */
#include "apps/balancer/maglev.h"
#include "boot/test.h"
#include "netbuf/hash.h"

enum { SIZE = 4099, MEMBERS_MAX = 64 };

static uint16_t slots[2][SIZE];
static struct maglev tables[] = {{slots[0], SIZE}, {slots[1], SIZE}};
static struct maglev_member members[MEMBERS_MAX];
static uint32_t shares[MEMBERS_MAX];

/* Members 0 to count - 1 but for `without`, all of one weight. */
static uint32_t list_members(uint32_t count, uint32_t without)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < count; i++)
        if (i != without)
            members[n++] =
                (struct maglev_member){.name = 0x0a000001 + i, .id = (uint16_t)i, .weight = 1};
    return n;
}

static void make_table(struct maglev *table, uint32_t count, uint32_t tries)
{
    struct maglev_build build;

    maglev_begin(&build, table, members, count);
    while (!maglev_step(&build, tries))
        CHECK_IN_TIME();
}

static void count_shares(const struct maglev *table)
{
    memset(shares, 0, sizeof shares);
    for (uint32_t i = 0; i < SIZE; i++) {
        CHECK(table->slots[i] < MEMBERS_MAX);
        shares[table->slots[i]]++;
    }
}

static uint32_t differing(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < SIZE; i++)
        n += slots[0][i] != slots[1][i];
    return n;
}

TEST(maglev_sizes_are_primes)
{
    static const uint64_t right[] = {3, 5, 13, 4099, 65537, 655373, 1048573};
    static const uint64_t wrong[] = {0, 1, 2, 4, 9, 15, 65536, 65537 * 3ull, 1048583, UINT64_MAX};

    for (uint32_t i = 0; i < ARRAY_LEN(right); i++)
        CHECK(maglev_size_is_right(right[i]));
    for (uint32_t i = 0; i < ARRAY_LEN(wrong); i++)
        CHECK(!maglev_size_is_right(wrong[i]));
}

TEST(maglev_shares_are_equal_but_for_one_slot)
{
    for (uint32_t count = 1; count <= MEMBERS_MAX; count += 21) {
        make_table(&tables[0], list_members(count, MEMBERS_MAX), UINT32_MAX);
        count_shares(&tables[0]);
        for (uint32_t i = 0; i < count; i++)
            CHECK(shares[i] == SIZE / count || shares[i] == SIZE / count + 1);
    }
}

TEST(maglev_shares_follow_weights)
{
    static const uint16_t weights[] = {1, 3, 10, 10, 1000};
    uint32_t sum = 0;

    list_members(ARRAY_LEN(weights), MEMBERS_MAX);
    for (uint32_t i = 0; i < ARRAY_LEN(weights); i++)
        sum += members[i].weight = weights[i];
    make_table(&tables[0], ARRAY_LEN(weights), UINT32_MAX);
    count_shares(&tables[0]);
    for (uint32_t i = 0; i < ARRAY_LEN(weights); i++) {
        const uint32_t right = SIZE * weights[i] / sum;
        CHECK(shares[i] + 5 >= right && shares[i] <= right + 5);
    }
}

TEST(maglev_few_slots_move_when_one_goes)
{
    enum { COUNT = 20 };

    make_table(&tables[0], list_members(COUNT, MEMBERS_MAX), UINT32_MAX);
    make_table(&tables[1], list_members(COUNT, 7), UINT32_MAX);
    count_shares(&tables[1]);
    CHECK_EQ(shares[7], 0);
    /* Its own ones have to. With a hundred times as many slots as members, of the others some two
     * in a hundred do (section 5.3 of the paper). */
    CHECK(differing() >= SIZE / COUNT);
    CHECK(differing() <= SIZE / COUNT + SIZE / 10);
}

TEST(maglev_is_the_same_in_steps_of_any_size)
{
    const uint32_t count = list_members(30, MEMBERS_MAX);

    for (uint32_t i = 0; i < count; i++)
        members[i].weight = (uint16_t)(1 + i % 3);
    make_table(&tables[0], count, UINT32_MAX);
    for (uint32_t tries = 1; tries < 1000; tries = tries * 5 + 1) {
        make_table(&tables[1], count, tries);
        CHECK_EQ(differing(), 0);
    }
}

TEST(maglev_of_nobody_has_nobody)
{
    make_table(&tables[0], 0, 1);
    for (uint64_t hash = 0; hash < 100; hash++)
        CHECK_EQ(maglev_of(&tables[0], hash_mix(hash, HASH_ODD)), MAGLEV_NOBODY);
}

TEST(maglev_of_reaches_every_slot)
{
    for (uint32_t i = 0; i < SIZE; i++)
        slots[0][i] = (uint16_t)i;
    for (uint32_t i = 0; i < SIZE; i++)
        CHECK_EQ(maglev_of(&tables[0], ((((uint64_t)i << 32) + SIZE - 1) / SIZE) << 32), i);
    CHECK_EQ(maglev_of(&tables[0], UINT64_MAX), SIZE - 1);
    CHECK_EQ(maglev_of(&tables[0], 0), 0);
}
