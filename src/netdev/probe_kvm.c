/* SPDX-License-Identifier: BSD-2-Clause */
/* probe_kvm.c - where virtio-net devices are found on the kvm platform. */
#include "boot/irq.h"
#include "netdev/netdev.h"
#include "netdev/virtio/virtio_mmio.h"
#include "netdev/virtio/virtio_pci.h"

const struct netdev_advice netdev_advice = {
    .device = "with QEMU add -netdev user,id=n0 -device virtio-net-pci,netdev=n0 (with -M microvm: "
              "virtio-net-device)",
    .pairs = "with QEMU add queues=N to -netdev and mq=on to -device",
};

void netdev_probe_platform(void)
{
    const struct pci_access *pci = pci_machine();

    if (pci)
        virtio_pci_probe(pci);
    virtio_mmio_probe(!pci || !pci->host->has_ports, boot_irq_line);
}
