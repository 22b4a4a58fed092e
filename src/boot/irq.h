/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irq.h - what a driver of the kvm platform needs to be woken by its device. A driver first learns
 * here what the device has to do, tells the device, and from then on the device's interrupts end
 * boot_wait() (boot.h) on the core named. Nothing is called when one comes.
 */
#ifndef BOOT_IRQ_H
#define BOOT_IRQ_H

#include "boot/lib.h"

/* What a device writes where to interrupt (PCI 3.0, 6.8.1). */
struct boot_msi {
    uint64_t address;
    uint32_t data;
};

/* The message that wakes a core. What comes before the core runs is lost. */
struct boot_msi boot_msi(uint32_t core);

/*
 * Lets the interrupt line `line`, numbered as ACPI does, or without ACPI as the I/O APIC does, wake
 * core 0 when it rises. So a device that holds its line until it is told to let go (virtio-mmio)
 * interrupts once, and its driver tells it when it wants the next one. Called on core 0. False if
 * the machine has no such line.
 */
bool boot_irq_line(uint32_t line);

#endif
