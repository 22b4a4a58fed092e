/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pvh.h - what the parts of an image share below boot.h: between this folder, which is the same for
 * every VMM that starts PVH images, and the folder of one VMM (kvm, xen).
 *
 * The order at start-up:
 *   entry.S          32-bit to 64-bit, first page tables, .bss cleared
 *   pvh_start        ring 0: what the VMM left in memory is copied; page protection, traps,
 *                    machine_init_ring0(), choice of the ring
 *   pvh_main         the chosen ring: maps RAM, machine_init(), command line, app_main
 *
 * Memory and paging: paging.c maps what memory.c found free, and asks memory.c for the pages that
 * its tables take; never the other way round.
 */
#ifndef BOOT_PVH_PVH_H
#define BOOT_PVH_PVH_H

#include "boot/boot.h" /* first: Xen's headers use its types without asking for them */
#include "boot/pvh/layout.h"

#include <xen/arch-x86/hvm/start_info.h>
#include <xen/xen.h>

/* --- from the VMM's folder ------------------------------------------------------------------ */

/* In ring 0, before anything else works: what needs privileged instructions. No console yet. */
void machine_init_ring0(void);

/* In ring 0: the ring in which the app will run, 0 or 3. The command line isn't parsed yet. */
int machine_ring(const char *command_line);

/* The ring in which the app runs, once machine_ring has chosen it. */
extern int pvh_ring;

/* In the ring where the app will run: console and clock. */
void machine_init(const struct hvm_start_info *info);

/* Which clock was found, for the boot line: "kvm", "cpuid", "pit", "xen". */
const char *machine_clock_name(void);

/* clock_cycles_hz() as far as it is known, without waiting until it is measured well. */
uint64_t machine_cycles_hz(void);

/* --- entry.S -------------------------------------------------------------------------------- */

extern uint64_t pvh_first_cycle; /* the cycle counter at the first instruction */
_Noreturn void enter_ring3(void (*function)(uint32_t arg), uint32_t arg, const void *stack_top);

/* --- paging.c ------------------------------------------------------------------------------- */

/* Ring 0, before paging_protect_image: makes PAGING_PEEK_BYTES of memory from any address on
 * readable where the result points, until the next call. `what` names it if that can't be. */
enum { PAGING_PEEK_BYTES = 2 << 20 };
const void *paging_peek(const char *what, uint64_t phys);

/* Ring 0: gives every page of the image its rights; page zero and the guard pages get none. */
void paging_protect_image(void);

/* After memory_init: maps all of RAM, and the rest of the first 4 MiB, but for page zero. Apart
 * from paging_protect_image, as ring 0 may be slow. */
void paging_map_memory(void);

/* Unmaps a page of RAM that was mapped. A core that has used it before may not notice. */
void paging_guard(const void *page);

/* Maps [phys, phys + len) one to one, readable and writable, in 2 MiB pages; what is mapped already
 * stays as it is. */
void paging_map(uint64_t phys, uint64_t len, bool uncached);

/* --- traps.c -------------------------------------------------------------------------------- */

enum { IO_BITMAP_BYTES = 8192, GDT_ENTRIES = 8 };

struct task_state { /* Intel SDM volume 3, 7.7 */
    uint32_t reserved0;
    uint64_t rsp[3], reserved1, ist[7], reserved2;
    uint16_t reserved3, io_base;
    uint8_t io_bitmap[IO_BITMAP_BYTES + 1]; /* all zero but the last byte: every port is open */
} __attribute__((packed));

/* Core 0, ring 0: trap vectors and their stacks, all I/O ports open to ring 3. */
void traps_init(void);

/* What another core needs for traps: a task state, and its segment in the core's own table. */
void traps_prepare(uint64_t *gdt, struct task_state *tss, const void *trap_top,
                   const void *double_top);

/* Another core, ring 0: takes a table prepared so, and the vectors. */
void traps_load(const uint64_t *gdt);

