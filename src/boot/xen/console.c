/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * console.c - the domain's console: a ring in a page shared with the tools in dom0 (Xen's
 * io/console.h), one for each direction. `xl console` shows it.
 *
 *      out: we write at out_prod         in: the tools write at in_prod
 *           the tools read at out_cons       we read at in_cons
 *
 * What comes before the ring is known, or finds it full with nobody reading, goes to port 0xe9: a
 * Xen that is built or told to show it has it on its own console.
 */
#include "boot/io.h"
#include "boot/xen.h"
#include "boot/xen/domain.h"

#include <xen/io/console.h>

enum { PORT_E9 = 0xe9, CTRL_C = 3 };
#define NS_PER_BYTE 10000000ull  /* boot.h: at most 10 ms a byte */
#define FLUSH_NS    500000000ull /* the tools' daemon may pause for 200 ms when much is written */

static struct xencons_interface *ring;
static uint64_t port;
static XENCONS_RING_IDX out_prod, in_cons; /* ours; what the page says of them is never read back */
static bool nobody_reads;

void console_connect(void)
{
    uint64_t frame;

    ring = NULL;
    nobody_reads = false;
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

/* Returns how much was written. */
static size_t write_ring(const char *text, size_t len)
{
    uint64_t deadline_ns = 0;
    size_t done = 0;

    while (done < len) {
        size_t n = put_what_fits(text + done, len - done);
        done += n;
        if (n > 0) {
            nobody_reads = false;
            continue;
        }
        if (deadline_ns == 0)
            deadline_ns = clock_ns() + (len - done) * NS_PER_BYTE;
        if (nobody_reads || clock_ns() >= deadline_ns) {
            nobody_reads = true;
            break;
        }
        events_wait((uint32_t)port, deadline_ns);
    }
    return done;
}

void boot_console_write(const char *text, size_t len)
{
    for (size_t i = ring ? write_ring(text, len) : 0; i < len; i++)
        outb(PORT_E9, (uint8_t)text[i]);
}

void console_flush(void)
{
    if (!ring || nobody_reads)
        return;
    uint64_t deadline_ns = clock_ns() + FLUSH_NS;
    while (load_acquire(&ring->out_cons) != out_prod && clock_ns() < deadline_ns)
        events_wait((uint32_t)port, deadline_ns);
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
