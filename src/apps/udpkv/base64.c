/* SPDX-License-Identifier: BSD-2-Clause */
/* base64.c - keys written in base64; see base64.h. */
#include "apps/udpkv/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value of a digit, 0 of padding, or -1. */
static int digit_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : c == '=' ? 0 : -1;
}

RUNS_SELDOM uint32_t base64_decode(const uint8_t *text, uint32_t len, uint8_t *bytes)
{
    uint32_t chars = 0, padding = 0, group = 0, count = 0;

    for (uint32_t at = 0; at < len; at++)
        chars += digit_value(text[at]) >= 0;
    if (chars % 4 != 0)
        return 0;
    chars = 0;
    for (uint32_t at = 0; at < len; at++) {
        if (digit_value(text[at]) < 0)
            continue;
        group = group << 6 | (uint32_t)digit_value(text[at]);
        padding += text[at] == '=';
        chars++;
        if (chars % 4 != 0)
            continue;
        if (padding > 2)
            return 0;
        for (uint32_t i = 0; i < 3 - padding; i++)
            bytes[count++] = (uint8_t)(group >> (16 - 8 * i));
        if (padding > 0)
            break;
    }
    return count;
}

RUNS_SELDOM uint32_t base64_encode(const uint8_t *bytes, uint32_t len, uint8_t *text)
{
    uint32_t count = 0;

    for (uint32_t at = 0; at < len; at += 3) {
        uint32_t n = MIN(len - at, 3u), group = 0;
        for (uint32_t i = 0; i < n; i++)
            group |= (uint32_t)bytes[at + i] << (16 - 8 * i);
        for (uint32_t i = 0; i < 4; i++)
            text[count++] = i <= n ? (uint8_t)digits[group >> (18 - 6 * i) & 63] : '=';
    }
    return count;
}
