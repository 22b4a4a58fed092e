/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of ipv4.h and eth.h: addresses as text and as prefixes. */
#include "boot/test.h"
#include "netbuf/eth.h"
#include "netbuf/ipv4.h"

static const char *parse_address(const char *text, uint32_t *address)
{
    struct boot_key key = {.name = "test", .dst = address};

    return ipv4_parse_address(&key, text);
}

static const char *parse_prefix(const char *text, struct ipv4_prefix *prefix)
{
    struct boot_key key = {.name = "test", .dst = prefix};

    return ipv4_parse_prefix(&key, text);
}

TEST(ipv4_address_from_text)
{
    uint32_t address = 0;

    CHECK(!parse_address("10.0.2.15", &address));
    CHECK_EQ(address, 0x0a00020f);
    CHECK(!parse_address("255.255.255.255", &address));
    CHECK_EQ(address, 0xffffffff);
    CHECK(!parse_address("0.0.0.0", &address));
    CHECK_EQ(address, 0);
}

TEST(ipv4_address_refuses_what_is_none)
{
    static const char *const bad[] = {
        "",         "1",         "1.2.3",     "1.2.3.",    "1.2.3.4.",        "1.2.3.4.5",
        ".1.2.3",   "1..2.3",    "1.2.3.256", "1.2.3.-4",  "1.2.3.04",        "1.2.3.4 ",
        " 1.2.3.4", "1.2.3.4/8", "a.b.c.d",   "0x1.2.3.4", "1.2.3.000000001", "10.0.2.99999999999",
    };
    uint32_t address = 7;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CHECK(parse_address(bad[i], &address));
        CHECK_EQ(address, 7);
    }
}

TEST(ipv4_prefix_from_text)
{
    struct ipv4_prefix prefix;

    CHECK(!parse_prefix("10.0.2.15/24", &prefix));
    CHECK_EQ(prefix.address, 0x0a00020f);
    CHECK_EQ(prefix.len, 24);
    CHECK(!parse_prefix("0.0.0.0/0", &prefix));
    CHECK_EQ(prefix.len, 0);
    CHECK(!parse_prefix("1.2.3.4/32", &prefix));
    CHECK_EQ(prefix.len, 32);
}

TEST(ipv4_prefix_refuses_what_is_none)
{
    static const char *const bad[] = {"10.0.2.15", "10.0.2.15/", "10.0.2.15/33", "10.0.2/24",
                                      "/24",       "1.2.3.4/-1", "1.2.3.4/8/8",  "1.2.3.4 /8"};
    struct ipv4_prefix prefix = {7, 7};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CHECK(parse_prefix(bad[i], &prefix));
        CHECK_EQ(prefix.address, 7);
        CHECK_EQ(prefix.len, 7);
    }
}

TEST(ipv4_prefix_knows_its_network)
{
    struct ipv4_prefix lan = {0x0a00020f, 24}, all = {0x0a00020f, 0}, one = {0x0a00020f, 32};

    CHECK_EQ(ipv4_prefix_broadcast(lan), 0x0a0002ff);
    CHECK_EQ(ipv4_prefix_broadcast(all), 0xffffffff);
    CHECK_EQ(ipv4_prefix_broadcast(one), 0xffffffff);
    CHECK(ipv4_prefix_has(lan, 0x0a000201) && !ipv4_prefix_has(lan, 0x0a000301));
    CHECK(ipv4_prefix_has(all, 0) && ipv4_prefix_has(all, 0xffffffff));
    CHECK(ipv4_prefix_has(one, 0x0a00020f) && !ipv4_prefix_has(one, 0x0a00020e));
}

TEST(ipv4_prefix_knows_what_a_host_can_have)
{
    static const struct ipv4_prefix good[] = {{0x0a00020f, 24}, {0x0a00020f, 32}, {0x0a00020e, 31},
                                              {0x0a00020f, 31}, {0x0a00020f, 0},  {0x0a00020e, 30}};
    static const struct ipv4_prefix bad[] = {
        {0x0a000200, 24}, {0x0a0002ff, 24}, {0x7f000001, 8}, {0, 0},           {0, 32},
        {0xe0000001, 24}, {0xffffffff, 32}, {0xf0000001, 4}, {0x0a00020c, 30}, {0x0a00020f, 30}};

    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        CHECK(ipv4_prefix_is_host(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(!ipv4_prefix_is_host(bad[i]));
}

TEST(ipv4_and_mac_addresses_as_text)
{
    static const uint8_t mac[] = {0x02, 0x00, 0xab, 0xcd, 0xef, 0x09};
    char ip_text[IPV4_TEXT_BYTES], mac_text[ETH_MAC_TEXT_BYTES];

    CHECK_STR(ipv4_format(ip_text, 0x0a00020f), "10.0.2.15");
    CHECK_STR(ipv4_format(ip_text, 0xffffffff), "255.255.255.255");
    CHECK_STR(eth_mac_format(mac_text, mac), "02:00:ab:cd:ef:09");
}
