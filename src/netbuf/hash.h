/* SPDX-License-Identifier: BSD-2-Clause */
/* hash.h - hashes of a few words, such as a packet's addresses and ports. */
#ifndef NETBUF_HASH_H
#define NETBUF_HASH_H

#include <stdint.h>

/* The product of two words folded into one: each of its bits depends on all of theirs. A seed that
 * a stranger can't guess belongs into one of them, where collisions mustn't be chosen. */
static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
    const __uint128_t product = (__uint128_t)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#define HASH_ODD 0x9e3779b97f4a7c15ull /* a factor whose bits are in no order */

#endif
