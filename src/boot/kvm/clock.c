/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.c - time. The first of these that the machine has:
 *   kvm    KVM's paravirtual clock: the host keeps a page with the cycle counter's scale and offset
 *   cpuid  the cycle counter's frequency as CPUID tells it (leaves 0x40000010 and 0x15)
 *   pit    the frequency measured against the 8254 timer, while the image starts and runs
 * The date comes from KVM's wall clock, else from the real-time clock (rtc.c).
 *
 * A machine that is stopped, saved, migrated or set back to a snapshot goes on with the clock where
 * it was, so the date falls behind by the whole pause; and a host's date may be set. So the date is
 * read anew once a second, by who asks for it; at once where the host's clock page says that the
 * machine was stopped, and soon where the host has written that page, as it also does after a move.
 */
#include "boot/io.h"
#include "boot/kvm/kvm.h"
#include "boot/pvclock.h"
#include "boot/pvh/pvh.h"

#include <asm/kvm_para.h>

enum { PIT_HZ = 1193182, PIT_CHANNEL2 = 0x42, PIT_COMMAND = 0x43, PIT_GATE = 0x61 };
#define NS_PER_S 1000000000ull
#define HZ_MIN   1000000u /* a frequency below is nonsense, and no divisor */

#define LOOK_NS   NS_PER_S         /* the date is read anew after so long */
#define AGAIN_NS  (NS_PER_S / 100) /* or after so long, if the clock page was written */
#define NO_DATE_S 1767225600ull    /* 2026-01-01: real dates are later */

/* Of each core: the page that the host writes at any time, what clock_ns returned last, and the
 * page's version when the date was read last. */
static struct {
    volatile struct vcpu_time_info page;
    uint64_t last_ns;
    uint32_t date_version;
} __attribute__((aligned(CACHE_LINE))) times[BOOT_CORES_MAX];
static volatile struct {
    uint32_t version, sec, nsec;
} wall_page __attribute__((aligned(16)));

/* Where the host keeps no pages: one for all cores, which the image writes by the same rules. */
static volatile struct vcpu_time_info own_page;

static const char *clock_name;
static uint64_t cycles_hz;
static bool flags_are_valid; /* those of the host's pages */
static uint64_t latest_ns;   /* of all cores, where their cycle counters may differ */

static struct {
    enum { NO_DATE, KVM_WALL_CLOCK, REAL_TIME_CLOCK } source;
    uint32_t is_read;   /* a core is about to read it anew */
    uint64_t at_0_ns;   /* nanoseconds from 1970 to when clock_ns() was 0 */
    uint64_t looked_ns; /* when it was read last */
} date;

uint32_t kvm_leaves(struct cpuid (*ask)(uint32_t leaf))
{
    enum { FIRST = 0x40000000, END = 0x40010000, STEP = 0x100 };

    if (!(ask(1).ecx & 1u << 31)) /* no VMM */
        return 0;
    for (uint32_t leaf = FIRST; leaf < END; leaf += STEP) {
        struct cpuid id = ask(leaf);
        if (id.ebx == 0x4b4d564b && id.ecx == 0x564b4d56 && id.edx == 0x4d)
            return leaf;
    }
    return 0;
}

void clock_init_core(uint32_t core)
{
    if (times[0].page.version != 0)
        wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)&times[core].page | 1);
}

static uint64_t cpuid_cycles_hz(void)
{
    struct cpuid vmm = cpuid(0x40000000);

    if (cpuid(1).ecx & 1u << 31 && vmm.eax >= 0x40000010 && vmm.eax < 0x40000100) {
        uint32_t khz = cpuid(0x40000010).eax;
        if (khz)
            return khz * 1000ull;
    }
    if (cpuid(0).eax >= 0x15) {
        struct cpuid ratio = cpuid(0x15); /* crystal ecx Hz, times ebx / eax */
        if (ratio.eax && ratio.ebx && ratio.ecx)
            return (uint64_t)ratio.ecx * ratio.ebx / ratio.eax;
    }
    return 0;
}

