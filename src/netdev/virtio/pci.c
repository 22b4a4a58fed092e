/* SPDX-License-Identifier: BSD-2-Clause */
/* pci.c - PCI configuration space, by PCI Local Bus Specification 3.0, chapter 6. */
#include "netdev/virtio/pci.h"
#include "boot/boot.h"

enum {
    BUSES = 256,
    CAPABILITIES_MAX = 48, /* 192 bytes of 4 each: more can only be a loop */
    BARS = 6,
    CAPABILITY_MSIX = 0x11,
    CAPABILITY_MSIX_LEN = 12,
};

#define STATUS_HAS_CAPABILITIES (1u << 20) /* in PCI_COMMAND_STATUS */
#define HEADER_MULTIFUNCTION    0x80

/* MSI-X: the first word of the capability, the second, and an entry's last. */
#define MSIX_COUNT(word)     (((word) >> 16 & 0x7ff) + 1)
#define MSIX_ENABLE          (1u << 31)
#define MSIX_MASK_ALL        (1u << 30)
#define MSIX_TABLE_BAR(word) ((word)&7)
#define MSIX_ENTRY_MASKED    1u

/*
 * Where BARs go that the firmware left without an address. On both pc and q35, 0xe0000000 is the
 * first address that memory never reaches (pc puts at most 3.5 GiB below 4 GiB, q35 at most 2.75),
 * q35 keeps its configuration window below it (0xb0000000 to 0xbfffffff), and SeaBIOS and qboot
 * fill the hole from its other end, 0xfec00000, or in q35 from 0xc0000000 on. Only on bus 0: behind
 * a bridge an address is no use without a window of the bridge.
 */
static uint64_t hole_next = 0xe0000000;
static const uint64_t hole_end = 0xf0000000;

uint8_t pci_read8(const struct pci_access *pci, uint16_t function, uint32_t offset)
{
    return (uint8_t)(pci->read(function, offset & ~3u) >> (offset & 3) * 8);
}

static bool function_present(const struct pci_access *pci, uint16_t function)
{
    return (pci->read(function, PCI_VENDOR_DEVICE) & 0xffff) != 0xffff;
}

bool pci_present(const struct pci_access *pci)
{
    return pci->read(PCI_FUNCTION(0, 0, 0), PCI_VENDOR_DEVICE) != UINT32_MAX;
}

/* --- scanning ------------------------------------------------------------------------------- */

/* Buses to look at: each is entered once, so that a bridge that leads back ends nowhere. */
struct scan {
    uint8_t buses[BUSES];
    uint32_t count;
    bool entered[BUSES];
};

static void scan_function(const struct pci_access *pci, struct scan *scan, uint16_t function,
                          void (*visit)(const struct pci_access *pci, uint16_t function))
{
    uint8_t type = pci_read8(pci, function, PCI_HEADER_TYPE + 2) & 0x7f;

    if (type == 0) {
        visit(pci, function);
    } else if (type == 1) {
        uint8_t secondary = pci_read8(pci, function, PCI_BUS_NUMBERS + 1);
        if (!scan->entered[secondary]) {
            scan->entered[secondary] = true;
            scan->buses[scan->count++] = secondary;
        }
    }
}

void pci_scan(const struct pci_access *pci,
              void (*visit)(const struct pci_access *pci, uint16_t function))
{
    struct scan scan = {.count = 1, .entered = {[0] = true}};

    for (uint32_t i = 0; i < scan.count; i++) {
        for (uint32_t device = 0; device < 32; device++) {
            uint16_t first = PCI_FUNCTION(scan.buses[i], device, 0);
            if (!function_present(pci, first))
                continue;
            uint32_t functions =
                pci_read8(pci, first, PCI_HEADER_TYPE + 2) & HEADER_MULTIFUNCTION ? 8 : 1;
            for (uint32_t f = 0; f < functions; f++)
                if (f == 0 || function_present(pci, (uint16_t)(first | f)))
                    scan_function(pci, &scan, (uint16_t)(first | f), visit);
        }
    }
}

/* --- one function --------------------------------------------------------------------------- */

/* The upper half of the word is the status, whose bits are cleared by writing ones. */
static void write_command(const struct pci_access *pci, uint16_t function, uint32_t command)
{
    pci->write(function, PCI_COMMAND_STATUS, command & 0xffff);
}

