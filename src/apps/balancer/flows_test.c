/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the flows' table: who is found, who is displaced, who is forgotten. */
#include "apps/balancer/flows.h"
#include "boot/test.h"
#include "netbuf/hash.h"

enum { COUNT = 1 << 12, IDS = 16, IDLE_S = 60 };

static struct flows flows;

/* An empty table; its memory is taken once. */
static void begin(void)
{
    if (!flows.slots)
        CHECK(flows_create(&flows, COUNT, IDS, IDLE_S));
    memset(flows.slots, 0, flows_room(&flows) * sizeof *flows.slots);
    memset(flows.held, 0, IDS * sizeof *flows.held);
    flows.begun = flows.displaced = flows.forgotten = 0;
    flows.now_s = 1000;
}

static struct flow_place place(uint64_t source, uint64_t flow)
{
    return flows_place(&flows, hash_mix(source + 1, HASH_ODD),
                       hash_mix(hash_mix(source + 1, HASH_ODD) ^ (flow + 1), HASH_ODD));
}

static uint64_t held(void)
{
    uint64_t sum = 0, slots = 0;

    for (uint32_t i = 0; i < IDS; i++)
        sum += flows.held[i];
    for (uint64_t i = 0; i < flows_room(&flows); i++)
        slots += flows.slots[i] != 0;
    CHECK_EQ(sum, slots);
    return sum;
}

TEST(flows_keep_their_id)
{
    begin();
    CHECK_EQ(flows_room(&flows), COUNT);
    for (uint32_t i = 0; i < COUNT / 8; i++) {
        CHECK_EQ(flows_find(&flows, place(i, 0)), FLOWS_NONE);
        flows_put(&flows, place(i, 0), (uint16_t)(i % IDS));
    }
    CHECK_EQ(flows.displaced, 0);
    for (uint32_t i = 0; i < COUNT / 8; i++)
        CHECK_EQ(flows_find(&flows, place(i, 0)), i % IDS);
    CHECK_EQ(held(), COUNT / 8);
}

TEST(flows_move_to_another_id)
{
    begin();
    flows_put(&flows, place(1, 1), 3);
    flows_put(&flows, place(1, 1), 4);
    CHECK_EQ(flows_find(&flows, place(1, 1)), 4);
    CHECK(flows.held[3] == 0 && flows.held[4] == 1 && held() == 1);
}

TEST(flows_are_forgotten_when_quiet_for_long)
{
    begin();
    flows_put(&flows, place(1, 0), 1);
    flows_put(&flows, place(2, 0), 2);
    flows.now_s += IDLE_S - 1;
    CHECK_EQ(flows_find(&flows, place(1, 0)), 1);
    flows.now_s++;
    CHECK_EQ(flows_find(&flows, place(2, 0)), FLOWS_NONE);
    CHECK_EQ(held(), 2); /* until it is swept */
    flows_sweep(&flows, flows.mask + 1);
    CHECK(flows.held[1] == 1 && flows.held[2] == 0 && flows.forgotten == 1);
    flows.now_s += FLOWS_SECONDS - IDLE_S; /* seconds begin anew */
    flows_put(&flows, place(3, 0), 3);
    flows.now_s += IDLE_S / 2;
    flows_sweep(&flows, flows.mask + 1);
    CHECK_EQ(flows_find(&flows, place(3, 0)), 3);
}

TEST(flows_of_made_up_sources_displace_each_other)
{
    begin();
    for (uint32_t i = 0; i < COUNT / 16; i++) {
        flows_put(&flows, place(i, 0), 1);
        CHECK_EQ(flows_find(&flows, place(i, 0)), 1); /* seen again */
    }
    flows.now_s += 5;
    for (uint32_t i = 0; i < 4 * COUNT; i++)
        flows_put(&flows, place(1000000 + i, i), 2);
    for (uint32_t i = 0; i < COUNT / 16; i++)
        CHECK_EQ(flows_find(&flows, place(i, 0)), 1);
    CHECK(flows.displaced > COUNT && held() <= COUNT);
}

TEST(flows_of_one_source_have_their_part)
{
    begin();
    for (uint32_t i = 0; i < 4 * COUNT; i++)
        flows_put(&flows, place(7, i), 1);
    CHECK(held() > COUNT / FLOWS_PARTS / 2);
    CHECK(held() <= COUNT / FLOWS_PARTS);
}

TEST(flows_of_an_id_are_forgotten)
{
    begin();
    for (uint32_t i = 0; i < 100; i++)
        flows_put(&flows, place(i, 0), (uint16_t)(i % 4));
    flows_forget(&flows, 2);
    CHECK_EQ(flows.held[2], 0);
    CHECK_EQ(held(), 75);
    for (uint32_t i = 0; i < 100; i++)
        CHECK_EQ(flows_find(&flows, place(i, 0)), i % 4 == 2 ? FLOWS_NONE : (int)(i % 4));
}
