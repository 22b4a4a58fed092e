/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.c - time. The first of these that the machine has:
 *   kvm    KVM's paravirtual clock: the host keeps a page with the cycle counter's scale and offset
 *   cpuid  the cycle counter's frequency as CPUID tells it (leaves 0x40000010 and 0x15)
 *   pit    the frequency measured against the 8254 timer
 * The date comes from KVM's wall clock, else from the real-time clock.
 */
#include "boot/io.h"
#include "boot/kvm/kvm.h"
#include "boot/pvclock.h"
#include "boot/pvh/pvh.h"

#include <asm/kvm_para.h>

enum { PIT_HZ = 1193182, PIT_CHANNEL2 = 0x42, PIT_COMMAND = 0x43, PIT_GATE = 0x61 };
enum { RTC_INDEX = 0x70, RTC_DATA = 0x71 };
#define NS_PER_S 1000000000ull
#define HZ_MIN   1000000u /* a frequency below is nonsense, and no divisor */

/* Of each core: the page that the host writes at any time, and what clock_ns returned last. */
static struct {
    volatile struct vcpu_time_info page;
    uint64_t last_ns;
} __attribute__((aligned(CACHE_LINE))) times[BOOT_CORES_MAX];
static volatile struct {
    uint32_t version, sec, nsec;
} wall_page __attribute__((aligned(16)));

static const char *clock_name;
static uint64_t cycles_hz;
static uint64_t ns_per_cycle; /* times 2^32 */
static uint64_t unix_s_at_0;  /* the date when clock_ns() was 0 */

static bool has_kvm_clock(void)
{
    struct cpuid id = cpuid(0x40000000);

    if (!(cpuid(1).ecx & 1u << 31) || id.ebx != 0x4b4d564b || id.ecx != 0x564b4d56 ||
        id.edx != 0x4d)
        return false;
    return cpuid(0x40000001).eax & 1u << KVM_FEATURE_CLOCKSOURCE2;
}

void clock_init_ring0(void)
{
    if (!has_kvm_clock())
        return;
    wrmsr(MSR_KVM_WALL_CLOCK_NEW, (uintptr_t)&wall_page);
    wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)&times[0].page | 1);
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

struct pit_sample {
    uint64_t cycles;
    uint16_t count;
};

/* The timer's count and the moment at which it was latched. Of several tries the one that was the
 * least disturbed is taken. */
static struct pit_sample pit_read(void)
{
    enum { TRIES = 8 };
    struct pit_sample best = {0, 0};
    uint64_t best_width = UINT64_MAX;

    for (int i = 0; i < TRIES; i++) {
        uint64_t before = clock_cycles();
        outb(PIT_COMMAND, 0x80); /* latch channel 2 */
        uint64_t after = clock_cycles();
        uint16_t count = inb(PIT_CHANNEL2);
        count = (uint16_t)(count | inb(PIT_CHANNEL2) << 8);
        if (after - before < best_width) {
            best_width = after - before;
            best = (struct pit_sample){before + best_width / 2, count};
        }
    }
    return best;
}

static uint64_t pit_cycles_hz(void)
{
    enum { TICKS = PIT_HZ / 250, LOOKS = 1000000 }; /* 4 ms */

    outb(PIT_GATE, (inb(PIT_GATE) & 0xfc) | 1); /* gate on, speaker off */
    outb(PIT_COMMAND, 0xb4);                    /* channel 2, both bytes, mode 2: counts down */
    outb(PIT_CHANNEL2, 0xff);
    outb(PIT_CHANNEL2, 0xff);
    struct pit_sample start = pit_read();
    for (int i = 0; i < LOOKS; i++) {
        struct pit_sample end = pit_read();
        uint16_t ticks = (uint16_t)(start.count - end.count);
        if (ticks >= TICKS && ticks < 0xf000)
            return (end.cycles - start.cycles) * PIT_HZ / ticks;
    }
    return 0;
}

static uint32_t rtc(uint8_t index, bool bcd)
{
    outb(RTC_INDEX, index);
    uint32_t v = inb(RTC_DATA);
    return bcd ? (v >> 4) * 10 + (v & 15) : v;
}

/* Days from 1970-01-01 to a date: years are counted from March, so that the leap day is the last.
 */
static uint64_t days(uint32_t year, uint32_t month, uint32_t day)
{
    uint64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;

    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

/* The real-time clock's date; 0 if there is none. It is read twice, as it may tick in between. */
static uint64_t rtc_unix_s(void)
{
    enum { TRIES = 100, STATUS_B = 11, BINARY = 4 };
    uint64_t last = 1;

    for (int i = 0; i < TRIES; i++) {
        bool bcd = !(rtc(STATUS_B, false) & BINARY);
        uint32_t month = rtc(8, bcd), day = rtc(7, bcd);
        if (month < 1 || month > 12 || day < 1 || day > 31)
            return 0;
        uint64_t d = days(2000 + rtc(9, bcd), month, day);
        uint64_t s = ((d * 24 + rtc(4, bcd)) * 60 + rtc(2, bcd)) * 60 + rtc(0, bcd);
        if (s == last)
            return s;
        last = s;
    }
    return 0;
}

RUNS_SELDOM void clock_init(void)
{
    if (times[0].page.version != 0) {
        clock_name = "kvm";
        cycles_hz = pvclock_cycles_hz(&times[0].page);
        unix_s_at_0 = wall_page.sec;
    }
    if (cycles_hz < HZ_MIN) {
        clock_name = "cpuid";
        cycles_hz = cpuid_cycles_hz();
    }
    if (cycles_hz < HZ_MIN) {
        clock_name = "pit";
        cycles_hz = pit_cycles_hz();
    }
    if (cycles_hz < HZ_MIN)
        panic(
            "The machine has no clock: neither KVM's, nor a frequency in CPUID, nor an 8254 timer. "
            "With QEMU, leave out pit=off.");
    ns_per_cycle = (NS_PER_S << 32) / cycles_hz;
    if (!unix_s_at_0)
        unix_s_at_0 = rtc_unix_s() - clock_ns() / NS_PER_S;
}

const char *machine_clock_name(void)
{
    return clock_name;
}

uint64_t clock_ns(void)
{
    const uint32_t core = boot_core();
    uint64_t ns;

    if (times[core].page.version != 0)
        ns = pvclock_ns(&times[core].page);
    else
        ns = pvclock_scale(clock_cycles(), ns_per_cycle, 0);
    return times[core].last_ns = MAX(times[core].last_ns, ns);
}

uint64_t clock_unix_s(void)
{
    return unix_s_at_0 + clock_ns() / NS_PER_S;
}

uint64_t clock_cycles_hz(void)
{
    return cycles_hz;
}
