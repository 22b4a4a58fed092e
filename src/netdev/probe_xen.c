/* probe_xen.c - a Xen domain has no network device yet. */
#include "netdev/netdev.h"

void netdev_probe_platform(void)
{
}
