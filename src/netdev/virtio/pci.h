/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci.h - PCI configuration space: finding functions, their capabilities and their BARs, and the
 * table of their interrupts.
 *
 * All of it works through a table of calls, so that unit tests can put any configuration space
 * behind it, however hostile; pci_machine (kvm) gives the real one. Loops over what a device tells
 * are bounded, and a BAR is used only if its size was measured and makes sense.
 */
#ifndef NETDEV_PCI_H
#define NETDEV_PCI_H

#include "boot/irq.h"
#include "boot/lib.h"
#include "netdev/virtio/pci_acpi.h"

/* A function's address: bus << 8 | device << 3 | function. */
#define PCI_FUNCTION(bus, device, function) ((uint16_t)((bus) << 8 | (device) << 3 | (function)))

/* Registers of a configuration space, by the names of the PCI specification. */
enum pci_register {
    PCI_VENDOR_DEVICE = 0x00,
    PCI_COMMAND_STATUS = 0x04,
    PCI_CLASS_REVISION = 0x08,
    PCI_HEADER_TYPE = 0x0c, /* in bits 16 to 23 */
    PCI_BAR0 = 0x10,
    PCI_BUS_NUMBERS = 0x18, /* of a bridge: its own bus, the one behind it, the last one there */
    PCI_MEMORY_WINDOW = 0x20,
    PCI_PREFETCH_WINDOW = 0x24,
    PCI_CAPABILITIES = 0x34,
};

enum pci_command {
    PCI_COMMAND_MEMORY = 1 << 1,
    PCI_COMMAND_MASTER = 1 << 2,
    PCI_COMMAND_INTX_OFF = 1 << 10,
};

enum {
    PCI_BUSES = 256,
    PCI_BARS = 6,
    PCI_FUNCTIONS_MAX = 512, /* that a scan takes note of */
    PCI_DEPTH_MAX = 16,      /* bridges on the way to a function */
};

/* What the machine says of itself. */
struct pci_host {
    bool roots[PCI_BUSES];       /* buses of host bridges; bus 0 always is */
    uint64_t window, window_end; /* addresses for memory BARs; none if they are equal */
    struct pci_acpi_table dsdt;  /* empty: the machine has none */
    bool has_ports;              /* it is a PC: configuration space is reached by ports */
};

struct pci_access {
    /* One 32-bit word; offset is a multiple of 4. A function that isn't there reads as ones. */
    uint32_t (*read)(uint16_t function, uint32_t offset);
    void (*write)(uint16_t function, uint32_t offset, uint32_t value);
    /* boot_map_device */
    void *(*map)(uint64_t phys, size_t len);
    /* boot_msi */
    struct boot_msi (*msi)(uint32_t core);
    const struct pci_host *host;
    /* 32 bits of a port. NULL: there are no ports. */
    uint32_t (*in)(uint16_t port);
    void (*out)(uint16_t port, uint32_t value);
};

/* The machine's own, kvm only: by ports, or by memory where ACPI tells of it. NULL if it has no
 * PCI. */
const struct pci_access *pci_machine(void);

/* True if there is a host bridge. */
bool pci_present(const struct pci_access *pci);

/* --- which functions there are, in pci_scan.c ------------------------------------------------- */

/* Calls `visit` for every function that isn't a bridge, by its address, on the buses of host
 * bridges and behind all bridges. Numbers the buses behind those that the firmware didn't. */
void pci_scan(const struct pci_access *pci,
              void (*visit)(const struct pci_access *pci, uint16_t function));

/* Function number n of those that pci_scan found, bridges included; false if there are no more. */
bool pci_found(uint32_t n, uint16_t *function, bool *is_bridge);

/* The bridge that leads to a function's bus; false if there is none, but a host bridge. */
bool pci_bridge_of(uint16_t function, uint16_t *bridge);

/* "01:00.0", as lspci shows it. */
#define PCI_PLACE_BYTES 8
const char *pci_place_text(char text[PCI_PLACE_BYTES], uint16_t function);

/* --- one function, in pci.c ------------------------------------------------------------------- */

/* Switches on memory and bus mastering, here and in the bridges on the way, and interrupt pins off.
 */
void pci_enable(const struct pci_access *pci, uint16_t function);

/* Switches bus mastering off: the function reaches no memory from then on. False if the bit stays
 * set. */
bool pci_stop_master(const struct pci_access *pci, uint16_t function);

/* Where the capability of this number, `len` bytes long, is; 0: there is none. */
uint32_t pci_capability(const struct pci_access *pci, uint16_t function, uint8_t number,
                        uint32_t len);

/* PCI Express (6.0, 7.5.3): in the upper half of the capability's first word stands what it is. */
#define PCI_CAPABILITY_EXPRESS 0x10
#define PCI_EXPRESS_TYPE(word) ((word) >> 20 & 15)

enum { PCI_EXPRESS_LEN = 0x1c, PCI_EXPRESS_ROOT_PORT = 4, PCI_EXPRESS_DOWNSTREAM_PORT = 6 };

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

/* Measures BAR number `index`. False if it isn't a memory BAR. The device doesn't decode memory
 * meanwhile. */
bool pci_measure_bar(const struct pci_access *pci, uint16_t function, uint32_t index,
                     struct pci_bar *bar);

/* The same, and gives it an address if it has none (pci_space.h). False if it can't be used; if
 * that is so because no address is free, bar->len tells its length and bar->base is 0. */
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
