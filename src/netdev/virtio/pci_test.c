/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of PCI: what is found, and its BARs. */
#include "netdev/virtio/pci_fake_test.h"

/* --- scanning ------------------------------------------------------------------------------- */

static uint32_t visits;
static uint16_t visited[PCI_FAKE_FUNCTIONS];

static void visit(const struct pci_access *pci, uint16_t function)
{
    CHECK(pci == &pci_fake);
    visited[visits++ % PCI_FAKE_FUNCTIONS] = function;
}

TEST(pci_scan_finds_functions_and_buses)
{
    pci_fake_begin();
    CHECK(!pci_present(&pci_fake));
    pci_fake_add(PCI_FUNCTION(0, 0, 0), 0x12378086, 0);
    pci_fake_add(PCI_FUNCTION(0, 3, 0), 0x11111111, 0x80);
    pci_fake_add(PCI_FUNCTION(0, 3, 5), 0x11111111, 0);
    pci_fake_add(PCI_FUNCTION(0, 4, 1), 0x11111111, 0); /* no function 0: isn't looked for */
    struct pci_fake_function *bridge = pci_fake_add(PCI_FUNCTION(0, 5, 0), 0x22222222, 1);
    bridge->words[PCI_BUS_NUMBERS / 4] = 7u << 8;
    pci_fake_add(PCI_FUNCTION(7, 31, 0), 0x33333333, 0);
    CHECK(pci_present(&pci_fake));
    visits = 0;
    pci_scan(&pci_fake, visit);
    CHECK_EQ(visits, 4);
    CHECK_EQ(visited[1], PCI_FUNCTION(0, 3, 0));
    CHECK_EQ(visited[2], PCI_FUNCTION(0, 3, 5));
    CHECK_EQ(visited[3], PCI_FUNCTION(7, 31, 0));
}

TEST(pci_scan_ends_where_bridges_go_in_circles)
{
    pci_fake_begin();
    pci_fake_add(PCI_FUNCTION(0, 0, 0), 0x12378086, 0);
    pci_fake_add(PCI_FUNCTION(0, 1, 0), 0x22222222, 1)->words[PCI_BUS_NUMBERS / 4] = 1u << 8;
    pci_fake_add(PCI_FUNCTION(0, 2, 0), 0x22222222, 1)->words[PCI_BUS_NUMBERS / 4] = 0;
    pci_fake_add(PCI_FUNCTION(1, 0, 0), 0x22222222, 1)->words[PCI_BUS_NUMBERS / 4] = 1u << 8;
    pci_fake_add(PCI_FUNCTION(1, 1, 0), 0x22222222, 1)->words[PCI_BUS_NUMBERS / 4] = 255u << 8;
    pci_fake_add(PCI_FUNCTION(255, 0, 0), 0x22222222, 1)->words[PCI_BUS_NUMBERS / 4] = 1u << 8;
    visits = 0;
    pci_scan(&pci_fake, visit);
    CHECK_EQ(visits, 1);
}

TEST(pci_scan_looks_at_all_host_bridges)
{
    pci_fake_begin();
    pci_fake_add(PCI_FUNCTION(0, 0, 0), 0x12378086, 0);
    pci_fake_add(PCI_FUNCTION(0x20, 2, 0), 0x33333333, 0);
    pci_fake_add(PCI_FUNCTION(0x80, 3, 0), 0x33333333, 0);
    pci_fake_host.roots[0x80] = true;
    visits = 0;
    pci_scan(&pci_fake, visit);
    CHECK_EQ(visits, 2);
    CHECK_EQ(visited[1], PCI_FUNCTION(0x80, 3, 0));
}

