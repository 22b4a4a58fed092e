/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi.c - just enough of ACPI to notice the power button and to switch the machine off: the fixed
 * description table (FADT), and from the DSDT the sleep type of state S5; and the entries of the
 * table of interrupt controllers (MADT). (ACPI 6.4: 4.8.3, 5.2.5 to 5.2.9, 5.2.12, 7.4.2.) The
 * tables are the VMM's: every length is checked before it is used.
 */
#include "boot/io.h"
#include "boot/kvm/kvm.h"
#include "boot/pvh/pvh.h"

enum { TABLE_MAX = 1 << 20, HEADER_BYTES = 36 };
enum {
    FADT_DSDT = 40,
    FADT_PM1A_EVENT = 56,
    FADT_PM1A_CONTROL = 64,
    FADT_PM1_EVENT_LEN = 88,
    FADT_RESET_REG = 116,
    FADT_RESET_VALUE = 128,
    FADT_SLEEP_CONTROL = 244
};
enum { MADT_ENTRIES = 44 };
enum { POWER_BUTTON = 1 << 8, SLEEP_ENABLE = 1 << 13, SLEEP_ENABLE_REDUCED = 1 << 5 };

static struct {
    const uint8_t *rsdp;               /* NULL: the machine has no ACPI */
    uint16_t pm1a_event, pm1a_control; /* ports; 0: none */
    struct acpi_register {
        uint64_t address; /* 0: none */
        uint8_t space;    /* 0 memory, 1 port */
    } reset, sleep_control;
    uint8_t reset_value;
    uint8_t sleep_type; /* of S5 */
} acpi;

static uint64_t field(const uint8_t *table, size_t offset, size_t len)
{
    uint64_t v = 0;

    memcpy(&v, table + offset, len);
    return v;
}

/* A table with a good length and, unless it is NULL, this signature; or NULL. */
RUNS_SELDOM static const uint8_t *table_at(uint64_t phys, const char *signature)
{
    if (phys < PAGE_SIZE || phys > 1ull << 40) /* page zero is never mapped */
        return NULL;
    paging_map(phys, HEADER_BYTES, false);
    const uint8_t *t = (const uint8_t *)(uintptr_t)phys;
    uint64_t len = field(t, 4, 4);
    if (len < HEADER_BYTES || len > TABLE_MAX || (signature && memcmp(t, signature, 4) != 0))
        return NULL;
    paging_map(phys, len, false);
    return t;
}

/* The table that the root pointer leads to under this signature; or NULL. */
RUNS_SELDOM static const uint8_t *find_table(const char *signature)
{
    const uint8_t *rsdp = acpi.rsdp;
    if (!rsdp)
        return NULL;
    bool extended = rsdp[15] >= 2 && field(rsdp, 24, 8) != 0;
    size_t width = extended ? 8 : 4;
    const uint8_t *root =
        table_at(extended ? field(rsdp, 24, 8) : field(rsdp, 16, 4), extended ? "XSDT" : "RSDT");

    if (!root)
        return NULL;
    size_t len = field(root, 4, 4);
    for (size_t at = HEADER_BYTES; at + width <= len; at += width) {
        const uint8_t *t = table_at(field(root, at, width), signature);
        if (t)
            return t;
    }
    return NULL;
}

/* Where a PC's firmware leaves the root pointer. */
static const uint8_t *search_rsdp(void)
{
    for (uintptr_t at = 0xe0000; at < 0x100000; at += 16)
        if (memcmp((const void *)at, "RSD PTR ", 8) == 0)
            return (const uint8_t *)at;
    return NULL;
}

/* \_S5 is a package whose first element is the sleep type: NameOp? "_S5_" PackageOp(0x12) length
 * count element, the element as a byte constant (0x0a n), Zero or One. */
static uint8_t find_sleep_type(const uint8_t *dsdt)
{
    size_t len = field(dsdt, 4, 4);

    for (size_t at = HEADER_BYTES; at + 12 <= len; at++) {
        const uint8_t *p = dsdt + at;
        if (memcmp(p, "_S5_", 4) != 0 || p[4] != 0x12)
            continue;
        p += 5;
        p += 1 + (p[0] >> 6); /* package length, 1 to 4 bytes */
        p += 1;               /* number of elements */
        if (p + 2 > dsdt + len)
            break;
        return p[0] == 0x0a ? p[1] & 7 : p[0] & 7;
    }
    return 0;
}

