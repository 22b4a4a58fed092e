/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of IPv6 addresses and prefixes, and of their text. */
#include "boot/test.h"
#include "netbuf/ipv6.h"

static const char *read_and_format(const char *text)
{
    static char back[IPV6_TEXT_BYTES];
    struct ipv6_address address;

    return ipv6_read(text, strlen(text), &address) ? ipv6_format(back, &address) : "none";
}

TEST(ipv6_text)
{
    static const char *const cases[][2] = {
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"fe80::1", "fe80::1"},
        {"FE80::ABCD", "fe80::abcd"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"}, /* the first of two */
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},                 /* one group stays */
        {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},                                /* the longest */
        {"0:0:0:0:0:ffff:a00:20f", "::ffff:a00:20f"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    static const char *const wrong[] = {"",
                                        ":",
                                        ":::",
                                        "1",
                                        "1:2:3:4:5:6:7",
                                        "1::2::3",
                                        "1:2:3:4:5:6:7:8:9",
                                        "1:2:3:4:5:6:7:8::",
                                        "::1:2:3:4:5:6:7:8",
                                        "12345::",
                                        "g::",
                                        "1:",
                                        ":1",
                                        "::1:",
                                        "1:::2",
                                        "fe80::1%0",
                                        "::1.2.3.4",
                                        " ::1"};

    for (uint32_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_STR(read_and_format(cases[i][0]), cases[i][1]);
    for (uint32_t i = 0; i < ARRAY_LEN(wrong); i++)
        CHECK_STR(read_and_format(wrong[i]), "none");
}

static bool prefix_is_host(const char *text)
{
    struct ipv6_prefix prefix;

    CHECK(ipv6_read_prefix(text, &prefix));
    return ipv6_prefix_is_host(&prefix);
}

TEST(ipv6_prefixes)
{
    struct ipv6_prefix prefix;
    struct ipv6_address in, out;

    CHECK(!ipv6_read_prefix("fd00::2", &prefix) && !ipv6_read_prefix("fd00::2/129", &prefix));
    CHECK(!ipv6_read_prefix("fd00::2/", &prefix) && !ipv6_read_prefix("fd00:2/64", &prefix));
    for (uint32_t len = 0; len <= 128; len++) {
        memset(&prefix, 0, sizeof prefix);
        prefix.len = (uint8_t)len;
        in = out = prefix.address;
        if (len < 128)
            in.bytes[len / 8] ^= 0x80 >> len % 8;
        CHECK(ipv6_prefix_has(&prefix, &in));
        if (len > 0) {
            out.bytes[(len - 1) / 8] ^= 0x80 >> (len - 1) % 8;
            CHECK(!ipv6_prefix_has(&prefix, &out));
        }
    }
    CHECK(prefix_is_host("fd00::2/64") && prefix_is_host("fd00::2/128"));
    CHECK(prefix_is_host("fd00::/127") && !prefix_is_host("fd00::/126"));
    CHECK(!prefix_is_host("fd00::/64") && !prefix_is_host("ff02::1/64"));
    CHECK(!prefix_is_host("::1/128") && !prefix_is_host("::/128"));
    CHECK(!prefix_is_host("::ffff:a00:20f/128"));
}

TEST(ipv6_groups_of_who_is_looked_for)
{
    char text[IPV6_TEXT_BYTES];
    struct ipv6_address address;

    CHECK(ipv6_read("fe80::2aa:ff:fe28:9c5a", 22, &address)); /* RFC 4291, section 2.7.1 */
    address = ipv6_solicited_node(&address);
    CHECK_STR(ipv6_format(text, &address), "ff02::1:ff28:9c5a");
    CHECK(ipv6_is_group(&address) && !ipv6_is_unicast(&address));
}
