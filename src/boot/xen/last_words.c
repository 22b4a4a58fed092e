/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * last_words.c - the domain's console for an image that ends before it is set up: there are no page
 * tables for the ring's page yet, and no clock. The kvm platform has this file, too: its images
 * have no other word for who starts them with xl.
 */
#include "boot/xen/domain.h"

#include <xen/event_channel.h>
#include <xen/io/console.h>

#define LARGE_PAGE  (2ull << 20)
#define WINDOW      511u         /* the entry of table_pd, and so 2 MiB below 1 GiB */
#define WAIT_CYCLES 2000000000ul /* about a second */

extern uint64_t table_pd[]; /* entry.S */

static void set_window(uint64_t entry)
{
    table_pd[WINDOW] = entry;
    __asm__ volatile("invlpg (%0)" : : "r"(WINDOW * LARGE_PAGE) : "memory");
}

/* Returns how much of the text had room. */
static size_t put_text(struct xencons_interface *ring, const char *text, size_t len)
{
    XENCONS_RING_IDX prod = ring->out_prod;
    const uint32_t used = prod - load_acquire(&ring->out_cons);
    const size_t n = used < sizeof ring->out ? MIN(len, sizeof ring->out - used) : 0;

    for (size_t i = 0; i < n; i++)
        ring->out[MASK_XENCONS_IDX(prod++, ring->out)] = text[i];
    store_release(&ring->out_prod, prod); /* the text is there before the index tells of it */
    return n;
}

/* The tools forget what they haven't read when the domain has ended. */
static void wait_for_reader(const struct xencons_interface *ring)
{
    static bool nobody_reads;
    const uint64_t start = clock_cycles();

    while (!nobody_reads && load_acquire(&ring->out_cons) != ring->out_prod) {
        xen_hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0);
        nobody_reads = clock_cycles() - start > WAIT_CYCLES;
    }
}

size_t xen_last_words(const char *text, size_t len)
{
    const uint64_t before = table_pd[WINDOW];
    uint64_t frame, port;

    if (!xen_hvm_param(HVM_PARAM_CONSOLE_PFN, &frame) ||
        !xen_hvm_param(HVM_PARAM_CONSOLE_EVTCHN, &port) || frame >= BOOT_ADDRESS_END / PAGE_SIZE)
        return 0;
    const uint64_t at = frame * PAGE_SIZE;
    struct xencons_interface *ring =
        (struct xencons_interface *)(WINDOW * LARGE_PAGE + at % LARGE_PAGE);
    set_window(ALIGN_DOWN(at, LARGE_PAGE) | PTE_BOOT | PTE_NX);
    len = put_text(ring, text, len);
    struct evtchn_send send = {(evtchn_port_t)port};
    xen_hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (uintptr_t)&send, 0);
    wait_for_reader(ring);
    set_window(before);
    return len;
}

void xen_refuse(const char *text)
{
    if (!xen_find())
        return;
    xen_last_words(text, strlen(text));
    xen_shutdown(SHUTDOWN_poweroff);
}
