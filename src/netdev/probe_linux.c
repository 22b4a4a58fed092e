/* probe_linux.c - a host process has no network devices of its own. */
#include "netdev/netdev.h"

void netdev_probe_platform(void)
{
}