/* --- the frequency by the 8254 timer -----------------------------------------------------------
 *
 * Two samples, each the timer's count and the cycle counter, tell the frequency: the longer the
 * time between them, the more exactly, as a count is off by up to a tick of 838 ns. No time is
 * spent on that alone if there is no need:
 *
 *   1st  as soon as the image runs in C
 *   2nd  a few microseconds later or more, when clock_init is done with the rest. What needs the
 *        time in between, such as deadlines of the drivers, gets it off by 7 % at most
 *   3rd  2.5 ms after the first or later, by who asks for the time or the frequency. Who asks for
 *        the frequency, which may be kept, waits for what is left of that. Off by 0.1 % at most
 *   4th  20 ms after the first or later, as core 0 looks for Ctrl-C. Off by 0.01 % at most
 *
 * clock_ns goes on from where it is at each of these, at the new pace. The timer gets to zero after
 * 55 ms and says so: then the first sample is taken anew.
 */
enum { COARSE_TICKS = 16, GOOD_TICKS = PIT_HZ / 400, FINE_TICKS = PIT_HZ / 50 };

struct pit_sample {
    uint64_t cycles;
    uint16_t count;
    bool over; /* it has been at zero */
};

static struct pit_sample first;
static uint32_t wanted_ticks; /* between the samples that are still to be taken; 0 for none */

/* The timer's state and the moment at which it was latched. Of several tries the one that was the
 * least disturbed is taken. */
static struct pit_sample pit_read(void)
{
    enum { TRIES = 8, LATCH_CHANNEL2 = 0xc8, OUTPUT = 0x80 };
    struct pit_sample best = {.over = true};
    uint64_t best_width = UINT64_MAX;

    for (int i = 0; i < TRIES; i++) {
        uint64_t before = clock_cycles();
        outb(PIT_COMMAND, LATCH_CHANNEL2);
        uint64_t width = clock_cycles() - before;
        uint8_t status = inb(PIT_CHANNEL2), low = inb(PIT_CHANNEL2), high = inb(PIT_CHANNEL2);
        if (width < best_width) {
            best_width = width;
            best.cycles = before + width / 2;
            best.count = (uint16_t)(high << 8 | low);
            best.over = status & OUTPUT;
        }
    }
    return best;
}

static void pit_start(void)
{
    outb(PIT_GATE, (inb(PIT_GATE) & 0xfc) | 1); /* gate on, speaker off */
    outb(PIT_COMMAND, 0xb0); /* channel 2, both bytes, mode 0: counts down once */
    outb(PIT_CHANNEL2, 0xff);
    outb(PIT_CHANNEL2, 0xff);
    first = pit_read();
}

/* Lets the image's own page go on from where it is, at the pace of cycles_hz. Core 0 only; other
 * cores may read it at the same time. */
static void set_pace(void)
{
    const uint64_t ns = pvclock_ns(&own_page);
    const uint32_t version = own_page.version;
    uint32_t shift = 0;

    while (cycles_hz << shift <= NS_PER_S) /* or the factor had more than 32 bits */
        shift++;
    own_page.version = version + 1;
    __atomic_thread_fence(__ATOMIC_RELEASE); /* who sees what is written below sees that, too */
    own_page.system_time = ns;
    own_page.tsc_timestamp = clock_cycles();
    own_page.tsc_to_system_mul = (uint32_t)((NS_PER_S << 32) / (cycles_hz << shift));
    own_page.tsc_shift = (int8_t)shift;
    store_release(&own_page.version, version + 2);
}

/* Takes a sample. True if the first one is at least so many ticks ago: then the frequency is that
 * between the two. */
