/* SPDX-License-Identifier: BSD-2-Clause */
/* acpi_tables.c - from the root pointer to the fields of tables; see acpi_tables.h. */
#include "boot/kvm/acpi_tables.h"
#include "boot/boot.h"

enum { HEADER_BYTES = 36, TABLE_MAX = 1 << 20, LISTED_MAX = 256 };
enum { RSDP_RSDT = 16, RSDP_REVISION = 15, RSDP_XSDT = 24, MADT_ENTRIES = 44 };
enum {
    FADT_DSDT = 40,
    FADT_PM1A_EVENT = 56,
    FADT_PM1A_CONTROL = 64,
    FADT_PM1_EVENT_LEN = 88,
    FADT_FLAGS = 112,
    FADT_V1_BYTES = 116,
    FADT_RESET = 116,
    FADT_RESET_VALUE = 128,
    FADT_X_DSDT = 140,
    FADT_X_PM1A_EVENT = 148,
    FADT_X_PM1A_CONTROL = 172,
    FADT_SLEEP_CONTROL = 244
};
enum { REGISTER_BYTES = 12, HAS_RESET = 1 << 10, HARDWARE_REDUCED = 1 << 20 };
enum { PM1_EVENT_BYTES = 4, PM1_BYTES = 2 };

/* A number of the table; 0 where the table is too short to have it, as older revisions are. */
static uint64_t table_number(const uint8_t *table, size_t len, size_t offset, size_t bytes)
{
    uint64_t v = 0;

    if (offset <= len && bytes <= len - offset)
        memcpy(&v, table + offset, bytes);
    return v;
}

bool acpi_is_rsdp(const uint8_t *rsdp)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < ACPI_RSDP_V1_BYTES; i++)
        sum = (uint8_t)(sum + rsdp[i]);
    return sum == 0 && memcmp(rsdp, "RSD PTR ", 8) == 0;
}

/* The table there, if it has this signature and a good length; or NULL. */
RUNS_SELDOM static const uint8_t *table_at(const struct acpi_tables *tables, uint64_t phys,
                                           const char *signature, size_t *len)
{
    const uint8_t *t = tables->map(phys, HEADER_BYTES);

    if (!t || memcmp(t, signature, 4) != 0)
        return NULL;
    *len = table_number(t, HEADER_BYTES, 4, 4);
    return *len >= HEADER_BYTES && *len <= TABLE_MAX ? tables->map(phys, *len) : NULL;
}

RUNS_SELDOM void acpi_open(struct acpi_tables *tables, const uint8_t *rsdp)
{
    uint64_t rsdt = table_number(rsdp, ACPI_RSDP_BYTES, RSDP_RSDT, 4);
    uint64_t xsdt =
        rsdp[RSDP_REVISION] >= 2 ? table_number(rsdp, ACPI_RSDP_BYTES, RSDP_XSDT, 8) : 0;

    tables->width = xsdt ? 8 : 4;
    tables->list = table_at(tables, xsdt ? xsdt : rsdt, xsdt ? "XSDT" : "RSDT", &tables->list_len);
}

RUNS_SELDOM const uint8_t *acpi_table(const struct acpi_tables *tables, const char *signature,
                                      unsigned n, size_t *len)
{
    const size_t width = tables->width;

    if (!tables->list)
        return NULL;
    size_t listed = MIN((tables->list_len - HEADER_BYTES) / width, (size_t)LISTED_MAX);
    for (size_t i = 0; i < listed; i++) {
        uint64_t phys =
            table_number(tables->list, tables->list_len, HEADER_BYTES + i * width, width);
        const uint8_t *t = table_at(tables, phys, signature, len);
        if (t && n-- == 0)
            return t;
    }
    return NULL;
}

RUNS_SELDOM bool acpi_tables_madt_entry(const struct acpi_tables *tables, uint8_t type, unsigned n,
                                        void *entry, size_t len)
{
    size_t end = 0;
    const uint8_t *madt = acpi_table(tables, "APIC", 0, &end);

    for (size_t at = MADT_ENTRIES; madt && at + 2 <= end;) {
        const size_t entry_len = table_number(madt, end, at + 1, 1);
        if (entry_len < 2 || entry_len > end - at)
            break;
        if (madt[at] == type && entry_len >= len && n-- == 0) {
            memcpy(entry, madt + at, len);
            return true;
        }
        at += entry_len;
    }
    return false;
}

