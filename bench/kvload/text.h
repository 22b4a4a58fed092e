/* SPDX-License-Identifier: BSD-2-Clause */
/* text.h - decimal numbers, to and from text, without division. */
#ifndef KVLOAD_TEXT_H
#define KVLOAD_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The eight digits of a number below 10^8 as text, zeros in front included, the first digit in the
 * lowest byte: halves of four digits, then of two, then of one are made side by side. A quotient is
 * a product with the reciprocal, exact for so few digits. */
static inline uint64_t text_eight_digits(uint32_t number)
{
    uint64_t fours = number / 10000 | (uint64_t)(number % 10000) << 32;
    uint64_t hundreds = fours * 10486 >> 20 & 0x7f0000007f;
    uint64_t twos = hundreds | (fours - hundreds * 100) << 16;
    uint64_t tens = twos * 103 >> 10 & 0xf000f000f000f;

    return tens | (twos - tens * 10) << 8 | 0x3030303030303030;
}

static inline uint32_t text_put_eight(char *to, uint32_t number)
{
    uint64_t digits = text_eight_digits(number);

    memcpy(to, &digits, 8);
    return 8;
}

/* Writes a number; returns how many digits it has. Room for 20 is needed, of which those behind the
 * number may be overwritten. */
static inline uint32_t text_number(char *to, uint64_t number)
{
    uint32_t len = 0;

    if (number >= 100000000) {
        len = text_number(to, number / 100000000);
        return len + text_put_eight(to + len, (uint32_t)(number % 100000000));
    }
    uint64_t digits = text_eight_digits((uint32_t)number);
    /* A digit that isn't 0 has a bit in the low half of its byte; the last digit always counts. */
    uint32_t zeros = (uint32_t)__builtin_ctzll((digits & 0x0f0f0f0f0f0f0f0f) | 1ull << 56) / 8;
    digits >>= 8 * zeros;
    memcpy(to, &digits, 8);
    return 8 - zeros;
}

/* Exactly five digits; the three bytes behind them are overwritten, too. */
static inline void text_five(char *to, uint32_t number)
{
    uint64_t digits = text_eight_digits(number) >> 24;

    memcpy(to, &digits, 8);
}

/* What five digits say, or UINT32_MAX if they aren't all digits. The three bytes behind them are
 * read, too. */
static inline uint32_t text_read_five(const uint8_t *text)
{
    uint64_t digits;

    memcpy(&digits, text, 8);
    digits = (digits << 24 | 0x303030) - 0x3030303030303030;
    /* A byte below '0' has its high bit by now, and one above '9' has it after 0x76 is added. The
     * first that is below also borrows from those behind, which doesn't matter any more. */
    if ((digits | (digits + 0x7676767676767676)) & 0x8080808080808080)
        return UINT32_MAX;
    digits = digits * 10 + (digits >> 8); /* pairs, in every other byte */
    return (uint32_t)(((digits & 0xff000000ff) * (1000000ull << 32 | 100) +
                       (digits >> 16 & 0xff000000ff) * (10000ull << 32 | 1)) >>
                      32);
}

/* Are both the same? Words of eight bytes are compared, the last one partly for the second time. */
static inline bool text_same(const void *text, const void *other, uint32_t len)
{
    const char *a = text, *b = other;
    uint64_t of_a, of_b, different = 0;

    if (len < 8)
        return memcmp(a, b, len) == 0;
    for (uint32_t at = 0; at < len; at += 8) {
        uint32_t from = at + 8 <= len ? at : len - 8;
        memcpy(&of_a, a + from, 8);
        memcpy(&of_b, b + from, 8);
        different |= of_a ^ of_b;
    }
    return different == 0;
}

#endif
