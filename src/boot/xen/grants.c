/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grants.c - the grant table, version 1 (Xen's grant_table.h): an entry of 8 bytes a page that
 * another domain may use. Xen reads and writes the entries as long as their flags aren't 0; the
 * frame of a free one holds the number of the next free one.
 *
 * The table grows by a page when it is full, up to what Xen allows this domain. Each page's place
 * is a page of our memory, which goes back to Xen.
 */
#include "boot/xen.h"
#include "boot/xen/domain.h"

#include <xen/grant_table.h>

enum {
    ENTRIES_PER_FRAME = PAGE_SIZE / sizeof(struct grant_entry_v1),
    FRAMES_MAX = 64, /* 32768 grants: a pool of 128 MiB */
    FIRST_REF = GNTTAB_NR_RESERVED_ENTRIES
};

static struct grant_entry_v1 *table; /* frames_max pages of it are ours, `frames` are in use */
static uint32_t frames, frames_max, allocated_frames;
static uint32_t first_free; /* 0: none */
static uint32_t used;
static uint32_t incarnation;

static uint32_t allowed_frames(void)
{
    struct gnttab_query_size query = {.dom = DOMID_SELF};

    if (xen_hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, (uintptr_t)&query, 1) !=
            0 ||
        query.status != GNTST_okay)
        return 0;
    return MIN(query.max_nr_frames, (uint32_t)FRAMES_MAX);
}

/* An empty table: at start, and where the domain was moved to. */
static void begin_table(void)
{
    incarnation = xen_incarnation;
    frames = first_free = used = 0;
    frames_max = allowed_frames();
    if (!table && frames_max > 0) {
        table = boot_alloc((size_t)frames_max * PAGE_SIZE, PAGE_SIZE);
        allocated_frames = table ? frames_max : 0;
    }
    frames_max = MIN(frames_max, allocated_frames);
}

static void begin_if_new(void)
{
    if (unlikely(incarnation != xen_incarnation))
        begin_table();
}

static bool grow(void)
{
    if (frames == frames_max)
        return false;
    struct grant_entry_v1 *frame = &table[frames * ENTRIES_PER_FRAME];
    if (!xen_map(XENMAPSPACE_grant_table, frames, frame)) {
        frames_max = frames; /* so that we don't ask each time */
        return false;
    }
    uint32_t first = frames++ * ENTRIES_PER_FRAME;
    for (uint32_t i = ENTRIES_PER_FRAME; i-- > 0;) {
        if (first + i < FIRST_REF)
            break; /* the tools' own grants, of console and store */
        frame[i] = (struct grant_entry_v1){.frame = first_free};
        first_free = first + i;
    }
    return true;
}

uint32_t xen_grant(uint16_t domid, const void *page, bool readonly)
{
    assert((uintptr_t)page % PAGE_SIZE == 0 && (uintptr_t)page / PAGE_SIZE <= UINT32_MAX);
    begin_if_new();
    if (first_free == 0 && !grow())
        return 0;
    uint32_t ref = first_free;
    struct grant_entry_v1 *entry = &table[ref];
    first_free = entry->frame;
    used++;
    entry->domid = domid;
    entry->frame = (uint32_t)((uintptr_t)page / PAGE_SIZE);
    uint16_t flags = GTF_permit_access | (readonly ? GTF_readonly : 0);
    store_release(&entry->flags, flags); /* from here on the other domain may use the page */
    return ref;
}

bool xen_grant_end(uint32_t ref)
{
    begin_if_new();
    assert(ref >= FIRST_REF && ref < frames * ENTRIES_PER_FRAME);
    struct grant_entry_v1 *entry = &table[ref];
    uint16_t flags = load_acquire(&entry->flags);

    assert((flags & GTF_type_mask) == GTF_permit_access);
    do {
        if (flags & (GTF_reading | GTF_writing))
            return false;
    } while (!__atomic_compare_exchange_n(&entry->flags, &flags, 0, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    entry->frame = first_free;
    first_free = ref;
    used--;
    return true;
}

uint32_t xen_grants_free(void)
{
    begin_if_new();
    return frames_max > 0 ? frames_max * ENTRIES_PER_FRAME - FIRST_REF - used : 0;
}

uint32_t xen_grants_used(void)
{
    begin_if_new();
    return used;
}
