/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_pci.h - virtio over PCI (virtio 1.1, section 4.1), modern interface only.
 */
#ifndef NETDEV_VIRTIO_PCI_H
#define NETDEV_VIRTIO_PCI_H

#include "netdev/virtio/pci.h"
#include "netdev/virtio/virtio.h"

#include <linux/virtio_pci.h>

/* Finds the network devices on PCI, in the order of buses and slots, and hands them to
 * virtio_net_add. Says why of one that can't be used. */
void virtio_pci_probe(const struct pci_access *pci);

/* For virtio_pci_probe: looks whether a function is a virtio-iommu that lets nothing through; and
 * after all functions, says so if the device is behind it. */
struct virtio_pci;
void virtio_pci_iommu_look(const struct pci_access *pci, uint16_t function);
void virtio_pci_iommu_tell(struct virtio_pci *dev);

/* What a function is. */
enum virtio_pci_found {
    VIRTIO_PCI_NET,
    VIRTIO_PCI_NETWORK, /* another maker's network device */
    VIRTIO_PCI_OTHER,
};

/* For virtio_pci_probe and its tests. */
enum virtio_pci_found virtio_pci_identify(uint32_t vendor_device, uint32_t class_revision);

struct virtio_pci {
    struct virtio_transport base;
    const struct pci_access *pci;
    uint16_t function;
    uint32_t id;             /* PCI_VENDOR_DEVICE */
    uint32_t place, bar;     /* the word of configuration space that says where `common` is */
    uint8_t status;          /* as it was set last; 0: the device is in reset and not in use */
    bool left_alone;         /* what is there was given back, or isn't the device that was */
    uint64_t next_slot_ns;   /* when the slot is looked at again */
    bool dma_stopped;        /* bus mastering is off */
    uint64_t unplaced_bytes; /* of a BAR for which there is no address; 0: that isn't so */
    volatile struct virtio_pci_common_cfg *common;
    volatile uint8_t *device; /* the device's own configuration */
    uint32_t device_len;
    uint64_t notify_phys; /* the notification area; each doorbell is mapped by itself */
    uint32_t notify_len, notify_multiplier;
    volatile uint16_t *doorbells[VIRTIO_QUEUES_MAX]; /* where each enabled queue is kicked */
    struct pci_msix msix;
    bool interrupts[VIRTIO_QUEUES_MAX]; /* the queue has an entry of the table ... */
    uint32_t woken[VIRTIO_QUEUES_MAX];  /* ... which wakes this core, plus 1; 0: nobody as yet */
};

_Static_assert(offsetof(struct virtio_pci, base) == 0, "cast from a virtio_transport");

/* For virtio_pci_probe and its tests: finds the device's structures behind `function`, maps them
 * and enables the device. False if it hasn't got all that a modern device must have. */
bool virtio_pci_attach(struct virtio_pci *dev, const struct pci_access *pci, uint16_t function);

#endif
