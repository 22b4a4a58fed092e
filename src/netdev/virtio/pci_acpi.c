/* SPDX-License-Identifier: BSD-2-Clause */
/* pci_acpi.c - what ACPI tells of PCI; see pci_acpi.h. */
#include "netdev/virtio/pci_acpi.h"
#include "boot/boot.h"

enum { TABLE_HEADER = 36, MCFG_ENTRIES = 44, MCFG_ENTRY = 16, BUS_BYTES = 1 << 20 };

/* Opcodes of AML, ACPI 6.4, 20.3. */
enum {
    NAME_OP = 0x08,
    RETURN_OP = 0xa4,
    EXT_OP = 0x5b,
    REGION_OP = 0x80,
    DEVICE_OP = 0x82,
    SYSTEM_IO = 1
};

/* The head of a descriptor for a range of 32-bit memory addresses, 6.4.3.5.2: its tag, its length
 * and its kind. */
static const uint8_t memory_range[] = {0x87, 23, 0, 0};
enum { RANGE_MIN = 10, RANGE_MAX = 14, RANGE_LEN = 22, RANGE_BYTES = 26 };

static uint64_t number_at(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;

    memcpy(&value, at, bytes);
    return value;
}

static bool is_ecam(uint64_t phys)
{
    return phys >= BUS_BYTES && phys % BUS_BYTES == 0 &&
           phys < BOOT_ADDRESS_END - 256ull * BUS_BYTES;
}

bool pci_acpi_ecam(struct pci_acpi_table mcfg, uint64_t *phys, uint8_t *last_bus)
{
    for (size_t at = MCFG_ENTRIES; at + MCFG_ENTRY <= mcfg.len; at += MCFG_ENTRY) {
        const uint8_t *entry = mcfg.at + at;
        *phys = number_at(entry, 8);
        *last_bus = entry[11];
        if (number_at(entry + 8, 2) == 0 && entry[10] == 0 && is_ecam(*phys))
            return true;
    }
    return false;
}

/* The next place from *at on where these bytes are, with `more` bytes behind them. */
static bool find_bytes(struct pci_acpi_table table, const void *bytes, size_t len, size_t more,
                       size_t *at)
{
    const uint8_t first = *(const uint8_t *)bytes; /* so that few places need a call */

    for (; *at + len + more <= table.len; ++*at)
        if (table.at[*at] == first && memcmp(table.at + *at, bytes, len) == 0)
            return true;
    return false;
}

enum { CONSTANT_BYTES = 9 }; /* at most */

/* An integer constant, 20.2.3: Zero, One, or one of 1, 2, 4 or 8 bytes. The table has
 * CONSTANT_BYTES here. */
static bool constant_at(const uint8_t *at, uint64_t *value)
{
    static const uint8_t widths[] = {[0x0a] = 1, [0x0b] = 2, [0x0c] = 4, [0x0e] = 8};

    *value = at[0];
    if (at[0] <= 1)
        return true;
    if (at[0] >= ARRAY_LEN(widths) || widths[at[0]] == 0)
        return false;
    *value = number_at(at + 1, widths[at[0]]);
    return true;
}

/* The next Name(name, constant) from *at on. *at is left behind the opcode. */
static bool find_constant(struct pci_acpi_table table, const char *name, size_t *at,
                          uint64_t *value)
{
    while (find_bytes(table, name, 4, CONSTANT_BYTES, at)) {
        const size_t here = (*at)++;
        if (here > TABLE_HEADER && table.at[here - 1] == NAME_OP &&
            constant_at(table.at + here + 4, value))
            return true;
    }
    return false;
}

bool pci_acpi_ecam_of_bridge(struct pci_acpi_table dsdt, uint64_t *phys, uint8_t *last_bus)
{
    static const uint8_t method[] = {'_', 'C', 'B', 'A', 0, RETURN_OP};
    size_t at = TABLE_HEADER;

    *last_bus = 255;
    return find_bytes(dsdt, method, sizeof method, CONSTANT_BYTES, &at) &&
           constant_at(dsdt.at + at + sizeof method, phys) && is_ecam(*phys);
}

