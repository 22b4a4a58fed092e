/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_slots.h - slots that devices are plugged into and taken out of while the machine runs.
 *
 * Who runs the machine asks for a device back, waits until the guest has given it, and then takes
 * it. Two kinds of slots tell of that, and both are asked here, never by an interrupt:
 *
 *   ACPI        registers of QEMU's behind I/O ports, which the DSDT names: a bit for each slot of
 * a bus that is wanted back, and one to be written by which it is given. On pc, and on q35 unless
 * ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off. PCI Express the slot registers of the port in
 * front of the bus (PCI Express 6.0, 7.5.3.9 to 7.5.3.11): the attention button asks, and switching
 * the slot's power off gives.
 */
#ifndef NETDEV_PCI_SLOTS_H
#define NETDEV_PCI_SLOTS_H

#include "netdev/virtio/pci.h"

enum { PCI_SLOTS_BUSES_MAX = 64 };

/* After pci_scan: finds the buses that have such slots, the first PCI_SLOTS_BUSES_MAX. */
void pci_slots_find(const struct pci_access *pci);

/* Is the device that this is a function of wanted back, or a bridge on the way to it? */
bool pci_slot_wanted_back(const struct pci_access *pci, uint16_t function);

/* Gives back what is wanted, the device or a bridge on the way to it, unless a function there is in
 * use: `function` is one of the slot that is to be given. */
void pci_slot_give_back(const struct pci_access *pci, uint16_t function,
                        bool (*in_use)(uint16_t function));

/* False if the slot of this function has no power. If a device is in it, it gets power, and some
 * milliseconds later that can be used. */
bool pci_slot_has_power(const struct pci_access *pci, uint16_t function);

/* Gives back what is wanted back from the slots of one bus, the next one at each call, if no
 * function of it is in use; `function` is the first one of a slot. */
void pci_slots_tidy(const struct pci_access *pci, bool (*in_use)(uint16_t function));

#endif
