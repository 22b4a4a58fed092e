/* SPDX-License-Identifier: BSD-2-Clause */
/* pci_slots.c - devices that come and go; see pci_slots.h. */
#include "netdev/virtio/pci_slots.h"
#include "boot/boot.h"

/* QEMU's registers, from the port on that the DSDT tells (docs/specs/acpi_pci_hotplug). */
enum { ACPI_WANTED = 4, ACPI_GIVE = 8, ACPI_SELECT = 16 };

/* PCI Express, from its capability on: the slot's abilities, and its control with its status in the
 * upper half. */
enum { SLOT_ABILITIES = 0x14, SLOT_CONTROL = 0x18 };
#define PORT_HAS_SLOT       (1u << 24)
#define SLOT_HAS_BUTTON     (1u << 0)
#define SLOT_HAS_POWER      (1u << 1)
#define SLOT_HOT_PLUG       (1u << 6)
#define ATTENTION_OFF       (3u << 6)
#define INDICATORS          (15u << 6)
#define POWER_INDICATOR_ON  (1u << 8)
#define POWER_INDICATOR_OFF (3u << 8)
#define POWER_OFF           (1u << 10)
#define STATUS_BUTTON       (1u << 16)
#define STATUS_PRESENT      (1u << 22)
#define STATUS_EVENTS       (0x11fu << 16) /* cleared by writing ones */

static struct hot_bus {
    uint8_t bus;
    bool is_express;
    uint32_t select;     /* ACPI: its number in the registers */
    uint16_t port;       /* Express: the function in front of it ... */
    uint32_t capability; /* ... and where the registers are */
} buses[PCI_SLOTS_BUSES_MAX];
static uint32_t count, tidied;
static uint16_t acpi_port;

static const struct hot_bus *bus_of(uint16_t function)
{
    for (uint32_t i = 0; i < count; i++)
        if (buses[i].bus == function >> 8)
            return &buses[i];
    return NULL;
}

/* --- finding them -------------------------------------------------------------------------------
 */

static void add_bus(struct hot_bus bus)
{
    if (count < PCI_SLOTS_BUSES_MAX && !bus_of(PCI_FUNCTION(bus.bus, 0, 0)))
        buses[count++] = bus;
}

/* The bus that the DSDT tells of by the bridges on the way to it. Bus 0 is behind no bridge: one
 * that says so has no number. */
static bool follow_path(const struct pci_access *pci, const struct pci_acpi_bus *path, uint8_t *bus)
{
    *bus = 0;
    for (uint32_t i = 0; i < path->depth; i++) {
        const uint16_t bridge = (uint16_t)(*bus << 8 | path->devices[i]);
        if ((pci_read8(pci, bridge, PCI_HEADER_TYPE + 2) & 0x7f) != 1)
            return false;
        *bus = pci_read8(pci, bridge, PCI_BUS_NUMBERS + 1);
        if (*bus == 0)
            return false;
    }
    return true;
}

static void find_acpi(const struct pci_access *pci)
{
    struct pci_acpi_bus path;
    uint8_t bus;

    acpi_port = pci->in && pci->out ? pci_acpi_slots_port(pci->host->dsdt) : 0;
    for (uint32_t n = 0; acpi_port && pci_acpi_bus(pci->host->dsdt, n, &path); n++)
        if (follow_path(pci, &path, &bus))
            add_bus((struct hot_bus){.bus = bus, .select = path.select});
}

static void find_express(const struct pci_access *pci, uint16_t bridge)
{
    const uint32_t wanted = SLOT_HOT_PLUG | SLOT_HAS_BUTTON | SLOT_HAS_POWER;
    const uint32_t cap = pci_capability(pci, bridge, PCI_CAPABILITY_EXPRESS, PCI_EXPRESS_LEN);
    const uint8_t bus = pci_read8(pci, bridge, PCI_BUS_NUMBERS + 1);

    if (bus == 0 || cap == 0 || !(pci->read(bridge, cap) & PORT_HAS_SLOT) ||
        (pci->read(bridge, cap + SLOT_ABILITIES) & wanted) != wanted)
        return;
    add_bus((struct hot_bus){.bus = bus, .is_express = true, .port = bridge, .capability = cap});
    /* What happened before this start doesn't count: a device that was plugged in, say. */
    pci->write(bridge, cap + SLOT_CONTROL,
               (pci->read(bridge, cap + SLOT_CONTROL) & 0xffff) | STATUS_EVENTS);
}

