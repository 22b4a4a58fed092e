/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reassembly.c - puts fragments together; see reassembly.h.
 *
 *      slot, REASSEMBLY_BYTES                             bit i: bytes 8i to 8i + 7 came
 *     +------------+---------+--------------+---------+  +------------------------+
 *     | 0 .. 1479  |   ...   | 2960 .. 3511 |   ...   |  | 1 1 1 ..0..1 1 1 ..0.. |
 *     +------------+---------+--------------+---------+  +------------------------+
 *
 * Every fragment but the last has a multiple of 8 bytes, so a bit for 8 bytes tells exactly what
 * came. Slots are few: which one has a datagram, and which is the oldest, is found by looking at
 * all, at their hashes first, which lie side by side.
 */
#include "netbuf/reassembly.h"

#include "netbuf/hash.h"

enum { UNIT = 8, MAP_WORDS = REASSEMBLY_BYTES / UNIT / 64 };

enum slot_state {
    SLOT_FREE,
    SLOT_OPEN,    /* in progress */
    SLOT_DROPPED, /* in progress no more, but others of its fragments may still come */
    SLOT_WHOLE,   /* complete, and not released yet */
};

struct slot {
    struct reassembly_key key;
    uint64_t due_ns;  /* its time is over then */
    uint64_t number;  /* the datagrams began in this order */
    uint32_t came;    /* bytes */
    uint32_t highest; /* the end of the bytes that came */
    uint32_t end;     /* of the datagram, once its last fragment came; else 0 */
    uint16_t fragments;
    uint8_t protocol;
    uint8_t state;           /* enum slot_state */
    uint64_t map[MAP_WORDS]; /* zeroed up to bit highest / UNIT when the slot is taken anew */
};

struct reassembly {
    uint8_t *bytes; /* of the slots, one behind the other */
    struct slot *slots;
    uint32_t count, in_use;
    uint64_t seed, next_number;
    uint64_t due_ns; /* no datagram's time is over before */
    struct reassembly_stats stats;
    uint64_t hashes[]; /* of the slots' keys; of a slot that has none open or dropped: 0 */
};

static size_t slots_offset(uint32_t slots)
{
    return ALIGN_UP(sizeof(struct reassembly) + slots * sizeof(uint64_t), CACHE_LINE);
}

static size_t bytes_offset(uint32_t slots)
{
    return ALIGN_UP(slots_offset(slots) + slots * sizeof(struct slot), CACHE_LINE);
}

RUNS_SELDOM size_t reassembly_bytes(uint32_t slots)
{
    return bytes_offset(slots) + (size_t)slots * REASSEMBLY_BYTES;
}

RUNS_SELDOM struct reassembly *reassembly_create(void *memory, uint32_t slots, uint64_t seed)
{
    struct reassembly *r = memory;

    assert(slots >= 1 && slots <= REASSEMBLY_MAX_SLOTS);
    r->slots = (struct slot *)((uint8_t *)memory + slots_offset(slots));
    r->bytes = (uint8_t *)memory + bytes_offset(slots);
    r->count = slots;
    r->seed = seed;
    r->due_ns = UINT64_MAX;
    return r;
}

const struct reassembly_stats *reassembly_stats(const struct reassembly *r)
{
    return &r->stats;
}

/* Never 0. */
static uint64_t hash_key(const struct reassembly *r, const struct reassembly_key *key)
{
    uint64_t words[sizeof *key / sizeof(uint64_t)], hash = r->seed;

    memcpy(words, key, sizeof words);
    for (uint32_t i = 0; i < ARRAY_LEN(words); i++)
        hash = hash_mix(hash ^ words[i], HASH_ODD);
    return hash | 1;
}

static void free_slot(struct reassembly *r, struct slot *slot)
{
    r->hashes[slot - r->slots] = 0;
    slot->state = SLOT_FREE;
    r->in_use--;
}

/* Gives up a datagram that isn't whole; one that was dropped before is counted already. */
static RUNS_SELDOM void give_up(struct reassembly *r, struct slot *slot, uint64_t *counter)
{
    *counter += slot->state == SLOT_OPEN;
    free_slot(r, slot);
}

RUNS_SELDOM void reassembly_tick(struct reassembly *r, uint64_t now_ns)
{
    r->due_ns = UINT64_MAX;
    for (uint32_t i = 0; i < r->count; i++) {
        struct slot *slot = &r->slots[i];
        if (r->hashes[i] == 0)
            continue;
        if (now_ns >= slot->due_ns)
            give_up(r, slot, &r->stats.late);
        else
            r->due_ns = MIN(r->due_ns, slot->due_ns);
    }
}

static struct slot *find_slot(struct reassembly *r, const struct reassembly_key *key, uint64_t hash)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->hashes[i] == hash && memcmp(&r->slots[i].key, key, sizeof *key) == 0)
            return &r->slots[i];
    return NULL;
}

/* The oldest datagram that isn't whole, or the oldest one of this source, and how many there are;
 * NULL if there is none. */
static RUNS_SELDOM struct slot *find_oldest(struct reassembly *r, const uint8_t *source,
                                            uint32_t *count)
{
    struct slot *oldest = NULL;

    *count = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        struct slot *slot = &r->slots[i];
        if (r->hashes[i] == 0 ||
            (source && memcmp(slot->key.source, source, sizeof slot->key.source) != 0))
            continue;
        ++*count;
        if (!oldest || slot->number < oldest->number)
            oldest = slot;
    }
    return oldest;
}

