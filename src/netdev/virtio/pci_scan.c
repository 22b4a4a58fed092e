/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_scan.c - which functions there are: a walk from the buses of host bridges through all
 * bridges.
 *
 * A bridge passes on what is for the buses from its secondary to its subordinate number. Firmware
 * that is made to be quick leaves some at 0; they get the numbers that follow the last one in use
 * below their host bridge, a bridge's own before those of the bridges behind it.
 */
#include "boot/boot.h"
#include "netdev/virtio/pci.h"

#define HEADER_MULTIFUNCTION 0x80

static struct {
    struct found {
        uint16_t function;
        bool is_bridge;
    } found[PCI_FUNCTIONS_MAX];
    uint32_t count;
    bool entered[PCI_BUSES]; /* each once, so that a bridge that leads back ends nowhere */
    bool behind[PCI_BUSES];  /* a bridge: */
    uint16_t bridge[PCI_BUSES];
    uint32_t last; /* bus in use below the host bridge whose buses are looked at */
} scan;

bool pci_present(const struct pci_access *pci)
{
    return pci->read(PCI_FUNCTION(0, 0, 0), PCI_VENDOR_DEVICE) != UINT32_MAX;
}

const char *pci_place_text(char text[PCI_PLACE_BYTES], uint16_t function)
{
    format(text, PCI_PLACE_BYTES, "%02x:%02x.%x", function >> 8, function >> 3 & 31, function & 7);
    return text;
}

bool pci_found(uint32_t n, uint16_t *function, bool *is_bridge)
{
    if (n >= scan.count)
        return false;
    *function = scan.found[n].function;
    *is_bridge = scan.found[n].is_bridge;
    return true;
}

bool pci_bridge_of(uint16_t function, uint16_t *bridge)
{
    *bridge = scan.bridge[function >> 8];
    return scan.behind[function >> 8];
}

/* Takes note of a function, in the order of addresses. */
static void note_function(const struct pci_access *pci, uint16_t function)
{
    const uint8_t type = pci_read8(pci, function, PCI_HEADER_TYPE + 2) & 0x7f;
    uint32_t at = scan.count;

    if (type > 1 || scan.count == PCI_FUNCTIONS_MAX)
        return;
    for (; at > 0 && scan.found[at - 1].function > function; at--)
        scan.found[at] = scan.found[at - 1];
    scan.found[at] = (struct found){function, type == 1};
    scan.count++;
}

static bool function_present(const struct pci_access *pci, uint16_t function)
{
    return (pci->read(function, PCI_VENDOR_DEVICE) & 0xffff) != 0xffff;
}

/* How many devices a bus may have: behind a port of PCI Express only one. Looking for one that
 * isn't there takes as long as for one that is. */
static uint32_t devices_max(const struct pci_access *pci, uint32_t bus)
{
    const uint16_t bridge = scan.bridge[bus];
    uint32_t cap, type;

    if (!scan.behind[bus] ||
        !(cap = pci_capability(pci, bridge, PCI_CAPABILITY_EXPRESS, PCI_EXPRESS_LEN)))
        return 32;
    type = PCI_EXPRESS_TYPE(pci->read(bridge, cap));
    return type == PCI_EXPRESS_ROOT_PORT || type == PCI_EXPRESS_DOWNSTREAM_PORT ? 1 : 32;
}

static void enter_bus(const struct pci_access *pci, uint32_t bus)
{
    const uint32_t devices = devices_max(pci, bus);

    scan.entered[bus] = true;
    scan.last = MAX(scan.last, bus);
    for (uint32_t device = 0; device < devices; device++) {
        uint16_t first = PCI_FUNCTION(bus, device, 0);
        if (!function_present(pci, first))
            continue;
        uint32_t functions =
            pci_read8(pci, first, PCI_HEADER_TYPE + 2) & HEADER_MULTIFUNCTION ? 8 : 1;
        for (uint32_t f = 0; f < functions; f++)
            if (f == 0 || function_present(pci, (uint16_t)(first | f)))
                note_function(pci, (uint16_t)(first | f));
    }
}

