/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * value.h - what is stored under a key: its length and bytes follow from the key and a version, so
 * an answer can be checked to the last byte without keeping what was stored. The version is in the
 * flags, always five digits.
 */
#ifndef KVLOAD_VALUE_H
#define KVLOAD_VALUE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    VALUE_MAX = 65400,      /* so that a request is one datagram, of at most 65507 bytes */
    VALUE_MAX_FRAME = 1300, /* so that it is one Ethernet frame */
    VALUE_MAX_SIZES = 16,
    VALUE_FLAGS_DIGITS = 5,
    VALUE_FLAGS_FIRST = 10000, /* the flags of version 0 */
};

/* --data-size, -range and -list: the chance of each size, or of each of a range of sizes. */
struct value_sizes {
    uint32_t count; /* of entries; 0: all from min to max alike */
    uint32_t min, max;
    struct {
        uint32_t len;
        uint32_t below; /* it is chosen by numbers below this one, not by those before */
    } entries[VALUE_MAX_SIZES];
};

static inline uint64_t value_seed(uint64_t key, uint16_t version)
{
    uint64_t z = (key << 16 | version) * 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 32)) * 0xd6e8feb86659fd93;
    return z ^ (z >> 32);
}

static inline uint32_t value_len(const struct value_sizes *sizes, uint64_t key, uint16_t version)
{
    if (sizes->min == sizes->max)
        return sizes->min;
    uint32_t chance = (uint32_t)(value_seed(key, version) >> 32), i = 0;
    if (sizes->count == 0)
        return sizes->min + (uint32_t)((uint64_t)chance * (sizes->max - sizes->min + 1) >> 32);
    while (i + 1 < sizes->count && chance >= sizes->entries[i].below)
        i++;
    return sizes->entries[i].len;
}

/* A value is words of 64 bits, each this much more than the one before; four are made at once. */
#define VALUE_STEP 0x9fb21c651e98df25

typedef uint64_t value_words __attribute__((vector_size(32)));

static inline void value_first_words(value_words *words, uint64_t key, uint16_t version)
{
    const value_words steps = {0, VALUE_STEP, 2 * VALUE_STEP, 3 * VALUE_STEP};

    *words = value_seed(key, version) + steps;
}

/* Writes a value; up to 31 bytes behind it are overwritten, too. */
static inline void value_write(uint8_t *to, uint64_t key, uint16_t version, uint32_t len)
{
    value_words words;

    value_first_words(&words, key, version);
    for (uint32_t i = 0; i < len; i += sizeof words, words += 4 * VALUE_STEP)
        memcpy(to + i, &words, sizeof words);
}

static inline bool value_matches(const uint8_t *bytes, uint64_t key, uint16_t version, uint32_t len)
{
    value_words words, seen, wrong = {0};
    uint32_t i = 0;

    value_first_words(&words, key, version);
    for (; i + sizeof words <= len; i += sizeof words, words += 4 * VALUE_STEP) {
        memcpy(&seen, bytes + i, sizeof seen);
        wrong |= seen ^ words;
    }
    if (i < len) {
        seen = words;
        memcpy(&seen, bytes + i, len - i);
        wrong |= seen ^ words;
    }
    return (wrong[0] | wrong[1] | wrong[2] | wrong[3]) == 0;
}

#endif
