/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flows.h - which back end each flow has, so that it keeps it while the pool changes. A table of
 * fixed memory, without a bound on what comes:
 *
 *     bucket   one cache line of FLOWS_A_BUCKET slots
 *     slot     63        32 31       16 15 14        0
 *              |   tag     |    id     |s|   second  |
 *
 *     tag      of the flow's hash; two flows of one bucket and one tag, some two in a thousand
 *              million, share a back end
 *     s        it was seen again after its first packet
 *     second   when it was seen last, modulo FLOWS_SECONDS
 *
 * A flow has one bucket. A new one takes a free slot there, or that of the flow that was quiet for
 * longest of those of a single packet, if there are any, or of all: made-up sources, which send
 * one packet each, displace each other. The buckets that one source's flows can have are one part
 * in FLOWS_PARTS of all: no source takes more.
 *
 * A burst's buckets are prefetched side by side:
 *
 *     place = flows_place(...), flows_prefetch(...)        each packet
 *     id = flows_find(...), or flows_put(... id)           each packet
 *     flows_sweep(...)                                     now and then: forgets who is quiet
 */
#ifndef BALANCER_FLOWS_H
#define BALANCER_FLOWS_H

#include "boot/lib.h"

enum {
    FLOWS_A_BUCKET = CACHE_LINE / sizeof(uint64_t),
    FLOWS_PARTS = 16,
    FLOWS_SECONDS = 1 << 15,
    FLOWS_IDLE_MAX_S = FLOWS_SECONDS / 2, /* longer, and a second could be one of another round */
    FLOWS_NONE = 0xffff,
};

struct flows {
    uint64_t *slots; /* (mask + 1) buckets */
    uint32_t mask;
    uint32_t part_mask; /* of the buckets that one source has */
    uint32_t idle_s;    /* a flow that was quiet for so long is forgotten */
    uint32_t now_s;     /* the caller sets it, between bursts */
    uint32_t swept;     /* buckets that the sweep has looked at */
    uint32_t *held;     /* by id: its flows */
    uint64_t begun, displaced, forgotten;
};

/* Where a flow's slot is, if it has one. */
struct flow_place {
    uint32_t bucket, tag;
};

/* Memory for about `flows` of them, rounded up to a power of two, with ids up to ids_max - 1. False
 * if there isn't enough. */
bool flows_create(struct flows *flows, uint64_t count, uint32_t ids_max, uint32_t idle_s);

/* How many it has room for. */
static inline uint64_t flows_room(const struct flows *flows)
{
    return ((uint64_t)flows->mask + 1) * FLOWS_A_BUCKET;
}

/* `source` and `flow` are hashes with a secret seed: of the source's address, and of all that makes
 * a flow. */
static inline struct flow_place flows_place(const struct flows *flows, uint64_t source,
                                            uint64_t flow)
{
    return (struct flow_place){
        .bucket = (uint32_t)((source & ~(uint64_t)flows->part_mask) | (flow & flows->part_mask)) &
                  flows->mask,
        .tag = (uint32_t)(flow >> 32) | 1,
    };
}

static inline void flows_prefetch(const struct flows *flows, struct flow_place place)
{
    __builtin_prefetch(&flows->slots[(size_t)place.bucket * FLOWS_A_BUCKET]);
}

/* The flow's id, or FLOWS_NONE. The flow was seen now. */
uint16_t flows_find(struct flows *flows, struct flow_place place);

/* From now on the flow has this id, whether it had one or not. */
void flows_put(struct flows *flows, struct flow_place place, uint16_t id);

/* Forgets the flows that were quiet for too long in the next `buckets`. All are to be looked at
 * within FLOWS_SECONDS / 2. */
void flows_sweep(struct flows *flows, uint32_t buckets);

/* Forgets all flows of an id. Looks at every bucket: for when a back end is taken out for good. */
void flows_forget(struct flows *flows, uint16_t id);

#endif
