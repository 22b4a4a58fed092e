/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the memory map: what a VMM may tell, and what becomes of it. */
#include "boot/pvh/pvh.h"
#include "boot/test.h"

enum { RAM = XEN_HVM_MEMMAP_TYPE_RAM, RESERVED = XEN_HVM_MEMMAP_TYPE_RESERVED };

#define MIB (1ull << 20)

static struct hvm_memmap_table_entry map[40];
static struct memory_region regions[MEMORY_REGIONS_MAX];

static struct hvm_memmap_table_entry entry(uint32_t type, uint64_t start, uint64_t end)
{
    return (struct hvm_memmap_table_entry){.addr = start, .size = end - start, .type = type};
}

static unsigned cut(uint32_t count)
{
    return memory_cut(map, count, 2 * MIB, regions);
}

static void check_region(unsigned i, uint64_t start, uint64_t end)
{
    CHECK_EQ(regions[i].next, start);
    CHECK_EQ(regions[i].end, end);
}

TEST(memory_map_of_a_pc)
{
    map[0] = entry(RAM, 0, 0x9fc00);
    map[1] = entry(RESERVED, 0x9fc00, MIB);
    map[2] = entry(RAM, MIB, 64 * MIB + 123);
    map[3] = entry(RAM, 4096 * MIB + 1, 5000 * MIB);
    CHECK_EQ(cut(4), 2);
    check_region(0, 2 * MIB, 64 * MIB);
    check_region(1, 4096 * MIB + PAGE_SIZE, 5000 * MIB);
}

TEST(memory_map_whose_ram_overlaps_is_given_once)
{
    map[0] = entry(RAM, 8 * MIB, 16 * MIB);
    map[1] = entry(RAM, 4 * MIB, 32 * MIB); /* around the first */
    map[2] = entry(RAM, 10 * MIB, 12 * MIB);
    map[3] = entry(RAM, 30 * MIB, 40 * MIB);
    map[4] = entry(RAM, 30 * MIB, 40 * MIB);
    CHECK_EQ(cut(5), 1);
    check_region(0, 4 * MIB, 40 * MIB);
}

TEST(memory_map_whose_ram_is_in_parts_is_whole)
{
    map[0] = entry(RAM, 8 * MIB, 16 * MIB);
    map[1] = entry(RAM, 4 * MIB, 8 * MIB - 100); /* a hole of 100 bytes */
    map[2] = entry(RAM, 16 * MIB, 20 * MIB + 5); /* the page of the seam is there, too */
    map[3] = entry(RAM, 20 * MIB + 5, 32 * MIB);
    CHECK_EQ(cut(4), 2);
    check_region(0, 4 * MIB, 8 * MIB - PAGE_SIZE);
    check_region(1, 8 * MIB, 32 * MIB);
}

TEST(memory_map_whose_empty_entries_mean_nothing)
{
    map[0] = entry(RAM, 2 * MIB, 32 * MIB);
    map[1] = entry(RESERVED, 8 * MIB + 1, 8 * MIB + 1);
    map[2] = entry(RAM, 9 * MIB + 1, 9 * MIB + 1);
    map[3] = entry(RESERVED, 2 * MIB, 2 * MIB);
    map[4] = entry(RESERVED, 0, 0);
    map[5] = entry(RESERVED, UINT64_MAX, UINT64_MAX);
    map[6] = entry(0, 10 * MIB, 10 * MIB);
    CHECK_EQ(cut(7), 1);
    check_region(0, 2 * MIB, 32 * MIB);
}

/* Touching at their ends, and of one byte. */
TEST(memory_map_whose_entries_are_at_the_limits)
{
    map[0] = entry(RAM, 0, 2 * MIB); /* up to the lowest address that is taken */
    map[1] = entry(RAM, 2 * MIB, 4 * MIB);
    map[2] = entry(RESERVED, 4 * MIB - 1, 4 * MIB);
    map[3] = entry(RESERVED, 4 * MIB, 5 * MIB);
    map[4] = entry(RAM, 4 * MIB, 6 * MIB);
    map[5] = entry(RESERVED, 6 * MIB, 6 * MIB + 1);
    map[6] = entry(RAM, 6 * MIB, 7 * MIB);
    map[7] = entry(RAM, BOOT_ADDRESS_END - PAGE_SIZE, BOOT_ADDRESS_END);
    map[8] = entry(RAM, BOOT_ADDRESS_END, BOOT_ADDRESS_END + PAGE_SIZE);
    CHECK_EQ(cut(9), 4);
    check_region(0, 2 * MIB, 4 * MIB - PAGE_SIZE);
    check_region(1, 5 * MIB, 6 * MIB);
    check_region(2, 6 * MIB + PAGE_SIZE, 7 * MIB);
    check_region(3, BOOT_ADDRESS_END - PAGE_SIZE, BOOT_ADDRESS_END);
}

