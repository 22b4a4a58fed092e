/* SPDX-License-Identifier: BSD-2-Clause */
/* index.c - the hash index of the store; see index.h. */
#include "apps/udpkv/index.h"

RUNS_SELDOM void index_init(struct index *index, void *memory, size_t len_bytes)
{
    size_t count = MIN(len_bytes / sizeof(struct index_bucket), UINT32_MAX);

    assert(count >= 2);
    index->buckets = memory;
    index->homes = (uint32_t)(count - count / 5);
    index->free_overflow = 0;
    for (uint32_t i = index->homes; i < count; i++) {
        index->buckets[i].next = index->free_overflow;
        index->free_overflow = i;
    }
}

static struct index_bucket *add_overflow(struct index *index, struct index_bucket *last)
{
    uint32_t at = index->free_overflow;

    if (at == 0)
        return NULL;
    struct index_bucket *b = &index->buckets[at];
    index->free_overflow = b->next;
    b->next = 0;
    last->next = at;
    return b;
}

bool index_insert(struct index *index, uint64_t hash, uint32_t ref)
{
    struct index_walk walk = index_walk(index, hash);
    struct index_bucket *b = walk.bucket;

    for (uint32_t chain = 1;; chain++) {
        for (uint32_t slot = 0; slot < INDEX_SLOTS; slot++) {
            if (b->tags[slot] == 0) {
                b->tags[slot] = walk.tag;
                b->refs[slot] = ref;
                return true;
            }
        }
        if (chain == INDEX_MAX_CHAIN)
            return false;
        b = b->next ? &index->buckets[b->next] : add_overflow(index, b);
        if (!b)
            return false;
    }
}

/* The last used slot of the chain moves to the slot that is freed, so that used slots stay the
 * first ones. */
void index_remove(struct index *index, uint64_t hash, struct index_walk *walk)
{
    struct index_bucket *last = index_home(index, hash), *before = NULL;
    uint32_t hole = walk->slot, slot = INDEX_SLOTS - 1;

    while (last->next) {
        before = last;
        last = &index->buckets[last->next];
    }
    while (last->tags[slot] == 0) {
        assert(slot > 0);
        slot--;
    }
    walk->bucket->tags[hole] = last->tags[slot];
    walk->bucket->refs[hole] = last->refs[slot];
    last->tags[slot] = 0;
    if (slot == 0 && before) {
        last->next = index->free_overflow;
        index->free_overflow = before->next;
        before->next = 0;
    }
}
