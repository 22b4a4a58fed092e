/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of command_line.c's parsers; what the image says of a bad command line is tested from
 * outside. */
#include "boot/boot.h"
#include "boot/test.h"

TEST(parse_size_knows_its_units)
{
    uint64_t v = 0;
    struct boot_key key = {.name = "size", .dst = &v};

    CHECK(!boot_parse_size(&key, "0") && v == 0);
    CHECK(!boot_parse_size(&key, "123") && v == 123);
    CHECK(!boot_parse_size(&key, "64k") && v == 64 << 10);
    CHECK(!boot_parse_size(&key, "16M") && v == 16 << 20);
    CHECK(!boot_parse_size(&key, "1G") && v == 1 << 30);
    CHECK(boot_parse_size(&key, ""));
    CHECK(boot_parse_size(&key, "M"));
    CHECK(boot_parse_size(&key, "1MB"));
    CHECK(boot_parse_size(&key, "-1"));
    CHECK(boot_parse_size(&key, "17179869184G")); /* 2^64 */
    CHECK_EQ(v, 1 << 30);
}

TEST(parse_u64_keeps_its_range)
{
    uint64_t v = 7;
    struct boot_key key = {.name = "port", .dst = &v, .min = 1, .max = 65535};

    CHECK(boot_parse_u64(&key, "0"));
    CHECK(boot_parse_u64(&key, "65536"));
    CHECK(boot_parse_u64(&key, "1x"));
    CHECK_EQ(v, 7);
    CHECK(!boot_parse_u64(&key, "65535") && v == 65535);
}

TEST(parse_bool_takes_on_and_off)
{
    bool v = false;
    struct boot_key key = {.name = "bool", .dst = &v};

    CHECK(!boot_parse_bool(&key, "on") && v);
    CHECK(!boot_parse_bool(&key, "off") && !v);
    CHECK(boot_parse_bool(&key, "yes"));
}

TEST(every_key_of_this_image_parses_its_default)
{
    extern const struct boot_key __start_boot_keys[], __stop_boot_keys[];

    CHECK(&__start_boot_keys[0] < &__stop_boot_keys[0]);
    for (const struct boot_key *key = __start_boot_keys; key < __stop_boot_keys; key++)
        CHECK(!key->def || !key->parse(key, key->def));
}

TEST(alloc_aligns_zeroes_and_refuses)
{
    size_t max = boot_alloc_max();
    uint8_t *p = boot_alloc(100, 4096), *q = boot_alloc(100, 1);

    CHECK(p && (uintptr_t)p % 4096 == 0);
    for (size_t i = 0; i < 100; i++)
        CHECK_EQ(p[i], 0);
    CHECK(q && (q >= p + 100 || q + 100 <= p));
    CHECK(boot_alloc_max() <= max); /* equal if another region is the largest */
    CHECK(!boot_alloc(boot_alloc_max() + 1, 1));
    CHECK(!boot_alloc(SIZE_MAX, 1));
    CHECK(!boot_alloc(SIZE_MAX - 4096, 4096));
}

TEST(clock_does_not_go_back)
{
    uint64_t last = clock_ns();

    for (int i = 0; i < 100000; i++) {
        uint64_t now = clock_ns();
        CHECK(now >= last);
        last = now;
    }
    CHECK(clock_cycles_hz() > 100000000);
    CHECK(clock_unix_s() > 1600000000);
}

TEST(random_numbers_differ)
{
    CHECK(boot_random() != boot_random());
}
