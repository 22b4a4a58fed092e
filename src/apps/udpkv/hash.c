/* hash.c - XXH3 stands in a file of its own because xxhash.h brings libc's assert.h along, whose
 * assert would replace ours. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "apps/udpkv/hash.h"

uint64_t hash_bytes(const void *bytes, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, len, seed);
}
