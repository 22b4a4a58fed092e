/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the words that name a host process' devices. What they take is used by nobody: the
 * process has looked for its devices before. */
#include "boot/boot.h"
#include "boot/test.h"
#include "netdev/netdev.h"

extern const struct boot_key __start_boot_keys[], __stop_boot_keys[];

/* Has the key take a value. NULL, or what it expected. */
static const char *take(const char *name, const char *value)
{
    const struct boot_key *key = __start_boot_keys;

    while (key < __stop_boot_keys && strcmp(key->name, name) != 0)
        key++;
    CHECK(key < __stop_boot_keys);
    return key->parse(key, value);
}

static void check_expected(const char *name, const char *value, const char *begin)
{
    const char *expected = take(name, value);

    CHECK(expected && strncmp(expected, begin, strlen(begin)) == 0);
}

TEST(device_words_are_eight_at_most)
{
    netdev_probe();
    check_expected("vhost+", "", "the path of a UNIX socket");
    check_expected("tap+", "", "the name of an interface");
    for (uint32_t i = 0; i < NETDEV_MAX; i++)
        CHECK(!take(i % 2 ? "vhost+" : "tap+", "name"));
    check_expected("vhost+", "name", "at most 8 network devices");
    check_expected("tap+", "name", "at most 8 network devices");
}

TEST(device_words_take_addresses_of_one_host)
{
    static const char *const bad[] = {
        "",
        "02:00:00:00:00",
        "02:00:00:00:00:1",
        "02:00:00:00:00:0g",
        "02-00-00-00-00-01",
        "02:00:00:00:00:011",
        "03:00:00:00:00:01",
        "ff:ff:ff:ff:ff:ff",
        "00:00:00:00:00:00",
    };

    netdev_probe();
    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++)
        check_expected("tap.mac+", bad[i], "an address of one host");
    CHECK(!take("tap.mac+", "02:aB:cD:eF:00:09"));
    for (uint32_t i = 1; i < NETDEV_MAX; i++)
        CHECK(!take("tap.mac+", "02:00:00:00:00:01"));
    check_expected("tap.mac+", "02:00:00:00:00:01", "at most 8 of them");
    CHECK(!take("vhost.mac+", "52:54:00:00:00:01")); /* counted apart */
}
