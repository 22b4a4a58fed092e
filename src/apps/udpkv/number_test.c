/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of numbers as strtol and strtoull read them. */
#include "apps/udpkv/number.h"
#include "boot/test.h"

static uint64_t u64(const char *text)
{
    uint64_t v = 4711; /* must stay if the text is refused */

    number_u64((const uint8_t *)text, strlen(text), &v);
    return v;
}

static int64_t i32(const char *text)
{
    int32_t v = 4711;

    number_i32((const uint8_t *)text, strlen(text), &v);
    return v;
}

TEST(number_u64_reads_like_strtoull)
{
    uint64_t v = 4711;

    CHECK_EQ(u64("0"), 0);
    CHECK_EQ(u64(" \t+007 junk"), 7);
    CHECK(u64("18446744073709551615") == UINT64_MAX);
    CHECK_EQ(u64("18446744073709551616"), 4711);
    CHECK_EQ(u64("99999999999999999999999"), 4711);
    CHECK_EQ(u64("-0"), 0);
    CHECK_EQ(u64("-1"), 4711);
    CHECK_EQ(u64("-18446744073709551615"), 1);
    CHECK_EQ(u64(""), 4711);
    CHECK_EQ(u64("+"), 4711);
    CHECK_EQ(u64("-"), 4711);
    CHECK_EQ(u64(" "), 4711);
    CHECK_EQ(u64("1x"), 4711);
    CHECK_EQ(u64("0x10"), 4711);
    CHECK(number_u64((const uint8_t *)"12\0x", 4, &v) && v == 12);
    CHECK(number_u64((const uint8_t *)"123", 2, &v) && v == 12);
}

TEST(number_i32_reads_like_strtol_and_keeps_32_bits)
{
    CHECK_EQ(i32("-1"), -1);
    CHECK_EQ(i32("\t-2147483648"), INT32_MIN);
    CHECK_EQ(i32("2147483648"), INT32_MIN);
    CHECK_EQ(i32("4294967297"), 1);
    CHECK_EQ(i32("9223372036854775807"), -1);
    CHECK_EQ(i32("9223372036854775808"), 4711);
    CHECK_EQ(i32("-9223372036854775808"), 0);
    CHECK_EQ(i32("-9223372036854775809"), 4711);
    CHECK_EQ(i32("- 1"), 4711);
    CHECK_EQ(i32("--1"), 4711);
}