/* Bridges as they are when power came on, one behind the other, on two host bridges. */
TEST(pci_scan_numbers_buses)
{
    uint16_t bridge;

    pci_fake_begin();
    pci_fake_add(PCI_FUNCTION(0, 0, 0), 0x12378086, 0);
    struct pci_fake_function *first = pci_fake_add(PCI_FUNCTION(0, 1, 0), 0x22222222, 1);
    struct pci_fake_function *second = pci_fake_add(PCI_FUNCTION(1, 4, 0), 0x22222222, 1);
    struct pci_fake_function *third = pci_fake_add(PCI_FUNCTION(0, 5, 0), 0x22222222, 1);
    struct pci_fake_function *other = pci_fake_add(PCI_FUNCTION(4, 5, 0), 0x22222222, 1);
    pci_fake_add(PCI_FUNCTION(2, 9, 0), 0x33333333, 0);
    pci_fake_host.roots[4] = true;
    pci_fake_host.roots[5] = true;
    visits = 0;
    pci_scan(&pci_fake, visit);
    CHECK_EQ(first->words[PCI_BUS_NUMBERS / 4], 0x020100);
    CHECK_EQ(second->words[PCI_BUS_NUMBERS / 4], 0x020201);
    CHECK_EQ(third->words[PCI_BUS_NUMBERS / 4], 0x030300);
    CHECK_EQ(other->words[PCI_BUS_NUMBERS / 4], 0); /* the next host bridge has bus 5 */
    CHECK_EQ(visits, 2);
    CHECK(pci_bridge_of(visited[1], &bridge) && bridge == second->address);
    CHECK(pci_bridge_of(bridge, &bridge) && bridge == first->address);
    CHECK(!pci_bridge_of(bridge, &bridge));
}

/* The firmware numbered one bridge and left the one behind it: only the last in a row can pass on
 * one bus more. */
TEST(pci_scan_extends_bridges)
{
    for (uint32_t is_last = 0; is_last < 2; is_last++) {
        pci_fake_begin();
        pci_fake_add(PCI_FUNCTION(0, 0, 0), 0x12378086, 0);
        struct pci_fake_function *first = pci_fake_add(PCI_FUNCTION(0, 1, 0), 0x22222222, 1);
        struct pci_fake_function *second = pci_fake_add(PCI_FUNCTION(1, 4, 0), 0x22222222, 1);
        first->words[PCI_BUS_NUMBERS / 4] = 0x010100;
        if (!is_last)
            pci_fake_add(PCI_FUNCTION(0, 2, 0), 0x22222222, 1)->words[PCI_BUS_NUMBERS / 4] =
                0x020200;
        pci_scan(&pci_fake, visit);
        CHECK_EQ(first->words[PCI_BUS_NUMBERS / 4], is_last ? 0x020100 : 0x010100);
        CHECK_EQ(second->words[PCI_BUS_NUMBERS / 4], is_last ? 0x020201 : 0);
    }
}

/* --- BARs ----------------------------------------------------------------------------------- */

TEST(pci_bar_is_measured_and_left_as_it_was)
{
    struct pci_bar bar;

    pci_fake_begin();
    struct pci_fake_function *f = pci_fake_virtio();
    f->words[PCI_BAR0 / 4 + 5] = 1; /* above 4 GiB */
    CHECK(pci_bar(&pci_fake, f->address, 4, &bar));
    CHECK_EQ(bar.base, 0x100000000ull + PCI_FAKE_BASE);
    CHECK_EQ(bar.len, PCI_FAKE_BAR_LEN);
    CHECK_EQ(f->words[PCI_BAR0 / 4 + 4], PCI_FAKE_BASE | 0xc);
    CHECK_EQ(f->words[PCI_BAR0 / 4 + 5], 1);
    CHECK(f->words[1] & PCI_COMMAND_MEMORY);
}

TEST(pci_bar_gets_an_address_if_it_has_none)
{
    struct pci_bar first, second, again;

    pci_fake_begin();
    struct pci_fake_function *f = pci_fake_virtio();
    f->words[PCI_BAR0 / 4 + 4] = 0xc;
    f->words[PCI_BAR0 / 4] = 0;
    f->bar_len[0] = 0x1000;
    CHECK(pci_bar(&pci_fake, f->address, 0, &first));
    CHECK(pci_bar(&pci_fake, f->address, 4, &second));
    CHECK(first.base >= 0xe0000000 && first.base % 0x1000 == 0);
    CHECK(second.base >= first.base + first.len && second.base % PCI_FAKE_BAR_LEN == 0);
    CHECK(pci_bar(&pci_fake, f->address, 4, &again));
    CHECK_EQ(again.base, second.base);
    f->words[PCI_BAR0 / 4 + 1] = 0; /* larger than the hole */
    f->bar_len[1] = 1u << 29;
    CHECK(!pci_bar(&pci_fake, f->address, 1, &again));
    CHECK(again.len == 1u << 29 && again.base == 0);
}

