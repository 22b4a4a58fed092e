/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_space.c - addresses for BARs, windows for bridges; see pci_space.h. (PCI-to-PCI Bridge
 * Architecture 1.2, chapter 3.)
 *
 * What is in use is learned when the first address is wanted, which firmware seldom leaves to us:
 * all BARs and windows of all functions are measured then.
 */
#include "netdev/virtio/pci_space.h"
#include "boot/boot.h"

enum {
    CLAIMS = 256,
    WINDOW = PCI_BARS, /* the index of a bridge's window */
    PREFETCH_WINDOW,   /* and of its other one */
    BRIDGE_BARS = 2,
    WINDOW_ALIGN = 1 << 20,
    WINDOW_LEN = 2 << 20, /* that a bridge gets, and as much for each bridge behind it */
};

static struct claim {
    uint16_t function;
    uint8_t index;
    uint64_t base, end;
} claims[CLAIMS];
static uint32_t count;
static bool learned;

void pci_space_forget(void)
{
    count = 0;
    learned = false;
}

static struct claim *find_claim(uint16_t function, uint32_t index)
{
    for (uint32_t i = 0; i < count; i++)
        if (claims[i].function == function && claims[i].index == index)
            return &claims[i];
    return NULL;
}

/* False if there are too many, and nothing may be given out any more. What lies beyond the
 * addresses that an image can use is in nobody's way; so no sum of addresses and lengths goes
 * round. */
static bool claim_range(uint16_t function, uint32_t index, uint64_t base, uint64_t end)
{
    struct claim *claim = find_claim(function, index);

    if (base >= BOOT_ADDRESS_END)
        return true;
    end = end < base ? BOOT_ADDRESS_END : MIN(end, BOOT_ADDRESS_END);
    if (!claim && count == CLAIMS)
        return false;
    if (!claim)
        claim = &claims[count++];
    *claim = (struct claim){function, (uint8_t)index, base, end};
    return true;
}

void pci_space_claim(uint16_t function, uint32_t index, const struct pci_bar *bar)
{
    claim_range(function, index, bar->base, bar->base + bar->len);
}

/* --- bridges ------------------------------------------------------------------------------------
 */

static bool read_window(const struct pci_access *pci, uint16_t bridge, uint32_t at, uint64_t *base,
                        uint64_t *end)
{
    const uint32_t word = pci->read(bridge, at);
    const bool is_64 = at == PCI_PREFETCH_WINDOW && (word & 15) == 1;

    *base = (uint64_t)(word & 0xfff0) << 16;
    *end = (uint64_t)(word & 0xfff00000) + WINDOW_ALIGN;
    if (is_64) {
        *base |= (uint64_t)pci->read(bridge, at + 4) << 32;
        *end += (uint64_t)pci->read(bridge, at + 8) << 32;
    }
    return *base != 0 && *base < *end; /* at 0 it is as it was when power came on */
}

/* The windows that aren't in use are closed, as 0 stands for the first MiB. */
static void write_window(const struct pci_access *pci, uint16_t bridge, uint64_t base, uint64_t end)
{
    uint64_t unused;

    pci->write(bridge, PCI_MEMORY_WINDOW,
               (uint32_t)(base >> 16 & 0xfff0) | ((uint32_t)(end - 1) & 0xfff00000));
    if (!read_window(pci, bridge, PCI_PREFETCH_WINDOW, &unused, &unused)) {
        pci->write(bridge, PCI_PREFETCH_WINDOW, 0xfff0);
        pci->write(bridge, PCI_PREFETCH_WINDOW + 4, 0);
        pci->write(bridge, PCI_PREFETCH_WINDOW + 8, 0);
    }
}

static uint64_t window_len(uint16_t bridge)
{
    uint64_t len = WINDOW_LEN;
    uint16_t function, above;
    bool is_bridge;

    for (uint32_t n = 0; pci_found(n, &function, &is_bridge); n++)
        for (uint32_t depth = 0;
             is_bridge && depth < PCI_DEPTH_MAX && pci_bridge_of(function, &above); depth++) {
            len += above == bridge ? WINDOW_LEN : 0;
            function = above;
        }
    return len;
}

/* --- what is in use -----------------------------------------------------------------------------
 */

