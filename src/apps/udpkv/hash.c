/* SPDX-License-Identifier: BSD-2-Clause */
/* hash.c - XXH3 stands in a file of its own because xxhash.h brings libc's assert.h along, whose
 * assert would replace ours. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "apps/udpkv/hash.h"

/* For more than 240 bytes XXH3 has further code, which is as large as all the rest. Few keys are so
 * long, so they are hashed in pieces, each with a seed that is as secret as the first one. */
enum { PIECE = 240 };

uint64_t hash_bytes(const void *bytes, size_t len, uint64_t seed)
{
    while (__builtin_expect(len > PIECE, 0)) {
        seed ^= XXH3_64bits_withSeed(bytes, PIECE, seed);
        bytes = (const uint8_t *)bytes + PIECE;
        len -= PIECE;
    }
    return XXH3_64bits_withSeed(bytes, len, seed);
}
