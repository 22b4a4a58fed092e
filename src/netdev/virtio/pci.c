/* SPDX-License-Identifier: BSD-2-Clause */
/* pci.c - PCI configuration space, by PCI Local Bus Specification 3.0, chapter 6. */
#include "netdev/virtio/pci.h"
#include "boot/boot.h"
#include "netdev/virtio/pci_space.h"

enum {
    CAPABILITIES_MAX = 48, /* 192 bytes of 4 each: more can only be a loop */
    CAPABILITY_MSIX = 0x11,
    CAPABILITY_MSIX_LEN = 12,
};

#define STATUS_HAS_CAPABILITIES (1u << 20) /* in PCI_COMMAND_STATUS */

/* MSI-X: the first word of the capability, the second, and an entry's last. */
#define MSIX_COUNT(word)     (((word) >> 16 & 0x7ff) + 1)
#define MSIX_ENABLE          (1u << 31)
#define MSIX_MASK_ALL        (1u << 30)
#define MSIX_TABLE_BAR(word) ((word)&7)
#define MSIX_ENTRY_MASKED    1u

uint8_t pci_read8(const struct pci_access *pci, uint16_t function, uint32_t offset)
{
    return (uint8_t)(pci->read(function, offset & ~3u) >> (offset & 3) * 8);
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
    /* What a bridge passes up from its bus needs the bridge's own bit. */
    for (uint32_t depth = 0; pci_bridge_of(function, &function) && depth < PCI_DEPTH_MAX; depth++)
        write_command(pci, function,
                      pci->read(function, PCI_COMMAND_STATUS) | PCI_COMMAND_MEMORY |
                          PCI_COMMAND_MASTER);
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

uint32_t pci_capability(const struct pci_access *pci, uint16_t function, uint8_t number,
                        uint32_t len)
{
    uint32_t cap = 0, steps = 0;

    while (pci_next_capability(pci, function, &cap, &steps))
        if (pci_read8(pci, function, cap) == number && cap + len <= 256)
            return cap;
    return 0;
}

/* Reads and measures a BAR of one or two words: writes ones and sees which address bits stick. */
static void measure_words(const struct pci_access *pci, uint16_t function, uint32_t at, bool is_64,
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

bool pci_measure_bar(const struct pci_access *pci, uint16_t function, uint32_t index,
                     struct pci_bar *bar)
{
    const uint32_t at = PCI_BAR0 + index * 4;

    *bar = (struct pci_bar){0};
    if (index >= PCI_BARS)
        return false;
    const uint32_t low = pci->read(function, at), type = low >> 1 & 3;
    const bool is_64 = type == 2;
    if ((low & 1) || (type != 0 && !is_64) || (is_64 && index + 1 == PCI_BARS))
        return false; /* ports, a reserved type, or no room for the upper half */
    measure_words(pci, function, at, is_64, bar);
    return IS_POWER_OF_2(bar->len) && bar->len >= 16;
}

bool pci_bar(const struct pci_access *pci, uint16_t function, uint32_t index, struct pci_bar *bar)
{
    const uint32_t at = PCI_BAR0 + index * 4;

    if (!pci_measure_bar(pci, function, index, bar)) {
        *bar = (struct pci_bar){0};
        return false;
    }
    if (bar->base == 0) {
        if (!pci_space_place(pci, function, index, bar))
            return false;
        pci->write(function, at, (uint32_t)bar->base);
        if (pci->read(function, at) >> 1 & 2)
            pci->write(function, at + 4, (uint32_t)(bar->base >> 32));
    } else {
        pci_space_claim(function, index, bar);
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
    const uint32_t cap = pci_capability(pci, function, CAPABILITY_MSIX, CAPABILITY_MSIX_LEN);

    *msix = (struct pci_msix){0};
    if (cap == 0 || !map_table(pci, function, cap, msix))
        return;
    for (uint32_t i = 0; i < msix->count; i++)
        msix->table[i].control |= MSIX_ENTRY_MASKED;
    pci->write(function, cap, (pci->read(function, cap) | MSIX_ENABLE) & ~MSIX_MASK_ALL);
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
