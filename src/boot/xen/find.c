/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * find.c - is there a Xen, and the little that can be asked of it before anything is set up. The
 * kvm platform has this file, too: to tell who gives its image to xl which one is meant for it.
 */
#include "boot/xen/domain.h"

#include <xen/arch-x86/cpuid.h>

/* Xen's leaf isn't the first if it also plays another hypervisor. */
static bool has_xens_leaf(void)
{
    for (uint32_t leaf = XEN_CPUID_FIRST_LEAF; leaf < XEN_CPUID_FIRST_LEAF + 0x10000;
         leaf += 0x100) {
        struct cpuid id = cpuid(leaf);
        if (id.ebx == XEN_CPUID_SIGNATURE_EBX && id.ecx == XEN_CPUID_SIGNATURE_ECX &&
            id.edx == XEN_CPUID_SIGNATURE_EDX)
            return true;
    }
    return false;
}

/* Which of the two instructions a processor has, its vendor tells. */
static bool has_vmmcall(void)
{
    uint32_t vendor = cpuid(0).ebx;

    return vendor == 0x68747541 || vendor == 0x6f677948; /* "Auth"enticAMD, "Hygo"nGenuine */
}

bool xen_find(void)
{
    static enum { UNKNOWN, ABSENT, FOUND } known;

    if (known == UNKNOWN) {
        xen_has_vmmcall = has_vmmcall();
        known = has_xens_leaf() ? FOUND : ABSENT;
    }
    return known == FOUND;
}

bool xen_hvm_param(uint32_t index, uint64_t *value)
{
    struct xen_hvm_param param = {.domid = DOMID_SELF, .index = index};

    if (xen_hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, (uintptr_t)&param, 0) != 0)
        return false;
    *value = param.value;
    return param.value != 0;
}

long xen_shutdown(unsigned reason)
{
    struct sched_shutdown how = {reason};

    return xen_hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uintptr_t)&how, 0);
}
