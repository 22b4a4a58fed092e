/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi.c - notices the power button and switches the machine off, by the registers that ACPI's
 * tables name (acpi_tables.h). A machine has either the fixed registers PM1, or is hardware-reduced
 * and has a sleep control register and a generic event device (ACPI 6.4: 4.8.3.1, 4.8.3.7, 4.8.2.2,
 * 5.6.9). Both buttons are looked at, not waited for: no interrupt comes from them.
 */
#include "boot/io.h"
#include "boot/kvm/acpi_tables.h"
#include "boot/kvm/kvm.h"
#include "boot/pvh/pvh.h"

enum { PM1_POWER_BUTTON = 1 << 8 };
enum { PM1_SLEEP_TYPE = 7 << 10, PM1_SLEEP_TYPE_SHIFT = 10, PM1_SLEEP_ENABLE = 1 << 13 };
enum { REDUCED_SLEEP_TYPE_SHIFT = 2, REDUCED_SLEEP_ENABLE = 1 << 5 };

static const uint8_t *map_table(uint64_t phys, size_t len)
{
    /* Page zero is never mapped. */
    if (phys < PAGE_SIZE || phys >= BOOT_ADDRESS_END || len > BOOT_ADDRESS_END - phys)
        return NULL;
    paging_map(phys, len, false);
    return (const uint8_t *)(uintptr_t)phys;
}

static struct acpi_tables tables = {.map = map_table};
static struct acpi_machine machine;

/* Where a PC's firmware leaves the root pointer. */
RUNS_SELDOM static const uint8_t *search_rsdp(void)
{
    enum { BEGIN = 0xe0000, END = 0x100000, STEP = 16 };

    for (uintptr_t at = BEGIN; at + ACPI_RSDP_BYTES <= END; at += STEP)
        if (acpi_is_rsdp((const uint8_t *)at))
            return (const uint8_t *)at;
    return NULL;
}

/* All ones, if nothing is there. */
static uint32_t read_register(struct acpi_register r)
{
    const bool port = r.space == ACPI_PORT;
    const volatile void *memory = (const volatile void *)(uintptr_t)r.address;

    if (r.bytes == 1)
        return port ? inb((uint16_t)r.address) : *(const volatile uint8_t *)memory;
    if (r.bytes == 2)
        return port ? inw((uint16_t)r.address) : *(const volatile uint16_t *)memory;
    return port ? inl((uint16_t)r.address) : *(const volatile uint32_t *)memory;
}

static void write_register(struct acpi_register r, uint16_t value)
{
    volatile void *memory = (volatile void *)(uintptr_t)r.address;

    if (r.address && r.space == ACPI_PORT && r.bytes == 1)
        outb((uint16_t)r.address, (uint8_t)value);
    else if (r.address && r.space == ACPI_PORT)
        outw((uint16_t)r.address, value);
    else if (r.address && r.bytes == 1)
        *(volatile uint8_t *)memory = (uint8_t)value;
    else if (r.address)
        *(volatile uint16_t *)memory = value;
}

static void map_registers(void)
{
    const struct acpi_register *all[] = {&machine.pm1_status,    &machine.pm1_enable,
                                         &machine.pm1_control,   &machine.reset,
                                         &machine.sleep_control, &machine.events};

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i]->address && all[i]->space == ACPI_MEMORY)
            paging_map(all[i]->address, all[i]->bytes, true);
}

RUNS_SELDOM void acpi_init(uint64_t rsdp_phys)
{
    const uint8_t *rsdp = rsdp_phys ? map_table(rsdp_phys, ACPI_RSDP_BYTES) : NULL;

    if (!rsdp || !acpi_is_rsdp(rsdp))
        rsdp = search_rsdp();
    if (rsdp)
        acpi_open(&tables, rsdp);
    acpi_read_machine(&tables, &machine);
    map_registers();
    write_register(machine.pm1_enable, PM1_POWER_BUTTON); /* else its status stays clear */
    if (machine.events.address)
        read_register(machine.events); /* forgets what was told to a life before a reset */
}

RUNS_SELDOM const uint8_t *acpi_machine_table(const char *signature, size_t *len)
{
    if (memcmp(signature, "DSDT", 4) == 0)
        return acpi_dsdt(&tables, len);
    return acpi_table(&tables, signature, 0, len);
}

bool acpi_madt_entry(uint8_t type, unsigned n, void *entry, size_t len)
{
    return acpi_tables_madt_entry(&tables, type, n, entry, len);
}

static bool says(struct acpi_register r, uint32_t bit)
{
    if (!r.address)
        return false;
    const uint32_t value = read_register(r);
    const uint32_t absent = UINT32_MAX >> (32 - 8 * r.bytes);
    return value != absent && value & bit;
}

bool acpi_power_button(void)
{
    return says(machine.pm1_status, PM1_POWER_BUTTON) || says(machine.events, machine.power_event);
}

bool acpi_power_off(void)
{
    const uint32_t type = machine.sleep_type;

    if (!machine.has_s5)
        return false;
    if (machine.pm1_control.address) {
        uint32_t others = read_register(machine.pm1_control) & ~(uint32_t)PM1_SLEEP_TYPE;
        write_register(machine.pm1_control,
                       (uint16_t)(others | type << PM1_SLEEP_TYPE_SHIFT | PM1_SLEEP_ENABLE));
    }
    write_register(machine.sleep_control,
                   (uint16_t)(type << REDUCED_SLEEP_TYPE_SHIFT | REDUCED_SLEEP_ENABLE));
    return machine.pm1_control.address || machine.sleep_control.address;
}

bool acpi_reset(void)
{
    write_register(machine.reset, machine.reset_value);
    return machine.reset.address != 0;
}
