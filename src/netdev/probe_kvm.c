/* probe_kvm.c - where virtio-net devices are found on the kvm platform. */
#include "netdev/netdev.h"
#include "netdev/virtio_mmio.h"
#include "netdev/virtio_pci.h"

void netdev_probe_platform(void)
{
    bool pci = virtio_pci_probe();

    virtio_mmio_probe(!pci);
}
