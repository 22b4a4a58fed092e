/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci.h - PCI configuration space: finding functions, their capabilities and their BARs, and the
 * table of their interrupts.
 *
 * All of it works through a table of calls, so that unit tests can put any configuration space
 * behind it, however hostile; `pci_ports` (kvm) is the real one. Loops over what a device tells are
 * bounded, and a BAR is used only if its size was measured and makes sense.
 */
#ifndef NETDEV_PCI_H
#define NETDEV_PCI_H

#include "boot/irq.h"
#include "boot/lib.h"

/* A function's address: bus << 8 | device << 3 | function. */
#define PCI_FUNCTION(bus, device, function) ((uint16_t)((bus) << 8 | (device) << 3 | (function)))

/* Registers of a configuration space, by the names of the PCI specification. */
enum pci_register {
    PCI_VENDOR_DEVICE = 0x00,
    PCI_COMMAND_STATUS = 0x04,
    PCI_CLASS_REVISION = 0x08,
    PCI_HEADER_TYPE = 0x0c, /* in bits 16 to 23 */
    PCI_BAR0 = 0x10,
    PCI_BUS_NUMBERS = 0x18, /* of a bridge */
    PCI_CAPABILITIES = 0x34,
};

enum pci_command {
    PCI_COMMAND_MEMORY = 1 << 1,
    PCI_COMMAND_MASTER = 1 << 2,
    PCI_COMMAND_INTX_OFF = 1 << 10,
};

struct pci_access {
    /* One 32-bit word; offset is a multiple of 4. A function that isn't there reads as ones. */
    uint32_t (*read)(uint16_t function, uint32_t offset);
    void (*write)(uint16_t function, uint32_t offset, uint32_t value);
    /* boot_map_device */
    void *(*map)(uint64_t phys, size_t len);
    /* boot_msi */
    struct boot_msi (*msi)(uint32_t core);
};

/* Configuration mechanism 1: ports 0xcf8 and 0xcfc. */
extern const struct pci_access pci_ports;

/* True if there is a host bridge. */
bool pci_present(const struct pci_access *pci);

/* Calls `visit` for every function that isn't a bridge, on bus 0 and on the buses behind bridges
 * that the firmware has numbered. */
void pci_scan(const struct pci_access *pci,
              void (*visit)(const struct pci_access *pci, uint16_t function));

/* Switches on memory and bus mastering, and interrupt pins off. */
void pci_enable(const struct pci_access *pci, uint16_t function);

/* Switches bus mastering off: the function reaches no memory from then on. False if the bit stays
 * set. */
bool pci_stop_master(const struct pci_access *pci, uint16_t function);

uint8_t pci_read8(const struct pci_access *pci, uint16_t function, uint32_t offset);

/*
 * Walks the list of capabilities: *offset 0 begins, later values are those of the call before.
 * Returns false at the end of the list. The caller counts its steps in *steps, from 0: a list that
 * loops ends after as many as could fit.
 */
bool pci_next_capability(const struct pci_access *pci, uint16_t function, uint32_t *offset,
                         uint32_t *steps);

/* A memory BAR. len is a power of two and base a multiple of it. */
struct pci_bar {
    uint64_t base, len;
};

/*
 * Measures BAR number `index`, and gives it an address if the firmware hasn't. False if it isn't a
 * memory BAR that can be used. The device doesn't decode memory while it is measured.
 */
bool pci_bar(const struct pci_access *pci, uint16_t function, uint32_t index, struct pci_bar *bar);

/* MSI-X (section 6.8.2): the device's interrupts, each with a message of its own. */
#define PCI_MSIX_MAX 16 /* entries that are used, at most */

struct pci_msix_entry {
    uint32_t address_low, address_high, data, control;
};

struct pci_msix {
    volatile struct pci_msix_entry *table;
    uint32_t count; /* of entries; 0: the device has no MSI-X that can be used */
};

/* Looks for the function's table, masks its entries and switches MSI-X on. Fills in *msix. */
void pci_msix_enable(const struct pci_access *pci, uint16_t function, struct pci_msix *msix);

/* Has the interrupt of entry number `index`, which must be there, sent as `message`. */
void pci_msix_set(struct pci_msix *msix, uint32_t index, struct boot_msi message);

#endif