void pci_acpi_roots(struct pci_acpi_table dsdt, bool found[256])
{
    size_t at = TABLE_HEADER;
    uint64_t bus;

    while (find_constant(dsdt, "_BBN", &at, &bus))
        if (bus < 256)
            found[bus] = true;
}

bool pci_acpi_window(struct pci_acpi_table dsdt, uint64_t *base, uint64_t *end)
{
    enum { LEGACY_END = 1 << 20 };

    bool found = false;

    for (size_t at = TABLE_HEADER; find_bytes(dsdt, memory_range, sizeof memory_range,
                                              RANGE_BYTES - sizeof memory_range, &at);
         at++) {
        const uint64_t first = number_at(dsdt.at + at + RANGE_MIN, 4);
        const uint64_t last = number_at(dsdt.at + at + RANGE_MAX, 4);
        if (first < LEGACY_END || last < first || first % PAGE_SIZE != 0 ||
            number_at(dsdt.at + at + RANGE_LEN, 4) != last - first + 1 ||
            (found && last - first + 1 <= *end - *base))
            continue;
        *base = first;
        *end = last + 1;
        found = true;
    }
    return found;
}

uint16_t pci_acpi_slots_port(struct pci_acpi_table dsdt)
{
    static const uint8_t region[] = {EXT_OP, REGION_OP, 'P', 'C', 'S', 'T', SYSTEM_IO};
    size_t at = TABLE_HEADER;
    uint64_t port;

    if (!find_bytes(dsdt, region, sizeof region, CONSTANT_BYTES, &at) ||
        !constant_at(dsdt.at + at + sizeof region, &port) || port > UINT16_MAX - 0x18)
        return 0;
    return (uint16_t)port;
}

/* If a Device begins at `at`: where it ends, and where its content begins, behind its package's
 * length (20.2.4) and its name. Else 0. */
static size_t device_end(struct pci_acpi_table dsdt, size_t at, size_t *content)
{
    const uint8_t *length = dsdt.at + at + 2;
    size_t bytes, more;

    if (at + 10 > dsdt.len || dsdt.at[at] != EXT_OP || dsdt.at[at + 1] != DEVICE_OP)
        return 0;
    more = length[0] >> 6;
    bytes = more ? (length[0] & 15) | number_at(length + 1, more) << 4 : length[0];
    *content = at + 2 + 1 + more + 4;
    return bytes <= dsdt.len - at - 2 && *content < at + 2 + bytes ? at + 2 + bytes : 0;
}

/* Adds the devices, from the outermost on, inside of which `at` is and which have an address. */
static bool add_path(struct pci_acpi_table dsdt, size_t at, struct pci_acpi_bus *bus)
{
    for (size_t device = TABLE_HEADER; device < at; device++) {
        size_t content, name;
        uint64_t address;
        const size_t end = device_end(dsdt, device, &content);
        if (end <= at)
            continue;
        name = content;
        if (!find_constant(dsdt, "_ADR", &name, &address) || name > at)
            continue;
        if (address == 0 && bus->depth == 0)
            continue; /* the host bridge itself */
        if (bus->depth == ARRAY_LEN(bus->devices))
            return false;
        bus->devices[bus->depth++] = (uint8_t)((address >> 16 & 31) << 3 | (address & 7));
    }
    return true;
}

bool pci_acpi_bus(struct pci_acpi_table dsdt, uint32_t n, struct pci_acpi_bus *bus)
{
    size_t at = TABLE_HEADER;
    uint64_t select;

    *bus = (struct pci_acpi_bus){0};
    while (find_constant(dsdt, "BSEL", &at, &select))
        if (n-- == 0) {
            bus->select = (uint32_t)select;
            return add_path(dsdt, at, bus);
        }
    return false;
}
