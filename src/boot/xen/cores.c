/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cores.c - further processors of a domain. A core is the vcpu of the same number; it is brought up
 * at core_entry in 32-bit mode (Xen's vcpu.h, hvm/hvm_vcpu.h). Cores wake each other by an event
 * channel, one of each vcpu; waiting for it leaves the processor to others.
 */
#include "boot/cores.h"
#include "boot/xen.h"
#include "boot/xen/domain.h"

#include <xen/hvm/hvm_vcpu.h>
#include <xen/vcpu.h>

enum { CODE32 = 0xc9b, DATA32 = 0xc93, TSS32 = 0x8b, TSS_LIMIT = 0x67 }; /* as a segment's rights */
#define TIMEOUT_NS 5000000000ull /* a host with much to do may be late in running a vcpu */

static long vcpu_op(unsigned op, uint32_t vcpu, void *arg)
{
    return xen_hypercall(__HYPERVISOR_vcpu_op, op, vcpu, (uintptr_t)arg);
}

_Noreturn static void too_few(uint32_t core)
{
    boot_misconfigured(
        "cores=%u needs as many processors, and Xen has no vcpu %u for this domain; set vcpus=%u "
        "in its configuration or ask for fewer cores.",
        core_count, core, core_count);
}

static void start_vcpu(uint32_t core)
{
    struct vcpu_hvm_context context = {.mode = VCPU_HVM_MODE_32B};
    struct vcpu_hvm_x86_32 *regs = &context.cpu_regs.x86_32;
    uint64_t end_ns = clock_ns() + TIMEOUT_NS;

    regs->eip = (uint32_t)(uintptr_t)core_entry;
    regs->cr0 = CR0_PE | CR0_ET;
    regs->cs_limit = regs->ds_limit = regs->ss_limit = regs->es_limit = UINT32_MAX;
    regs->cs_ar = CODE32;
    regs->ds_ar = regs->ss_ar = regs->es_ar = DATA32;
    regs->tr_limit = TSS_LIMIT;
    regs->tr_ar = TSS32;
    if (vcpu_op(VCPUOP_initialise, core, &context) != 0 || vcpu_op(VCPUOP_up, core, NULL) != 0)
        too_few(core);
    while (cores_arrived() <= core)
        if (clock_ns() >= end_ns)
            panic(
                "Vcpu %u didn't start in %llu s; give the host less to do or ask for fewer cores.",
                core, TIMEOUT_NS / 1000000000);
        else
            xen_yield();
}

/* One after another, so that their numbers are the vcpus'. */
RUNS_SELDOM void machine_start_cores(uint32_t count)
{
    for (uint32_t core = 0; core < count; core++)
        if (!events_add_core(core))
            too_few(core);
    for (uint32_t core = 1; core < count; core++)
        start_vcpu(core);
}

void machine_init_core(uint32_t core)
{
    (void)core;
}

void core_sleep(uint64_t deadline_ns)
{
    events_core_wait(deadline_ns);
}

void core_wake(uint32_t core)
{
    events_wake_core(core);
}
