/* SPDX-License-Identifier: BSD-2-Clause */
/* backends.c - the back ends and their table; see backends.h. */
#include "apps/balancer/backends.h"
#include "boot/boot.h"
#include "netbuf/hash.h"

enum { BY_IP = 4 * BACKENDS_MAX };

static bool create_table(struct maglev *table, uint32_t size)
{
    table->size = size;
    table->slots = boot_alloc_private(size * sizeof *table->slots, CACHE_LINE);
    if (!table->slots)
        return false;
    for (uint32_t i = 0; i < size; i++)
        table->slots[i] = MAGLEV_NOBODY;
    return true;
}

RUNS_SELDOM bool backends_create(struct backends *b, uint32_t table_size)
{
    *b = (struct backends){
        .list = boot_alloc_private(BACKENDS_MAX * sizeof *b->list, CACHE_LINE),
        .order = boot_alloc_private(BACKENDS_MAX * sizeof *b->order, CACHE_LINE),
        .by_ip = boot_alloc_private(BY_IP * sizeof *b->by_ip, CACHE_LINE),
        .members = boot_alloc_private(BACKENDS_MAX * sizeof *b->members, CACHE_LINE),
    };
    if (!b->list || !b->order || !b->by_ip || !b->members)
        return false;
    memset(b->by_ip, 0xff, BY_IP * sizeof *b->by_ip);
    return create_table(&b->table, table_size) && create_table(&b->next, table_size);
}

/* --- by address ----------------------------------------------------------------------------------
 */

static uint32_t home_of(uint32_t ip)
{
    return (uint32_t)(hash_mix(ip, HASH_ODD) >> 32) % BY_IP;
}

uint16_t backends_find(const struct backends *b, uint32_t ip)
{
    for (uint32_t at = home_of(ip);; at = (at + 1) % BY_IP) {
        const uint16_t id = b->by_ip[at];
        if (id == BACKENDS_NONE || b->list[id].ip == ip)
            return id;
    }
}

static void put_by_ip(struct backends *b, uint16_t id)
{
    uint32_t at = home_of(b->list[id].ip);

    while (b->by_ip[at] != BACKENDS_NONE)
        at = (at + 1) % BY_IP;
    b->by_ip[at] = id;
}

/* Where an address is in `order`, or would be. */
static uint32_t rank_of(const struct backends *b, uint32_t ip)
{
    uint32_t rank = 0;

    while (rank < b->count && b->list[b->order[rank]].ip < ip)
        rank++;
    return rank;
}

/* --- changes -------------------------------------------------------------------------------------
 */

static uint16_t free_id(const struct backends *b)
{
    uint16_t id = 0;

    while (b->list[id].state != BACKEND_FREE)
        id++;
    return id;
}

static uint16_t add_new(struct backends *b, uint32_t ip)
{
    if (b->count == BACKENDS_MAX)
        return BACKENDS_NONE;
    const uint16_t id = free_id(b);
    const uint32_t rank = rank_of(b, ip);
    memmove(&b->order[rank + 1], &b->order[rank], (b->count - rank) * sizeof *b->order);
    b->order[rank] = id;
    b->count++;
    b->list[id] = (struct backend){.ip = ip};
    put_by_ip(b, id);
    return id;
}

uint16_t backends_add(struct backends *b, uint32_t ip, uint16_t weight)
{
    uint16_t id = backends_find(b, ip);

    if (id == BACKENDS_NONE)
        id = add_new(b, ip);
    if (id == BACKENDS_NONE)
        return id;
    struct backend *one = &b->list[id];
    b->is_stale |= one->state != BACKEND_ACTIVE || one->weight != weight;
    one->state = BACKEND_ACTIVE;
    one->weight = weight;
    return id;
}

void backends_drain(struct backends *b, uint16_t id, uint64_t drained_ns)
{
    struct backend *one = &b->list[id];

    if (one->state != BACKEND_ACTIVE)
        return;
    one->state = BACKEND_DRAINING;
    one->drained_ns = drained_ns;
    b->is_stale = true;
}

void backends_remove(struct backends *b, uint16_t id)
{
    const uint32_t rank = rank_of(b, b->list[id].ip);

    b->up -= b->list[id].is_up;
    b->sought -= b->list[id].is_sought;
    b->count--;
    memmove(&b->order[rank], &b->order[rank + 1], (b->count - rank) * sizeof *b->order);
    b->list[id] = (struct backend){.state = BACKEND_FREE};
    memset(b->by_ip, 0xff, BY_IP * sizeof *b->by_ip); /* those behind it may stand elsewhere now */
    for (uint32_t i = 0; i < b->count; i++)
        put_by_ip(b, b->order[i]);
    b->is_stale = true;
}

void backends_set_up(struct backends *b, uint16_t id, bool is_up)
{
    struct backend *one = &b->list[id];

    if (one->is_up == is_up)
        return;
    one->is_up = is_up;
    b->up = is_up ? b->up + 1 : b->up - 1;
    b->is_stale = true;
}

/* --- the table -----------------------------------------------------------------------------------
 */

static void begin_table(struct backends *b)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < b->count; i++) {
        const uint16_t id = b->order[i];
        const struct backend *one = &b->list[id];
        if (one->state == BACKEND_ACTIVE && one->is_up)
            b->members[n++] =
                (struct maglev_member){.name = one->ip, .id = id, .weight = one->weight};
    }
    b->is_stale = false;
    if (n == 0 && b->keeps_last)
        return;
    b->is_building = true;
    maglev_begin(&b->build, &b->next, b->members, n);
}

/* The new table takes the old one's place. */
static void use_table(struct backends *b)
{
    const struct maglev table = b->next;

    b->next = b->table;
    b->table = table;
    b->is_building = false;
    b->built++;
    for (uint32_t i = 0; i < b->count; i++)
        b->list[b->order[i]].slots = 0;
    for (uint32_t i = 0; i < table.size; i++)
        if (table.slots[i] != MAGLEV_NOBODY)
            b->list[table.slots[i]].slots++;
}

bool backends_build(struct backends *b, uint32_t tries)
{
    if (b->is_stale && !b->is_building) /* one that is begun is ended, or changes could outrun it */
        begin_table(b);
    if (!b->is_building)
        return false;
    if (maglev_step(&b->build, tries))
        use_table(b);
    return true;
}
