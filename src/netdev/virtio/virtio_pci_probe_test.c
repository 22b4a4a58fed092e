/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of what virtio's PCI transport takes a function for. */
#include "boot/test.h"
#include "netdev/virtio/virtio_pci.h"

TEST(virtio_pci_tells_functions_apart)
{
    CHECK_EQ(virtio_pci_identify(0x10411af4, 0x02000001), VIRTIO_PCI_NET);
    CHECK_EQ(virtio_pci_identify(0x10001af4, 0x02000000), VIRTIO_PCI_NET);
    CHECK_EQ(virtio_pci_identify(0x100e8086, 0x02000003), VIRTIO_PCI_NETWORK); /* e1000 */
    CHECK_EQ(virtio_pci_identify(0x10421af4, 0x01000001), VIRTIO_PCI_OTHER);   /* virtio-blk */
    CHECK_EQ(virtio_pci_identify(0x10418086, 0x02800000), VIRTIO_PCI_NETWORK); /* no Ethernet */
    CHECK_EQ(virtio_pci_identify(0x11111234, 0x03000002), VIRTIO_PCI_OTHER);   /* VGA */
}