TEST(pci_bar_that_can_not_be_used)
{
    struct pci_bar bar;

    pci_fake_begin();
    struct pci_fake_function *f = pci_fake_virtio();
    CHECK(!pci_bar(&pci_fake, f->address, 0, &bar)); /* length 0: there is none */
    CHECK(!pci_bar(&pci_fake, f->address, 6, &bar));
    CHECK(!pci_bar(&pci_fake, f->address, 255, &bar));
    f->words[PCI_BAR0 / 4] = 0xc001; /* ports */
    CHECK(!pci_bar(&pci_fake, f->address, 0, &bar));
    f->words[PCI_BAR0 / 4] = 0xfc000002; /* a reserved type */
    CHECK(!pci_bar(&pci_fake, f->address, 0, &bar));
    f->words[PCI_BAR0 / 4] = 0xfc000000; /* bits that stick make no power of two */
    f->bar_len[0] = 0x5000;
    CHECK(!pci_bar(&pci_fake, f->address, 0, &bar));
    f->words[PCI_BAR0 / 4] = 0xfc001000; /* not aligned to its size */
    f->bar_len[0] = 0x4000;
    f->words[PCI_BAR0 / 4 + 5] = 4; /* the last one claims an upper half */
    CHECK(!pci_bar(&pci_fake, f->address, 0, &bar));
    CHECK(!pci_bar(&pci_fake, f->address, 5, &bar));
    f->words[PCI_BAR0 / 4] = 0x4; /* further up than any page table reaches */
    f->words[PCI_BAR0 / 4 + 1] = 0x8000;
    CHECK(!pci_bar(&pci_fake, f->address, 0, &bar));
}

/* --- bridges without a window ------------------------------------------------------------------
 */

enum { WINDOW = PCI_MEMORY_WINDOW / 4, PREFETCH = PCI_PREFETCH_WINDOW / 4 };

