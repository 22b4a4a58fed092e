/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_xen.c - where network devices are found on the xen platform: in the store. */
#include "netdev/netdev.h"
#include "netdev/netfront/netfront.h"

void netdev_probe_platform(void)
{
    netfront_probe();
}
