/* SPDX-License-Identifier: BSD-2-Clause */
/* cores.c - what another core needs before it starts, and its first steps in C. */
#include "boot/cores.h"
#include "boot/pvh/pvh.h"

static uint32_t arrived = 1; /* core 0 */
void core_started(uint32_t core);

uint32_t cores_arrived(void)
{
    return load_acquire(&arrived);
}

static void prepare(struct core_memory *m)
{
    traps_prepare(m->gdt, &m->tss, m->trap_stack + sizeof m->trap_stack,
                  m->double_stack + sizeof m->double_stack);
    paging_guard(m->double_guard);
    paging_guard(m->trap_guard);
    paging_guard(m->main_guard);
}

RUNS_SELDOM void cores_start(uint32_t count)
{
    core_memory = boot_alloc((count - 1) * sizeof *core_memory, PAGE_SIZE);
    if (!core_memory)
        boot_misconfigured(
            "this machine has %zu KiB left and %u cores take %zu KiB; give it more memory.",
            boot_alloc_max() >> 10, count, (count - 1) * sizeof *core_memory >> 10);
    for (uint32_t i = 0; i < count - 1; i++)
        prepare(&core_memory[i]);
    core_count = count;
    machine_start_cores(count);
}

/* From core_entry.S, in ring 0 and on the core's own stack. */
void core_started(uint32_t core)
{
    struct core_memory *m = &core_memory[core - 1];

    traps_load(m->gdt);
    machine_init_core(core);
    __atomic_fetch_add(&arrived, 1, __ATOMIC_RELEASE);
    if (pvh_ring == 3)
        enter_ring3(cores_loop, core, m->main_stack + sizeof m->main_stack);
    cores_loop(core);
}