static bool learn_function(const struct pci_access *pci, uint16_t function, bool is_bridge)
{
    struct pci_bar bar;
    uint64_t base, end;
    bool ok = true;

    /* One that is known isn't measured: its device is in use, and doesn't hear other cores then. */
    for (uint32_t i = 0; i < (is_bridge ? BRIDGE_BARS : PCI_BARS); i++)
        if (!find_claim(function, i) &&
            pci->read(function, PCI_BAR0 + 4 * i) != 0 && /* a look is quicker than measuring */
            pci_measure_bar(pci, function, i, &bar) && bar.base != 0)
            ok = ok && claim_range(function, i, bar.base, bar.base + bar.len);
    for (uint32_t i = 0; is_bridge && i < 2; i++)
        if (read_window(pci, function, i ? PCI_PREFETCH_WINDOW : PCI_MEMORY_WINDOW, &base, &end))
            ok = ok && claim_range(function, WINDOW + i, base, end);
    return ok;
}

static bool learn_all(const struct pci_access *pci)
{
    uint16_t function;
    bool is_bridge, ok = true;

    for (uint32_t n = 0; ok && pci_found(n, &function, &is_bridge); n++)
        ok = learn_function(pci, function, is_bridge);
    return ok;
}

/* --- finding room -------------------------------------------------------------------------------
 */

/* A claim on this bus, or for a host bridge's on any such bus, that the range touches. */
static const struct claim *claim_in(uint16_t on_bus, uint64_t base, uint64_t end)
{
    uint16_t ours, theirs;
    const bool behind = pci_bridge_of(on_bus, &ours);

    for (uint32_t i = 0; i < count; i++) {
        const struct claim *claim = &claims[i];
        const bool same = behind == pci_bridge_of(claim->function, &theirs) &&
                          (!behind || claim->function >> 8 == on_bus >> 8);
        if (same && claim->base < end && base < claim->end)
            return claim;
    }
    return NULL;
}

/* The lowest address that is free for this function, in the range that leads to its bus. */
static bool find_room(uint16_t function, uint64_t base, uint64_t end, uint64_t len, uint64_t align,
                      uint64_t *found)
{
    const struct claim *claim;

    if (len > BOOT_ADDRESS_END)
        return false;
    for (base = ALIGN_UP(base, align); base < end && len <= end - base;
         base = ALIGN_UP(claim->end, align)) {
        claim = claim_in(function, base, base + len);
        if (!claim) {
            *found = base;
            return true;
        }
    }
    return false;
}

static bool find_for(const struct pci_access *pci, uint16_t function, uint64_t len, uint64_t align,
                     uint32_t depth, uint64_t *base);

/* The range that leads to a function's bus; a bridge that has no window gets one. */
static bool range_of_bus(const struct pci_access *pci, uint16_t function, uint32_t depth,
                         uint64_t *base, uint64_t *end)
{
    uint16_t bridge;

    if (!pci_bridge_of(function, &bridge)) {
        *base = pci->host->window;
        *end = pci->host->window_end;
        return true;
    }
    const struct claim *window = find_claim(bridge, WINDOW);
    if (!window) {
        const uint64_t len = window_len(bridge);
        if (depth == PCI_DEPTH_MAX || !find_for(pci, bridge, len, WINDOW_ALIGN, depth + 1, base) ||
            !claim_range(bridge, WINDOW, *base, *base + len))
            return false;
        write_window(pci, bridge, *base, *base + len);
        window = find_claim(bridge, WINDOW);
    }
    *base = window->base;
    *end = window->end;
    return true;
}

static bool find_for(const struct pci_access *pci, uint16_t function, uint64_t len, uint64_t align,
                     uint32_t depth, uint64_t *base)
{
    uint64_t first, end;

    return range_of_bus(pci, function, depth, &first, &end) &&
           find_room(function, first, end, len, align, base);
}

bool pci_space_place(const struct pci_access *pci, uint16_t function, uint32_t index,
                     struct pci_bar *bar)
{
    const struct claim *before = find_claim(function, index);

    if (before && before->end - before->base == bar->len) {
        bar->base = before->base;
        return true;
    }
    learned = learned || learn_all(pci);
    if (learned && find_for(pci, function, bar->len, bar->len, 0, &bar->base) &&
        claim_range(function, index, bar->base, bar->base + bar->len))
        return true;
    bar->base = 0;
    return false;
}
