/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_pci_iommu.c - a virtio-iommu (virtio 1.2, section 5.13) that lets no device through. An
 * image programs no IOMMU: what a device may reach has to be all memory, at its own address. That
 * is so while nobody programs one, unless who runs the machine forbade it; then the devices behind
 * it would stand still without a word.
 */
#include "boot/boot.h"
#include "netdev/virtio/virtio_pci.h"

#include <linux/virtio_iommu.h>

enum { VENDOR_DEVICE_IOMMU = 0x10571af4 };

static uint16_t blocking; /* the function of one that lets nothing through */
static bool is_blocking;

void virtio_pci_iommu_look(const struct pci_access *pci, uint16_t function)
{
    struct virtio_pci iommu;

    if (pci->read(function, PCI_VENDOR_DEVICE) != VENDOR_DEVICE_IOMMU ||
        !virtio_pci_attach(&iommu, pci, function))
        return;
    struct virtio_transport *const t = &iommu.base;
    if (!(t->ops->features(t) & VIRTIO_BIT(VIRTIO_IOMMU_F_BYPASS_CONFIG)) ||
        t->ops->config(t, offsetof(struct virtio_iommu_config, bypass), 1) != 0)
        return;
    blocking = function;
    is_blocking = true;
}

void virtio_pci_iommu_tell(struct virtio_pci *dev)
{
    char place[PCI_PLACE_BYTES];

    if (is_blocking && dev->base.ops->features(&dev->base) & VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM))
        print("%s: the virtio-iommu %s lets this device reach no memory; start QEMU with "
              "boot-bypass=on, or the device with iommu_platform=off.\n",
              dev->base.where, pci_place_text(place, blocking));
}
