/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * index.h - the hash index of the store: from a key's hash to the items that may have this key.
 *
 * A bucket is one cache line of ten slots. A slot is a tag, 16 bits of the hash, and a ref, which
 * says where the item is. The index doesn't know keys: a walk gives every slot that has the hash's
 * tag, and the caller compares the key.
 *
 *     +--- 20 bytes ---+--------- 40 bytes ---------+- 4 -+
 *     | tag 0 .. tag 9 | ref 0        ..      ref 9 | next|
 *     +----------------+----------------------------+--+--+
 *                                                      +--> overflow bucket, or 0
 *
 * The home bucket of a hash may be followed by overflow buckets, which any chain may take: there is
 * one for every four home buckets. A chain has INDEX_MAX_CHAIN buckets at most. Its used slots are
 * its first ones, so only its last bucket has free slots.
 */
#ifndef UDPKV_INDEX_H
#define UDPKV_INDEX_H

#include "boot/lib.h"

#define INDEX_SLOTS     10
#define INDEX_MAX_CHAIN 4

struct index_bucket {
    uint16_t tags[INDEX_SLOTS]; /* 0: this slot and all behind it are free */
    uint32_t refs[INDEX_SLOTS];
    uint32_t next; /* position of the next bucket of the chain or of the free list; 0: none */
} __attribute__((aligned(CACHE_LINE)));

_Static_assert(sizeof(struct index_bucket) == CACHE_LINE, "a bucket is one cache line");
_Static_assert(offsetof(struct index_bucket, tags) == 0, "index_fits finds the tags at its start");

struct index {
    struct index_bucket *buckets; /* homes first, then overflow buckets */
    uint32_t homes;
    uint32_t free_overflow; /* list of overflow buckets; 0: none. Bucket 0 is a home. */
};

/* A walk over the slots that have a hash's tag; after index_next it stands on a slot. */
struct index_walk {
    struct index_bucket *bucket;
    uint32_t slot; /* where it stands */
    uint32_t fits; /* the bucket's slots that are still to be given, as bits */
    uint16_t tag;
};

typedef uint16_t index_tags_v __attribute__((vector_size(16), aligned(2), may_alias));
typedef char index_bytes_v __attribute__((vector_size(16)));
typedef short index_words_v __attribute__((vector_size(16)));

/* Lays an empty index over zeroed memory, aligned to a cache line; at least 2 buckets of bytes. */
void index_init(struct index *index, void *memory, size_t len_bytes);

/* The bucket where a hash of 56 bits is looked for first. Its tag is the lowest 16 of them. */
static inline struct index_bucket *index_home(const struct index *index, uint64_t hash)
{
    return &index->buckets[(hash >> 24 & UINT32_MAX) * index->homes >> 32];
}

/* The slots of a bucket that have this tag, as bits. All tags are compared at once: a loop would
 * end after another number of steps each time, which the processor could not predict. Tags 8 and 9
 * are loaded together with the first refs, whose bits are masked out. */
static inline uint32_t index_fits(const struct index_bucket *bucket, uint16_t tag)
{
    const index_tags_v *tags = (const index_tags_v *)bucket;
    index_tags_v wanted = {tag, tag, tag, tag, tag, tag, tag, tag};
    index_bytes_v equal = __builtin_ia32_packsswb128((index_words_v)(tags[0] == wanted),
                                                     (index_words_v)(tags[1] == wanted));
    return (uint32_t)__builtin_ia32_pmovmskb128(equal) & ((1u << INDEX_SLOTS) - 1);
}

/* The walk before its first slot. */
static inline struct index_walk index_walk(const struct index *index, uint64_t hash)
{
    uint16_t tag = (uint16_t)hash ? (uint16_t)hash : 1;
    struct index_bucket *home = index_home(index, hash);
    return (struct index_walk){home, 0, index_fits(home, tag), tag};
}

/* The ref of the next slot of the walk, to read or change; NULL at its end. */
static inline uint32_t *index_next(const struct index *index, struct index_walk *walk)
{
    while (unlikely(walk->fits == 0)) {
        if (likely(walk->bucket->next == 0))
            return NULL;
        walk->bucket = &index->buckets[walk->bucket->next];
        walk->fits = index_fits(walk->bucket, walk->tag);
    }
    walk->slot = (uint32_t)__builtin_ctz(walk->fits);
    walk->fits &= walk->fits - 1;
    return &walk->bucket->refs[walk->slot];
}

/* Adds a ref. False if the chain is full, or needs an overflow bucket and none is free: remove one
 * of the refs in the bucket of index_home then, and call again. */
bool index_insert(struct index *index, uint64_t hash, uint32_t ref);

/* Frees the slot that the walk stands on; the walk ends with that. */
void index_remove(struct index *index, uint64_t hash, struct index_walk *walk);

#endif
