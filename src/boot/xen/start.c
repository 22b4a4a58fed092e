/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * start.c - the xen platform: finds Xen, connects to it, ends the domain. The image is a PVH domain
 * (Xen's docs/misc/pvh.pandoc). Hypercalls are for ring 0, so that is where the app runs.
 */
#include "boot/console.h"
#include "boot/io.h"
#include "boot/xen/domain.h"

enum { DEBUG_EXIT_PORT = 0x501, PORT_ABSENT = 0xff }; /* boot.h; of a QEMU that plays no Xen */

const char boot_platform[] = "xen";
unsigned xen_end_reason = SHUTDOWN_poweroff;

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
    if (!xen_find())
        boot_misconfigured(
            "this image is for Xen, and there is none; build it with PLAT=kvm for other VMMs.");
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
    balloon_start();
}

bool xen_suspend(void)
{
    console_flush(); /* where it goes on, the console's ring is a new one */
    if (xen_shutdown(SHUTDOWN_suspend) != 0)
        return false;
    connect_to_xen();
    console_connect();
    return true;
}

void boot_exit(int code)
{
    bool crash = code == BOOT_EXIT_PANIC || code == BOOT_EXIT_FAULT;

    print("Ringloop: exit %d.\n", code);
    console_end();
    if (xen_find())
        xen_shutdown(crash ? SHUTDOWN_crash : xen_end_reason);
    if (inb(DEBUG_EXIT_PORT) != PORT_ABSENT)
        outb(DEBUG_EXIT_PORT, (uint8_t)code);
    for (;;)
        __asm__ volatile("cli; hlt"); /* there is no Xen: stand still */
}