/* The next bridge on this bus, from *n on, whose secondary bus has, or hasn't, a number. */
static bool next_bridge(const struct pci_access *pci, uint32_t bus, bool numbered, uint32_t *from)
{
    for (uint32_t i = 0; i < scan.count; i++) {
        const uint16_t function = scan.found[i].function;
        if (function < *from || function >> 8 != bus || !scan.found[i].is_bridge)
            continue;
        if ((pci_read8(pci, function, PCI_BUS_NUMBERS + 1) != 0) != numbered)
            continue;
        *from = function;
        return true;
    }
    return false;
}

/* Looks at what is behind the bridges of this bus that have numbers, and so on. */
static void walk_numbered(const struct pci_access *pci, uint32_t bus, uint32_t depth)
{
    if (depth == PCI_DEPTH_MAX)
        return;
    for (uint32_t next = 0; next_bridge(pci, bus, true, &next); next++) {
        const uint16_t bridge = (uint16_t)next;
        const uint8_t secondary = pci_read8(pci, bridge, PCI_BUS_NUMBERS + 1);
        if (!scan.entered[secondary]) {
            scan.behind[secondary] = true;
            scan.bridge[secondary] = bridge;
            enter_bus(pci, secondary);
            walk_numbered(pci, secondary, depth + 1);
        }
        scan.last = MAX(scan.last, (uint32_t)pci_read8(pci, bridge, PCI_BUS_NUMBERS + 2));
    }
}

/* Has all bridges on the way to `function` pass on what is for bus `number`. False, and nothing is
 * changed, if one of them isn't the last before that number. */
static bool extend_path(const struct pci_access *pci, uint16_t function, uint32_t number,
                        bool change)
{
    uint16_t bridge = function;

    for (uint32_t depth = 0; pci_bridge_of(bridge, &bridge) && depth < PCI_DEPTH_MAX; depth++) {
        const uint32_t numbers = pci->read(bridge, PCI_BUS_NUMBERS), last = numbers >> 16 & 0xff;
        if (last + 1 < number)
            return false;
        if (change && last < number)
            pci->write(bridge, PCI_BUS_NUMBERS, (numbers & 0xff00ffff) | number << 16);
    }
    return true;
}

/* Numbers the bridges of this bus that have no number, and those behind them. */
static void number_rest(const struct pci_access *pci, uint32_t bus, uint32_t depth)
{
    char place[PCI_PLACE_BYTES];

    if (depth == PCI_DEPTH_MAX)
        return;
    for (uint32_t behind = 0; behind < PCI_BUSES; behind++)
        if (scan.behind[behind] && scan.bridge[behind] >> 8 == bus)
            number_rest(pci, behind, depth + 1);
    for (uint32_t next = 0; next_bridge(pci, bus, false, &next); next++) {
        const uint16_t bridge = (uint16_t)next;
        const uint32_t number = scan.last + 1;
        if (number >= PCI_BUSES || scan.entered[number] || pci->host->roots[number] ||
            !extend_path(pci, bridge, number, false)) {
            print("pci %s: there is no bus number for what is behind this bridge.\n",
                  pci_place_text(place, bridge));
            continue;
        }
        extend_path(pci, bridge, number, true);
        pci->write(bridge, PCI_BUS_NUMBERS,
                   (pci->read(bridge, PCI_BUS_NUMBERS) & 0xff000000) | number << 16 | number << 8 |
                       bus);
        scan.behind[number] = true;
        scan.bridge[number] = bridge;
        enter_bus(pci, number);
        number_rest(pci, number, depth + 1);
    }
}

void pci_scan(const struct pci_access *pci,
              void (*visit)(const struct pci_access *pci, uint16_t function))
{
    memset(&scan, 0, sizeof scan);
    for (uint32_t bus = 0; bus < PCI_BUSES; bus++) {
        if (scan.entered[bus] || (bus != 0 && !pci->host->roots[bus]))
            continue;
        scan.last = bus;
        enter_bus(pci, bus);
        walk_numbered(pci, bus, 0);
        number_rest(pci, bus, 0);
    }
    for (uint32_t i = 0; i < scan.count; i++)
        if (!scan.found[i].is_bridge)
            visit(pci, scan.found[i].function);
}