static bool measure(uint32_t ticks_min)
{
    const struct pit_sample now = pit_read();
    const uint16_t ticks = (uint16_t)(first.count - now.count);

    if (now.over)
        pit_start();
    if (now.over || ticks < ticks_min)
        return false;
    const uint64_t hz = (now.cycles - first.cycles) * PIT_HZ / ticks;
    if (hz < HZ_MIN)
        return false;
    cycles_hz = hz;
    wanted_ticks = ticks < GOOD_TICKS ? GOOD_TICKS : ticks < FINE_TICKS ? FINE_TICKS : 0;
    set_pace();
    return true;
}

/* Waits until so many cycles have passed since the first sample. bench/boot leaves it out. */
__attribute__((noinline)) static void clock_await(uint64_t cycles)
{
    while (clock_cycles() - first.cycles < cycles)
        __asm__ volatile("pause");
}

static RUNS_SELDOM void measure_now(uint32_t ticks)
{
    for (int i = 0; i < 1000 && !measure(ticks); i++)
        clock_await(cycles_hz * ticks / PIT_HZ);
}

RUNS_SELDOM void clock_refine(void)
{
    static uint32_t tries; /* an app that mostly sleeps may never look at the right time */

    if (wanted_ticks == FINE_TICKS && (measure(FINE_TICKS) || ++tries == 100))
        wanted_ticks = 0;
}

/* --- the date ---------------------------------------------------------------------------------
 */

/* What KVM's wall clock page tells: the date when its clock was 0. False if that isn't settled, or
 * was never written. */
static bool read_wall_page(uint64_t *at_0_ns)
{
    enum { TRIES = 1000 };

    for (int i = 0; i < TRIES; i++) {
        uint32_t version = load_acquire(&wall_page.version);
        uint64_t ns = wall_page.sec * NS_PER_S + wall_page.nsec;
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the reads above come before the next one */
        if (version & 1 || version != wall_page.version)
            continue;
        *at_0_ns = ns;
        return ns > 0;
    }
    return false;
}

uint64_t date_at_0_ns(uint64_t at_0_ns, uint64_t now_ns, uint64_t rtc_s)
{
    const uint64_t date_ns = at_0_ns + now_ns, first_ns = rtc_s * NS_PER_S;

    if (date_ns < first_ns)
        return first_ns - now_ns;
    if (date_ns >= first_ns + NS_PER_S)
        return first_ns + NS_PER_S - 1 - now_ns;
    return at_0_ns;
}

/* Asks the machine for the date; leaves it as it is if the machine doesn't tell. */
static RUNS_SELDOM void read_date(uint64_t now_ns)
{
    uint64_t at_0_ns = date.at_0_ns, rtc_s;

    if (date.source == KVM_WALL_CLOCK) {
        msr_write(MSR_KVM_WALL_CLOCK_NEW, (uintptr_t)&wall_page);
        read_wall_page(&at_0_ns);
    } else if (date.source == REAL_TIME_CLOCK) {
        rtc_s = rtc_unix_s((at_0_ns + now_ns) / NS_PER_S);
        if (rtc_s)
            at_0_ns = date_at_0_ns(at_0_ns, now_ns, rtc_s);
    }
    __atomic_store_n(&date.at_0_ns, at_0_ns, __ATOMIC_RELAXED);
}

static bool date_is_due(uint64_t now_ns)
{
    const uint64_t looked_ns = __atomic_load_n(&date.looked_ns, __ATOMIC_RELAXED);
    const uint32_t core = boot_core();

    return now_ns >= looked_ns + LOOK_NS || pvclock_was_stopped(&times[core].page) ||
           (times[core].page.version != times[core].date_version && now_ns >= looked_ns + AGAIN_NS);
}

/* One core at a time; others go on with the date as it is. */
static RUNS_SELDOM void look_at_date(uint64_t now_ns)
{
    const uint32_t core = boot_core();

    if (__atomic_exchange_n(&date.is_read, 1, __ATOMIC_ACQUIRE))
        return;
    times[core].date_version = times[core].page.version;
    read_date(now_ns);
    __atomic_store_n(&date.looked_ns, now_ns, __ATOMIC_RELAXED);
    store_release(&date.is_read, 0);
}

