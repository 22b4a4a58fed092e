/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of balloon.c with a Xen that refuses pages. */
#include "boot/test.h"
#include "boot/xen/domain.h"

#define MIB (1ull << 20)
enum { PAGES = 64 * MIB / PAGE_SIZE, START_KIB = 40 << 10 };

static struct {
    bool is_ours[PAGES];
    bool refuses; /* to take or give the page `refused` */
    uint64_t refused;
    uint32_t calls;
} xen;

static struct memory_region ram; /* what is free of it; below is in use */

static long move_extents(unsigned op, const struct xen_memory_reservation *what)
{
    const bool takes = op == XENMEM_decrease_reservation;
    const xen_pfn_t *frames = what->extent_start.p;

    for (unsigned long i = 0; i < what->nr_extents; i++) {
        const uint64_t count = 1ull << what->extent_order;
        CHECK(frames[i] % count == 0 && frames[i] + count <= PAGES);
        if (xen.refuses && xen.refused - frames[i] < count)
            return (long)i;
        for (uint64_t page = frames[i]; page < frames[i] + count; page++) {
            CHECK_EQ(xen.is_ours[page], takes);
            xen.is_ours[page] = !takes;
        }
    }
    return (long)what->nr_extents;
}

long xen_hypercall(unsigned number, uintptr_t a, uintptr_t b, uintptr_t c)
{
    (void)c;
    CHECK_EQ(number, __HYPERVISOR_memory_op);
    xen.calls++;
    return move_extents((unsigned)a, (const struct xen_memory_reservation *)b);
}

bool memory_take_end(uint64_t bytes, struct memory_region *piece)
{
    if (ram.next >= ram.end)
        return false;
    *piece = (struct memory_region){ram.end - MIN(bytes, ram.end - ram.next), ram.end};
    ram.end = piece->next;
    return true;
}

void memory_give_end(const struct memory_region *piece)
{
    CHECK_EQ(piece->next, ram.end);
    ram.end = piece->end;
}

static void begin(void)
{
    xen.refuses = false;
    xen.calls = 0;
    ram = (struct memory_region){8 * MIB, START_KIB * 1024ull};
    for (uint64_t page = 0; page < PAGES; page++)
        xen.is_ours[page] = page * PAGE_SIZE < ram.end;
}

/* All memory up to `bytes` is the image's, and no more. */
static void check_ours(uint64_t bytes)
{
    CHECK_EQ(ram.end, bytes);
    for (uint64_t page = 0; page < PAGES; page++)
        CHECK_EQ(xen.is_ours[page], page * PAGE_SIZE < bytes);
}

TEST(balloon_gives_and_gets)
{
    begin();
    balloon_follow(START_KIB - 11 * 1024 - 12, START_KIB);
    check_ours(29 * MIB - 12 * 1024);
    CHECK(xen.calls <= 3); /* large pages, then small ones */
    balloon_follow(START_KIB, START_KIB - 11 * 1024 - 12);
    check_ours(40 * MIB);
    CHECK(xen.calls <= 6);
}

TEST(balloon_keeps_what_xen_does_not_take)
{
    static const uint32_t refused[] = {39 * 256 + 255, 39 * 256, 36 * 256 + 17, 33 * 256};

    for (uint32_t i = 0; i < ARRAY_LEN(refused); i++) {
        begin();
        xen.refuses = true;
        xen.refused = refused[i];
        balloon_follow(START_KIB - 8192, START_KIB);
        check_ours((refused[i] + 1ull) * PAGE_SIZE);
        xen.refuses = false;
        balloon_follow(START_KIB - 4096, START_KIB - 8192);
        check_ours(36 * MIB);
        balloon_follow(START_KIB, START_KIB - 4096);
        check_ours(40 * MIB);
    }
}

TEST(balloon_gets_what_xen_has)
{
    begin();
    balloon_follow(START_KIB - 8192, START_KIB);
    check_ours(32 * MIB);
    xen.refuses = true;
    xen.refused = 35 * 256 + 3;
    balloon_follow(START_KIB, START_KIB - 8192);
    check_ours(xen.refused * PAGE_SIZE);
    xen.refuses = false;
    balloon_follow(START_KIB + 4, START_KIB); /* asks again */
    check_ours(40 * MIB);
    balloon_follow(START_KIB, START_KIB + 4);
}
