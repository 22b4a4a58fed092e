/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_xen.c - where network devices are found on the xen platform: in the store. */
#include "netdev/netdev.h"
#include "netdev/netfront/netfront.h"

const struct netdev_advice netdev_advice = {
    .device = "give the domain a vif in xl's configuration, such as vif = [ \"bridge=xenbr0\" ]",
    .pairs = "before the domain is created, write so many to "
             "/sys/module/xen_netback/parameters/max_queues in the back end's domain",
};

void netdev_probe_platform(void)
{
    netfront_probe();
}
