/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of ACPI's tables: of every age and kind of machine, and with garbage in them. */
#include "boot/boot.h"
#include "boot/kvm/acpi_tables.h"
#include "boot/test.h"

/* The machine's memory lies above 4 GiB, but for ACPI 1.0. Tables are put into it from its end
 * down, so that a sanitizer sees who reads on behind the first one. */
#define BASE_V1 (1ull << 30)
#define BASE    (5ull << 30)
enum { ROOM = 4096, HEADER_BYTES = 36, FADT_BYTES = 276 };

static uint8_t memory[ROOM], rsdp[ACPI_RSDP_BYTES], list[HEADER_BYTES + 8 * 8];
static size_t used, listed, width;
static uint64_t base;
static struct acpi_tables tables;
static struct acpi_machine machine;

static const uint8_t *map_fake(uint64_t phys, size_t len)
{
    return phys >= base && phys < base + ROOM && len <= base + ROOM - phys ? memory + (phys - base)
                                                                           : NULL;
}

static void set(uint8_t *table, size_t offset, uint64_t value, size_t bytes)
{
    memcpy(table + offset, &value, bytes);
}

static uint64_t put_in(uint8_t *table, const char *signature, size_t len)
{
    memcpy(table, signature, 4);
    set(table, 4, len, 4);
    used += len;
    memcpy(memory + ROOM - used, table, len);
    return base + ROOM - used;
}

static void put_in_list(uint8_t *table, const char *signature, size_t len)
{
    set(list, HEADER_BYTES + width * listed++, put_in(table, signature, len), width);
}

static void begin(void)
{
    memset(memory, 0, sizeof memory);
    memset(list, 0, sizeof list);
    used = listed = 0;
    width = 8;
    base = BASE;
}

/* An RSDT in place of the XSDT, and tables below 4 GiB. */
static void begin_v1(void)
{
    begin();
    width = 4;
    base = BASE_V1;
}

/* Behind all others: the list and the root pointer. */
static void open_tables(void)
{
    uint8_t sum = 0;

    memset(rsdp, 0, sizeof rsdp);
    memcpy(rsdp, "RSD PTR ", 8);
    if (width == 8)
        rsdp[15] = 2;
    else
        set(rsdp, 16, put_in(list, "RSDT", HEADER_BYTES + 4 * listed), 4);
    for (size_t i = 0; i < ACPI_RSDP_V1_BYTES; i++)
        sum = (uint8_t)(sum + rsdp[i]);
    rsdp[8] = (uint8_t)-sum;
    if (width == 8)
        set(rsdp, 24, put_in(list, "XSDT", HEADER_BYTES + 8 * listed), 8);
    tables = (struct acpi_tables){.map = map_fake};
    acpi_open(&tables, rsdp);
}

static uint64_t put_in_dsdt(uint8_t sleep_type)
{
    uint8_t dsdt[HEADER_BYTES + 10] = {0};

    memcpy(dsdt + HEADER_BYTES, "\x08_S5_\x12\x04\x01\x0a", 9);
    dsdt[HEADER_BYTES + 9] = sleep_type;
    return put_in(dsdt, "DSDT", sizeof dsdt);
}

static void set_register(uint8_t *fadt, size_t offset, uint8_t space, uint64_t address)
{
    fadt[offset] = space;
    set(fadt, offset + 4, address, 8);
}

/* A FADT with everything in it; `flags` and what else differs is the test's. */
static void fill_fadt(uint8_t *fadt, uint32_t flags, uint64_t dsdt)
{
    memset(fadt, 0, FADT_BYTES);
    set(fadt, 40, 0x1000, 4); /* no table */
    set(fadt, 56, 0x600, 4);
    set(fadt, 64, 0x604, 4);
    fadt[88] = 4;
    set(fadt, 112, flags, 4);
    set_register(fadt, 116, ACPI_PORT, 0xcf9);
    fadt[128] = 6;
    set(fadt, 140, dsdt, 8);
    set_register(fadt, 244, ACPI_PORT, 0x3c0);
}

enum { RESET_SUPPORTED = 1 << 10, REDUCED = 1 << 20 };

static void read_with(uint8_t *fadt, size_t len)
{
    put_in_list(fadt, "FACP", len);
    open_tables();
    acpi_read_machine(&tables, &machine);
}

TEST(acpi_root_pointer_needs_its_sum)
{
    begin();
    open_tables();
    CHECK(acpi_is_rsdp(rsdp));
    rsdp[12]++;
    CHECK(!acpi_is_rsdp(rsdp));
    rsdp[12]--;
    rsdp[0]++, rsdp[8]--;
    CHECK(!acpi_is_rsdp(rsdp));
}

