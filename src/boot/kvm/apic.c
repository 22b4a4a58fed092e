/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apic.c - boot_wait by the local APIC and its timer; see apic.h. Nothing of it is done before
 * somebody waits or wants to be woken, so that start-up costs nothing.
 */
#include "boot/kvm/apic.h"
#include "boot/console.h"
#include "boot/io.h"
#include "boot/irq.h"
#include "boot/kvm/kvm.h"
#include "boot/pvh/pvh.h"

#define APIC      0xfee00000ull
#define NS_PER_S  1000000000ull
#define CALIBRATE (NS_PER_S / 1000) /* for so long the timer is compared with the clock */

enum apic_register {
    ID = 0x20,
    EOI = 0xb0,
    SPURIOUS = 0xf0,
    COMMAND = 0x300,
    COMMAND_TARGET = 0x310,
    LVT_TIMER = 0x320,
    LVT_LINE0 = 0x350,
    TIMER_START = 0x380,
    TIMER_COUNT = 0x390,
    TIMER_DIVIDE = 0x3e0
};
enum { ENABLED = 1 << 8, MASKED = 1 << 16, SENDING = 1 << 12, ONE_TO_ONE = 0xb, ID_SHIFT = 24 };
enum { PIC1_MASK = 0x21, PIC2_MASK = 0xa1, PIT_CHANNEL0 = 0x40, PIT_COMMAND = 0x43, ONCE = 0x30 };
enum { IOAPIC_VERSION = 1, IOAPIC_LINES = 0x10, MADT_IOAPIC = 1, MADT_IOAPIC_BYTES = 12 };
enum { IOAPIC_ROUTE = MASKED | 0xff };
/* Without ACPI: the one controller of a PC, where all its lines begin (MP
 * specification 1.4, 3.6.5). The MP table isn't read: the one that qboot leaves on microvm says
 * nothing else, and counts no entries. */
#define IOAPIC_DEFAULT 0xfec00000u

static struct core {
    uint64_t interrupts;
    bool started;
} __attribute__((aligned(CACHE_LINE))) cores[BOOT_CORES_MAX];

uint32_t apic_ids[BOOT_CORES_MAX];
static uint64_t timer_hz;

bool wait_halt(void);
extern const char wait_wake[], wait_timer[], wait_spurious[];

static volatile uint32_t *apic(enum apic_register reg)
{
    return (volatile uint32_t *)(APIC + reg);
}

struct timer_sample {
    uint64_t ns;
    uint32_t count;
};

/* The timer's count and when that was. Of some tries the one that was the least disturbed. */
static struct timer_sample sample_timer(void)
{
    enum { TRIES = 8 };
    struct timer_sample best = {0, 0};
    uint64_t best_ns = UINT64_MAX;

    for (int i = 0; i < TRIES; i++) {
        uint64_t before = clock_ns();
        uint32_t count = *apic(TIMER_COUNT);
        uint64_t ns = clock_ns() - before;
        if (ns < best_ns) {
            best_ns = ns;
            best = (struct timer_sample){before + ns / 2, count};
        }
    }
    return best;
}

static uint64_t measure_timer_hz(void)
{
    clock_cycles_hz(); /* from now on clock_ns is good enough to measure by */
    *apic(TIMER_START) = UINT32_MAX;
    struct timer_sample first = sample_timer(), last = first;
    while (last.ns - first.ns < CALIBRATE)
        last = sample_timer();
    *apic(TIMER_START) = 0;
    return (first.count - last.count) * NS_PER_S / (last.ns - first.ns);
}

/* What is done once, by the first core that waits or wants to be woken. */
static void start_first(void)
{
    if (!(cpuid(1).edx & 1u << 9))
        boot_misconfigured(
            "the processor has no local APIC to wake it up; with QEMU, leave out -cpu ...,-apic.");
    boot_map_device(APIC, PAGE_SIZE);
    outb(PIC1_MASK, 0xff);
    outb(PIC2_MASK, 0xff);
    /* A PC's firmware lets the timer tick, which costs the host 18 wake-ups a second. */
    outb(PIT_COMMAND, ONCE);
    outb(PIT_CHANNEL0, 0);
    outb(PIT_CHANNEL0, 0);
    trap_gate(APIC_VECTOR_WAKE, wait_wake, STACK_SAME);
    trap_gate(APIC_VECTOR_TIMER, wait_timer, STACK_SAME);
    trap_gate(APIC_VECTOR_SPURIOUS, wait_spurious, STACK_SAME);
}

static struct core *started_core(void)
{
    struct core *core = &cores[boot_core()];

