/* SPDX-License-Identifier: BSD-2-Clause */
/* flows.c - the flows' table; see flows.h. */
#include "apps/balancer/flows.h"
#include "boot/boot.h"

enum { SEEN_AGAIN = 1 << 15, ID_SHIFT = 16, TAG_SHIFT = 32 };

static uint32_t tag_of(uint64_t slot)
{
    return (uint32_t)(slot >> TAG_SHIFT);
}

static uint16_t id_of(uint64_t slot)
{
    return (uint16_t)(slot >> ID_SHIFT);
}

static uint64_t slot_of(uint32_t tag, uint16_t id, uint32_t second)
{
    return (uint64_t)tag << TAG_SHIFT | (uint64_t)id << ID_SHIFT | second % FLOWS_SECONDS;
}

/* For how long a flow was quiet. */
static uint32_t quiet_s(const struct flows *flows, uint64_t slot)
{
    return (flows->now_s - (uint32_t)slot) % FLOWS_SECONDS;
}

static uint64_t *bucket_at(const struct flows *flows, uint32_t bucket)
{
    return &flows->slots[(size_t)bucket * FLOWS_A_BUCKET];
}

RUNS_SELDOM bool flows_create(struct flows *flows, uint64_t count, uint32_t ids_max,
                              uint32_t idle_s)
{
    uint64_t buckets = FLOWS_PARTS;

    assert(idle_s > 0 && idle_s <= FLOWS_IDLE_MAX_S && ids_max < FLOWS_NONE);
    while (buckets * FLOWS_A_BUCKET < count)
        buckets *= 2;
    if (buckets > UINT32_MAX)
        return false;
    *flows = (struct flows){
        .slots = boot_alloc_private(buckets * CACHE_LINE, CACHE_LINE),
        .held = boot_alloc_private(ids_max * sizeof *flows->held, CACHE_LINE),
        .mask = (uint32_t)(buckets - 1),
        .part_mask = (uint32_t)(buckets / FLOWS_PARTS - 1),
        .idle_s = idle_s,
    };
    return flows->slots && flows->held;
}

/* A slot is written only if that says something new: its line may be in another core's cache, or
 * has to go back to memory. */
static void touch(const struct flows *flows, uint64_t *slot)
{
    const uint64_t seen = slot_of(tag_of(*slot), id_of(*slot), flows->now_s) | SEEN_AGAIN;

    if (*slot != seen)
        *slot = seen;
}

static uint64_t *slot_by_tag(const struct flows *flows, struct flow_place place)
{
    uint64_t *slots = bucket_at(flows, place.bucket);

    for (uint32_t i = 0; i < FLOWS_A_BUCKET; i++)
        if (tag_of(slots[i]) == place.tag)
            return &slots[i];
    return NULL;
}

uint16_t flows_find(struct flows *flows, struct flow_place place)
{
    uint64_t *slot = slot_by_tag(flows, place);

    if (!slot)
        return FLOWS_NONE;
    if (quiet_s(flows, *slot) >= flows->idle_s)
        return FLOWS_NONE; /* the sweep hasn't come by yet */
    touch(flows, slot);
    return id_of(*slot);
}

static void end_flow(struct flows *flows, uint64_t *slot)
{
    flows->held[id_of(*slot)]--;
    *slot = 0;
}

/* How dear a slot's flow is: free ones first, then flows of one packet, quiet ones before others.
 */
static uint32_t worth(const struct flows *flows, uint64_t slot)
{
    if (slot == 0)
        return 0;
    return (slot & SEEN_AGAIN ? FLOWS_SECONDS : 0) + FLOWS_SECONDS - quiet_s(flows, slot);
}

static uint64_t *cheapest_slot(const struct flows *flows, uint64_t *slots)
{
    uint64_t *best = &slots[0];

    for (uint32_t i = 1; i < FLOWS_A_BUCKET; i++)
        if (worth(flows, slots[i]) < worth(flows, *best))
            best = &slots[i];
    return best;
}

void flows_put(struct flows *flows, struct flow_place place, uint16_t id)
{
    uint64_t *slot = slot_by_tag(flows, place);

    if (!slot) {
        slot = cheapest_slot(flows, bucket_at(flows, place.bucket));
        flows->displaced += *slot != 0;
        flows->begun++;
    }
    if (*slot)
        end_flow(flows, slot);
    *slot = slot_of(place.tag, id, flows->now_s);
    flows->held[id]++;
}

void flows_sweep(struct flows *flows, uint32_t buckets)
{
    for (; buckets > 0; buckets--) {
        uint64_t *slots = bucket_at(flows, flows->swept++ & flows->mask);
        for (uint32_t i = 0; i < FLOWS_A_BUCKET; i++)
            if (slots[i] && quiet_s(flows, slots[i]) >= flows->idle_s) {
                end_flow(flows, &slots[i]);
                flows->forgotten++;
            }
    }
}

RUNS_SELDOM void flows_forget(struct flows *flows, uint16_t id)
{
    const size_t count = (size_t)flows_room(flows);

    for (size_t i = 0; i < count && flows->held[id] > 0; i++)
        if (flows->slots[i] && id_of(flows->slots[i]) == id)
            end_flow(flows, &flows->slots[i]);
}
