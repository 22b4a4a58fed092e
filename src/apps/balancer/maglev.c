/* SPDX-License-Identifier: BSD-2-Clause */
/* maglev.c - how a table of slots is made; see maglev.h. */
#include "apps/balancer/maglev.h"
#include "netbuf/hash.h"

/* Two hashes of a name. They are part of what balancers have to have in common. */
#define OFFSET_SEED 0x5c7d5e0f3a1b9e21ull
#define SKIP_SEED   0xa0761d6478bd642full

bool maglev_size_is_right(uint64_t size)
{
    if (size < MAGLEV_SIZE_MIN || size > MAGLEV_SIZE_MAX || size % 2 == 0)
        return false;
    for (uint64_t divisor = 3; divisor * divisor <= size; divisor += 2)
        if (size % divisor == 0)
            return false;
    return true;
}

void maglev_begin(struct maglev_build *build, struct maglev *table, struct maglev_member *members,
                  uint32_t count)
{
    *build = (struct maglev_build){.table = table, .members = members, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        struct maglev_member *m = &members[i];
        assert(i == 0 || members[i - 1].name < m->name);
        assert(m->weight > 0 && m->weight <= MAGLEV_WEIGHT_MAX && m->id != MAGLEV_NOBODY);
        m->next = (uint32_t)(hash_mix(m->name ^ OFFSET_SEED, HASH_ODD) % table->size);
        m->skip = (uint32_t)(hash_mix(m->name ^ SKIP_SEED, HASH_ODD) % (table->size - 1) + 1);
        m->credit = 0;
        build->whole = MAX(build->whole, m->weight);
    }
    for (uint32_t i = 0; i < table->size; i++)
        table->slots[i] = MAGLEV_NOBODY;
}

/* Does the one whose turn it would be have one? */
static bool begin_turn(struct maglev_build *build)
{
    struct maglev_member *m = &build->members[build->turn];

    m->credit = (uint16_t)(m->credit + m->weight);
    if (m->credit < build->whole)
        return false;
    m->credit = (uint16_t)(m->credit - build->whole);
    return true;
}

/* Tries the next slot that the one whose turn it is likes. Was it free? */
static bool take_slot(struct maglev_build *build)
{
    struct maglev *table = build->table;
    struct maglev_member *m = &build->members[build->turn];
    uint16_t *slot = &table->slots[m->next];

    m->next += m->skip;
    if (m->next >= table->size)
        m->next -= table->size;
    if (*slot != MAGLEV_NOBODY)
        return false;
    *slot = m->id;
    build->taken++;
    return true;
}

bool maglev_step(struct maglev_build *build, uint32_t tries)
{
    if (build->count == 0)
        return true;
    while (build->taken < build->table->size) {
        if (tries-- == 0)
            return false;
        if (!build->has_turn)
            build->has_turn = begin_turn(build);
        if (build->has_turn)
            build->has_turn = !take_slot(build);
        if (!build->has_turn)
            build->turn = build->turn + 1 == build->count ? 0 : build->turn + 1;
    }
    return true;
}