    if (likely(core->started))
        return core;
    if (timer_hz == 0)
        start_first();
    core->started = true;
    apic_ids[boot_core()] = *apic(ID) >> ID_SHIFT;
    *apic(SPURIOUS) = ENABLED | APIC_VECTOR_SPURIOUS;
    *apic(LVT_LINE0) = MASKED; /* where the old controllers end up */
    *apic(LVT_TIMER) = APIC_VECTOR_TIMER | MASKED;
    *apic(TIMER_DIVIDE) = ONE_TO_ONE;
    if (timer_hz == 0)
        timer_hz = measure_timer_hz();
    if (timer_hz == 0)
        panic("The local APIC's timer stands still, so nothing would end a wait; use another VMM.");
    *apic(LVT_TIMER) = APIC_VECTOR_TIMER;
    return core;
}

void apic_start(void)
{
    started_core();
}

uint32_t apic_id(void)
{
    apic_start();
    return apic_ids[boot_core()];
}

void apic_send(uint32_t id, uint32_t command)
{
    enum { LOOKS = 100000 }; /* it takes well under a microsecond */

    apic_start();
    for (int i = 0; i < LOOKS && *apic(COMMAND) & SENDING; i++)
        ;
    *apic(COMMAND_TARGET) = id << ID_SHIFT;
    *apic(COMMAND) = command;
}

/* Sets the timer to go off once, after a second at most: boot_wait looks at the clock then, and
 * sets it again. */
static void set_timer(uint64_t ns)
{
    ns = MIN(ns, NS_PER_S);
    uint64_t ticks = ns * timer_hz / NS_PER_S + 1;
    *apic(TIMER_START) = (uint32_t)MIN(ticks, UINT32_MAX);
}

void boot_wait(uint64_t deadline_ns)
{
    struct core *core = started_core();
    uint64_t now_ns;
    bool interrupted = false;

    if (stopping_before_sleep())
        return;
    deadline_ns = console_sleep_until(deadline_ns);
    /* If only the timer went off, it may have been set by an earlier wait. */
    while (!interrupted && (now_ns = clock_ns()) < deadline_ns) {
        *apic(EOI) = 0; /* of the interrupt that ended the last wait; without one it does nothing */
        set_timer(deadline_ns - now_ns);
        interrupted = wait_halt();
    }
    core->interrupts += interrupted;
    stopping_woke();
}

uint64_t boot_interrupts(void)
{
    return cores[boot_core()].interrupts;
}

struct boot_msi boot_msi(uint32_t core)
{
    assert(core < BOOT_CORES_MAX);
    apic_start(); /* of this core, as its id may not be known yet */
    return (struct boot_msi){APIC | apic_ids[core] << 12, APIC_VECTOR_WAKE};
}

static uint32_t ioapic_read(volatile uint32_t *ioapic, uint32_t reg)
{
    ioapic[0] = reg;
    return ioapic[4];
}

static void ioapic_write(volatile uint32_t *ioapic, uint32_t reg, uint32_t value)
{
    ioapic[0] = reg;
    ioapic[4] = value;
}

/* Has the controller there, whose first line is `first`, send the line's rising edge to core 0.
 * What it was told is read back: where no controller is, reads give zeros or ones. */
static bool route_line(uint32_t address, uint32_t first, uint32_t line)
{
    if (address < PAGE_SIZE)
        return false;
    volatile uint32_t *ioapic = boot_map_device(address, PAGE_SIZE);
    uint32_t lines = (ioapic_read(ioapic, IOAPIC_VERSION) >> 16 & 0xff) + 1;
    if (line - first >= lines)
        return false;
    uint32_t reg = IOAPIC_LINES + 2 * (line - first);
    ioapic_write(ioapic, reg + 1, apic_ids[0] << ID_SHIFT);
    ioapic_write(ioapic, reg, APIC_VECTOR_WAKE);
    return (ioapic_read(ioapic, reg) & IOAPIC_ROUTE) == APIC_VECTOR_WAKE;
}

bool boot_irq_line(uint32_t line)
{
    uint8_t entry[MADT_IOAPIC_BYTES];
    uint32_t address, first, n = 0;

    assert(boot_core() == 0);
    apic_start();
    for (; acpi_madt_entry(MADT_IOAPIC, n, entry, sizeof entry); n++) {
        memcpy(&address, entry + 4, sizeof address);
        memcpy(&first, entry + 8, sizeof first);
        if (route_line(address, first, line))
            return true;
    }
    return n == 0 && route_line(IOAPIC_DEFAULT, 0, line);
}
