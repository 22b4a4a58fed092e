/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pvclock.h - the clock that KVM and Xen keep for a guest: a page with the scale and offset that
 * turn the cycle counter into nanoseconds (struct vcpu_time_info in Xen's xen.h; KVM's has the same
 * layout, Linux' Documentation/virt/kvm/x86/msr.rst).
 */
#ifndef BOOT_PVCLOCK_H
#define BOOT_PVCLOCK_H

#include "boot/lib.h" /* first: Xen's headers use its types without asking for them */

#include <xen/xen.h>

/* Nanoseconds of `cycles` with a scale of the page's kind: (cycles << shift) * mul >> 32. */
uint64_t pvclock_scale(uint64_t cycles, uint64_t mul, int8_t shift);

/* The page's time now, in nanoseconds. The host writes the page at any time; its version is odd
 * while it does. Doesn't wait for a host that stopped in the middle: then the time may be wrong. */
uint64_t pvclock_ns(const volatile struct vcpu_time_info *page);

/* The time that a settled copy of the page gives for a value of the cycle counter. */
uint64_t pvclock_ns_at(const struct vcpu_time_info *time, uint64_t cycles);

/* Whether the host promises that the cycle counters of all processors agree (its flag
 * PVCLOCK_TSC_STABLE_BIT). Where it doesn't, what cores read side by side has to go through
 * pvclock_forward. */
bool pvclock_is_stable(const volatile struct vcpu_time_info *page);

/* True once after the host let a machine go on that was stopped (its flag PVCLOCK_GUEST_STOPPED,
 * which the guest takes back). */
bool pvclock_was_stopped(volatile struct vcpu_time_info *page);

/* The later of `ns` and all times that any core brought here before, which *latest_ns keeps. */
uint64_t pvclock_forward(uint64_t *latest_ns, uint64_t ns);

/* The cycle counter's frequency; 0 if the page can't be right. */
uint64_t pvclock_cycles_hz(const volatile struct vcpu_time_info *page);

#endif
