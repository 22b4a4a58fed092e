/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lists the devices that the machine has, in their order, for tests from outside: with
 * only=devices_ selftest does nothing else. In a run of all tests this file's name has it come
 * before the files that register devices of their own.
 */
#include "boot/test.h"
#include "netdev/netdev.h"

TEST(devices_are_listed)
{
    const uint32_t count = netdev_probe();
    struct netdev_info info;

    for (uint32_t i = 0; i < count; i++) {
        netdev_info(netdev_get(i), &info);
        CHECK_EQ(info.state, NETDEV_FOUND);
        CHECK(info.queue_pairs_max >= 1 && !(info.mac[0] & 1));
        print("device %u: %02x:%02x:%02x:%02x:%02x:%02x, %s at %s\n", i, info.mac[0], info.mac[1],
              info.mac[2], info.mac[3], info.mac[4], info.mac[5], info.driver, info.where);
    }
    CHECK(!netdev_get(count));
}