void pci_slots_find(const struct pci_access *pci)
{
    uint16_t function;
    bool is_bridge;

    count = tidied = 0;
    find_acpi(pci);
    for (uint32_t n = 0; pci_found(n, &function, &is_bridge); n++)
        if (is_bridge)
            find_express(pci, function);
}

/* --- asking them --------------------------------------------------------------------------------
 */

/* A bit for each slot of the bus that is wanted back. */
static uint32_t wanted_back(const struct pci_access *pci, const struct hot_bus *bus)
{
    const uint32_t wanted = STATUS_BUTTON | STATUS_PRESENT;

    if (bus->is_express) {
        const uint32_t word = pci->read(bus->port, bus->capability + SLOT_CONTROL);
        return word != UINT32_MAX && !(word & POWER_OFF) && (word & wanted) == wanted;
    }
    pci->out((uint16_t)(acpi_port + ACPI_SELECT), bus->select);
    const uint32_t slots = pci->in((uint16_t)(acpi_port + ACPI_WANTED));
    return slots == UINT32_MAX ? 0 : slots; /* all at once: there are no such registers */
}

static void set_power(const struct pci_access *pci, const struct hot_bus *bus, uint32_t word,
                      uint32_t power)
{
    /* In one write, as a port is told one thing at a time. */
    pci->write(bus->port, bus->capability + SLOT_CONTROL,
               (word & 0xffff & ~(POWER_OFF | INDICATORS)) | ATTENTION_OFF | power | STATUS_EVENTS);
}

/* The slot out of which `function` is wanted back: its own, or one of a bridge on the way to it. */
static const struct hot_bus *wanted_slot(const struct pci_access *pci, uint16_t *function)
{
    const struct hot_bus *bus;
    uint32_t depth = 0;

    do {
        bus = bus_of(*function);
        if (bus && wanted_back(pci, bus) >> (*function >> 3 & 31) & 1)
            return bus;
    } while (pci_bridge_of(*function, function) && depth++ < PCI_DEPTH_MAX);
    return NULL;
}

bool pci_slot_wanted_back(const struct pci_access *pci, uint16_t function)
{
    return wanted_slot(pci, &function);
}

void pci_slot_give_back(const struct pci_access *pci, uint16_t function,
                        bool (*in_use)(uint16_t function))
{
    const struct hot_bus *bus = wanted_slot(pci, &function);

    if (!bus || in_use(function))
        return;
    if (bus->is_express) {
        set_power(pci, bus, pci->read(bus->port, bus->capability + SLOT_CONTROL),
                  POWER_OFF | POWER_INDICATOR_OFF);
        return;
    }
    pci->out((uint16_t)(acpi_port + ACPI_SELECT), bus->select);
    pci->out((uint16_t)(acpi_port + ACPI_GIVE), 1u << (function >> 3 & 31));
}

bool pci_slot_has_power(const struct pci_access *pci, uint16_t function)
{
    const struct hot_bus *bus = bus_of(function);
    uint32_t word;

    if (!bus || !bus->is_express)
        return true;
    word = pci->read(bus->port, bus->capability + SLOT_CONTROL);
    if (word == UINT32_MAX)
        return false; /* the port has gone, too */
    if (!(word & POWER_OFF))
        return true;
    if (word & STATUS_PRESENT)
        set_power(pci, bus, word, POWER_INDICATOR_ON);
    return false;
}

void pci_slots_tidy(const struct pci_access *pci, bool (*in_use)(uint16_t function))
{
    if (count == 0)
        return;
    const struct hot_bus *bus = &buses[tidied++ % count];
    const uint32_t wanted = wanted_back(pci, bus);
    for (uint32_t device = 0; device < 32; device++) {
        const uint16_t function = PCI_FUNCTION(bus->bus, device, 0);
        if (wanted >> device & 1)
            pci_slot_give_back(pci, function, in_use);
    }
}
