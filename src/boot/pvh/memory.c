/*
 * memory.c - the machine's memory: read from hvm_start_info, given out once, never taken back.
 *
 * What lies below 1 MiB belongs to the firmware and stays unused, as does the image itself.
 */
#include "boot/pvh/layout.h"
#include "boot/pvh/pvh.h"

enum { MAX_REGIONS = 16 };

struct region {
    uint64_t next, end; /* what is still free */
};

static struct region regions[MAX_REGIONS];
static unsigned region_count;
static uint64_t memory_bytes;
extern char image_end[];

static void add_region(uint64_t start, uint64_t end)
{
    uint64_t lowest = (uintptr_t)image_end;

    start = ALIGN_UP(MAX(start, lowest), (uint64_t)PAGE_SIZE);
    end = ALIGN_DOWN(end, (uint64_t)PAGE_SIZE);
    if (start >= end || region_count == MAX_REGIONS)
        return;
    regions[region_count++] = (struct region){start, end};
}

static void check_reach(const char *what, uint64_t address, uint64_t len)
{
    uint64_t limit = BOOT_PD_ENTRIES * (2ull << 20);

    if (address == 0 || address >= limit || len > limit - address)
        panic(
            "The VMM has put its %s at 0x%lx, outside of the first 16 MiB; another version of the "
            "VMM or less in its memory map may help.",
            what, address);
}

void memory_read_map(const struct hvm_start_info *info)
{
    if (info->magic != XEN_HVM_START_MAGIC_VALUE || info->version < 1 || info->memmap_entries == 0)
        panic("The VMM gives no memory map (PVH start info version %u); use QEMU 4.0, Xen 4.11 or "
              "later.",
              info->version);
    check_reach("memory map", info->memmap_paddr,
                (uint64_t)info->memmap_entries * sizeof(struct hvm_memmap_table_entry));
    const struct hvm_memmap_table_entry *map = (const void *)(uintptr_t)info->memmap_paddr;
    for (uint32_t i = 0; i < info->memmap_entries; i++) {
        if (map[i].type != XEN_HVM_MEMMAP_TYPE_RAM)
            continue;
        memory_bytes += map[i].size;
        add_region(map[i].addr, map[i].addr + map[i].size);
    }
    if (region_count == 0)
        panic("The machine has no memory above the image; give it 8 MiB or more.");
}

void memory_init(void)
{
    paging_map_around_image();
    for (unsigned i = 0; i < region_count; i++) {
        uint64_t start = regions[i].next, end = regions[i].end;
        paging_map(start, end - start, false);
    }
}

void *memory_table_page(void)
{
    uint64_t limit = BOOT_PD_ENTRIES * (2ull << 20);

    for (unsigned i = 0; i < region_count; i++) {
        struct region *r = &regions[i];
        uint64_t at = ALIGN_UP(r->next, (uint64_t)PAGE_SIZE);
        if (at < limit && at < r->end && r->end - at >= PAGE_SIZE) {
            r->next = at + PAGE_SIZE;
            return memset((void *)(uintptr_t)at, 0, PAGE_SIZE);
        }
    }
    panic("The first 16 MiB have no room left for page tables; give the machine less memory.");
}

void *boot_alloc_unset(size_t len, size_t align)
{
    assert(IS_POWER_OF_2(align));
    for (unsigned i = 0; i < region_count; i++) {
        struct region *r = &regions[i];
        uint64_t start = ALIGN_UP(r->next, (uint64_t)align);
        if (start >= r->next && start <= r->end && len <= r->end - start) {
            r->next = start + len;
            return (void *)(uintptr_t)start;
        }
    }
    return NULL;
}

void *boot_alloc(size_t len, size_t align)
{
    void *p = boot_alloc_unset(len, align);

    return p ? memset(p, 0, len) : NULL;
}

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
