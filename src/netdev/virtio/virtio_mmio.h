/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_mmio.h - virtio over memory-mapped registers (virtio 1.1, section 4.2), version 2.
 */
#ifndef NETDEV_VIRTIO_MMIO_H
#define NETDEV_VIRTIO_MMIO_H

#include "netdev/virtio/virtio.h"

#include <linux/virtio_mmio.h>

/*
 * Finds network devices and hands them to virtio_net_add: those that the key virtio_mmio.device
 * names, in its order, as QEMU's microvm and Firecracker tell a guest by themselves; or, if it
 * names none and `slots` is true, those in the slots of QEMU's microvm, in the order of QEMU's
 * command line. irq_line is boot_irq_line.
 */
void virtio_mmio_probe(bool slots, bool (*irq_line)(uint32_t line));

/* What stands at an address. */
enum virtio_mmio_found {
    VIRTIO_MMIO_NOTHING,
    VIRTIO_MMIO_EMPTY,  /* a slot without a device */
    VIRTIO_MMIO_LEGACY, /* version 1 */
    VIRTIO_MMIO_OTHER,  /* not a network device */
    VIRTIO_MMIO_NET,
};

struct virtio_mmio {
    struct virtio_transport base;
    volatile uint8_t *regs;
    uint32_t len;
    struct virtio_mmio_line {
        bool (*use)(uint32_t line); /* boot_irq_line; NULL once it was called */
        uint32_t numbers[2];        /* it has one of these: the first that the machine has */
        bool wakes;                 /* it ends boot_wait on core 0 */
    } line;
};

_Static_assert(offsetof(struct virtio_mmio, base) == 0, "cast from a virtio_transport");

/* A place as the key tells it. */
struct virtio_mmio_place {
    uint64_t phys, len;
    uint32_t line; /* of its interrupts */
};

/* For virtio_mmio_probe and its tests. `regs` are at least VIRTIO_MMIO_LEN_MIN bytes long. */
#define VIRTIO_MMIO_LEN_MIN 0x200
enum virtio_mmio_found virtio_mmio_identify(const volatile uint8_t *regs);
void virtio_mmio_attach(struct virtio_mmio *dev, volatile uint8_t *regs, uint32_t len,
                        uint64_t phys);
/* Reads Linux's syntax, <size>@<address>:<irq>[:<id>]. */
bool virtio_mmio_parse(const char *text, struct virtio_mmio_place *place);

#endif