/* What is behind the fields of that version means nothing. */
TEST(acpi_of_version_1)
{
    uint8_t fadt[FADT_BYTES];

    begin_v1();
    uint64_t dsdt = put_in_dsdt(7);
    fill_fadt(fadt, 0, 0);
    set(fadt, 40, dsdt, 4);
    put_in_list(fadt, "FACP", 116);
    open_tables();
    memset(rsdp + ACPI_RSDP_V1_BYTES, 0x55, ACPI_RSDP_BYTES - ACPI_RSDP_V1_BYTES);
    CHECK(acpi_is_rsdp(rsdp));
    acpi_open(&tables, rsdp);
    acpi_read_machine(&tables, &machine);
    CHECK(machine.has_s5);
    CHECK_EQ(machine.sleep_type, 7);
    CHECK_EQ(machine.pm1_control.address, 0x604);
    CHECK_EQ(machine.reset.address, 0);
}

TEST(acpi_full_machine_has_pm1)
{
    uint8_t fadt[FADT_BYTES];

    begin();
    fill_fadt(fadt, RESET_SUPPORTED, put_in_dsdt(5));
    read_with(fadt, FADT_BYTES);
    CHECK(machine.has_s5);
    CHECK_EQ(machine.sleep_type, 5);
    CHECK_EQ(machine.pm1_status.address, 0x600);
    CHECK_EQ(machine.pm1_enable.address, 0x602);
    CHECK_EQ(machine.pm1_control.address, 0x604);
    CHECK_EQ(machine.pm1_control.space, ACPI_PORT);
    CHECK_EQ(machine.sleep_control.address, 0);
    CHECK_EQ(machine.reset.address, 0xcf9);
    CHECK_EQ(machine.reset_value, 6);
}

TEST(acpi_extended_fields_win)
{
    uint8_t fadt[FADT_BYTES];

    begin();
    fill_fadt(fadt, 0, put_in_dsdt(5));
    set_register(fadt, 148, ACPI_MEMORY, 0xfed40000);
    set_register(fadt, 172, ACPI_PORT, 0xb004);
    read_with(fadt, FADT_BYTES);
    CHECK_EQ(machine.pm1_status.address, 0xfed40000);
    CHECK_EQ(machine.pm1_status.space, ACPI_MEMORY);
    CHECK_EQ(machine.pm1_enable.address, 0xfed40002);
    CHECK_EQ(machine.pm1_control.address, 0xb004);
    CHECK_EQ(machine.reset.address, 0); /* its flag isn't set */
}

/* The PM1 fields are there, and mean nothing (5.2.9, HW_REDUCED_ACPI). */
TEST(acpi_reduced_machine_has_a_sleep_register_and_no_pm1)
{
    uint8_t fadt[FADT_BYTES];

    begin();
    fill_fadt(fadt, REDUCED, put_in_dsdt(5));
    read_with(fadt, FADT_BYTES);
    CHECK(machine.has_s5);
    CHECK_EQ(machine.pm1_status.address, 0);
    CHECK_EQ(machine.pm1_enable.address, 0);
    CHECK_EQ(machine.pm1_control.address, 0);
    CHECK_EQ(machine.sleep_control.address, 0x3c0);
    CHECK_EQ(machine.sleep_control.space, ACPI_PORT);
    CHECK_EQ(machine.sleep_control.bytes, 1);
}

/* From none to all of it, the table ends where the memory does. What it doesn't reach isn't there.
 */
TEST(acpi_fadt_of_every_length)
{
    uint8_t fadt[FADT_BYTES];

    for (size_t len = HEADER_BYTES; len <= FADT_BYTES; len++) {
        begin();
        fill_fadt(fadt, RESET_SUPPORTED | (len % 2 ? REDUCED : 0), 0);
        uint64_t phys = put_in(fadt, "FACP", len);
        set(list, HEADER_BYTES, phys, 8);
        listed = 1;
        open_tables();
        acpi_read_machine(&tables, &machine);
        CHECK(!machine.has_s5);
        CHECK_EQ(machine.pm1_control.address, len >= 116 && len % 2 == 0 ? 0x604 : 0);
        CHECK_EQ(machine.reset.address, len >= 128 ? 0xcf9 : 0);
        CHECK_EQ(machine.sleep_control.address, len >= 256 && len % 2 ? 0x3c0 : 0);
    }
}

