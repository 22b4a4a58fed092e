/* SPDX-License-Identifier: BSD-2-Clause */
/* port_dpdk_none.c - in the place of port_dpdk.c where libdpdk-dev isn't installed. */
#include "port.h"

#include <stdio.h>
#include <stdlib.h>

struct port *port_open_dpdk(const struct options *options)
{
    (void)options;
    fprintf(stderr, "kvload: this kvload was built without DPDK. Install libdpdk-dev and pkgconf, "
                    "then build it again: make kvload\n");
    exit(3);
}
