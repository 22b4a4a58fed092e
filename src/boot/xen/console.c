/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * console.c - the domain's console: a ring in a page shared with the tools in dom0 (Xen's
 * io/console.h), one for each direction. `xl console` shows it.
 *
 *      out: we write at out_prod         in: the tools write at in_prod
 *           the tools read at out_cons       we read at in_cons
 *
 * last_words.c writes to the ring before it is known here. What is left at the end with nobody
 * reading goes to port 0xe9: a Xen that is built or told to show it has it on its own console. The
 * tools' daemon may pause for 200 ms when much is written. Without Xen, all goes to port 0xe9 and
 * to the first serial port.
 */
#include "boot/console.h"
#include "boot/io.h"
#include "boot/xen.h"
#include "boot/xen/domain.h"

#include <xen/io/console.h>

enum { PORT_E9 = 0xe9, CTRL_C = 3 };
enum { UART_DATA = 0x3f8, UART_LSR = 0x3fd, LSR_EMPTY = 0x20, LSR_ABSENT = 0xff };
#define NS_PER_MS 1000000ull

static struct xencons_interface *ring;
static uint64_t port;
static bool nobody_reads;                  /* at the end */
static XENCONS_RING_IDX out_prod, in_cons; /* ours; what the page says of them is never read back */

void console_connect(void)
{
    uint64_t frame;

    ring = NULL;
    if (!xen_hvm_param(HVM_PARAM_CONSOLE_PFN, &frame) ||
        !xen_hvm_param(HVM_PARAM_CONSOLE_EVTCHN, &port) || frame >= BOOT_ADDRESS_END / PAGE_SIZE)
        return;
    paging_map(frame * PAGE_SIZE, PAGE_SIZE, false);
    ring = (struct xencons_interface *)(frame * PAGE_SIZE);
    out_prod = ring->out_prod;
    in_cons = ring->in_cons;
}

/* How much of the text fits now; that much is written. */
static size_t put_what_fits(const char *text, size_t len)
{
    uint32_t used = out_prod - load_acquire(&ring->out_cons); /* what was read may be overwritten */

    if (used >= sizeof ring->out)
        return 0;
    len = MIN(len, sizeof ring->out - used);
    for (size_t i = 0; i < len; i++)
        ring->out[MASK_XENCONS_IDX(out_prod++, ring->out)] = text[i];
    store_release(&ring->out_prod, out_prod); /* the text is there before the index tells of it */
    xen_event_notify((uint32_t)port);
    return len;
}

/* Without Xen: the first serial port, which other VMMs show. False if it is there and has no room.
 */
static bool put_serial(char byte)
{
    const uint8_t status = inb(UART_LSR);

    if (status != LSR_ABSENT && !(status & LSR_EMPTY))
        return false;
    if (status != LSR_ABSENT)
        outb(UART_DATA, (uint8_t)byte);
    return true;
}

size_t console_device_put(const char *text, size_t len)
{
    size_t done = 0;

    if (ring)
        return put_what_fits(text, len);
    if (!nobody_reads && xen_find()) {
        done = xen_last_words(text, len);
    } else if (!nobody_reads) {
        if (!put_serial(text[0]))
            return 0;
        len = 1;
    }
    for (size_t i = done; i < len; i++)
        outb(PORT_E9, (uint8_t)text[i]);
    return len;
}

bool console_device_empty(void)
{
    return !ring || load_acquire(&ring->out_cons) == out_prod;
}

void console_device_wait(void)
{
    if (ring)
        events_wait((uint32_t)port, clock_ns() + NS_PER_MS);
}

void console_end(void)
{
    if (console_flush())
        return;
    nobody_reads = true;
    ring = NULL; /* the rest goes to Xen's own console */
    console_flush();
}

bool console_ctrl_c(void)
{
    bool found = false;

    if (!ring)
        return false;
    XENCONS_RING_IDX prod = load_acquire(&ring->in_prod); /* before the text is read */
    if (prod == in_cons)
        return false;
    if (prod - in_cons <= sizeof ring->in)
        for (; in_cons != prod; in_cons++)
            found = found || ring->in[MASK_XENCONS_IDX(in_cons, ring->in)] == CTRL_C;
    in_cons = prod; /* also after an index that can't be */
    store_release(&ring->in_cons, in_cons);
    xen_event_notify((uint32_t)port);
    return found;
}
