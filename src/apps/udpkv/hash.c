/* SPDX-License-Identifier: BSD-2-Clause */
/* hash.c - XXH3 stands in a file of its own because xxhash.h brings libc's assert.h along, whose
 * assert would replace ours. */
#define XXH_INLINE_ALL
#include <stdbool.h>
#include <xxhash.h>

#include "apps/udpkv/hash.h"

/* For more than 128 bytes XXH3 has further code, which is larger than all the rest. Few keys are so
 * long, so they are hashed in pieces, each with a seed that is as secret as the first one. */
enum { PIECE = 128 };

/* There is one call, so that the compiler puts only the code for a piece here. */
uint64_t hash_bytes(const void *bytes, size_t len, uint64_t seed)
{
    const uint8_t *piece = bytes;

    for (;; piece += PIECE, len -= PIECE) {
        const bool last = __builtin_expect(len <= PIECE, 1);
        const uint64_t hash = XXH3_64bits_withSeed(piece, last ? len : PIECE, seed);
        if (last)
            return hash;
        seed ^= hash;
    }
}