/* Which stack a vector's handler gets: the one in use, or one of its own. */
enum trap_stack { STACK_SAME, STACK_TRAP, STACK_DOUBLE };

/* Lets `handler`, which is entered as the processor does it, have a vector below 48. Either ring.
 */
void trap_gate(unsigned vector, const void *handler, enum trap_stack stack);

/* Either ring: a fault that no vector takes, whereupon a PC resets itself, and a VMM does that or
 * ends. In a VMM that does neither, the processor stays shut down. */
_Noreturn void traps_triple_fault(void);

/* What the processor and trap_common in entry.S leave on the trap stack. */
struct trap_frame {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};

/* --- other cores (cores.c) ------------------------------------------------------------------ */

/* Each core but core 0 has one: its stacks, a guard page below each, and its tables. */
struct core_memory {
    uint8_t double_guard[PAGE_SIZE], double_stack[TRAP_STACK_BYTES];
    uint8_t trap_guard[PAGE_SIZE], trap_stack[TRAP_STACK_BYTES];
    uint8_t main_guard[PAGE_SIZE], main_stack[MAIN_STACK_BYTES];
    uint64_t gdt[GDT_ENTRIES];
    struct task_state tss;
} __attribute__((aligned(PAGE_SIZE)));

_Static_assert(sizeof(struct core_memory) == CORE_BYTES, "as layout.h says");
_Static_assert(offsetof(struct core_memory, gdt) == CORE_STACK_TOP, "as layout.h says");

/* traps.c: core 1's, followed by those of the cores after it; and how many cores there are. */
extern struct core_memory *core_memory;
extern uint32_t core_count;

/* core_entry.S, where a processor in 32-bit mode with flat segments becomes the next core; and the
 * code of 16 bits that leads there, to be copied to the beginning of any page below 1 MiB. */
extern const char core_entry[], core_entry16[], core_entry16_end[];

/* How many cores have come so far. */
uint32_t cores_arrived(void);

/* From the VMM's folder: starts processors until cores_arrived() is `count`, or ends the image. */
void machine_start_cores(uint32_t count);

/* From the VMM's folder: the same as machine_init_ring0, on another core. */
void machine_init_core(uint32_t core);

/* --- memory.c ------------------------------------------------------------------------------- */

/* Ring 0: copies the memory map, whose entries paging_peek has made readable. */
void memory_read_map(const struct hvm_start_info *info,
                     const struct hvm_memmap_table_entry *entries);

/* Finds in the map what is free. Only the first 16 MiB of it can be used as yet. */
void memory_init(void);

#define MEMORY_REGIONS_MAX 16

struct memory_region {
    uint64_t next, end; /* what is still free */
};

/* For memory_init and its tests: the RAM of a map from `lowest` on, in whole pages, by address.
 * Where entries overlap, one of another kind wins over RAM; where RAM follows RAM they are one
 * region. Sets at most MEMORY_REGIONS_MAX regions, the lowest; returns how many. */
unsigned memory_cut(const struct hvm_memmap_table_entry *entries, uint32_t count, uint64_t lowest,
                    struct memory_region *result);

/* For paging.c: the i-th free region, from 0 on; false if there are no more. */
bool memory_region(unsigned i, struct memory_region *region);

/* For a platform whose memory comes and goes: takes up to `bytes`, in whole pages, off the end of
 * the last region that has any free, and tells which. False if nothing is free. The other one
 * gives a region the piece back that was taken off its end last, or the beginning of it. */
bool memory_take_end(uint64_t bytes, struct memory_region *piece);
void memory_give_end(const struct memory_region *piece);

/* For paging.c: all regions are mapped now. */
void memory_is_mapped(void);

/* For paging.c: a zeroed page for a page table, from memory that is mapped; ends the image, as
 * boot_misconfigured does, if there is none. */
void *memory_table_page(void);

/* --- processor ------------------------------------------------------------------------------ */

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf)
{
    struct cpuid r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(0));
    return r;
}

static inline void wrmsr(uint32_t msr, uint64_t value) /* ring 0 */
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

#endif
