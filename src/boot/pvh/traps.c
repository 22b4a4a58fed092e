/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * traps.c - processor exceptions. None is expected: each prints what happened and ends the image.
 * The handler runs in ring 0 on a stack of its own, so that it works whatever the app did.
 * Interrupts have gates only where a VMM's folder sets them.
 */
#include "boot/backtrace.h"
#include "boot/pvh/layout.h"
#include "boot/pvh/pvh.h"

enum { EXCEPTIONS = 32, VECTORS = 48, DOUBLE_FAULT = 8, PAGE_FAULT = 14 };

struct gate { /* Intel SDM volume 3, 6.14.1 */
    uint16_t offset_low, selector;
    uint8_t stack, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

_Static_assert(sizeof(struct gate) == 16, "a gate is 16 bytes");
_Static_assert(offsetof(struct task_state, io_bitmap) == 0x68, "the bitmap follows the TSS");

extern uint64_t gdt[GDT_ENTRIES];
extern char trap_vectors[], trap_stack_top[], double_stack_top[], main_stack[];
void trap(struct trap_frame *frame);

struct core_memory *core_memory;
uint32_t core_count = 1;

static struct gate idt[VECTORS];
static struct task_state tss;

uint32_t boot_core(void)
{
    uintptr_t at = (uintptr_t)__builtin_frame_address(0) - (uintptr_t)core_memory;

    return at < (core_count - 1) * sizeof *core_memory ? (uint32_t)(at / CORE_BYTES) + 1 : 0;
}

struct table_pointer {
    uint16_t limit;
    const void *base;
} __attribute__((packed));

static void load(void)
{
    struct table_pointer idtr = {sizeof idt - 1, idt};

    __asm__ volatile("lidt %0" : : "m"(idtr));
    __asm__ volatile("ltr %w0" : : "r"(SELECTOR_TSS));
}

void traps_load(const uint64_t *own_gdt)
{
    struct table_pointer gdtr = {sizeof gdt - 1, own_gdt};

    __asm__ volatile("lgdt %0" : : "m"(gdtr));
    load();
}

static void set_task_state(uint64_t *table, struct task_state *t, const void *trap_top,
                           const void *double_top)
{
    uintptr_t base = (uintptr_t)t;

    t->rsp[0] = (uintptr_t)trap_top;
    t->ist[STACK_TRAP - 1] = (uintptr_t)trap_top;
    t->ist[STACK_DOUBLE - 1] = (uintptr_t)double_top;
    t->io_base = offsetof(struct task_state, io_bitmap);
    t->io_bitmap[IO_BITMAP_BYTES] = 0xff;
    table[SELECTOR_TSS / 8] =
        (sizeof *t - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base & 0xff000000) << 32;
    table[SELECTOR_TSS / 8 + 1] = base >> 32;
}

void traps_prepare(uint64_t *own_gdt, struct task_state *own_tss, const void *trap_top,
                   const void *double_top)
{
    memcpy(own_gdt, gdt, sizeof gdt);
    set_task_state(own_gdt, own_tss, trap_top, double_top);
}

/* Inline, as each instruction counts where ring 0 is emulated. */
static inline void set_gate(unsigned vector, uintptr_t handler, enum trap_stack stack)
{
    idt[vector].offset_low = (uint16_t)handler;
    idt[vector].offset_middle = (uint16_t)(handler >> 16);
    idt[vector].selector = SELECTOR_CODE0;
    idt[vector].stack = (uint8_t)stack;
    idt[vector].type = 0x8e; /* present, interrupt gate */
}

void trap_gate(unsigned vector, const void *handler, enum trap_stack stack)
{
    assert(vector < VECTORS);
    set_gate(vector, (uintptr_t)handler, stack);
}

void traps_init(void)
{
    for (unsigned v = 0; v < EXCEPTIONS; v++)
        set_gate(v, (uintptr_t)trap_vectors + 16 * v,
                 v == DOUBLE_FAULT ? STACK_DOUBLE : STACK_TRAP);
    set_task_state(gdt, &tss, trap_stack_top, double_stack_top);
    load();
}

void traps_triple_fault(void)
{
    memset(idt, 0, sizeof idt);
    __asm__ volatile("ud2" : : : "memory");
    __builtin_unreachable();
}

static const char *trap_name(uint64_t vector)
{
    static const char names[] =
        "divide error\0debug\0non-maskable interrupt\0breakpoint\0overflow\0"
        "bound\0invalid instruction\0no coprocessor\0double fault\0"
        "coprocessor overrun\0invalid task state\0segment not present\0"
        "stack fault\0general protection\0page fault\0reserved\0x87 error\0"
        "alignment check\0machine check\0SIMD error\0";

    for (const char *name = names; *name; name += strlen(name) + 1)
        if (vector-- == 0)
            return name;
    return "reserved";
}

/* Where this core's stack for the app begins; the guard page is below. */
RUNS_SELDOM static uintptr_t stack_low(void)
{
    uint32_t core = boot_core();

    return (uintptr_t)(core == 0 ? (void *)main_stack : core_memory[core - 1].main_stack);
}

static void print_registers(const struct trap_frame *f, uint64_t cr2)
{
    static const char names[] = /* the frame begins with these */
        "rax rbx rcx rdx rsi rdi rbp r8  r9  r10 r11 r12 r13 r14 r15 ";
    enum { NAME_LEN = 4, COUNT = sizeof names / NAME_LEN };
    _Static_assert(offsetof(struct trap_frame, vector) == COUNT * sizeof(uint64_t),
                   "in this order");

    for (unsigned i = 0; i < COUNT; i++)
        print("%s%.4s%016lx", i % 4 == 0 && i > 0 ? "\n  " : "  ", names + NAME_LEN * i,
              ((const uint64_t *)f)[i]);
    print("  rsp %016lx\n  rip %016lx  cr2 %016lx  rflags %08lx  cs %lx  ss %lx\n", f->rsp, f->rip,
          cr2, f->rflags, f->cs, f->ss);
}

static void print_page_fault(const struct trap_frame *f, uint64_t address)
{
    const char *access = f->error & 16 ? "execution" : f->error & 2 ? "write" : "read";

    print("  %s of 0x%lx, which %s\n", access, address,
          f->error & 1 ? "is mapped without that right" : "is not mapped");
    if (address - (stack_low() - PAGE_SIZE) < PAGE_SIZE)
        print("  the stack has overflowed (%d bytes)\n", MAIN_STACK_BYTES);
    else if (address < PAGE_SIZE)
        print("  a null pointer was used\n");
}

/* Called by trap_common for every trap. */
void trap(struct trap_frame *f)
{
    static bool trapped;
    uint64_t cr2;

    __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
    report_begin(&trapped, BOOT_EXIT_FAULT);
    print("\nfault: %s (vector %lu), error code 0x%lx, at 0x%lx in ring %lu", trap_name(f->vector),
          f->vector, f->error, f->rip, f->cs & 3);
    if (core_count > 1)
        print(" on core %u", boot_core());
    print("\n");
    if (f->vector == PAGE_FAULT)
        print_page_fault(f, cr2);
    print_registers(f, cr2);
    backtrace_print(f->rip, f->rbp);
    boot_exit(BOOT_EXIT_FAULT);
}

bool backtrace_on_stack(uintptr_t address, size_t len)
{
    uintptr_t low = stack_low(), high = low + MAIN_STACK_BYTES;

    return address >= low && address < high && len <= high - address;
}