static struct acpi_register register_at(uint64_t space, uint64_t address, uint8_t bytes)
{
    const uint64_t first = space == ACPI_PORT ? 1 : PAGE_SIZE; /* page zero is never mapped */
    const uint64_t end = space == ACPI_PORT ? 1 << 16 : BOOT_ADDRESS_END;

    if (space > ACPI_PORT || address < first || address > end - bytes)
        return (struct acpi_register){0};
    return (struct acpi_register){address, (enum acpi_space)space, bytes};
}

/* A generic address (5.2.3.2): its space, width in bits, offset, access size, address. */
static struct acpi_register generic_register(const uint8_t *table, size_t len, size_t offset,
                                             uint8_t bytes)
{
    if (offset + REGISTER_BYTES > len)
        return (struct acpi_register){0};
    return register_at(table[offset], table_number(table, len, offset + 4, 8), bytes);
}

/* By the extended field where it isn't 0, else by the one of ACPI 1.0. */
static struct acpi_register pm1_register(const uint8_t *fadt, size_t len, size_t extended,
                                         size_t old)
{
    if (table_number(fadt, len, extended + 4, 8) != 0)
        return generic_register(fadt, len, extended, PM1_BYTES);
    return register_at(ACPI_PORT, table_number(fadt, len, old, 4), PM1_BYTES);
}

static void read_pm1(const uint8_t *fadt, size_t len, struct acpi_machine *m)
{
    const uint64_t both = table_number(fadt, len, FADT_PM1_EVENT_LEN, 1); /* status and enable */

    m->pm1_control = pm1_register(fadt, len, FADT_X_PM1A_CONTROL, FADT_PM1A_CONTROL);
    m->pm1_status = pm1_register(fadt, len, FADT_X_PM1A_EVENT, FADT_PM1A_EVENT);
    if (m->pm1_status.address)
        m->pm1_enable = register_at(
            m->pm1_status.space, m->pm1_status.address + MAX(both, (uint64_t)PM1_EVENT_BYTES) / 2,
            PM1_BYTES);
}

RUNS_SELDOM const uint8_t *acpi_dsdt(const struct acpi_tables *tables, size_t *len)
{
    size_t fadt_len;
    const uint8_t *fadt = acpi_table(tables, "FACP", 0, &fadt_len);

    if (!fadt || fadt_len < FADT_V1_BYTES)
        return NULL;
    uint64_t extended = table_number(fadt, fadt_len, FADT_X_DSDT, 8);
    return table_at(tables, extended ? extended : table_number(fadt, fadt_len, FADT_DSDT, 4),
                    "DSDT", len);
}

static void read_events(const uint8_t *aml, size_t len, struct acpi_machine *m)
{
    struct acpi_register r;
    uint32_t bit;

    if (!acpi_aml_power_button(aml, len, &r, &bit))
        return;
    m->events = register_at(r.space, r.address, r.bytes);
    m->power_event = m->events.address ? bit : 0;
}

RUNS_SELDOM void acpi_read_machine(const struct acpi_tables *tables, struct acpi_machine *m)
{
    size_t fadt_len, len;
    const uint8_t *fadt = acpi_table(tables, "FACP", 0, &fadt_len), *aml;

    *m = (struct acpi_machine){0};
    if (!fadt || fadt_len < FADT_V1_BYTES)
        return;
    uint64_t flags = table_number(fadt, fadt_len, FADT_FLAGS, 4);
    bool reduced = flags & HARDWARE_REDUCED;
    if (reduced)
        m->sleep_control = generic_register(fadt, fadt_len, FADT_SLEEP_CONTROL, 1);
    else
        read_pm1(fadt, fadt_len, m);
    if (flags & HAS_RESET)
        m->reset = generic_register(fadt, fadt_len, FADT_RESET, 1);
    m->reset_value = (uint8_t)table_number(fadt, fadt_len, FADT_RESET_VALUE, 1);
    for (unsigned n = 0; n <= LISTED_MAX; n++) {
        aml = n == 0 ? acpi_dsdt(tables, &len) : acpi_table(tables, "SSDT", n - 1, &len);
        if (!aml && n > 0)
            return;
        if (!aml)
            continue; /* without a DSDT there may still be SSDTs */
        if (!m->has_s5)
            m->has_s5 = acpi_aml_sleep_type(aml, len, &m->sleep_type);
        if (reduced && !m->power_event)
            read_events(aml, len, m);
    }
}
