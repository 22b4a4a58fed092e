/* SPDX-License-Identifier: BSD-2-Clause */
/* kvm.h - what the parts of the kvm platform share. */
#ifndef BOOT_KVM_KVM_H
#define BOOT_KVM_KVM_H

#include "boot/lib.h"

/* clock.c: asks the host for its clock pages (ring 0), then finds the best clock. */
void clock_init_ring0(void);
void clock_init(void);
void clock_init_core(uint32_t core); /* ring 0, on that core: its own page */

/* start.c: boot_stopping looks at the hardware once in 10 ms, which takes some 100 us under KVM. So
 * that no packet waits for a look, boot_wait has it done before it sleeps, by the first of these
 * (true: the operator wants an end, so don't sleep); the second says that the core woke up, after
 * which boot_stopping doesn't look for 10 ms. */
bool stopping_before_sleep(void);
void stopping_woke(void);

/* acpi.c: reads the tables that the root pointer leads to; where there is none, searches for one as
 * on a PC. */
void acpi_init(uint64_t rsdp_phys);

/* acpi.c: copies `len` bytes of the n-th entry of this type, from 0 on, in the table of interrupt
 * controllers (MADT, ACPI 6.4, 5.2.12). False if there are no more. For start-up only: the table
 * is searched for at each call. */
bool acpi_madt_entry(uint8_t type, unsigned n, void *entry, size_t len);

/* acpi.c: has the power button been pressed? */
bool acpi_power_button(void);

/* acpi.c: asks the machine to switch itself off, or to reset itself. True: the VMM may take a
 * moment to act. False: the machine has no register for that. */
bool acpi_power_off(void);
bool acpi_reset(void);

#endif