static RUNS_SELDOM void find_date(void)
{
    if (times[0].page.version != 0 && read_wall_page(&date.at_0_ns)) {
        date.source = KVM_WALL_CLOCK;
        return;
    }
    const uint64_t s = rtc_unix_s(0);
    date.source = s ? REAL_TIME_CLOCK : NO_DATE;
    date.at_0_ns = (s ? s : NO_DATE_S) * NS_PER_S - clock_ns();
    if (!s)
        print("clock: this machine tells no date, so it starts as 2026-01-01; with QEMU's "
              "microvm, add rtc=on.\n");
}

uint64_t clock_unix_s(void)
{
    const uint64_t now_ns = clock_ns();

    if (unlikely(date_is_due(now_ns)))
        look_at_date(now_ns);
    return (__atomic_load_n(&date.at_0_ns, __ATOMIC_RELAXED) + now_ns) / NS_PER_S;
}

/* --- the clock --------------------------------------------------------------------------------
 */

void clock_init_ring0(void)
{
    const uint32_t leaves = kvm_leaves(cpuid);
    const uint32_t features = leaves ? cpuid(leaves + 1).eax : 0;

    if (!(features & 1u << KVM_FEATURE_CLOCKSOURCE2)) {
        if (cpuid_cycles_hz() < HZ_MIN)
            pit_start();
        return;
    }
    flags_are_valid = features & 1u << KVM_FEATURE_CLOCKSOURCE_STABLE_BIT;
    wrmsr(MSR_KVM_WALL_CLOCK_NEW, (uintptr_t)&wall_page);
    wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)&times[0].page | 1);
}

RUNS_SELDOM void clock_init(void)
{
    if (times[0].page.version != 0) {
        clock_name = "kvm";
        cycles_hz = pvclock_cycles_hz(&times[0].page);
    }
    if (cycles_hz < HZ_MIN) {
        clock_name = "cpuid";
        cycles_hz = cpuid_cycles_hz();
    }
    if (cycles_hz >= HZ_MIN) {
        set_pace();
    } else {
        clock_name = "pit";
        if (first.cycles == 0)
            pit_start();
        measure_now(COARSE_TICKS);
    }
    if (cycles_hz < HZ_MIN)
        boot_misconfigured(
            "the machine has no clock: neither KVM's, nor a frequency in CPUID, nor an 8254 timer. "
            "With QEMU, leave out pit=off.");
    trap_gate(PROTECTION, wait_protection, STACK_TRAP); /* for msr_write */
    find_date();
}

const char *machine_clock_name(void)
{
    return clock_name;
}

/* The page that the image writes, on which a sample that is due comes in. There is but one core
 * until the frequency is good: see machine_start_cores. */
static RUNS_SELDOM const volatile struct vcpu_time_info *own_time(void)
{
    if (wanted_ticks == GOOD_TICKS && clock_cycles() - first.cycles > cycles_hz / 375)
        measure(GOOD_TICKS);
    return &own_page;
}

uint64_t clock_ns(void)
{
    const uint32_t core = boot_core();
    const volatile struct vcpu_time_info *page = &times[core].page;
    uint64_t ns;

    if (page->version != 0) {
        ns = pvclock_ns(page);
        if (!flags_are_valid || unlikely(!pvclock_is_stable(page)))
            ns = pvclock_forward(&latest_ns, ns);
    } else {
        ns = pvclock_ns(own_time());
    }
    return times[core].last_ns = MAX(times[core].last_ns, ns);
}

uint64_t machine_cycles_hz(void)
{
    return cycles_hz;
}

uint64_t clock_cycles_hz(void)
{
    if (unlikely(wanted_ticks == GOOD_TICKS))
        measure_now(GOOD_TICKS);
    return cycles_hz;
}
