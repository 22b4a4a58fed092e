/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.c - time as Xen tells it in the shared page: nanoseconds since the host started, by the
 * processor's cycle counter, and the date at that moment (Xen's xen.h: vcpu_time_info, wc_sec).
 */
#include "boot/pvclock.h"
#include "boot/xen/domain.h"

#define NS_PER_S 1000000000ull
#define HZ_MIN   1000000u /* a frequency below is nonsense */

static uint64_t
    ahead_ns; /* clock_ns() less Xen's time; modulo 2^64, as a new host may be younger */
static uint64_t cycles_hz;

static struct {
    uint64_t ns;
} __attribute__((aligned(CACHE_LINE)))
last[BOOT_CORES_MAX]; /* what clock_ns returned last on each core */

_Static_assert(BOOT_CORES_MAX <= XEN_LEGACY_MAX_VCPUS, "their times are in the shared page");

/* Of this core, which is the vcpu of that number. */
static const volatile struct vcpu_time_info *time_page(void)
{
    return &xen_shared->vcpu_info[boot_core()].time;
}

void clock_connect(void)
{
    cycles_hz = pvclock_cycles_hz(time_page());
    if (cycles_hz < HZ_MIN)
        panic("Xen tells no time: its clock page says that the processor makes %lu cycles a "
              "second; leave out tsc_mode in the domain's configuration.",
              cycles_hz);
    if (last[0].ns != 0)
        ahead_ns = last[0].ns - pvclock_ns(time_page());
}

uint64_t clock_to_xen_ns(uint64_t ns)
{
    return ns - ahead_ns;
}

uint64_t clock_ns(void)
{
    uint64_t *ns = &last[boot_core()].ns;

    return *ns = MAX(*ns, pvclock_ns(time_page()) + ahead_ns);
}

uint64_t clock_unix_s(void)
{
    enum { TRIES = 1000 }; /* then Xen has stopped in the middle: take what is there */
    const volatile struct shared_info *shared = xen_shared;
    uint64_t ns = 0, s = 0;

    for (int i = 0; i < TRIES; i++) {
        uint32_t version = load_acquire(&shared->wc_version);
        s = (uint64_t)shared->wc_sec_hi << 32 | shared->wc_sec;
        ns = shared->wc_nsec;
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the reads above come before the next one */
        if (!(version & 1) && version == shared->wc_version)
            break;
    }
    return s + (ns + clock_to_xen_ns(clock_ns())) / NS_PER_S;
}

uint64_t clock_cycles_hz(void)
{
    return cycles_hz;
}

uint64_t machine_cycles_hz(void)
{
    return cycles_hz;
}

const char *machine_clock_name(void)
{
    return "xen";
}
