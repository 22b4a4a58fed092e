/*
 * cores.c - starts processors by the local interrupt controller: INIT, then a start-up interrupt
 * that names the page where they begin (Intel SDM volume 3, 8.4.4 and 10.6.1). Both go to all
 * processors at once, as no table is then needed to know them: the first to come become cores, the
 * others sleep for ever.
 */
#include "boot/cores.h"
#include "boot/kvm/apic.h"
#include "boot/kvm/kvm.h"
#include "boot/pvh/pvh.h"

enum { ALL_OTHERS = 3 << 18, ASSERT = 1 << 14, INIT = 5 << 8, STARTUP = 6 << 8 };
enum { ENTRY_PAGE = 8 };         /* of RAM that the firmware has no use for any more */
#define AGAIN_NS   20000000ull   /* after that time the start-up interrupt is sent once more */
#define TIMEOUT_NS 2000000000ull /* a host with much to do may be late in running a processor */

static bool wait_for(uint32_t count, uint64_t timeout_ns)
{
    uint64_t end_ns = clock_ns() + timeout_ns;

    while (cores_arrived() < count && clock_ns() < end_ns)
        __asm__ volatile("pause");
    return cores_arrived() == count;
}

RUNS_ONCE void machine_start_cores(uint32_t count)
{
    void *entry = (void *)(uintptr_t)(ENTRY_PAGE * PAGE_SIZE);

    memcpy(entry, core_entry16, (size_t)(core_entry16_end - core_entry16));
    apic_send(0, ALL_OTHERS | ASSERT | INIT);
    apic_send(0, ALL_OTHERS | ASSERT | STARTUP | ENTRY_PAGE);
    if (wait_for(count, AGAIN_NS))
        return;
    apic_send(0, ALL_OTHERS | ASSERT | STARTUP | ENTRY_PAGE);
    if (!wait_for(count, TIMEOUT_NS))
        panic("cores=%u needs as many processors, and %u came; give the machine more (with QEMU "
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