TEST(memory_map_without_usable_ram)
{
    CHECK_EQ(cut(0), 0);
    map[0] = entry(RAM, 4 * MIB, 8 * MIB);
    map[1] = entry(RESERVED, 0, UINT64_MAX);
    CHECK_EQ(cut(2), 0);
    map[1] = entry(RESERVED, 3 * MIB, 3 * MIB - 1); /* round the end of all addresses */
    CHECK_EQ(cut(2), 0);
}

TEST(memory_map_whose_ram_is_partly_reserved)
{
    map[0] = entry(RESERVED, 10 * MIB + 1, 11 * MIB - 1);
    map[1] = entry(RAM, 4 * MIB, 32 * MIB);
    map[2] = entry(RESERVED, 20 * MIB, 40 * MIB); /* behind in the map, too */
    CHECK_EQ(cut(3), 2);
    check_region(0, 4 * MIB, 10 * MIB);
    check_region(1, 11 * MIB, 20 * MIB);
}

TEST(memory_map_with_impossible_entries)
{
    map[0] = entry(RAM, 8 * MIB, 8 * MIB);
    map[1] = entry(RAM, UINT64_MAX - MIB, MIB);              /* round the end of all addresses */
    map[2] = entry(RAM, BOOT_ADDRESS_END - MIB, UINT64_MAX); /* further than can be mapped */
    map[3] = entry(RESERVED, BOOT_ADDRESS_END - PAGE_SIZE, 1);
    map[4] = entry(RAM, 3 * MIB + 1, 3 * MIB + 4096); /* no whole page */
    CHECK_EQ(cut(5), 1);
    check_region(0, BOOT_ADDRESS_END - MIB, BOOT_ADDRESS_END - PAGE_SIZE);
}

TEST(memory_map_in_too_many_pieces)
{
    map[0] = entry(RAM, 2 * MIB, 1000 * MIB);
    for (uint32_t i = 1; i < ARRAY_LEN(map); i++)
        map[i] = entry(RESERVED, (3 + 2 * i) * MIB, (4 + 2 * i) * MIB);
    CHECK_EQ(cut(ARRAY_LEN(map)), MEMORY_REGIONS_MAX);
    for (unsigned i = 0; i < MEMORY_REGIONS_MAX; i++)
        CHECK(regions[i].next < regions[i].end);
}

/* All of the first 16 MiB may be given away before a device is mapped. */
TEST(memory_for_page_tables_comes_from_anywhere)
{
    while (boot_alloc_max() > 0 && (uintptr_t)boot_alloc(PAGE_SIZE, PAGE_SIZE) < 16 * MIB)
        ;
    for (uint64_t i = 1; i <= 3; i++)
        CHECK(boot_map_device(i << 40, 512) == (void *)(uintptr_t)(i << 40));
}

/* On the machine's own memory, all of which comes back. */
TEST(memory_leaves_from_the_end_and_comes_back)
{
    const uint64_t bytes = boot_memory_bytes(), max = boot_alloc_max();
    struct memory_region last, piece;
    unsigned count = 0;

    while (memory_region(count, &last))
        count++;
    CHECK(memory_region(count - 1, &last));
    CHECK(memory_take_end(PAGE_SIZE + 1, &piece));
    CHECK_EQ(piece.end, last.end);
    CHECK_EQ(piece.end - piece.next, 2 * PAGE_SIZE);
    CHECK_EQ(boot_memory_bytes(), bytes - 2 * PAGE_SIZE);
    memory_give_end(&(struct memory_region){piece.next, piece.next + PAGE_SIZE});
    memory_give_end(&(struct memory_region){piece.next + PAGE_SIZE, piece.end});
    CHECK_EQ(boot_memory_bytes(), bytes);
    CHECK(memory_take_end(UINT64_MAX, &piece)); /* more than there is: all that is free */
    CHECK_EQ(piece.next, ALIGN_UP(last.next, (uint64_t)PAGE_SIZE));
    memory_give_end(&piece);
    CHECK_EQ(boot_alloc_max(), max);
    CHECK_EQ(boot_memory_bytes(), bytes);
}