TEST(pci_bar_behind_bridges_without_a_window)
{
    struct pci_bar bar, second, other;

    pci_fake_begin();
    pci_fake_add(PCI_FUNCTION(0, 0, 0), 0x12378086, 0);
    struct pci_fake_function *outer = pci_fake_add(PCI_FUNCTION(0, 1, 0), 0x22222222, 1);
    struct pci_fake_function *inner = pci_fake_add(PCI_FUNCTION(1, 0, 0), 0x22222222, 1);
    struct pci_fake_function *f = pci_fake_add(PCI_FUNCTION(2, 3, 0), 0x10411af4, 0);
    struct pci_fake_function *beside = pci_fake_add(PCI_FUNCTION(0, 2, 0), 0x33333333, 0);
    beside->words[PCI_BAR0 / 4] = 0xe0001000;
    beside->bar_len[0] = 0x1000;
    f->bar_len[0] = f->bar_len[1] = 0x4000;
    pci_scan(&pci_fake, visit);
    CHECK(pci_bar(&pci_fake, f->address, 0, &bar));
    CHECK(pci_bar(&pci_fake, f->address, 1, &second));
    CHECK_EQ(bar.base, 0xe0100000);
    CHECK_EQ(second.base, 0xe0104000);
    CHECK_EQ(inner->words[WINDOW], 0xe020e010);
    CHECK_EQ(outer->words[WINDOW], 0xe040e010);
    CHECK_EQ(inner->words[PREFETCH], 0xfff0); /* closed */
    CHECK(pci_bar(&pci_fake, beside->address, 0, &other));
    CHECK_EQ(other.base, 0xe0001000);
    pci_enable(&pci_fake, f->address);
    CHECK_EQ(outer->words[1] & inner->words[1] & 6, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    f->words[PCI_BAR0 / 4] = f->words[PCI_BAR0 / 4 + 1] = f->words[1] = 0; /* plugged in anew */
    CHECK(pci_bar(&pci_fake, f->address, 1, &second));
    CHECK_EQ(second.base, 0xe0104000);
}

TEST(pci_bar_behind_a_bridge_without_room)
{
    struct pci_bar bar;

    pci_fake_begin();
    pci_fake_add(PCI_FUNCTION(0, 0, 0), 0x12378086, 0);
    struct pci_fake_function *bridge = pci_fake_add(PCI_FUNCTION(0, 1, 0), 0x22222222, 1);
    struct pci_fake_function *f = pci_fake_add(PCI_FUNCTION(1, 0, 0), 0x10411af4, 0);
    bridge->words[PCI_BUS_NUMBERS / 4] = 0x010100;
    bridge->words[WINDOW] = 0xe010e010; /* one MiB, and one BAR fills half of it */
    f->words[PCI_BAR0 / 4] = 0xe0100000;
    f->bar_len[0] = 0x80000;
    f->bar_len[1] = 0x80000;
    f->bar_len[2] = 0x1000;
    pci_scan(&pci_fake, visit);
    CHECK(pci_bar(&pci_fake, f->address, 1, &bar));
    CHECK_EQ(bar.base, 0xe0180000);
    CHECK(!pci_bar(&pci_fake, f->address, 2, &bar));
    CHECK(bar.base == 0 && bar.len == 0x1000);
    CHECK_EQ(f->words[PCI_BAR0 / 4 + 2], 0);
    pci_fake_host.window_end = pci_fake_host.window; /* the host bridge has none to give */
    CHECK(!pci_bar(&pci_fake, f->address, 2, &bar));
}

/* A bridge that passes on nearly all addresses there are: nothing behind the end of what it passes
 * on is free, nor at 0, where the next multiple of a length would be. */
TEST(pci_bar_behind_a_bridge_that_passes_on_all)
{
    struct pci_bar bar;

    pci_fake_begin();
    pci_fake_add(PCI_FUNCTION(0, 0, 0), 0x12378086, 0);
    struct pci_fake_function *bridge = pci_fake_add(PCI_FUNCTION(0, 1, 0), 0x22222222, 1);
    struct pci_fake_function *f = pci_fake_virtio();
    bridge->words[PREFETCH] = 0xffe10011; /* 64 bits: from 1 MiB to 1 MiB below the end */
    bridge->words[PREFETCH + 2] = UINT32_MAX;
    f->words[PCI_BAR0 / 4 + 4] = 0xc;
    f->bar_len[4] = 2u << 20;
    pci_scan(&pci_fake, visit);
    CHECK(!pci_bar(&pci_fake, f->address, 4, &bar));
    CHECK_EQ(f->words[PCI_BAR0 / 4 + 4] | f->words[PCI_BAR0 / 4 + 5], 0xc);
}

/* Another one's address is looked for while this one is in use: its registers stay where they are,
 * as other cores may write to them. */
TEST(pci_bar_in_use_is_measured_once)
{
    struct pci_bar bar;

    pci_fake_begin();
    pci_fake_add(PCI_FUNCTION(0, 0, 0), 0x12378086, 0);
    struct pci_fake_function *f = pci_fake_virtio();
    struct pci_fake_function *other = pci_fake_add(PCI_FUNCTION(0, 5, 0), 0x10411af4, 0);
    other->bar_len[0] = 0x1000;
    pci_scan(&pci_fake, visit);
    CHECK(pci_bar(&pci_fake, f->address, 4, &bar));
    f->stuck_bits = PCI_COMMAND_MEMORY; /* so that the fake device tells of each measuring */
    f->words[1] |= PCI_COMMAND_MEMORY;
    CHECK(pci_bar(&pci_fake, other->address, 0, &bar));
    CHECK(bar.base != 0);
}
