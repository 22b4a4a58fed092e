/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi_tables.h - what ACPI's tables say: where the machine's registers for ending and for the
 * power button are, and its interrupt controllers. Nothing here touches a device, so it is tested
 * as a host process, too; acpi.c uses the registers.
 *
 * The tables are the VMM's. Every length is read once and checked before it is used, and what isn't
 * as ACPI 6.4 says is passed over: such a table, field or object counts as missing.
 */
#ifndef BOOT_KVM_ACPI_TABLES_H
#define BOOT_KVM_ACPI_TABLES_H

#include "boot/lib.h"

enum { ACPI_RSDP_BYTES = 36, ACPI_RSDP_V1_BYTES = 20 };

/* How tables are reached: from the root pointer (RSDP) over the list of all (XSDT or RSDT). */
struct acpi_tables {
    /* Makes memory readable and tells where it then is; NULL if that can't be. */
    const uint8_t *(*map)(uint64_t phys, size_t len);
    const uint8_t *list; /* NULL: there are no tables */
    size_t list_len, width;
};

/* Is a root pointer at `rsdp`, of which ACPI_RSDP_V1_BYTES can be read (5.2.5.3)? */
bool acpi_is_rsdp(const uint8_t *rsdp);

/* Takes the list that a root pointer leads to, of which ACPI_RSDP_BYTES can be read. */
void acpi_open(struct acpi_tables *tables, const uint8_t *rsdp);

/* The n-th table, from 0 on, of this signature, and its length; or NULL. */
const uint8_t *acpi_table(const struct acpi_tables *tables, const char *signature, unsigned n,
                          size_t *len);

/* The machine's description in AML (DSDT, 5.2.11.1), to which the FADT points; or NULL. */
const uint8_t *acpi_dsdt(const struct acpi_tables *tables, size_t *len);

/* Copies `len` bytes of the n-th entry of this type in the table of interrupt controllers (MADT,
 * 5.2.12). False if there are no more. */
bool acpi_tables_madt_entry(const struct acpi_tables *tables, uint8_t type, unsigned n, void *entry,
                            size_t len);

enum acpi_space { ACPI_MEMORY = 0, ACPI_PORT = 1 };

struct acpi_register {
    uint64_t address; /* 0: there is none */
    enum acpi_space space;
    uint8_t bytes; /* 1, 2 or 4 */
};

/* What the fixed description table (FADT, 5.2.9) and the machine's description in AML (5.2.11)
 * tell. Hardware-reduced machines have no PM1 registers, others no event selector. */
struct acpi_machine {
    struct acpi_register pm1_status, pm1_enable, pm1_control;
    struct acpi_register sleep_control, reset;
    struct acpi_register events; /* which events there were; reading forgets them */
    uint32_t power_event;        /* the power button's bit in it */
    bool has_s5;                 /* soft off */
    uint8_t sleep_type;          /* of S5 */
    uint8_t reset_value;
};

void acpi_read_machine(const struct acpi_tables *tables, struct acpi_machine *machine);

/* --- acpi_aml.c: what is looked for in AML, the byte code of DSDT and SSDT (chapter 20) --------
 */

/* The sleep type of \_S5 (7.4.2). False if it isn't there. */
bool acpi_aml_sleep_type(const uint8_t *aml, size_t len, uint8_t *sleep_type);

/* The register that a generic event device (5.6.9) reads to learn what happened, and the bit that
 * means the power button. False if there isn't both. */
bool acpi_aml_power_button(const uint8_t *aml, size_t len, struct acpi_register *events,
                           uint32_t *bit);

#endif
