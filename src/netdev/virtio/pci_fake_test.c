/* SPDX-License-Identifier: BSD-2-Clause */
/* pci_fake_test.c - a bus in memory; see pci_fake_test.h. */
#include "netdev/virtio/pci_fake_test.h"
#include "netdev/virtio/pci_space.h"

#include <linux/virtio_pci.h>

static struct pci_fake_function functions[PCI_FAKE_FUNCTIONS];
static uint32_t count, reads;

uint64_t pci_fake_mapped;
uint8_t pci_fake_registers[PCI_FAKE_BAR_LEN] __attribute__((aligned(PAGE_SIZE)));

static struct pci_fake_function *find_function(uint16_t address)
{
    for (uint32_t i = 0; i < count; i++)
        if (functions[i].address == address)
            return &functions[i];
    return NULL;
}

static uint32_t read_word(uint16_t function, uint32_t offset)
{
    const struct pci_fake_function *f = find_function(function);

    CHECK(offset % 4 == 0 && offset < 256);
    CHECK(++reads < 100000);
    return f ? f->words[offset / 4] : UINT32_MAX;
}

static void write_bar(struct pci_fake_function *f, uint32_t bar, uint32_t value)
{
    const bool upper = bar > 0 && (f->words[4 + bar - 1] & 7) == 4;
    const uint64_t mask = 0 - f->bar_len[upper ? bar - 1 : bar];
    const uint32_t flags = upper ? 0 : f->words[4 + bar] & 0xf;

    CHECK(value != UINT32_MAX || !(f->words[1] & PCI_COMMAND_MEMORY)); /* not while decoding */
    f->words[4 + bar] =
        (value & (uint32_t)(upper ? mask >> 32 : mask) & ~(upper ? 0 : 0xfu)) | flags;
}

static void write_word(uint16_t function, uint32_t offset, uint32_t value)
{
    struct pci_fake_function *f = find_function(function);
    const bool is_bridge = f && f->words[PCI_HEADER_TYPE / 4] >> 16 & 1;

    CHECK(f && offset % 4 == 0);
    if (offset == PCI_COMMAND_STATUS) {
        f->words[1] = (f->words[1] & (0xffff0000 | f->stuck_bits)) | value;
        CHECK_EQ(value >> 16, 0); /* ones would clear status bits */
    } else if (offset >= PCI_BAR0 && offset < PCI_BAR0 + 24 && !is_bridge) {
        write_bar(f, (offset - PCI_BAR0) / 4, value);
    } else {
        f->words[offset / 4] = value;
    }
}

static void *map_registers(uint64_t phys, size_t len)
{
    const uint64_t at = (phys - PCI_FAKE_BASE) % PCI_FAKE_BAR_LEN;

    CHECK(phys >= PCI_FAKE_BASE && at + len <= PCI_FAKE_BAR_LEN);
    pci_fake_mapped = phys;
    return pci_fake_registers + at;
}

static struct boot_msi message(uint32_t core)
{
    return (struct boot_msi){0xfee00000ull | core << 12, 0x40 + core};
}

struct pci_host pci_fake_host;
struct pci_fake_slots pci_fake_slots;

static uint32_t port_in(uint16_t port)
{
    CHECK_EQ(port, PCI_FAKE_PORT + 4);
    return pci_fake_slots.wanted[pci_fake_slots.selected];
}

static void port_out(uint16_t port, uint32_t value)
{
    if (port == PCI_FAKE_PORT + 16) {
        CHECK(value < ARRAY_LEN(pci_fake_slots.wanted));
        pci_fake_slots.selected = value;
    } else {
        CHECK_EQ(port, PCI_FAKE_PORT + 8);
        pci_fake_slots.given[pci_fake_slots.selected] |= value;
        pci_fake_slots.wanted[pci_fake_slots.selected] &= ~value;
    }
}

const struct pci_access pci_fake = {read_word,      write_word, map_registers, message,
                                    &pci_fake_host, port_in,    port_out};

void pci_fake_begin(void)
{
    count = 0;
    memset(functions, 0, sizeof functions);
    memset(pci_fake_registers, 0, sizeof pci_fake_registers);
    pci_space_forget();
    pci_fake_slots = (struct pci_fake_slots){0};
    pci_fake_host = (struct pci_host){.window = 0xe0000000, .window_end = 0xf0000000};
    pci_scan(&pci_fake, NULL); /* forgets what the test before had */
    count = reads = 0;
    pci_fake_mapped = 0;
}

struct pci_fake_function *pci_fake_add(uint16_t address, uint32_t id, uint8_t header_type)
{
    CHECK(count < PCI_FAKE_FUNCTIONS);
    struct pci_fake_function *f = &functions[count++];

    f->address = address;
    f->words[PCI_VENDOR_DEVICE / 4] = id;
    f->words[PCI_HEADER_TYPE / 4] = (uint32_t)header_type << 16;
    return f;
}

void pci_fake_capability(struct pci_fake_function *f, uint32_t at, uint8_t next, uint8_t type,
                         uint32_t offset, uint32_t len)
{
    f->words[at / 4] = 0x09u | (uint32_t)next << 8 | 20u << 16 | (uint32_t)type << 24;
    f->words[at / 4 + 1] = 4; /* BAR */
    f->words[at / 4 + 2] = offset;
    f->words[at / 4 + 3] = len;
    f->words[at / 4 + 4] = 4; /* notify_off_multiplier */
}

struct pci_fake_function *pci_fake_virtio(void)
{
    struct pci_fake_function *f = pci_fake_add(PCI_FUNCTION(0, 2, 0), 0x10411af4, 0);

    f->words[PCI_COMMAND_STATUS / 4] = 1u << 20 | PCI_COMMAND_MEMORY;
    f->words[PCI_CAPABILITIES / 4] = 0x40;
    f->words[PCI_BAR0 / 4 + 4] = PCI_FAKE_BASE | 0xc;
    f->bar_len[4] = PCI_FAKE_BAR_LEN;
    pci_fake_capability(f, 0x40, 0x60, VIRTIO_PCI_CAP_COMMON_CFG, 0, 0x1000);
    pci_fake_capability(f, 0x60, 0x80, VIRTIO_PCI_CAP_DEVICE_CFG, 0x2000, 0x1000);
    pci_fake_capability(f, 0x80, 0, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3000, 0x1000);
    return f;
}
