/* SPDX-License-Identifier: BSD-2-Clause */
/* console.c - the console of the kvm platform: the first serial port (16550), which may be absent.
 */
#include "boot/console.h"
#include "boot/io.h"
#include "boot/kvm/kvm.h"

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

void console_init(void)
{
    outb(UART_LCR, 0x80); /* divisor 1: 115200 baud */
    outb(UART_DATA, 1);
    outb(UART_IER, 0);
    outb(UART_LCR, 0x03); /* 8 bits, no parity */
    outb(UART_IER, 0);    /* no interrupts */
    outb(UART_FCR, 0xc7); /* FIFOs on and empty; QEMU only takes input up to the mark, here 14 */
    outb(UART_MCR, 0x03);
}

size_t console_device_put(const char *text, size_t len)
{
    const uint8_t status = inb(UART_LSR);

    if (status == LSR_ABSENT)
        return len;
    if (!(status & LSR_EMPTY))
        return 0;
    len = MIN(len, (size_t)FIFO_BYTES);
    for (size_t i = 0; i < len; i++)
        outb(UART_DATA, (uint8_t)text[i]);
    return len;
}

bool console_device_empty(void)
{
    return inb(UART_LSR) & LSR_EMPTY; /* also if it is absent */
}

void console_device_wait(void)
{
    __asm__ volatile("pause");
}

bool console_ctrl_c(void)
{
    bool found = false;

    for (int i = 0; i < TYPED_MAX; i++) {
        uint8_t status = inb(UART_LSR);
        if (status == LSR_ABSENT || !(status & LSR_RECEIVED))
            break;
        found |= inb(UART_DATA) == CTRL_C;
    }
    return found;
}
