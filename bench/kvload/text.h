/* SPDX-License-Identifier: BSD-2-Clause */
/* text.h - decimal numbers, to and from text, without division. */
#ifndef KVLOAD_TEXT_H
#define KVLOAD_TEXT_H

#include <stdint.h>
#include <string.h>

/* Writes a number of up to 20 digits; returns how many it has. */
static inline uint32_t text_number(char *to, uint64_t number)
{
    static const char pairs[] = "0001020304050607080910111213141516171819"
                                "2021222324252627282930313233343536373839"
                                "4041424344454647484950515253545556575859"
                                "6061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    char text[20];
    uint32_t at = sizeof text;

    while (number >= 100) { /* a constant divisor: the compiler multiplies */
        at -= 2;
        memcpy(text + at, pairs + 2 * (number % 100), 2);
        number /= 100;
    }
    at -= 2;
    memcpy(text + at, pairs + 2 * number, 2);
    at += number < 10;
    memcpy(to, text + at, sizeof text - at);
    return (uint32_t)sizeof text - at;
}

/* Exactly five digits. */
static inline void text_five(char *to, uint32_t number)
{
    for (int i = 4; i >= 0; i--, number /= 10)
        to[i] = (char)('0' + number % 10);
}

/* What five digits say, or UINT32_MAX if they aren't all digits. */
static inline uint32_t text_read_five(const uint8_t *text)
{
    uint32_t number = 0, wrong = 0;

    for (int i = 0; i < 5; i++) {
        uint32_t digit = text[i] - (uint32_t)'0';
        wrong |= digit > 9;
        number = number * 10 + digit;
    }
    return wrong ? UINT32_MAX : number;
}

#endif
