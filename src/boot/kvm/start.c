/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * start.c - the kvm platform: its start, what the operator asks of the image, and its end.
 */
#include "boot/console.h"
#include "boot/io.h"
#include "boot/kvm/kvm.h"
#include "boot/pvh/pvh.h"
#include "boot/xen/domain.h"

enum { DEBUG_EXIT_PORT = 0x501, UART_LSR = 0x3fd, PORT_ABSENT = 0xff };

const char boot_platform[] = "kvm";

void machine_init_ring0(void)
{
    if (inb(UART_LSR) == PORT_ABSENT) /* as in a domain that xl made, where nothing here works */
        xen_refuse("This image is for KVM and other VMMs, and xl has started it as a domain of "
                   "Xen; build it with PLAT=xen.\n");
    clock_init_ring0();
}

void machine_init(const struct hvm_start_info *info)
{
    console_init();
    clock_init();
    acpi_init(info->rsdp_paddr);
}

static bool stopping;
static uint64_t last_look, last_wake; /* cycles */

static void look_for_stop(uint64_t now)
{
    last_look = now;
    console_turn();
    if (console_ctrl_c())
        stopping = true;
    if (acpi_power_button())
        stopping = true;
}

static bool due(uint64_t now, uint64_t since)
{
    return boot_core() == 0 && now - since >= clock_cycles_hz() / 100;
}

bool boot_stopping(void)
{
    uint64_t now = clock_cycles();

    if (!stopping && due(now, MAX(last_look, last_wake)))
        look_for_stop(now);
    return stopping;
}

bool stopping_before_sleep(void)
{
    uint64_t now = clock_cycles();

    if (stopping || !due(now, last_look))
        return false;
    look_for_stop(now);
    return stopping;
}

void stopping_woke(void)
{
    if (boot_core() == 0)
        last_wake = clock_cycles();
}

void boot_exit(int code)
{
    print("Ringloop: exit %d.\n", code);
    console_flush();
    if (inb(DEBUG_EXIT_PORT) != PORT_ABSENT)
        outb(DEBUG_EXIT_PORT, (uint8_t)code);
    acpi_power_off();
    for (;;)
        __asm__ volatile("pause"); /* nothing can be switched off: stand still */
}
