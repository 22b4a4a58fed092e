/* SPDX-License-Identifier: BSD-2-Clause */
/* pci_ports_kvm.c - PCI as the machine has it: configuration mechanism 1, two ports. */
#include "boot/boot.h"
#include "boot/io.h"
#include "netdev/virtio/pci.h"

enum { CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc };

static uint32_t ports_select(uint16_t function, uint32_t offset)
{
    return 0x80000000u | (uint32_t)function << 8 | (offset & 0xfc);
}

static uint32_t ports_read(uint16_t function, uint32_t offset)
{
    outl(CONFIG_ADDRESS, ports_select(function, offset));
    return inl(CONFIG_DATA);
}

static void ports_write(uint16_t function, uint32_t offset, uint32_t value)
{
    outl(CONFIG_ADDRESS, ports_select(function, offset));
    outl(CONFIG_DATA, value);
}

const struct pci_access pci_ports = {ports_read, ports_write, boot_map_device, boot_msi};