/* A slot for a new datagram, from who has most reason to give one up. NULL if all are whole. */
static RUNS_SELDOM struct slot *take_slot(struct reassembly *r, const struct reassembly_key *key,
                                          uint64_t hash, uint64_t now_ns)
{
    uint32_t count, i = 0;
    struct slot *oldest = find_oldest(r, key->source, &count);

    if (count >= (r->count + 1) / 2)
        give_up(r, oldest, &r->stats.share);
    if (r->in_use == r->count) {
        oldest = find_oldest(r, NULL, &count);
        if (!oldest)
            return NULL;
        give_up(r, oldest, &r->stats.crowded);
    }
    while (r->slots[i].state != SLOT_FREE)
        i++;
    struct slot *slot = &r->slots[i];
    const size_t map_bytes = ALIGN_UP((size_t)slot->highest, UNIT * 64) / UNIT / 8;
    memset(slot->map, 0, map_bytes);
    slot->key = *key;
    slot->due_ns = now_ns + REASSEMBLY_NS;
    r->due_ns = MIN(r->due_ns, slot->due_ns);
    slot->number = r->next_number++;
    slot->came = slot->highest = slot->end = 0;
    slot->fragments = 0;
    slot->state = SLOT_OPEN;
    r->hashes[i] = hash;
    r->in_use++;
    return slot;
}

enum { SOME_CAME = 1, SOME_MISS = 2 };

/* The bits of a word of the map that stand for units from first to last. */
static uint64_t map_bits(uint32_t word, uint32_t first, uint32_t last)
{
    uint64_t bits = UINT64_MAX;

    if (word == first / 64)
        bits &= UINT64_MAX << first % 64;
    if (word == last / 64)
        bits &= UINT64_MAX >> (63 - last % 64);
    return bits;
}

static uint32_t look_at_map(const struct slot *slot, uint32_t first, uint32_t last)
{
    uint32_t what = 0;

    for (uint32_t word = first / 64; word <= last / 64; word++) {
        const uint64_t bits = map_bits(word, first, last);
        what |= slot->map[word] & bits ? SOME_CAME : 0;
        what |= ~slot->map[word] & bits ? SOME_MISS : 0;
    }
    return what;
}

/* Adds a fragment of a good shape to its datagram. Any result but KEPT and AGAIN ends that. */
static RUNS_SELDOM enum reassembly_result add_to_slot(struct reassembly *r, struct slot *slot,
                                                      const struct reassembly_fragment *f)
{
    const uint32_t end = f->offset + f->len, first = f->offset / UNIT, last = (end - 1) / UNIT;
    uint8_t *to = r->bytes + (size_t)(slot - r->slots) * REASSEMBLY_BYTES + f->offset;

    if ((slot->end != 0 && (f->more ? end > slot->end : end != slot->end)) ||
        (!f->more && slot->highest > end))
        return REASSEMBLY_END;
    const uint32_t came = look_at_map(slot, first, last);
    if (came == SOME_CAME && memcmp(to, f->bytes, f->len) == 0)
        return REASSEMBLY_AGAIN;
    if (came & SOME_CAME)
        return REASSEMBLY_OVERLAP;
    if (slot->fragments == REASSEMBLY_FRAGMENTS)
        return REASSEMBLY_MANY;
    memcpy(to, f->bytes, f->len);
    for (uint32_t word = first / 64; word <= last / 64; word++)
        slot->map[word] |= map_bits(word, first, last);
    slot->fragments++;
    slot->came += f->len;
    slot->highest = MAX(slot->highest, end);
    if (!f->more)
        slot->end = end;
    if (f->offset == 0)
        slot->protocol = f->protocol;
    return slot->came == slot->end ? REASSEMBLY_WHOLE : REASSEMBLY_KEPT;
}

RUNS_SELDOM enum reassembly_result reassembly_add(struct reassembly *r,
                                                  const struct reassembly_fragment *fragment,
                                                  uint64_t now_ns, struct reassembly_whole *whole)
{
    const uint64_t hash = hash_key(r, &fragment->key);

    if (now_ns >= r->due_ns)
        reassembly_tick(r, now_ns);
    if (fragment->len == 0 || (fragment->more && fragment->len % UNIT != 0) ||
        fragment->offset + fragment->len > fragment->max_bytes)
        return REASSEMBLY_SHAPE;
    struct slot *slot = find_slot(r, &fragment->key, hash);
    if (!slot)
        slot = take_slot(r, &fragment->key, hash, now_ns);
    if (!slot)
        return REASSEMBLY_NO_ROOM;
    if (slot->state == SLOT_DROPPED)
        return REASSEMBLY_REST;
    const enum reassembly_result result = add_to_slot(r, slot, fragment);
    if (result == REASSEMBLY_WHOLE) {
        const size_t number = (size_t)(slot - r->slots);
        *whole = (struct reassembly_whole){r->bytes + number * REASSEMBLY_BYTES, slot->end,
                                           slot->protocol};
        slot->state = SLOT_WHOLE;
        r->hashes[number] = 0; /* what comes now with this key is of another datagram */
        r->stats.wholes++;
    } else if (result != REASSEMBLY_KEPT && result != REASSEMBLY_AGAIN) {
        slot->state = SLOT_DROPPED;
    }
    return result;
}

RUNS_SELDOM void reassembly_release(struct reassembly *r, const uint8_t *bytes)
{
    const size_t number = (size_t)(bytes - r->bytes) / REASSEMBLY_BYTES;

    assert(bytes >= r->bytes && number < r->count && r->slots[number].state == SLOT_WHOLE);
    free_slot(r, &r->slots[number]);
}
