/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * paging.c - the page tables: everything one to one, each page with the least rights.
 *
 *   0          page zero: never mapped
 *   4 KiB      low memory: read, write
 *   1 MiB      the image: text read + execute; rodata read; data, bss, stacks read + write;
 *              a guard page below each stack: never mapped
 *   4 MiB ...  RAM and devices in 2 MiB pages: read, write. Not in pages of 1 GiB: on a KVM without
 *              hardware virtualization CPUID tells of them and each access is a fault.
 *
 * The tables themselves are data. Later mappings only turn absent entries into present ones, which
 * needs no flush of the TLB, and so can be done in ring 3. The guard pages of other cores' stacks
 * are unmapped before those cores start, and core 0 never uses them.
 */
#include "boot/pvh/layout.h"
#include "boot/pvh/pvh.h"

enum { TABLE_ENTRIES = 512, PEEK_PAGES = 2 };
#define LARGE_PAGE (2ull << 20)
#define GIB        (1ull << 30)
#define ADDRESS    0x000ffffffffff000ull

#define PTE_DATA (PTE_TABLE | PTE_DIRTY | PTE_NX)
#define PTE_READ (PTE_PRESENT | PTE_USER | PTE_ACCESSED)

extern uint64_t table_pml4[TABLE_ENTRIES], table_pd[TABLE_ENTRIES];
extern uint64_t table_pt[IMAGE_TABLES * TABLE_ENTRIES];
extern char image_start[], image_rodata[], image_data[], image_end[];
extern char guard_main[], guard_trap[], guard_double[];

static void fill_entries(uintptr_t start, uintptr_t end, uint64_t flags)
{
    uint64_t *at = &table_pt[start / PAGE_SIZE];

    for (uint64_t entry = start | flags; entry < (end | flags); entry += PAGE_SIZE)
        *at++ = entry;
}

static void load_tables(void)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(table_pml4) : "memory");
}

const void *paging_peek(const char *what, uint64_t phys)
{
    if (phys >= BOOT_ADDRESS_END)
        panic("The VMM has put its %s at 0x%lx, beyond what an image can reach; use another VMM.",
              what, phys);
    for (unsigned i = 0; i < PEEK_PAGES; i++)
        table_pd[BOOT_PD_ENTRIES + i] =
            (ALIGN_DOWN(phys, LARGE_PAGE) + i * LARGE_PAGE) | PTE_READ | PTE_LARGE | PTE_NX;
    load_tables();
    return (const char *)(BOOT_PD_ENTRIES * LARGE_PAGE) + phys % LARGE_PAGE;
}

void paging_protect_image(void)
{
    fill_entries((uintptr_t)image_start, (uintptr_t)image_rodata, PTE_READ);
    fill_entries((uintptr_t)image_rodata, (uintptr_t)image_data, PTE_READ | PTE_NX);
    fill_entries((uintptr_t)image_data, (uintptr_t)image_end, PTE_DATA);
    table_pt[0] = 0;
    table_pt[(uintptr_t)guard_main / PAGE_SIZE] = 0;
    table_pt[(uintptr_t)guard_trap / PAGE_SIZE] = 0;
    table_pt[(uintptr_t)guard_double / PAGE_SIZE] = 0;
    for (uintptr_t i = 0; i < BOOT_PD_ENTRIES; i++)
        if (i * LARGE_PAGE < (uintptr_t)image_end)
            table_pd[i] = (uintptr_t)&table_pt[i * TABLE_ENTRIES] | PTE_TABLE;
        else
            table_pd[i] |= PTE_NX;
    for (int i = 0; i < PEEK_PAGES; i++)
        table_pd[BOOT_PD_ENTRIES + i] = 0;
    load_tables();
}

static uint64_t *table_below(uint64_t *entry)
{
    if (!(*entry & PTE_PRESENT))
        *entry = (uintptr_t)memory_table_page() | PTE_TABLE;
    return (uint64_t *)(uintptr_t)(*entry & ADDRESS);
}

void paging_map(uint64_t phys, uint64_t len, bool uncached)
{
    uint64_t flags = PTE_DATA | PTE_LARGE | (uncached ? PTE_UNCACHED : 0);
    uint64_t end = ALIGN_UP(phys + len, LARGE_PAGE);

    phys = ALIGN_DOWN(phys, LARGE_PAGE);
    assert(len > 0 && end > phys && end <= BOOT_ADDRESS_END);
    while (phys < end) {
        uint64_t *pdpt = table_below(&table_pml4[phys / GIB / TABLE_ENTRIES]);
        uint64_t *gib = &pdpt[phys / GIB % TABLE_ENTRIES];
        uint64_t *large = &table_below(gib)[phys / LARGE_PAGE % TABLE_ENTRIES];
        if (!(*large & PTE_PRESENT))
            *large = phys | flags;
        phys += LARGE_PAGE;
    }
}

RUNS_SELDOM void paging_map_memory(void)
{
    struct memory_region r; /* as it was before tables for it were taken out of it */

    fill_entries(PAGE_SIZE, (uintptr_t)image_start, PTE_DATA);
    fill_entries((uintptr_t)image_end, ALIGN_UP((uintptr_t)image_end, LARGE_PAGE), PTE_DATA);
    for (unsigned i = 0; memory_region(i, &r); i++)
        paging_map(r.next, r.end - r.next, false);
    memory_is_mapped();
}

/* Makes of an entry that maps a large page a table of entries that map small ones. */
static uint64_t *split(uint64_t *entry)
{
    if (*entry & PTE_LARGE) {
        uint64_t first = *entry & ~(uint64_t)PTE_LARGE;
        uint64_t *table = memory_table_page();
        for (uint64_t i = 0; i < TABLE_ENTRIES; i++)
            table[i] = first + i * PAGE_SIZE;
        *entry = (uintptr_t)table | PTE_TABLE;
    }
    return table_below(entry);
}

void paging_guard(const void *page)
{
    uint64_t at = (uintptr_t)page;
    uint64_t *pdpt = table_below(&table_pml4[at / GIB / TABLE_ENTRIES]);
    uint64_t *pd = table_below(&pdpt[at / GIB % TABLE_ENTRIES]);
    uint64_t *pt = split(&pd[at / LARGE_PAGE % TABLE_ENTRIES]);

    pt[at / PAGE_SIZE % TABLE_ENTRIES] = 0;
}

void *boot_map_device(uint64_t phys, size_t len)
{
    paging_map(phys, len, true);
    return (void *)(uintptr_t)phys;
}
