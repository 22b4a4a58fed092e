/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_machine_kvm.c - PCI as the machine has it: configuration space by mechanism 1, two ports, or
 * where there are none (microvm) in memory, a MiB a bus, where ACPI says.
 */
#include "boot/boot.h"
#include "boot/io.h"
#include "boot/kvm/kvm.h"
#include "netdev/virtio/pci.h"
#include "netdev/virtio/pci_acpi.h"

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

/* --- in memory ----------------------------------------------------------------------------------
 */

static uint64_t memory_base;
static uint8_t memory_last_bus;

static volatile uint32_t *memory_word(uint16_t function, uint32_t offset)
{
    return (volatile uint32_t *)(uintptr_t)(memory_base + ((uint64_t)function << 12) + offset);
}

static uint32_t memory_read(uint16_t function, uint32_t offset)
{
    return function >> 8 > memory_last_bus ? UINT32_MAX : *memory_word(function, offset);
}

static void memory_write(uint16_t function, uint32_t offset, uint32_t value)
{
    if (function >> 8 <= memory_last_bus)
        *memory_word(function, offset) = value;
}

/* --- what ACPI says -----------------------------------------------------------------------------
 */

/* Without ACPI: on both pc and q35, 0xe0000000 is the first address that memory never reaches (pc
 * puts at most 3.5 GiB below 4 GiB, q35 at most 2.75), and q35 keeps its configuration space below
 * it (0xb0000000 to 0xbfffffff). */
static struct pci_host host = {.window = 0xe0000000, .window_end = 0xf0000000};
static uint32_t port_in(uint16_t port)
{
    return inl(port);
}

static void port_out(uint16_t port, uint32_t value)
{
    outl(port, value);
}

static const struct pci_access by_ports = {ports_read, ports_write, boot_map_device, boot_msi,
                                           &host,      port_in,     port_out};
static const struct pci_access by_memory = {memory_read, memory_write, boot_map_device, boot_msi,
                                            &host,       port_in,      port_out};

static bool has_memory(void)
{
    struct pci_acpi_table mcfg = {0};

    mcfg.at = acpi_machine_table("MCFG", &mcfg.len);
    if (!pci_acpi_ecam(mcfg, &memory_base, &memory_last_bus) &&
        !pci_acpi_ecam_of_bridge(host.dsdt, &memory_base, &memory_last_bus))
        return false;
    boot_map_device(memory_base, (memory_last_bus + 1ull) << 20);
    return pci_present(&by_memory);
}

const struct pci_access *pci_machine(void)
{
    host.has_ports = pci_present(&by_ports);
    host.dsdt.at = acpi_machine_table("DSDT", &host.dsdt.len);
    if (!host.has_ports && !has_memory())
        return NULL;
    pci_acpi_roots(host.dsdt, host.roots);
    pci_acpi_window(host.dsdt, &host.window, &host.window_end);
    return host.has_ports ? &by_ports : &by_memory;
}
