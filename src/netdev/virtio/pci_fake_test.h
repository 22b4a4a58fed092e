/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_fake_test.h - a bus in memory for unit tests: configuration spaces, however hostile, and the
 * registers behind one BAR.
 */
#ifndef NETDEV_PCI_FAKE_TEST_H
#define NETDEV_PCI_FAKE_TEST_H

#include "boot/test.h"
#include "netdev/virtio/pci.h"

enum { PCI_FAKE_FUNCTIONS = 8, PCI_FAKE_BAR_LEN = 0x4000 };
#define PCI_FAKE_BASE 0xfd000000u

/* A function that is there: its configuration space and the size of each of its BARs. */
struct pci_fake_function {
    uint16_t address;
    uint32_t words[64];
    uint64_t bar_len[6]; /* in the lower word of a 64-bit BAR */
    uint32_t stuck_bits; /* of the command register: can't be cleared */
};

extern const struct pci_access pci_fake;
extern struct pci_host pci_fake_host; /* a window from 0xe0000000 to 0xf0000000, no ACPI */

/* QEMU's registers for slots, for buses with the numbers 0 and 1. */
#define PCI_FAKE_PORT 0xae00u
extern struct pci_fake_slots {
    uint32_t selected, wanted[2], given[2];
} pci_fake_slots;

/* Behind BAR 4. What lies further up in a longer BAR is here, too, by its remainder. */
extern uint8_t pci_fake_registers[PCI_FAKE_BAR_LEN];

/* What was mapped last. */
extern uint64_t pci_fake_mapped;

/* An empty machine. */
void pci_fake_begin(void);

/* Adds a function. */
struct pci_fake_function *pci_fake_add(uint16_t address, uint32_t id, uint8_t header_type);

/* A device as QEMU shows it, 00:02.0: capabilities at 0x40, 0x60 and 0x80, a 64-bit BAR 4. */
struct pci_fake_function *pci_fake_virtio(void);

/* Writes one of virtio's capabilities. */
void pci_fake_capability(struct pci_fake_function *f, uint32_t at, uint8_t next, uint8_t type,
                         uint32_t offset, uint32_t len);

#endif
