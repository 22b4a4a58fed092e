/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of lib.c: formatting, numbers, and the ends that a test may expect. */
#include "boot/boot.h"
#include "boot/test.h"

#define CHECK_FORMAT(want, ...)                                                                    \
    do {                                                                                           \
        char text_[100];                                                                           \
        size_t len_ = format(text_, sizeof text_, __VA_ARGS__);                                    \
        CHECK_STR(text_, want);                                                                    \
        CHECK_EQ(len_, strlen(want));                                                              \
    } while (0)

TEST(format_numbers)
{
    CHECK_FORMAT("0 -1 4294967295", "%d %d %u", 0, -1, 0xffffffffu);
    CHECK_FORMAT("-9223372036854775808", "%ld", INT64_MIN);
    CHECK_FORMAT("18446744073709551615", "%lu", UINT64_MAX);
    CHECK_FORMAT("ff FF 0xff", "%x %X %p", 255, 255, (void *)255);
    CHECK_FORMAT("[  7][7  ][007][-07]", "[%3d][%-3d][%03d][%03d]", 7, 7, 7, -7);
    CHECK_FORMAT("5 100%", "%zu %d%%", (size_t)5, 100);
}

TEST(format_strings)
{
    const char *volatile null = NULL;

    CHECK_FORMAT("ab a (null) [  c]", "%s %.*s %s [%3s]", "ab", 1, "ab", null, "c");
}

TEST(format_cuts_and_counts)
{
    char text[4] = "zzz";

    CHECK_EQ(format(text, 3, "hello"), 5);
    CHECK_STR(text, "he");
    CHECK_EQ(text[3], 0);
    CHECK_EQ(format(NULL, 0, "hello"), 5);
}

TEST(parse_u64_takes_digits_only)
{
    uint64_t v = 7;

    CHECK(parse_u64("18446744073709551615", 20, UINT64_MAX, &v) && v == UINT64_MAX);
    v = 7;
    CHECK(!parse_u64("18446744073709551616", 20, UINT64_MAX, &v));
    CHECK(!parse_u64("", 0, UINT64_MAX, &v));
    CHECK(!parse_u64("-1", 2, UINT64_MAX, &v));
    CHECK(!parse_u64("11", 2, 10, &v));
    CHECK(!parse_u64("000000000000000000001", 21, UINT64_MAX, &v));
    CHECK_EQ(v, 7);
}

TEST(panic_and_assert_end_what_they_are_called_from)
{
    CHECK_PANICS(panic("expected"));
    CHECK_PANICS(assert(1 + 1 == 3));
    CHECK_PANICS(boot_misconfigured("expected"));
}

TEST(byte_order)
{
    uint8_t bytes[4] = {1, 2, 3, 4};

    CHECK_EQ(load_be16(bytes + 1), 0x0203);
    CHECK_EQ(load_be32(bytes), 0x01020304);
    store_be16(bytes, 0x0506);
    CHECK_EQ(bytes[0] << 8 | bytes[1], 0x0506);
}

enum { AREA = 200 };

static void fill_area(uint8_t *area)
{
    for (int i = 0; i < AREA; i++)
        area[i] = (uint8_t)(i * 7 + 1);
}

/* Copies of every length, apart and overlapping both ways, against a copy byte by byte. */
TEST(memory_functions_at_every_length)
{
    uint8_t from[AREA], got[AREA], want[AREA];

    for (volatile size_t len = 0; len < 80; len++) {
        for (volatile size_t at = 0; at < 40; at += 3) {
            fill_area(from);
            memset(got, 0xee, AREA);
            memset(want, 0xee, AREA);
            for (size_t i = 0; i < len; i++)
                want[at + i] = from[20 + i];
            memcpy(got + at, from + 20, len);
            CHECK(memcmp(got, want, AREA) == 0);
            fill_area(got);
            fill_area(want);
            for (size_t i = 0; i < len; i++)
                want[at + i] = from[20 + i];
            memmove(got + at, got + 20, len);
            CHECK(memcmp(got, want, AREA) == 0);
        }
    }
}

TEST(comparisons)
{
    /* Volatile, so that the functions are called and not worked out by the compiler. */
    const char *volatile a = "12345678a", *volatile b = "12345678b", *volatile shorter = "12345678";

    CHECK(memcmp(a, b, 8) == 0);
    CHECK(memcmp(a, b, 9) < 0 && memcmp(b, a, 9) > 0);
    CHECK(memcmp(a + 1, a, 8) > 0);
    CHECK(strcmp(a, "12345678a") == 0 && strcmp(a, b) < 0 && strcmp(a, shorter) > 0);
    CHECK(strncmp(a, b, 8) == 0 && strncmp(a, b, 9) < 0);
    CHECK(strlen(a) == 9 && strlen(a + 9) == 0);
    CHECK(memchr(a, 'b', 9) == NULL && memchr(a, 'a', 9) == a + 8);
    CHECK(strchr(a, 'b') == NULL && strchr(a, 'a') == a + 8);
}
