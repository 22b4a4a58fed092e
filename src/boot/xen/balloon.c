/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * balloon.c - how much of its memory the domain has (Xen's memory.h). What boot_alloc hasn't given
 * out can go back to Xen, from the end of the last region on, and come again.
 *
 *     a region of RAM    | given out by boot_alloc | free | with Xen |
 *
 * At start: with `maxmem` above `memory` the memory map promises maxmem, and Xen looks for a page
 * when it is first used; when it has given as many as `memory` says it crashes the domain. So the
 * difference goes back before any of it was used.
 * Later: `xl mem-set` changes memory/target in the store, and the free memory follows it.
 */
#include "boot/xen/domain.h"

enum { BATCH = 512, LARGE_ORDER = 9 };
#define LARGE_BYTES ((uint64_t)PAGE_SIZE << LARGE_ORDER)

/* Pages that the domain was given beside its RAM: console, store and their like. The difference
 * between map and reservation lacks them. */
enum { SPECIAL_PAGES_MAX = 32 };

static struct memory_region with_xen[MEMORY_REGIONS_MAX]; /* the last one is the next to come */
static unsigned with_xen_count;
static uint64_t with_xen_bytes;
/* What should be with Xen; not all of it is free. Below 0 if the operator wants the domain to have
 * more than there is, so that the way back from there takes nothing. */
static int64_t wanted_bytes;

static uint64_t reserved_pages(void)
{
    domid_t self = DOMID_SELF;
    long pages =
        xen_hypercall(__HYPERVISOR_memory_op, XENMEM_current_reservation, (uintptr_t)&self, 0);

    return pages < 0 ? 0 : (uint64_t)pages;
}

/* One hypercall, of a batch at most, from the start on or from the end down. Returns how many bytes
 * it has moved. */
static uint64_t move_some(unsigned op, unsigned order, uint64_t start, uint64_t end)
{
    static xen_pfn_t frames[BATCH];
    const uint64_t count = MIN((end - start) / PAGE_SIZE >> order, (uint64_t)BATCH);
    struct xen_memory_reservation what = {
        .nr_extents = count, .extent_order = order, .domid = DOMID_SELF};

    for (uint64_t i = 0; i < count; i++)
        frames[i] = op == XENMEM_decrease_reservation ? end / PAGE_SIZE - ((i + 1) << order)
                                                      : start / PAGE_SIZE + (i << order);
    set_xen_guest_handle(what.extent_start, frames);
    long done = xen_hypercall(__HYPERVISOR_memory_op, op, (uintptr_t)&what, 0);
    return done > 0 ? MIN((uint64_t)done, count) * PAGE_SIZE << order : 0;
}

/* By 2 MiB where that can be. Gets pages from the start on. Gives them to Xen from the end down, so
 * that one that Xen refuses lies beside what is free. Returns how many bytes were moved; fewer than
 * all if Xen refused. */
static uint64_t move(unsigned op, uint64_t start, uint64_t end)
{
    const bool down = op == XENMEM_decrease_reservation;
    const uint64_t bytes = end - start;

    while (start < end) {
        uint64_t n = 0;
        if ((down ? end : start) % LARGE_BYTES == 0 && end - start >= LARGE_BYTES)
            n = move_some(op, LARGE_ORDER, start, end);
        if (n == 0 && down)
            n = move_some(op, 0, MAX(start, ALIGN_DOWN(end - 1, LARGE_BYTES)), end);
        else if (n == 0)
            n = move_some(op, 0, start, MIN(end, ALIGN_DOWN(start, LARGE_BYTES) + LARGE_BYTES));
        if (n == 0)
            break;
        *(down ? &end : &start) += down ? -n : n;
    }
    return bytes - (end - start);
}

/* False if Xen refused a page. */
static bool give(uint64_t bytes)
{
    const uint64_t end_bytes = with_xen_bytes + bytes;
    struct memory_region piece;

    while (with_xen_bytes < end_bytes && memory_take_end(end_bytes - with_xen_bytes, &piece)) {
        struct memory_region *last = with_xen_count ? &with_xen[with_xen_count - 1] : NULL;
        const uint64_t from = piece.end - move(XENMEM_decrease_reservation, piece.next, piece.end);
        memory_give_end(&(struct memory_region){piece.next, from});
        if (last && last->next == piece.end)
            last->next = from;
        else if (from < piece.end)
            with_xen[with_xen_count++] = (struct memory_region){from, piece.end};
        with_xen_bytes += piece.end - from;
        if (from > piece.next)
            return false;
    }
    return true;
}

static void get(uint64_t bytes)
{
    bytes = ALIGN_DOWN(bytes, (uint64_t)PAGE_SIZE);
    while (bytes > 0 && with_xen_count > 0) {
        struct memory_region *last = &with_xen[with_xen_count - 1];
        uint64_t want = last->next + MIN(bytes, last->end - last->next);
        uint64_t got = last->next + move(XENMEM_populate_physmap, last->next, want);
        memory_give_end(&(struct memory_region){last->next, got});
        bytes -= got - last->next;
        with_xen_bytes -= got - last->next;
        last->next = got;
        if (got < want)
            return; /* Xen has no more; it is asked again when the target changes again */
        if (got == last->end)
            with_xen_count--;
    }
}

void balloon_start(void)
{
    const uint64_t given = reserved_pages(), told = boot_memory_bytes() / PAGE_SIZE;

    if (told <= given)
        return;
    const uint64_t bytes = (told - given + SPECIAL_PAGES_MAX) * PAGE_SIZE;
    if (!give(bytes))
        panic("Xen doesn't take back memory that this image hasn't used; set maxmem to the same as "
              "memory in the domain's configuration.");
    if (with_xen_bytes < bytes) {
        print("Xen has given this domain %lu KiB, too few for the image; set memory in its "
              "configuration to 8 or more.\n",
              given * (PAGE_SIZE / 1024));
        boot_exit(BOOT_EXIT_USAGE); /* a wrong configuration: another start would end so, too */
    }
    wanted_bytes = (int64_t)bytes;
}

void balloon_follow(uint64_t target_kib, uint64_t before_kib)
{
    bool refused = false;

    wanted_bytes += ((int64_t)before_kib - (int64_t)target_kib) * 1024;
    const uint64_t wanted = (uint64_t)MAX(wanted_bytes, 0);
    if (wanted < with_xen_bytes)
        get(with_xen_bytes - wanted);
    else
        refused = !give(wanted - with_xen_bytes);
    if (refused)
        print("xen: Xen doesn't take back memory that is free; %lu KiB of what the operator wants "
              "stay with this image.\n",
              (wanted - with_xen_bytes) / 1024);
    else if (with_xen_bytes < wanted)
        print("xen: this image has no memory free that it could give back; %lu KiB of what the "
              "operator wants stay in use.\n",
              (wanted - with_xen_bytes) / 1024);
}
