/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_acpi.h - what ACPI tells of PCI: where configuration space is (MCFG; PCI
 * Firmware 3.0, 4.1.2), and what the DSDT says of host bridges and of slots.
 *
 * The DSDT is a program (AML; ACPI 6.4, chapter 20). Nothing is run here: what is looked for are
 * names with constants and lists of resources, as firmware that is made for virtual machines writes
 * them. All functions take any bytes.
 */
#ifndef NETDEV_PCI_ACPI_H
#define NETDEV_PCI_ACPI_H

#include "boot/lib.h"

/* Bytes of a table; none if there is no such table. */
struct pci_acpi_table {
    const uint8_t *at;
    size_t len;
};

/* Where the configuration space of segment 0 begins at bus 0, and its last bus; false if the MCFG
 * doesn't tell, or tells of a place that can't be. */
bool pci_acpi_ecam(struct pci_acpi_table mcfg, uint64_t *phys, uint8_t *last_bus);

/* The same by a host bridge's _CBA (4.1.3), which QEMU's microvm has in place of an MCFG. */
bool pci_acpi_ecam_of_bridge(struct pci_acpi_table dsdt, uint64_t *phys, uint8_t *last_bus);

/* The buses that host bridges begin with, by their _BBN: sets *found for each. */
void pci_acpi_roots(struct pci_acpi_table dsdt, bool found[256]);

/* The longest range of addresses below 4 GiB that a host bridge passes on to its bus. False, and
 * nothing is changed, if none is told of. */
bool pci_acpi_window(struct pci_acpi_table dsdt, uint64_t *base, uint64_t *end);

/* The first port of the registers by which QEMU tells of slots (its docs/specs/acpi_pci_hotplug);
 * 0 if there are none. */
uint16_t pci_acpi_slots_port(struct pci_acpi_table dsdt);

/* A bus that has a number (BSEL) in those registers. */
struct pci_acpi_bus {
    uint32_t select;
    uint32_t depth;     /* bridges on the way from the host bridge */
    uint8_t devices[8]; /* device << 3 | function of each, the host bridge's neighbour first */
};

/* The n-th of them, from 0 on; false if there are no more. */
bool pci_acpi_bus(struct pci_acpi_table dsdt, uint32_t n, struct pci_acpi_bus *bus);

#endif
