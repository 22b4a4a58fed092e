/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forward - passes frames on: what comes in on device 0 goes out on device 1 and the other way
 * round, the same for 2 and 3, and so on. With cores=N each core serves one queue pair of every
 * device.
 *
 * Exits with 0, or with 1 if a packet buffer got lost on the way.
 */
#include "netdev/loop.h"

enum {
    BURST = 32,
    BUFFERS = 1024, /* a device's and a core's: two full rings of 256, and bursts under way */
    FRAME_BYTES = 1518,
};

static uint32_t count; /* of devices */
static struct netdev *devices[NETDEV_MAX];
static struct netdev_loop loops[BOOT_CORES_MAX];

/* Opens all devices without offloads but chains, so that each can send what any other has received:
 * a frame longer than a buffer comes in several. */
static void open_devices(void)
{
    struct netbuf_pool *pools[BOOT_CORES_MAX];

    count = netdev_probe();
    if (count == 0 || count % 2 != 0)
        boot_misconfigured("it needs network devices in pairs, and there are %u; %s.", count,
                           netdev_advice.device);
    for (uint32_t i = 0; i < count; i++) {
        devices[i] = netdev_get(i);
        netdev_open_cores(devices[i], boot_cores(), pools, BUFFERS, FRAME_BYTES, NETDEV_OFFLOAD_SG);
        if (netdev_set_promisc(devices[i], true) != NETDEV_OK)
            print("forward: device %u can't be told to take frames for others.\n", i);
    }
}

static void print_pairs(void)
{
    struct netdev_info in, out;

    for (uint32_t i = 0; i < count; i += 2) {
        netdev_info(devices[i], &in);
        netdev_info(devices[i + 1], &out);
        print("forward: passes frames between %s and %s.\n", in.where, out.where);
    }
}

/* A core's loop. Nothing waits for a ring to have room, as then one device could hold up all. */
static void forward(uint32_t core)
{
    const uint16_t q = (uint16_t)core;
    struct netdev_loop *loop = &loops[core];
    struct netbuf *packets[BURST];

    netdev_loop_init(loop);
    for (uint32_t i = 0; i < count; i++)
        netdev_loop_add(loop, devices[i], q);
    while (!boot_stopping()) {
        uint32_t moved = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t came = netdev_rx_burst(devices[i], q, packets, BURST);
            netdev_send(devices[i ^ 1], q, packets, came, 0);
            moved += came;
        }
        netdev_loop_turn(loop, moved > 0);
    }
}

int app_main(void)
{
    open_devices();
    print_pairs();

    boot_run(forward);

    for (uint32_t i = 0; i < count; i++)
        netdev_stop(devices[i]);
    for (uint32_t i = 0; i < count; i++)
        netdev_print_stats(devices[i]);
    return netbuf_pools_report() ? 0 : 1;
}
