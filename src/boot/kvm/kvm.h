/* SPDX-License-Identifier: BSD-2-Clause */
/* kvm.h - what the parts of the kvm platform share. */
#ifndef BOOT_KVM_KVM_H
#define BOOT_KVM_KVM_H

#include "boot/lib.h"
#include "boot/pvh/pvh.h"

/* clock.c: asks the host for its clock pages (ring 0), then finds the best clock. */
void clock_init_ring0(void);
void clock_init(void);
void clock_init_core(uint32_t core); /* ring 0, on that core: its own page */

/* clock.c, core 0: measures the cycle counter's frequency more exactly, once it can, where the
 * machine doesn't tell it. To be called at least each 30 ms for a while; it costs little. */
void clock_refine(void);

/* console.c: sets up the serial port; and is Ctrl-C among what was typed since the last look? */
void console_init(void);
bool console_ctrl_c(void);

/* clock.c: the first of KVM's leaves of CPUID, which are behind those of other VMMs that a host
 * plays (Linux' Documentation/virt/kvm/x86/cpuid.rst); 0 if there are none. */
uint32_t kvm_leaves(struct cpuid (*ask)(uint32_t leaf));

/* clock.c: moves a date by as little as makes it agree with a clock that tells whole seconds.
 * at_0_ns is the date when clock_ns() was 0, now_ns is clock_ns() when that clock told rtc_s. */
uint64_t date_at_0_ns(uint64_t at_0_ns, uint64_t now_ns, uint64_t rtc_s);

/* rtc.c: the real-time clock's date, 0 if there is none. Within a second of the date that is
 * expected it is believed at once; any other is read until two looks agree. */
uint64_t rtc_unix_s(uint64_t expected_s);

/* wait.S: what ring 3 isn't allowed, hlt in boot_wait and wrmsr in msr_write, becomes an exception,
 * in whose handler it is carried out. All other exceptions of that vector are reported. */
enum { PROTECTION = 13 }; /* the vector */
extern const char wait_protection[];
void msr_write(uint32_t msr, uint64_t value); /* either ring */

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

/* acpi.c: the table of this signature ("DSDT", too), and its length, which was checked against the
 * table's header and a limit only. NULL if there is none. For start-up only. */
const uint8_t *acpi_machine_table(const char *signature, size_t *len);

/* acpi.c: has the power button been pressed? */
bool acpi_power_button(void);

/* acpi.c: asks the machine to switch itself off, or to reset itself. True: the VMM may take a
 * moment to act. False: the machine has no register for that. */
bool acpi_power_off(void);
bool acpi_reset(void);

#endif
