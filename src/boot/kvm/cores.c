/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cores.c - starts processors by the local interrupt controller: INIT, then a start-up interrupt
 * that names the page where they begin (Intel SDM volume 3, 8.4.4 and 10.6.1). Those that ACPI's
 * table of interrupt controllers lists are started in its order, so that cores are the VMM's
 * processors of the same numbers. Without a table (microvm with acpi=off) both go to all at once:
 * the first to come become cores, the others sleep for ever.
 */
#include "boot/cores.h"
#include "boot/kvm/apic.h"
#include "boot/kvm/kvm.h"
#include "boot/pvh/pvh.h"

enum { ALL_OTHERS = 3 << 18, ASSERT = 1 << 14, INIT = 5 << 8, STARTUP = 6 << 8 };
enum { ENTRY_PAGE = 8 };         /* of RAM that the firmware has no use for any more */
#define AGAIN_NS   20000000ull   /* after that time the start-up interrupt is sent once more */
#define TIMEOUT_NS 2000000000ull /* a host with much to do may be late in running a processor */

static bool wait_for_cores(uint32_t count, uint64_t timeout_ns)
{
    uint64_t end_ns = clock_ns() + timeout_ns;

    while (cores_arrived() < count && clock_ns() < end_ns)
        __asm__ volatile("pause");
    return cores_arrived() == count;
}

/* A processor's entry in ACPI's table: of the first kind, or of the second, which a VMM may use for
 * any processor and must for ids that a local APIC of the first kind can't have (ACPI 6.4, 5.2.12.2
 * and 5.2.12.12). */
enum { LOCAL_APIC, LOCAL_X2APIC = 9 };
enum { USABLE = 1, ID_MAX = 254 };

static bool processor_entry(uint8_t type, unsigned n, uint32_t *id, uint32_t *flags)
{
    uint8_t entry[12];
    const size_t len = type == LOCAL_APIC ? 8 : sizeof entry;

    if (!acpi_madt_entry(type, n, entry, len))
        return false;
    memcpy(id, entry + 4, sizeof *id);
    if (type == LOCAL_APIC)
        *id = entry[3];
    memcpy(flags, entry + len - 4, sizeof *flags);
    return true;
}

/* The local APICs' ids of other processors, at most `max`, as ACPI lists them. */
RUNS_SELDOM static uint32_t listed(uint8_t *ids, uint32_t max)
{
    static const uint8_t types[] = {LOCAL_APIC, LOCAL_X2APIC};
    uint32_t found = 0, id, flags;

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        for (unsigned n = 0; found < max && processor_entry(types[i], n, &id, &flags); n++)
            if (flags & USABLE && id <= ID_MAX && id != apic_id() && !memchr(ids, (int)id, found))
                ids[found++] = (uint8_t)id; /* once: to start a core again would end it */
    return found;
}

/* Starts the processor of that id, or those that `to` means, until `count` cores have come. */
RUNS_SELDOM static bool start_processor(uint32_t id, uint32_t to, uint32_t count)
{
    apic_send(id, to | ASSERT | INIT);
    apic_send(id, to | ASSERT | STARTUP | ENTRY_PAGE);
    if (wait_for_cores(count, AGAIN_NS))
        return true;
    apic_send(id, to | ASSERT | STARTUP | ENTRY_PAGE);
    return wait_for_cores(count, TIMEOUT_NS);
}

RUNS_SELDOM void machine_start_cores(uint32_t count)
{
    void *entry = (void *)(uintptr_t)(ENTRY_PAGE * PAGE_SIZE);
    uint8_t ids[BOOT_CORES_MAX];
    uint32_t others = listed(ids, count - 1);

    clock_cycles_hz(); /* has the clock measured well, which one core alone can do */
    memcpy(entry, core_entry16, (size_t)(core_entry16_end - core_entry16));
    if (others == 0)
        start_processor(0, ALL_OTHERS, count);
    for (uint32_t i = 0; i < others && start_processor(ids[i], 0, i + 2); i++)
        continue;
    if (cores_arrived() < count && others == count - 1)
        panic("Processor %u didn't start in %llu s; give the host less to do or ask for fewer "
              "cores.",
              cores_arrived(), TIMEOUT_NS / 1000000000);
    if (cores_arrived() < count)
        boot_misconfigured(
            "cores=%u needs as many processors, and %u came; give the machine more (with QEMU "
            "-smp %u) or ask for fewer cores.",
            count, cores_arrived(), count);
}

void machine_init_core(uint32_t core)
{
    clock_init_core(core);
    apic_start();
}

void core_sleep(uint64_t deadline_ns)
{
    boot_wait(deadline_ns);
}

void core_wake(uint32_t core)
{
    apic_send(apic_ids[core], APIC_VECTOR_WAKE);
}