void pci_enable(const struct pci_access *pci, uint16_t function)
{
    write_command(pci, function,
                  pci->read(function, PCI_COMMAND_STATUS) | PCI_COMMAND_MEMORY |
                      PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
}

bool pci_stop_master(const struct pci_access *pci, uint16_t function)
{
    const uint32_t command = pci->read(function, PCI_COMMAND_STATUS);

    write_command(pci, function, command & ~(uint32_t)PCI_COMMAND_MASTER);
    return !(pci->read(function, PCI_COMMAND_STATUS) & PCI_COMMAND_MASTER);
}

bool pci_next_capability(const struct pci_access *pci, uint16_t function, uint32_t *offset,
                         uint32_t *steps)
{
    if (*offset == 0 && !(pci->read(function, PCI_COMMAND_STATUS) & STATUS_HAS_CAPABILITIES))
        return false;
    *offset = pci_read8(pci, function, *offset ? *offset + 1 : PCI_CAPABILITIES) & 0xfcu;
    return *offset >= 0x40 && (*steps)++ < CAPABILITIES_MAX;
}

static bool place_bar(uint16_t function, struct pci_bar *bar)
{
    uint64_t base = ALIGN_UP(hole_next, bar->len);

    if (function >> 8 != 0 || bar->len > hole_end - hole_next || base > hole_end - bar->len)
        return false;
    hole_next = base + bar->len;
    bar->base = base;
    return true;
}

/* Reads and measures a BAR of one or two words: writes ones and sees which address bits stick. */
static void measure_bar(const struct pci_access *pci, uint16_t function, uint32_t at, bool is_64,
                        struct pci_bar *bar)
{
    const uint32_t command = pci->read(function, PCI_COMMAND_STATUS);
    const uint32_t low = pci->read(function, at), high = is_64 ? pci->read(function, at + 4) : 0;
    uint64_t mask = 0xffffffff00000000;

    write_command(pci, function, command & ~(uint32_t)PCI_COMMAND_MEMORY);
    pci->write(function, at, UINT32_MAX);
    if (is_64) {
        pci->write(function, at + 4, UINT32_MAX);
        mask = (uint64_t)pci->read(function, at + 4) << 32;
        pci->write(function, at + 4, high);
    }
    mask |= pci->read(function, at) & ~0xfu;
    pci->write(function, at, low);
    write_command(pci, function, command);
    bar->base = (uint64_t)high << 32 | (low & ~0xfu);
    bar->len = 0 - mask;
}

bool pci_bar(const struct pci_access *pci, uint16_t function, uint32_t index, struct pci_bar *bar)
{
    const uint32_t at = PCI_BAR0 + index * 4;

    if (index >= BARS)
        return false;
    const uint32_t low = pci->read(function, at), type = low >> 1 & 3;
    const bool is_64 = type == 2;
    if ((low & 1) || (type != 0 && !is_64) || (is_64 && index + 1 == BARS))
        return false; /* ports, a reserved type, or no room for the upper half */
    measure_bar(pci, function, at, is_64, bar);
    if (!IS_POWER_OF_2(bar->len) || bar->len < 16)
        return false;
    if (bar->base == 0) {
        if (!place_bar(function, bar))
            return false;
        pci->write(function, at, (uint32_t)bar->base);
        if (is_64)
            pci->write(function, at + 4, 0);
    }
    return bar->base % bar->len == 0 && bar->base <= BOOT_ADDRESS_END &&
           bar->len <= BOOT_ADDRESS_END - bar->base;
}

/* --- MSI-X ---------------------------------------------------------------------------------- */

/* Maps the table that the capability at `cap` tells of. False if it isn't inside its BAR. */
static bool map_table(const struct pci_access *pci, uint16_t function, uint32_t cap,
                      struct pci_msix *msix)
{
    const uint32_t count = MSIX_COUNT(pci->read(function, cap));
    const uint32_t place = pci->read(function, cap + 4), offset = place & ~7u;
    struct pci_bar bar;

    if (!pci_bar(pci, function, MSIX_TABLE_BAR(place), &bar) ||
        offset + (uint64_t)count * sizeof *msix->table > bar.len)
        return false;
    msix->count = MIN(count, (uint32_t)PCI_MSIX_MAX);
    msix->table = pci->map(bar.base + offset, msix->count * sizeof *msix->table);
    return true;
}

void pci_msix_enable(const struct pci_access *pci, uint16_t function, struct pci_msix *msix)
{
    uint32_t cap = 0, steps = 0;

    *msix = (struct pci_msix){0};
    while (pci_next_capability(pci, function, &cap, &steps)) {
        if (pci_read8(pci, function, cap) != CAPABILITY_MSIX || cap + CAPABILITY_MSIX_LEN > 256 ||
            !map_table(pci, function, cap, msix))
            continue;
        for (uint32_t i = 0; i < msix->count; i++)
            msix->table[i].control |= MSIX_ENTRY_MASKED;
        pci->write(function, cap, (pci->read(function, cap) | MSIX_ENABLE) & ~MSIX_MASK_ALL);
        return;
    }
}

void pci_msix_set(struct pci_msix *msix, uint32_t index, struct boot_msi message)
{
    volatile struct pci_msix_entry *entry = &msix->table[index];

    assert(index < msix->count);
    entry->control |= MSIX_ENTRY_MASKED; /* so that no half of it is used */
    entry->address_low = (uint32_t)message.address;
    entry->address_high = (uint32_t)(message.address >> 32);
    entry->data = message.data;
    entry->control &= ~MSIX_ENTRY_MASKED; /* its other bits are reserved, or TPH's */
}
