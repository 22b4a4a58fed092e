/* SPDX-License-Identifier: BSD-2-Clause */
/* layout.h - numbers that entry.S, image.ld and the C code of an image share. */
#ifndef BOOT_PVH_LAYOUT_H
#define BOOT_PVH_LAYOUT_H

/* Segment selectors; the order of the descriptors is in entry.S. */
#define SELECTOR_CODE0 0x08
#define SELECTOR_DATA0 0x10
#define SELECTOR_DATA3 0x1b
#define SELECTOR_CODE3 0x23
#define SELECTOR_TSS   0x28
#define SELECTOR_LOW0  0x38 /* code, ring 0, 32 bits: how the other cores come in */

/* Page table entries (Intel SDM volume 3, 4.5). Accessed and dirty are set from the start, so that
 * the processor never writes to the tables. Everything is open to ring 3, where the app may run. */
#define PTE_PRESENT     0x001
#define PTE_WRITE       0x002
#define PTE_USER        0x004
#define PTE_UNCACHED    0x018
#define PTE_ACCESSED    0x020
#define PTE_DIRTY       0x040
#define PTE_LARGE       0x080
#define PTE_NX          (1ull << 63)
#define PTE_TABLE       (PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED)
#define PTE_BOOT        (PTE_TABLE | PTE_DIRTY | PTE_LARGE)
#define IMAGE_TABLES    2 /* page tables of 2 MiB each, from 0 on, in which the image lies */
#define BOOT_PD_ENTRIES 8 /* 16 MiB are mapped before paging.c runs */

#define CR0_PE         0x00000001
#define CR0_MP         0x00000002
#define CR0_ET         0x00000010
#define CR0_NE         0x00000020
#define CR0_WP         0x00010000
#define CR0_PG         0x80000000
#define CR4_PAE        0x020
#define CR4_OSFXSR     0x200
#define CR4_OSXMMEXCPT 0x400
#define MSR_EFER       0xc0000080
#define EFER_LME       0x100
#define EFER_NXE       0x800

#define MAIN_STACK_BYTES (64 * 1024)
#define TRAP_STACK_BYTES (8 * 1024)

/* struct core_memory of pvh.h: how far a core's is from the next one's, and its stack's end. */
#define CORE_BYTES     (26 * 4096)
#define CORE_STACK_TOP (3 * 4096 + 2 * TRAP_STACK_BYTES + MAIN_STACK_BYTES)

#endif
