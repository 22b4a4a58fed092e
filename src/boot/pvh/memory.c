/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.c - the machine's memory: read from hvm_start_info, given out once, never taken back.
 *
 * What lies below 1 MiB belongs to the firmware and stays unused, as does the image itself. What
 * the VMM wrote for the image may lie in what is given out, modules among it: by then the image has
 * copied what it uses, and it uses no modules. This file gives out what paging.c has mapped, pages
 * for paging.c's own tables among it, and calls nothing of paging.c.
 */
#include "boot/pvh/layout.h"
#include "boot/pvh/pvh.h"

enum { ENTRIES_MAX = 128 }; /* what a PC's firmware and Xen tell at most */

static struct hvm_memmap_table_entry map[ENTRIES_MAX] UNCLEARED; /* as the VMM told it */
static uint32_t map_count;
static struct memory_region regions[MEMORY_REGIONS_MAX];
static unsigned region_count;
static uint64_t memory_bytes;
static uint64_t mapped_end = BOOT_PD_ENTRIES * (2ull << 20); /* RAM up to here is mapped */
extern char image_end[];

RUNS_SELDOM void memory_read_map(const struct hvm_start_info *info,
                                 const struct hvm_memmap_table_entry *entries)
{
    const uint32_t count = info->memmap_entries;

    if (info->version < 1 || count == 0 || info->memmap_paddr == 0)
        panic("The VMM gives no memory map (PVH start info version %u); use QEMU 4.0, Xen 4.11 or "
              "later.",
              info->version);
    if (count > ENTRIES_MAX)
        panic("The VMM's memory map has %u entries; give the machine a simpler one, of at most %d.",
              count, ENTRIES_MAX);
    memcpy(map, entries, count * sizeof map[0]);
    map_count = count;
}

/* An entry's end; one that would go round the end of all addresses ends there. */
static uint64_t end_of(const struct hvm_memmap_table_entry *entry)
{
    uint64_t end;

    return __builtin_add_overflow(entry->addr, entry->size, &end) ? UINT64_MAX : end;
}

/* Is the byte at `at` RAM, and of no other kind, too? The answer is the same up to *next. */
static bool is_ram(const struct hvm_memmap_table_entry *entries, uint32_t count, uint64_t at,
                   uint64_t *next)
{
    bool ram = false, other = false;

    *next = BOOT_ADDRESS_END;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start = entries[i].addr, end = end_of(&entries[i]);
        if (start <= at && at < end) {
            *(entries[i].type == XEN_HVM_MEMMAP_TYPE_RAM ? &ram : &other) = true;
            *next = MIN(*next, end);
        } else if (start > at && start < end) { /* one that is empty ends nothing */
            *next = MIN(*next, start);
        }
    }
    return ram && !other;
}

RUNS_SELDOM unsigned memory_cut(const struct hvm_memmap_table_entry *entries, uint32_t count,
                                uint64_t lowest, struct memory_region *result)
{
    unsigned n = 0;
    uint64_t next;

    for (uint64_t at = lowest; at < BOOT_ADDRESS_END && n < MEMORY_REGIONS_MAX; at = next) {
        if (!is_ram(entries, count, at, &next))
            continue;
        uint64_t start = at;
        for (at = next; at < BOOT_ADDRESS_END && is_ram(entries, count, at, &next); at = next)
            continue;
        struct memory_region r = {ALIGN_UP(start, (uint64_t)PAGE_SIZE),
                                  ALIGN_DOWN(at, (uint64_t)PAGE_SIZE)};
        if (r.next < r.end)
            result[n++] = r;
    }
    return n;
}

RUNS_SELDOM void memory_init(void)
{
    region_count = memory_cut(map, map_count, 0, regions);
    for (unsigned i = 0; i < region_count; i++)
        memory_bytes += regions[i].end - regions[i].next;
    region_count = memory_cut(map, map_count, (uintptr_t)image_end, regions);
    if (region_count == 0)
        boot_misconfigured("the machine has no memory above the image; give it 8 MiB or more.");
}

bool memory_region(unsigned i, struct memory_region *region)
{
    if (i >= region_count)
        return false;
    *region = regions[i];
    return true;
}

bool memory_take_end(uint64_t bytes, struct memory_region *piece)
{
    for (unsigned i = region_count; i-- > 0;) {
        struct memory_region *r = &regions[i];
        uint64_t start = ALIGN_UP(r->next, (uint64_t)PAGE_SIZE);
        if (start >= r->end)
            continue;
        bytes = ALIGN_UP(MIN(bytes, r->end - start), (uint64_t)PAGE_SIZE);
        *piece = (struct memory_region){r->end - bytes, r->end};
        r->end -= bytes;
        memory_bytes -= bytes;
        return true;
    }
    return false;
}

void memory_give_end(const struct memory_region *piece)
{
    for (unsigned i = 0; i < region_count; i++)
        if (regions[i].end == piece->next) {
            regions[i].end = piece->end;
            memory_bytes += piece->end - piece->next;
            return;
        }
}

void memory_is_mapped(void)
{
    mapped_end = UINT64_MAX;
}

/* Fills with zeros, eight bytes at a time: an emulator takes as long for one. The compiler would
 * make single bytes of a memset. */
static void *cleared(uint64_t at, size_t len)
{
    void *end = (void *)(uintptr_t)at;
    size_t words = len / 8, bytes = len % 8;

    __asm__ volatile("rep stosq" : "+D"(end), "+c"(words) : "a"(0ull) : "memory");
    __asm__ volatile("rep stosb" : "+D"(end), "+c"(bytes) : "a"(0) : "memory");
    return (void *)(uintptr_t)at;
}

void *memory_table_page(void)
{
    for (unsigned i = 0; i < region_count; i++) {
        struct memory_region *r = &regions[i];
        uint64_t at = ALIGN_UP(r->next, (uint64_t)PAGE_SIZE);
        if (at < mapped_end && at < r->end && r->end - at >= PAGE_SIZE) {
            r->next = at + PAGE_SIZE;
            return cleared(at, PAGE_SIZE);
        }
    }
    boot_misconfigured(
        "no memory is left for page tables; give the machine more, in its first 16 MiB too.");
}

void *boot_alloc(size_t len, size_t align)
{
    assert(IS_POWER_OF_2(align));
    for (unsigned i = 0; i < region_count; i++) {
        struct memory_region *r = &regions[i];
        uint64_t start = ALIGN_UP(r->next, (uint64_t)align);
        if (start >= r->next && start <= r->end && len <= r->end - start) {
            r->next = start + len;
            return cleared(start, len);
        }
    }
    return NULL;
}

/* A device of a machine may reach all of its memory. */
void *boot_alloc_private(size_t len, size_t align) __attribute__((alias("boot_alloc")));

size_t boot_alloc_max(void)
{
    uint64_t max = 0;

    for (unsigned i = 0; i < region_count; i++)
        max = MAX(max, regions[i].end - regions[i].next);
    return max;
}

uint64_t boot_memory_bytes(void)
{
    return memory_bytes;
}
