/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * start.c - the xen platform: finds Xen, connects to it, ends the domain. The image is a PVH domain
 * (Xen's docs/misc/pvh.pandoc). Hypercalls are for ring 0, so that is where the app runs.
 */
#include "boot/console.h"
#include "boot/xen/domain.h"

#include <xen/arch-x86/cpuid.h>

const char boot_platform[] = "xen";
unsigned xen_end_reason = SHUTDOWN_poweroff;
static bool found; /* Xen */

/* Xen's leaf isn't the first if it also plays another hypervisor. */
static bool on_xen(void)
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

/* At the start, and when the domain goes on on another host. */
static void connect_to_xen(void)
{
    if (!xen_map(XENMAPSPACE_shared_info, 0, xen_shared))
        panic("Xen gives this domain no shared info page; give it type=\"pvh\" in its "
              "configuration.");
    xen_incarnation++;
    events_connect();
    clock_connect();
}

void machine_init_ring0(void)
{
    found = on_xen();
    if (!found)
        panic("This image is for Xen, and there is none; build it with PLAT=kvm for other VMMs.");
    xen_has_vmmcall = has_vmmcall();
    connect_to_xen();
}

int machine_ring(const char *command_line)
{
    (void)command_line;
    return 0;
}

void machine_init(const struct hvm_start_info *info)
{
    (void)info;
    console_connect();
}

static long schedop_shutdown(unsigned reason)
{
    struct sched_shutdown how = {reason};

    return xen_hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uintptr_t)&how, 0);
}

bool xen_suspend(void)
{
    console_flush(); /* where it goes on, the console's ring is a new one */
    if (schedop_shutdown(SHUTDOWN_suspend) != 0)
        return false;
    connect_to_xen();
    console_connect();
    return true;
}

void boot_exit(int code)
{
    bool crash = code == BOOT_EXIT_PANIC || code == BOOT_EXIT_FAULT;

    print("Ringloop: exit %d.\n", code);
    if (found) {
        console_end();
        schedop_shutdown(crash ? SHUTDOWN_crash : xen_end_reason);
    }
    for (;;)
        __asm__ volatile("cli; hlt"); /* there is no Xen: stand still */
}
