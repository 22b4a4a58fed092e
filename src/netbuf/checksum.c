/* SPDX-License-Identifier: BSD-2-Clause */
/* checksum.c - the Internet checksum over a run of bytes. */
#include "netbuf/checksum.h"

static inline uint64_t load_64(const uint8_t *p)
{
    uint64_t v;

    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

uint64_t csum_add(uint64_t sum, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t other = 0; /* a second sum: the two chains of carries run side by side */

    for (; len >= 32; p += 32, len -= 32) {
        sum = csum_carry(sum, load_64(p));
        other = csum_carry(other, load_64(p + 8));
        sum = csum_carry(sum, load_64(p + 16));
        other = csum_carry(other, load_64(p + 24));
    }
    for (; len >= 8; p += 8, len -= 8)
        sum = csum_carry(sum, load_64(p));

    /* Up to 7 bytes are left; a last odd one counts as a word whose second byte is zero. */
    uint64_t rest = 0;
    unsigned shift = 0;
    if (len & 4) {
        uint32_t word;
        __builtin_memcpy(&word, p, sizeof word);
        rest = word;
        shift = 32;
        p += 4;
    }
    if (len & 2) {
        uint16_t word;
        __builtin_memcpy(&word, p, sizeof word);
        rest |= (uint64_t)word << shift;
        shift += 16;
        p += 2;
    }
    if (len & 1)
        rest |= (uint64_t)*p << shift;
    return csum_carry(csum_carry(sum, other), rest);
}
