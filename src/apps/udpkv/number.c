/* SPDX-License-Identifier: BSD-2-Clause */
/* number.c - numbers as strtol and strtoull read them; see number.h. */
#include "apps/udpkv/number.h"

/* White space of the C locale. */
static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool parse_magnitude(const uint8_t *text, size_t len, uint64_t *magnitude, bool *minus)
{
    size_t at = 0, first_digit;
    uint64_t v = 0;

    while (at < len && is_space(text[at]))
        at++;
    *minus = at < len && text[at] == '-';
    if (at < len && (text[at] == '-' || text[at] == '+'))
        at++;
    for (first_digit = at; at < len && text[at] >= '0' && text[at] <= '9'; at++)
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(text[at] - '0'), &v))
            return false;
    *magnitude = v;
    return at > first_digit && (at == len || text[at] == 0 || is_space(text[at]));
}

bool number_u64(const uint8_t *text, size_t len, uint64_t *value)
{
    uint64_t v;
    bool minus;

    if (!parse_magnitude(text, len, &v, &minus) || (minus && 0 - v > INT64_MAX))
        return false;
    *value = minus ? 0 - v : v;
    return true;
}

bool number_u32(const uint8_t *text, size_t len, uint32_t *value)
{
    uint64_t v;

    if (!number_u64(text, len, &v))
        return false;
    *value = (uint32_t)v;
    return true;
}

bool number_i32(const uint8_t *text, size_t len, int32_t *value)
{
    uint64_t v;
    bool minus;

    if (!parse_magnitude(text, len, &v, &minus) || v > (uint64_t)INT64_MAX + minus)
        return false;
    *value = (int32_t)(uint32_t)(minus ? 0 - v : v);
    return true;
}