TEST(acpi_registers_out_of_reach_are_none)
{
    static const struct {
        uint8_t space;
        uint64_t address;
    } bad[] = {{ACPI_PORT, 0},
               {ACPI_PORT, 0x10000},
               {ACPI_MEMORY, 0xfff},
               {2, 0x1000},
               {ACPI_MEMORY, BOOT_ADDRESS_END},
               {ACPI_MEMORY, UINT64_MAX},
               {0x7f, 0x1000}};
    uint8_t fadt[FADT_BYTES];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        begin();
        fill_fadt(fadt, RESET_SUPPORTED, 0);
        set_register(fadt, 116, bad[i].space, bad[i].address);
        set_register(fadt, 148, bad[i].space, bad[i].address ? bad[i].address : 0xffff);
        read_with(fadt, FADT_BYTES);
        CHECK_EQ(machine.reset.address, 0);
        CHECK_EQ(machine.pm1_status.address, 0);
        CHECK_EQ(machine.pm1_enable.address, 0);
    }
}

TEST(acpi_s5_in_an_ssdt)
{
    uint8_t fadt[FADT_BYTES], ssdt[HEADER_BYTES + 10] = {0};

    begin();
    put_in_list(ssdt, "SSDT", HEADER_BYTES); /* one with nothing in it */
    memcpy(ssdt + HEADER_BYTES, "\x08_S5_\x12\x04\x01\x0a\x03", 10);
    put_in_list(ssdt, "SSDT", sizeof ssdt);
    fill_fadt(fadt, 0, 0); /* and no DSDT */
    read_with(fadt, FADT_BYTES);
    CHECK(machine.has_s5);
    CHECK_EQ(machine.sleep_type, 3);
}

TEST(acpi_without_s5_there_is_no_soft_off)
{
    uint8_t fadt[FADT_BYTES];

    begin();
    fill_fadt(fadt, 0, put_in_dsdt(8)); /* no sleep type has four bits */
    read_with(fadt, FADT_BYTES);
    CHECK(!machine.has_s5);
    begin();
    open_tables();
    acpi_read_machine(&tables, &machine); /* no FADT either */
    CHECK(!machine.has_s5);
    CHECK_EQ(machine.pm1_control.address, 0);
}

TEST(acpi_madt_entries_of_all_kinds)
{
    static const uint8_t entries[] = {0, 8,  0, 0, 1, 0, 0, 0,       /* a local APIC */
                                      2, 10, 0, 0, 2, 0, 0, 0, 0, 0, /* an override */
                                      9, 16, 0, 0, 7, 0, 0, 0, 1, 0,
                                      0, 0,  3, 0, 0, 0,       /* an x2APIC, id 7 */
                                      0, 8,  1, 1, 1, 0, 0, 0, /* another local APIC */
                                      1, 4,  0, 0,             /* an I/O APIC that is cut off */
                                      0, 0,  0, 8, 1, 1, 1, 1, /* no length: the end */
                                      0, 8,  2, 2, 1, 0, 0, 0};
    uint8_t madt[44 + sizeof entries] = {0}, got[16];

    memcpy(madt + 44, entries, sizeof entries);
    begin();
    put_in_list(madt, "APIC", sizeof madt);
    open_tables();
    CHECK(acpi_tables_madt_entry(&tables, 0, 1, got, 8));
    CHECK_EQ(got[3], 1);
    CHECK(!acpi_tables_madt_entry(&tables, 0, 2, got, 8));
    CHECK(acpi_tables_madt_entry(&tables, 9, 0, got, 16));
    CHECK_EQ(got[4], 7);
    CHECK(!acpi_tables_madt_entry(&tables, 1, 0, got, 12));
}

/* Any byte of any table may be anything. */
TEST(acpi_tables_with_garbage)
{
    uint32_t random = 1;

    for (uint32_t round = 0; round < 20000; round++) {
        uint8_t fadt[FADT_BYTES], madt[64] = {[44] = 0, 8, [52] = 1, 12};
        begin();
        fill_fadt(fadt, round % 2 ? REDUCED : RESET_SUPPORTED, put_in_dsdt(5));
        put_in_list(madt, "APIC", sizeof madt);
        put_in_list(fadt, "FACP", FADT_BYTES);
        open_tables();
        for (uint32_t i = 0; i < 1 + round % 8; i++) {
            random = random * 1664525 + 1013904223;
            memory[ROOM - 1 - (random >> 8) % used] = (uint8_t)(random >> 24);
        }
        acpi_open(&tables, rsdp);
        acpi_read_machine(&tables, &machine);
        CHECK(machine.sleep_type <= 7);
        CHECK(machine.reset.space != ACPI_PORT || machine.reset.address <= 0xffff);
        CHECK(machine.events.address == 0 || machine.power_event != 0);
        for (unsigned n = 0; acpi_tables_madt_entry(&tables, 0, n, fadt, 8); n++)
            CHECK(n < 32);
    }
}
