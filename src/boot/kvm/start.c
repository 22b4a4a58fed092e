/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * start.c - the kvm platform: console, end of the image. The console is the first
 * serial port (16550), which may be absent.
 */
#include "boot/io.h"
#include "boot/kvm/kvm.h"
#include "boot/pvh/pvh.h"

enum {
    UART = 0x3f8,
    UART_DATA = UART,
    UART_IER = UART + 1,
    UART_FCR = UART + 2,
    UART_LCR = UART + 3,
    UART_MCR = UART + 4,
    UART_LSR = UART + 5
};
enum {
    LSR_RECEIVED = 0x01,
    LSR_EMPTY = 0x20,
    LSR_ABSENT = 0xff,
    FIFO_BYTES = 16,
    CTRL_C = 3,
    TYPED_MAX = 64
};
enum { DEBUG_EXIT_PORT = 0x501, PORT_ABSENT = 0xff };
enum { KEYBOARD_COMMAND = 0x64, RESET_LINE = 0xfe };

const char boot_platform[] = "kvm";

void machine_init_ring0(void)
{
    clock_init_ring0();
}

void machine_init(const struct hvm_start_info *info)
{
    outb(UART_LCR, 0x80); /* divisor 1: 115200 baud */
    outb(UART_DATA, 1);
    outb(UART_IER, 0);
    outb(UART_LCR, 0x03); /* 8 bits, no parity */
    outb(UART_IER, 0);    /* no interrupts */
    outb(UART_FCR, 0xc7); /* FIFOs on and empty; QEMU only takes input up to the mark, here 14 */
    outb(UART_MCR, 0x03);
    clock_init();
    acpi_init(info->rsdp_paddr);
}

/* True once the port takes FIFO_BYTES more. A port that never does, or isn't there, costs at most
 * LOOKS reads a write; a look is a microsecond or more. */
static bool uart_ready(void)
{
    enum { LOOKS = 10000 };

    for (int i = 0; i < LOOKS; i++) {
        uint8_t status = inb(UART_LSR);
        if (status == LSR_ABSENT)
            return false;
        if (status & LSR_EMPTY)
            return true;
    }
    return false;
}

void boot_console_write(const char *text, size_t len)
{
    while (len > 0 && uart_ready()) {
        for (size_t n = MIN(len, (size_t)FIFO_BYTES); n > 0; n--, len--)
            outb(UART_DATA, (uint8_t)*text++);
    }
}

static bool stopping;
static uint64_t last_look, last_wake; /* cycles */

static void look_for_stop(uint64_t now)
{
    uint8_t status;

    last_look = now;
    for (int i = 0; i < TYPED_MAX; i++) {
        status = inb(UART_LSR);
        if (status == LSR_ABSENT || !(status & LSR_RECEIVED))
            break;
        stopping |= inb(UART_DATA) == CTRL_C;
    }
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
    uart_ready();
    if (inb(DEBUG_EXIT_PORT) != PORT_ABSENT)
        outb(DEBUG_EXIT_PORT, (uint8_t)code);
    end_machine();
}
