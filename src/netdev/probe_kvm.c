/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_kvm.c - where virtio-net devices are found on the kvm platform. */
#include "boot/irq.h"
#include "netdev/netdev.h"
#include "netdev/virtio/virtio_mmio.h"
#include "netdev/virtio/virtio_pci.h"

void netdev_probe_platform(void)
{
    bool pci = virtio_pci_probe(&pci_ports);

    virtio_mmio_probe(!pci, boot_irq_line);
}
