/* SPDX-License-Identifier: BSD-2-Clause */
/* netdev_pick.c - the device of an app that uses one, and the key net.dev that chooses it. */
#include "boot/boot.h"
#include "netbuf/eth.h"
#include "netdev/netdev.h"

static const char *wanted;
BOOT_KEY("net.dev", boot_parse_string, &wanted, "0", "",
         "which network device to use: its number, its place as 00:03.0, or its MAC address");

/* Does net.dev say this one by its place or its address? Hexadecimal digits may be of either case.
 */
static bool is_wanted(const struct netdev_info *info)
{
    char text[ETH_MAC_TEXT_BYTES], mac[ETH_MAC_TEXT_BYTES] = {0};
    const char *space = strchr(info->where, ' ');

    for (size_t i = 0; i < sizeof mac - 1 && wanted[i]; i++)
        mac[i] = wanted[i] >= 'A' && wanted[i] <= 'F' ? (char)(wanted[i] | 0x20) : wanted[i];
    return (strlen(wanted) < sizeof mac && strcmp(mac, eth_mac_format(text, info->mac)) == 0) ||
           strcmp(wanted, info->where) == 0 || (space && strcmp(wanted, space + 1) == 0);
}

/* The number of the device that net.dev says; `count` if there is none. */
static RUNS_SELDOM uint32_t wanted_index(uint32_t count)
{
    struct netdev_info info;
    uint64_t number;

    if (parse_u64(wanted, strlen(wanted), count - 1, &number))
        return (uint32_t)number;
    for (uint32_t i = 0; i < count; i++) {
        netdev_info(netdev_get(i), &info);
        if (is_wanted(&info))
            return i;
    }
    return count;
}

static RUNS_SELDOM void print_device(struct netdev *dev, uint32_t index, const char *used)
{
    char mac[ETH_MAC_TEXT_BYTES];
    struct netdev_info info;

    netdev_info(dev, &info);
    print("%s: device %u is %s at %s, MAC %s%s.\n", boot_app, index, info.driver, info.where,
          eth_mac_format(mac, info.mac), used);
}

RUNS_SELDOM struct netdev *netdev_pick(void)
{
    const uint32_t count = netdev_probe();

    if (count == 0 && netdev_any_unusable())
        boot_misconfigured("it needs a network device and this machine has none that it could use: "
                           "the lines above name what it has, and why that can't be used.");
    if (count == 0)
        boot_misconfigured("it needs a network device and this machine has none that it could use; "
                           "%s.",
                           netdev_advice.device);
    const uint32_t index = wanted_index(count);
    if (index < count) {
        for (uint32_t i = 0; i < count && count > 1; i++)
            print_device(netdev_get(i), i,
                         i == index ? "; it is used" : "; it isn't used, but net.dev= chooses");
        return netdev_get(index);
    }
    for (uint32_t i = 0; i < count; i++)
        print_device(netdev_get(i), i, "");
    boot_misconfigured(
        "net.dev=%s is none of this machine's network devices; they are listed above.", wanted);
}
