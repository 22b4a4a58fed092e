/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of what ACPI's tables tell of PCI. */
#include "boot/test.h"
#include "netdev/virtio/pci_acpi.h"

#define HEADER 'D', 'S', 'D', 'T', [35] = 0 /* and 31 bytes of zeroes */

/* clang-format off */
static const uint8_t dsdt[] = {
    HEADER,
    /* Device (PC80) { Name (_BBN, 0x80) } */
    0x5b, 0x82, 12, 'P', 'C', '8', '0', 0x08, '_', 'B', 'B', 'N', 0x0a, 0x80,
    /* Name (_BBN, 0x100): can't be one; Name (_BBN, 1) */
    0x08, '_', 'B', 'B', 'N', 0x0b, 0, 1, 0x08, '_', 'B', 'B', 'N', 1,
    /* OperationRegion (PCST, SystemIO, 0xae00, 8) */
    0x5b, 0x80, 'P', 'C', 'S', 'T', 1, 0x0b, 0, 0xae, 0x0a, 8,
    /* Name (BSEL, 0) */
    0x08, 'B', 'S', 'E', 'L', 0,
    /* BSEL without a name's opcode: what a method reads */
    0x70, 'B', 'S', 'E', 'L', 0x60,
    /* Device (S1A) { Name (_ADR, 0x30002) Name (BSEL, 1)
     *     Device (S08) { Name (_ADR, 0x10000) Name (BSEL, 2) } } */
    0x5b, 0x82, 0x40 | 2, 3, 'S', '1', 'A', '_',
    0x08, '_', 'A', 'D', 'R', 0x0c, 2, 0, 3, 0, 0x08, 'B', 'S', 'E', 'L', 1,
    0x5b, 0x82, 23, 'S', '0', '8', '_',
    0x08, '_', 'A', 'D', 'R', 0x0c, 0, 0, 1, 0, 0x08, 'B', 'S', 'E', 'L', 0x0a, 2,
    /* Method (_CBA) { Return (0xe0000000) } */
    0x14, 12, '_', 'C', 'B', 'A', 0, 0xa4, 0x0c, 0, 0, 0, 0xe0,
    /* Memory from 0xa0000 to 0xbffff, from 0xc0000000 to 0xdfffffff, and 16 bytes too many */
    0x87, 23, 0, 0, 0x0c, 1, 0, 0, 0, 0, 0, 0, 0xa, 0, 0xff, 0xff, 0xb, 0, 0, 0, 0, 0, 0, 0, 2, 0,
    0x87, 23, 0, 0, 0x0c, 1, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff, 0xff, 0xdf,
    0, 0, 0, 0, 0, 0, 0, 0x20,
    0x87, 23, 0, 0, 0x0c, 1, 0, 0, 0, 0, 0, 0, 0, 0x40, 0xff, 0xff, 0xff, 0xbf,
    0, 0, 0, 0, 16, 0, 0, 0x80,
    0, 0, 0, 0, 0, 0, 0, 0,
};
/* clang-format on */

static const struct pci_acpi_table table = {dsdt, sizeof dsdt};

TEST(pci_acpi_finds_host_bridges_and_their_window)
{
    bool roots[256] = {0};
    uint64_t base = 1, end = 2;
    uint32_t count = 0;

    pci_acpi_roots(table, roots);
    for (uint32_t i = 0; i < 256; i++)
        count += roots[i];
    CHECK(count == 2 && roots[0x80] && roots[1]);
    CHECK(pci_acpi_window(table, &base, &end));
    CHECK_EQ(base, 0xc0000000);
    CHECK_EQ(end, 0xe0000000);
    base = 1;
    CHECK(!pci_acpi_window((struct pci_acpi_table){dsdt, 100}, &base, &end));
    CHECK(base == 1 && end == 0xe0000000);
}

TEST(pci_acpi_finds_configuration_space)
{
    uint8_t mcfg[44 + 32] = "MCFG", last;
    uint64_t phys;

    CHECK(pci_acpi_ecam_of_bridge(table, &phys, &last));
    CHECK(phys == 0xe0000000 && last == 255);
    mcfg[44 + 8] = 1; /* another segment comes first */
    mcfg[60 + 3] = 0xb0;
    mcfg[60 + 11] = 0x7f;
    CHECK(pci_acpi_ecam((struct pci_acpi_table){mcfg, sizeof mcfg}, &phys, &last));
    CHECK(phys == 0xb0000000 && last == 0x7f);
    CHECK(!pci_acpi_ecam((struct pci_acpi_table){mcfg, sizeof mcfg - 1}, &phys, &last));
    mcfg[60] = 1; /* not where a bus can begin */
    CHECK(!pci_acpi_ecam((struct pci_acpi_table){mcfg, sizeof mcfg}, &phys, &last));
}

TEST(pci_acpi_finds_slots)
{
    struct pci_acpi_bus bus;

    CHECK_EQ(pci_acpi_slots_port(table), 0xae00);
    CHECK(pci_acpi_bus(table, 0, &bus));
    CHECK(bus.select == 0 && bus.depth == 0);
    CHECK(pci_acpi_bus(table, 1, &bus));
    CHECK(bus.select == 1 && bus.depth == 1 && bus.devices[0] == (3 << 3 | 2));
    CHECK(pci_acpi_bus(table, 2, &bus));
    CHECK(bus.select == 2 && bus.depth == 2 && bus.devices[1] == 1 << 3);
    CHECK(!pci_acpi_bus(table, 3, &bus));
}

/* However much of a table there is, nothing behind its end is read: a sanitizer sees to that. */
TEST(pci_acpi_tables_that_are_cut_off)
{
    uint8_t copy[sizeof dsdt];
    uint64_t base, end, phys;
    struct pci_acpi_bus bus;
    uint8_t last;

    for (size_t len = 0; len <= sizeof dsdt; len++) {
        const struct pci_acpi_table part = {copy + sizeof copy - len, len};
        bool roots[256] = {0};
        memcpy(copy + sizeof copy - len, dsdt, len);
        pci_acpi_roots(part, roots);
        pci_acpi_window(part, &base, &end);
        pci_acpi_slots_port(part);
        pci_acpi_ecam_of_bridge(part, &phys, &last);
        pci_acpi_ecam(part, &phys, &last);
        for (uint32_t n = 0; n < 3; n++)
            CHECK(!pci_acpi_bus(part, n, &bus) || bus.depth <= n);
    }
}