static struct acpi_register read_register(const uint8_t *fadt, size_t offset)
{
    struct acpi_register r = {0, 0};

    if (field(fadt, 4, 4) >= offset + 12 && fadt[offset] <= 1) {
        r.space = fadt[offset];
        r.address = field(fadt, offset + 4, 8);
    }
    if (r.space == 0 && (r.address < PAGE_SIZE || r.address >= BOOT_ADDRESS_END))
        r.address = 0;
    if (r.space == 0 && r.address)
        paging_map(r.address, 1, true);
    return r;
}

RUNS_SELDOM void acpi_init(uint64_t rsdp)
{
    if (rsdp >= PAGE_SIZE && rsdp < 1ull << 40) {
        paging_map(rsdp, HEADER_BYTES, false);
        acpi.rsdp = (const uint8_t *)(uintptr_t)rsdp;
    } else {
        acpi.rsdp = search_rsdp();
    }
    const uint8_t *fadt = find_table("FACP");
    if (!fadt || field(fadt, 4, 4) < FADT_RESET_REG)
        return;
    const uint8_t *dsdt = table_at(field(fadt, FADT_DSDT, 4), "DSDT");
    acpi.pm1a_event = (uint16_t)field(fadt, FADT_PM1A_EVENT, 4);
    acpi.pm1a_control = (uint16_t)field(fadt, FADT_PM1A_CONTROL, 4);
    acpi.sleep_type = dsdt ? find_sleep_type(dsdt) : 0;
    acpi.reset = read_register(fadt, FADT_RESET_REG);
    if (field(fadt, 4, 4) > FADT_RESET_VALUE)
        acpi.reset_value = fadt[FADT_RESET_VALUE];
    acpi.sleep_control = read_register(fadt, FADT_SLEEP_CONTROL);
    if (acpi.pm1a_event) /* the status bit is set only if the event is enabled */
        outw((uint16_t)(acpi.pm1a_event + fadt[FADT_PM1_EVENT_LEN] / 2), POWER_BUTTON);
}

RUNS_SELDOM const uint8_t *acpi_table(const char *signature, size_t *len)
{
    const uint8_t *fadt = find_table("FACP");
    const uint8_t *t = find_table(signature);

    if (memcmp(signature, "DSDT", 4) == 0 && fadt && field(fadt, 4, 4) >= FADT_RESET_REG)
        t = table_at(field(fadt, FADT_DSDT, 4), "DSDT");
    if (t)
        *len = field(t, 4, 4);
    return t;
}

RUNS_SELDOM bool acpi_madt_entry(uint8_t type, unsigned n, void *entry, size_t len)
{
    const uint8_t *madt = find_table("APIC");
    size_t end = madt ? field(madt, 4, 4) : 0;

    for (size_t at = MADT_ENTRIES; at + 2 <= end; at += madt[at + 1]) {
        size_t entry_len = madt[at + 1];
        if (entry_len < 2 || entry_len > end - at)
            break;
        if (madt[at] == type && entry_len >= len && n-- == 0) {
            memcpy(entry, madt + at, len);
            return true;
        }
    }
    return false;
}

bool acpi_power_button(void)
{
    return acpi.pm1a_event && inw(acpi.pm1a_event) & POWER_BUTTON;
}

static void write_register(struct acpi_register r, uint8_t value)
{
    if (r.address && r.space == 0)
        *(volatile uint8_t *)(uintptr_t)r.address = value;
    else if (r.address)
        outb((uint16_t)r.address, value);
}

/* The VMM may take a moment to act. */
static void give_it_time(void)
{
    uint64_t end = clock_cycles() + clock_cycles_hz() / 10;

    while (clock_cycles() < end)
        __asm__ volatile("pause");
}

void acpi_power_off(void)
{
    if (acpi.pm1a_control)
        outw(acpi.pm1a_control, (uint16_t)(acpi.sleep_type << 10 | SLEEP_ENABLE));
    write_register(acpi.sleep_control, (uint8_t)(acpi.sleep_type << 2 | SLEEP_ENABLE_REDUCED));
    give_it_time();
    write_register(acpi.reset, acpi.reset_value);
    give_it_time();
    outb(0x64, 0xfe); /* the keyboard controller's reset line */
    give_it_time();
}
