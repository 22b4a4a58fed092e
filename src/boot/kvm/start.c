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
enum { KEYBOARD_COMMAND = 0x64, RESET_LINE = 0xfe };

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
    acpi_init(info->rsdp_paddr);
    clock_init(); /* late, as that lets it measure for longer */
}

static bool stopping;
static uint64_t last_look, last_button, last_wake; /* cycles */

static void look_for_stop(uint64_t now)
{
    last_look = now;
    clock_refine();
    console_turn();
    stopping |= console_ctrl_c();
    if (now - last_button < clock_cycles_hz() / 10) /* a look costs as much as the console's */
        return;
    last_button = now;
    stopping |= acpi_power_button();
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

/* The VMM may take a moment to act. */
static void give_it_time(void)
{
    uint64_t end = clock_cycles() + clock_cycles_hz() / 10;

    while (clock_cycles() < end)
        __asm__ volatile("pause");
}

/* Switches the machine off. What can't be switched off is reset, by ever ruder means, the order
 * that Linux has, too: a VMM that was told not to start the machine anew ends then. */
_Noreturn static void end_machine(void)
{
    if (acpi_power_off())
        give_it_time();
    if (acpi_reset())
        give_it_time();
    outb(KEYBOARD_COMMAND, RESET_LINE);
    give_it_time();
    traps_triple_fault();
}

void boot_exit(int code)
{
    print("Ringloop: exit %d.\n", code);
    console_flush();
    if (inb(DEBUG_EXIT_PORT) != PORT_ABSENT)
        outb(DEBUG_EXIT_PORT, (uint8_t)code);
    end_machine();
}
