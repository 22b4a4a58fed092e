/* SPDX-License-Identifier: BSD-2-Clause */
/* value_test.c - pktgen's keys from text. */
#include "apps/pktgen/value.h"
#include "boot/test.h"

static uint16_t size_list[VALUE_SIZES_MAX];
static struct value_sizes sizes = {.bytes = size_list};

TEST(value_sizes_fixed_list_range_and_imix)
{
    const struct boot_key key = {.dst = &sizes};
    uint32_t sum = 0;

    CHECK(!value_parse_sizes(&key, "64"));
    CHECK_EQ(sizes.count, 1);
    CHECK_EQ(sizes.bytes[0], 64);
    CHECK(!value_parse_sizes(&key, "64,1500,100-102"));
    CHECK_EQ(sizes.count, 5);
    CHECK_EQ(sizes.bytes[1], 1500);
    CHECK_EQ(sizes.bytes[4], 102);
    CHECK(!value_parse_sizes(&key, "60-3968"));
    CHECK_EQ(sizes.count, VALUE_SIZES_MAX);
    CHECK(!value_parse_sizes(&key, "imix"));
    CHECK_EQ(sizes.count, 12);
    for (uint32_t i = 0; i < 12; i++)
        sum += sizes.bytes[i];
    CHECK_EQ(sum, 7 * 60 + 4 * 590 + 1514);
}

TEST(value_sizes_refuses)
{
    static const char *const bad[] = {"",           "59",         "3969",   "64,",   ",64",
                                      "64-",        "100-64",     "-100",   "64 65", "0x40",
                                      "64-100-200", "60-3968,64", "imix,64"};
    const struct boot_key key = {.dst = &sizes};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(value_parse_sizes(&key, bad[i]));
}

TEST(value_rate_in_packets_and_bits)
{
    static const struct {
        const char *text;
        uint64_t per_s;
        bool bits;
    } good[] = {
        {"1", 1, false},
        {"1M", 1000000, false},
        {"14.88M", 14880000, false},
        {"20kpps", 20000, false},
        {"1Gbit", 1000000000, true},
        {"10Gbps", 10000000000, true},
        {"2.5Gbit/s", 2500000000, true},
        {"1000bps", 1000, true},
    };
    static const char *const bad[] = {
        "0",  "",     "M",     "1.5", "1.0000001M", "1Mbits", "-1",
        "1T", "1..5", "2000G", "pps", "1 M",        ".5M",    "99999999999999999999999G",
        "1.M"};
    struct value_rate rate = {0};
    const struct boot_key key = {.dst = &rate, .min = 1, .max = 1000000000000};

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        CHECK(!value_parse_rate(&key, good[i].text));
        CHECK_EQ(rate.per_s, good[i].per_s);
        CHECK_EQ(rate.bits, good[i].bits);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(value_parse_rate(&key, bad[i]));
}

TEST(value_count_and_seconds)
{
    uint64_t v = 7;
    const struct boot_key key = {.dst = &v, .min = 1, .max = 1000000000};

    CHECK(!value_parse_count(&key, "1.5k"));
    CHECK_EQ(v, 1500);
    CHECK(value_parse_count(&key, "0"));
    CHECK(value_parse_count(&key, "2G"));
    CHECK(value_parse_count(&key, "5pps"));
    CHECK_EQ(v, 1500);
    CHECK(!value_parse_seconds(&key, "0.000000001"));
    CHECK_EQ(v, 1);
    CHECK(!value_parse_seconds(&key, "2.5"));
    CHECK_EQ(v, 2500000000);
    CHECK(value_parse_seconds(&key, "0.0000000001"));
    CHECK(value_parse_seconds(&key, "5s"));
    CHECK(value_parse_seconds(&key, "1000000001"));
}

TEST(value_ranges)
{
    struct value_range r = {0};
    const struct boot_key key = {.dst = &r};

    CHECK(!value_parse_ports(&key, "9"));
    CHECK(r.first == 9 && r.last == 9);
    CHECK(!value_parse_ports(&key, "0-65535"));
    CHECK(r.first == 0 && r.last == 65535);
    CHECK(!value_parse_ips(&key, "10.0.0.1-10.0.1.0"));
    CHECK(r.first == 0x0a000001 && r.last == 0x0a000100);
    CHECK(!value_parse_macs(&key, "02:00:00:00:00:fe-02:00:00:00:01:0A"));
    CHECK(r.first == 0x0200000000fe && r.last == 0x02000000010a);
    CHECK_EQ(r.times_set, 4);
}

TEST(value_ranges_refuse)
{
    static const char *const ports[] = {"", "65536", "10-9", "1-", "-1", "1-2-3"};
    static const char *const ips[] = {
        "",           "10.0.0",           "10.0.0.2-10.0.0.1",         "10.0.0.1-",
        "10.0.0.256", "255.255.255.2555", "10.0.0.1-10.0.0.1-10.0.0.1"};
    static const char *const macs[] = {"",
                                       "02:00:00:00:00",
                                       "02-00-00-00-00-01",
                                       "02:00:00:00:00:0g",
                                       "02:00:00:00:00:01:02",
                                       "02:00:00:00:00:02-02:00:00:00:00:01"};
    struct value_range r;
    const struct boot_key key = {.dst = &r};

    for (size_t i = 0; i < ARRAY_LEN(ports); i++)
        CHECK(value_parse_ports(&key, ports[i]));
    for (size_t i = 0; i < ARRAY_LEN(ips); i++)
        CHECK(value_parse_ips(&key, ips[i]));
    for (size_t i = 0; i < ARRAY_LEN(macs); i++)
        CHECK(value_parse_macs(&key, macs[i]));
}

TEST(value_choice)
{
    static const char *const words[] = {"tx", "rx", NULL};
    struct value_choice c = {.words = words, .expected = "tx or rx"};
    const struct boot_key key = {.dst = &c};

    CHECK(!value_parse_choice(&key, "rx"));
    CHECK_EQ(c.chosen, 1);
    CHECK_STR(value_parse_choice(&key, "rxtx"), "tx or rx");
    CHECK_EQ(c.times_set, 1);
}

TEST(value_arithmetic_keeps_its_digits)
{
    CHECK_EQ(value_ratio(10, 3, 4), 7);
    CHECK_EQ(value_ratio(10, 3, 0), 0);
    CHECK_EQ(value_ratio(1ull << 60, 1000, 1ull << 60), 1000);
    CHECK_EQ(value_ns(2700000000ull * 100000 + 27, 2700000000), 100000000000010ll);
    CHECK_EQ(value_cycles(1500000000, 2700000000), 4050000000ll);
    CHECK(value_cycles(UINT64_MAX, UINT64_MAX) == UINT64_MAX);
}

TEST(value_shares_are_the_range)
{
    static const uint64_t lens[] = {1, 2, 3, 7, 8, 9, 1000};

    for (uint32_t i = 0; i < ARRAY_LEN(lens); i++)
        for (uint32_t parts = 1; parts <= 8; parts++) {
            const struct value_range whole = {.first = 100, .last = 100 + lens[i] - 1};
            uint64_t next = 100;
            for (uint32_t part = 0; part < parts; part++) {
                struct value_range share = value_share(&whole, part, parts);
                CHECK_EQ(share.first, lens[i] < parts ? 100 : next);
                CHECK(share.last >= share.first);
                next = share.last + 1;
            }
            CHECK_EQ(next, whole.last + 1);
        }
}
