/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_linux.c - a host process has no network device but the one that its command line names. */
#include "netdev/netdev.h"
#include "netdev/virtio/virtio_user.h"

void netdev_probe_platform(void)
{
    virtio_user_probe();
}
