/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_space.h - addresses for the BARs that the firmware left without one, and windows for bridges.
 *
 * On a host bridge's bus an address is taken from the host's window; behind a bridge, from the
 * bridge's own, which it gets here if it has none. An address that is used is never given again,
 * but for the same BAR: so a device that is unplugged and plugged in again is where it was.
 */
#ifndef NETDEV_PCI_SPACE_H
#define NETDEV_PCI_SPACE_H

#include "netdev/virtio/pci.h"

/* Takes note that BAR number `index` is where it is. */
void pci_space_claim(uint16_t function, uint32_t index, const struct pci_bar *bar);

/* Finds an address for a BAR that was measured, and sets bar->base. False if there is none. */
bool pci_space_place(const struct pci_access *pci, uint16_t function, uint32_t index,
                     struct pci_bar *bar);

/* Forgets everything: for tests. */
void pci_space_forget(void);

#endif
