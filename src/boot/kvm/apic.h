/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apic.h - the interrupt controllers: each core's local APIC (Intel SDM volume 3, chapter 11) and
 * its timer, and the I/O APICs that turn lines of devices into its interrupts. irq.h is what
 * drivers see of it.
 *
 * One vector wakes for all devices, as an interrupt only ends a wait. The local APIC keeps it until
 * boot_wait lets it through: elsewhere interrupts are off.
 */
#ifndef BOOT_KVM_APIC_H
#define BOOT_KVM_APIC_H

#include "boot/boot.h"

enum { APIC_VECTOR_WAKE = 32, APIC_VECTOR_TIMER, APIC_VECTOR_SPURIOUS };

/* Makes this core's local APIC ready to take wake-ups. All that uses it calls this by itself; a
 * further core must, before devices or other cores wake it. A second
 * call changes nothing. */
void apic_start(void);

/* The ids by which local APICs are told apart, by core. apic_start on a core sets that core's. */
extern uint32_t apic_ids[BOOT_CORES_MAX];

/* This core's. */
uint32_t apic_id(void);

/* Sends what `command` says, the low half of the interrupt command register (11.6.1), to the core
 * of that id: APIC_VECTOR_WAKE wakes it. */
void apic_send(uint32_t id, uint32_t command);

#endif
