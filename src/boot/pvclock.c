/* SPDX-License-Identifier: BSD-2-Clause */
/* pvclock.c - reads the clock page; pvclock.h tells of it. */
#include "boot/pvclock.h"
#include "boot/boot.h"

#define NS_PER_S 1000000000ull

static bool shift_is_sane(int8_t shift)
{
    return shift > -32 && shift < 32;
}

uint64_t pvclock_scale(uint64_t cycles, uint64_t mul, int8_t shift)
{
    cycles = shift < 0 ? cycles >> -shift : cycles << shift;
    return (uint64_t)((unsigned __int128)cycles * mul >> 32);
}

uint64_t pvclock_ns_at(const struct vcpu_time_info *time, uint64_t cycles)
{
    uint64_t ns = time->system_time;

    if (cycles > time->tsc_timestamp && shift_is_sane(time->tsc_shift))
        ns += pvclock_scale(cycles - time->tsc_timestamp, time->tsc_to_system_mul, time->tsc_shift);
    return ns;
}

/* The cycle counter, read after all loads before it: not before the version of the page. */
static uint64_t cycles_in_order(void)
{
    __asm__ volatile("lfence" : : : "memory");
    return clock_cycles();
}

uint64_t pvclock_ns(const volatile struct vcpu_time_info *page)
{
    enum { TRIES = 1000 }; /* then the host has stopped in the middle: take what is there */
    uint64_t ns = 0;

    for (int i = 0; i < TRIES; i++) {
        uint32_t version = load_acquire(&page->version);
        struct vcpu_time_info time = {.tsc_timestamp = page->tsc_timestamp,
                                      .system_time = page->system_time,
                                      .tsc_to_system_mul = page->tsc_to_system_mul,
                                      .tsc_shift = page->tsc_shift};
        ns = pvclock_ns_at(&time, cycles_in_order());
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the reads above come before the next one */
        if (!(version & 1) && version == page->version)
            break;
    }
    return ns;
}

/* The flags' place; older versions of the header have no name for it. */
enum { STABLE = 1, STOPPED = 2, FLAGS = offsetof(struct vcpu_time_info, tsc_shift) + 1 };

bool pvclock_is_stable(const volatile struct vcpu_time_info *page)
{
    return ((const volatile uint8_t *)page)[FLAGS] & STABLE;
}

bool pvclock_was_stopped(volatile struct vcpu_time_info *page)
{
    volatile uint8_t *flags = (volatile uint8_t *)page + FLAGS;

    if (likely(!(*flags & STOPPED)))
        return false;
    *flags &= (uint8_t)~STOPPED;
    return true;
}

uint64_t pvclock_forward(uint64_t *latest_ns, uint64_t ns)
{
    uint64_t latest = __atomic_load_n(latest_ns, __ATOMIC_RELAXED);

    while (latest < ns && !__atomic_compare_exchange_n(latest_ns, &latest, ns, true,
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
    return MAX(latest, ns);
}

uint64_t pvclock_cycles_hz(const volatile struct vcpu_time_info *page)
{
    uint32_t mul = page->tsc_to_system_mul;
    int8_t shift = page->tsc_shift;

    if (mul == 0 || !shift_is_sane(shift))
        return 0;
    uint64_t hz = (NS_PER_S << 32) / mul;
    return shift < 0 ? hz << -shift : hz >> shift;
}
