/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of PCI and of virtio's PCI transport, with configuration spaces of our own making. */
#include "boot/test.h"
#include "netdev/virtio/virtio_pci.h"

enum { FUNCTIONS = 8, BAR_LEN = 0x4000 };
#define MAPPED_BASE 0xfd000000u

/* A function that is there: its configuration space and the size of each of its BARs. */
static struct function {
    uint16_t address;
    uint32_t words[64];
    uint64_t bar_len[6]; /* in the lower word of a 64-bit BAR */
} functions[FUNCTIONS];

static uint32_t function_count, reads, visits, mapped_count;
static uint64_t mapped_phys[8];
static uint8_t registers[BAR_LEN] __attribute__((aligned(PAGE_SIZE))); /* behind BAR 4 */

static struct function *find(uint16_t address)
{
    for (uint32_t i = 0; i < function_count; i++)
        if (functions[i].address == address)
            return &functions[i];
    return NULL;
}

static uint32_t fake_read(uint16_t function, uint32_t offset)
{
    const struct function *f = find(function);

    CHECK(offset % 4 == 0 && offset < 256);
    CHECK(++reads < 100000);
    return f ? f->words[offset / 4] : UINT32_MAX;
}

static void fake_write(uint16_t function, uint32_t offset, uint32_t value)
{
    struct function *f = find(function);
    const uint32_t bar = (offset - PCI_BAR0) / 4;

    CHECK(f && offset % 4 == 0);
    if (offset == PCI_COMMAND_STATUS) {
        f->words[1] = (f->words[1] & 0xffff0000) | value;
        CHECK_EQ(value >> 16, 0); /* ones would clear status bits */
    } else if (offset >= PCI_BAR0 && bar < 6) {
        const bool upper = bar > 0 && (f->words[4 + bar - 1] & 7) == 4;
        const uint64_t mask = 0 - f->bar_len[upper ? bar - 1 : bar];
        const uint32_t flags = upper ? 0 : f->words[4 + bar] & 0xf;
        CHECK(value != UINT32_MAX || !(f->words[1] & PCI_COMMAND_MEMORY)); /* not while decoding */
        f->words[4 + bar] =
            (value & (uint32_t)(upper ? mask >> 32 : mask) & ~(upper ? 0 : 0xfu)) | flags;
    } else {
        f->words[offset / 4] = value;
    }
}

static void *fake_map(uint64_t phys, size_t len)
{
    CHECK(phys >= MAPPED_BASE && phys + len <= MAPPED_BASE + BAR_LEN);
    mapped_phys[mapped_count++ % ARRAY_LEN(mapped_phys)] = phys;
    return registers + (phys - MAPPED_BASE);
}

static struct boot_msi fake_msi(uint32_t core)
{
    return (struct boot_msi){0xfee00000ull | core << 12, 0x40 + core};
}

static const struct pci_access fake = {fake_read, fake_write, fake_map, fake_msi};

static struct function *add_function(uint16_t address, uint32_t id, uint8_t header_type)
{
    struct function *f = &functions[function_count++];

    CHECK(function_count <= FUNCTIONS);
    f->address = address;
    f->words[PCI_VENDOR_DEVICE / 4] = id;
    f->words[PCI_HEADER_TYPE / 4] = (uint32_t)header_type << 16;
    return f;
}

static void begin(void)
{
    memset(functions, 0, sizeof functions);
    memset(registers, 0, sizeof registers);
    function_count = reads = visits = mapped_count = 0;
}

static void put_capability(struct function *f, uint32_t at, uint8_t next, uint8_t type,
                           uint32_t offset, uint32_t len)
{
    f->words[at / 4] = 0x09u | (uint32_t)next << 8 | 20u << 16 | (uint32_t)type << 24;
    f->words[at / 4 + 1] = 4; /* BAR */
    f->words[at / 4 + 2] = offset;
    f->words[at / 4 + 3] = len;
    f->words[at / 4 + 4] = 4; /* notify_off_multiplier */
}

/* A device as QEMU shows it: capabilities at 0x40, 0x60 and 0x80, a 64-bit BAR 4. */
static struct function *add_virtio(void)
{
    struct function *f = add_function(PCI_FUNCTION(0, 2, 0), 0x10411af4, 0);

    f->words[PCI_COMMAND_STATUS / 4] = 1u << 20 | PCI_COMMAND_MEMORY;
    f->words[PCI_CAPABILITIES / 4] = 0x40;
    f->words[PCI_BAR0 / 4 + 4] = MAPPED_BASE | 0xc;
    f->bar_len[4] = BAR_LEN;
    put_capability(f, 0x40, 0x60, VIRTIO_PCI_CAP_COMMON_CFG, 0, 0x1000);
    put_capability(f, 0x60, 0x80, VIRTIO_PCI_CAP_DEVICE_CFG, 0x2000, 0x1000);
    put_capability(f, 0x80, 0, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3000, 0x1000);
    return f;
}

static bool attach(struct virtio_pci *dev)
{
    return virtio_pci_attach(dev, &fake, PCI_FUNCTION(0, 2, 0));
}

/* --- scanning ------------------------------------------------------------------------------- */

static uint16_t visited[FUNCTIONS];

static void visit(const struct pci_access *pci, uint16_t function)
{
    CHECK(pci == &fake);
    visited[visits++ % FUNCTIONS] = function;
}

TEST(pci_scan_finds_functions_and_buses)
{
    begin();
    CHECK(!pci_present(&fake));
    add_function(PCI_FUNCTION(0, 0, 0), 0x12378086, 0);
    add_function(PCI_FUNCTION(0, 3, 0), 0x11111111, 0x80);
    add_function(PCI_FUNCTION(0, 3, 5), 0x11111111, 0);
    add_function(PCI_FUNCTION(0, 4, 1), 0x11111111, 0); /* no function 0: isn't looked for */
    struct function *bridge = add_function(PCI_FUNCTION(0, 5, 0), 0x22222222, 1);
    bridge->words[PCI_BUS_NUMBERS / 4] = 7u << 8;
    add_function(PCI_FUNCTION(7, 31, 0), 0x33333333, 0);
    CHECK(pci_present(&fake));
    pci_scan(&fake, visit);
    CHECK_EQ(visits, 4);
    CHECK_EQ(visited[1], PCI_FUNCTION(0, 3, 0));
    CHECK_EQ(visited[2], PCI_FUNCTION(0, 3, 5));
    CHECK_EQ(visited[3], PCI_FUNCTION(7, 31, 0));
}

TEST(pci_scan_ends_where_bridges_go_in_circles)
{
    begin();
    add_function(PCI_FUNCTION(0, 0, 0), 0x12378086, 0);
    add_function(PCI_FUNCTION(0, 1, 0), 0x22222222, 1)->words[PCI_BUS_NUMBERS / 4] = 1u << 8;
    add_function(PCI_FUNCTION(0, 2, 0), 0x22222222, 1)->words[PCI_BUS_NUMBERS / 4] = 0;
    add_function(PCI_FUNCTION(1, 0, 0), 0x22222222, 1)->words[PCI_BUS_NUMBERS / 4] = 1u << 8;
    add_function(PCI_FUNCTION(1, 1, 0), 0x22222222, 1)->words[PCI_BUS_NUMBERS / 4] = 255u << 8;
    add_function(PCI_FUNCTION(255, 0, 0), 0x22222222, 1)->words[PCI_BUS_NUMBERS / 4] = 1u << 8;
    pci_scan(&fake, visit);
    CHECK_EQ(visits, 1);
}

/* --- BARs ----------------------------------------------------------------------------------- */

TEST(pci_bar_is_measured_and_left_as_it_was)
{
    struct pci_bar bar;

    begin();
    struct function *f = add_virtio();
    f->words[PCI_BAR0 / 4 + 5] = 1; /* above 4 GiB */
    CHECK(pci_bar(&fake, f->address, 4, &bar));
    CHECK_EQ(bar.base, 0x100000000ull + MAPPED_BASE);
    CHECK_EQ(bar.len, BAR_LEN);
    CHECK_EQ(f->words[PCI_BAR0 / 4 + 4], MAPPED_BASE | 0xc);
    CHECK_EQ(f->words[PCI_BAR0 / 4 + 5], 1);
    CHECK(f->words[1] & PCI_COMMAND_MEMORY);
}

TEST(pci_bar_gets_an_address_if_it_has_none)
{
    struct pci_bar first, second, again;

    begin();
    struct function *f = add_virtio();
    f->words[PCI_BAR0 / 4 + 4] = 0xc;
    f->words[PCI_BAR0 / 4] = 0;
    f->bar_len[0] = 0x1000;
    CHECK(pci_bar(&fake, f->address, 0, &first));
    CHECK(pci_bar(&fake, f->address, 4, &second));
    CHECK(first.base >= 0xe0000000 && first.base % 0x1000 == 0);
    CHECK(second.base >= first.base + first.len && second.base % BAR_LEN == 0);
    CHECK(pci_bar(&fake, f->address, 4, &again));
    CHECK_EQ(again.base, second.base);
    f->words[PCI_BAR0 / 4 + 1] = 0; /* larger than the hole */
    f->bar_len[1] = 1u << 29;
    CHECK(!pci_bar(&fake, f->address, 1, &again));
    add_function(PCI_FUNCTION(3, 0, 0), 0x10411af4, 0)->bar_len[0] = 0x1000;
    CHECK(!pci_bar(&fake, PCI_FUNCTION(3, 0, 0), 0, &again)); /* behind a bridge */
}

TEST(pci_bar_that_can_not_be_used)
{
    struct pci_bar bar;

    begin();
    struct function *f = add_virtio();
    CHECK(!pci_bar(&fake, f->address, 0, &bar)); /* length 0: there is none */
    CHECK(!pci_bar(&fake, f->address, 6, &bar));
    CHECK(!pci_bar(&fake, f->address, 255, &bar));
    f->words[PCI_BAR0 / 4] = 0xc001; /* ports */
    CHECK(!pci_bar(&fake, f->address, 0, &bar));
    f->words[PCI_BAR0 / 4] = 0xfc000002; /* a reserved type */
    CHECK(!pci_bar(&fake, f->address, 0, &bar));
    f->words[PCI_BAR0 / 4] = 0xfc000000; /* bits that stick make no power of two */
    f->bar_len[0] = 0x5000;
    CHECK(!pci_bar(&fake, f->address, 0, &bar));
    f->words[PCI_BAR0 / 4] = 0xfc001000; /* not aligned to its size */
    f->bar_len[0] = 0x4000;
    f->words[PCI_BAR0 / 4 + 5] = 4; /* the last one claims an upper half */
    CHECK(!pci_bar(&fake, f->address, 0, &bar));
    CHECK(!pci_bar(&fake, f->address, 5, &bar));
    f->words[PCI_BAR0 / 4] = 0x4; /* further up than any page table reaches */
    f->words[PCI_BAR0 / 4 + 1] = 0x8000;
    CHECK(!pci_bar(&fake, f->address, 0, &bar));
}

/* --- virtio --------------------------------------------------------------------------------- */

TEST(virtio_pci_attaches_to_a_good_device)
{
    struct virtio_pci dev;

    begin();
    struct function *f = add_virtio();
    CHECK(attach(&dev));
    CHECK_STR(dev.base.where, "pci 00:02.0");
    CHECK((uint8_t *)dev.common == registers && dev.device == registers + 0x2000);
    CHECK(dev.notify == registers + 0x3000 && dev.notify_len == 0x1000);
    CHECK_EQ(dev.notify_multiplier, 4);
    CHECK_EQ(f->words[1] & 0x406, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
    CHECK_EQ(dev.common->msix_config, VIRTIO_MSI_NO_VECTOR);
}

TEST(virtio_pci_queue_and_doorbell)
{
    const struct virtio_queue_place place = {64, 0x123456789000, 0x123456789400, 0x1000, true};
    struct virtio_pci dev;

    begin();
    add_virtio();
    CHECK(attach(&dev));
    const struct virtio_transport_ops *ops = dev.base.ops;
    dev.common->num_queues = 2;
    dev.common->queue_size = 256;
    dev.common->queue_notify_off = 3;
    CHECK_EQ(ops->queue_size_max(&dev.base, 1), 256);
    CHECK_EQ(ops->queue_size_max(&dev.base, 2), 0);
    CHECK(ops->queue_enable(&dev.base, 1, &place));
    CHECK_EQ(dev.common->queue_select, 1);
    CHECK_EQ(dev.common->queue_size, 64);
    CHECK_EQ(dev.common->queue_enable, 1);
    CHECK_EQ(dev.common->queue_msix_vector, VIRTIO_MSI_NO_VECTOR);
    CHECK_EQ(dev.common->queue_desc_lo, 0x56789000);
    CHECK_EQ(dev.common->queue_desc_hi, 0x1234);
    CHECK_EQ(dev.common->queue_used_lo, 0x1000);
    ops->kick(&dev.base, 1);
    CHECK_EQ(registers[0x3000 + 12], 1);
    CHECK(!ops->queue_enable(&dev.base, 1, &place)); /* it is enabled */
    CHECK_EQ(ops->config(&dev.base, 0, 1), 0);
    CHECK_EQ(ops->config(&dev.base, 0x1000, 2), 0); /* outside: reads as nothing */
}

TEST(virtio_pci_doorbell_outside_the_area)
{
    const struct virtio_queue_place place = {64, 0x1000, 0x2000, 0x3000, false};
    static const struct {
        uint32_t multiplier;
        uint16_t off;
    } bad[] = {{4, 0x400}, {UINT32_MAX, 0xffff}, {1, 0xfff}, {0x1000, 1}, {1, 3}};
    struct virtio_pci dev;

    begin();
    add_virtio();
    CHECK(attach(&dev));
    dev.common->num_queues = 2;
    dev.common->queue_size = 256;
    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++) {
        dev.notify_multiplier = bad[i].multiplier;
        dev.common->queue_notify_off = bad[i].off;
        CHECK(!dev.base.ops->queue_enable(&dev.base, 0, &place));
        CHECK_EQ(dev.common->queue_enable, 0);
    }
    dev.notify_multiplier = 4;
    dev.common->queue_notify_off = 0x3ff; /* the last one */
    CHECK(dev.base.ops->queue_enable(&dev.base, 0, &place));
}

TEST(virtio_pci_capabilities_that_loop)
{
    struct virtio_pci dev;

    begin();
    struct function *f = add_virtio();
    put_capability(f, 0x80, 0x40, VIRTIO_PCI_CAP_ISR_CFG, 0x3000, 0x1000);
    CHECK(!attach(&dev)); /* no notification area, however often it goes round */
    put_capability(f, 0x80, 0x80, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3000, 0x1000);
    CHECK(attach(&dev));                   /* it has all, and then points to itself */
    f->words[PCI_CAPABILITIES / 4] = 0x10; /* into the header */
    CHECK(!attach(&dev));
    f->words[PCI_CAPABILITIES / 4] = 0x40;
    f->words[1] &= ~(1u << 20); /* no list at all */
    CHECK(!attach(&dev));
}

TEST(virtio_pci_structures_outside_their_bar)
{
    static const struct {
        uint32_t at, word, value;
    } bad[] = {
        {0x40, 2, BAR_LEN},        /* begins at the end */
        {0x40, 2, UINT32_MAX - 3}, /* offset + length wraps over 32 bits */
        {0x40, 2, 2},              /* registers wouldn't be aligned */
        {0x40, 3, BAR_LEN + 1},    /* longer than the BAR */
        {0x40, 3, 55},             /* too short to be one */
        {0x40, 3, 0},
        {0x40, 1, 6}, /* there is no BAR 6 */
        {0x40, 1, 0xff},
        {0x40, 1, 0}, /* BAR 0 has no length */
        {0x60, 3, 0},
        {0x80, 3, 1},          /* no room for a doorbell */
        {0x80, 0, 0x02100009}, /* too short for a multiplier */
        {0x40, 0, 0x010f6009}, /* cut off */
    };
    struct virtio_pci dev;

    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++) {
        begin();
        struct function *f = add_virtio();
        f->words[bad[i].at / 4 + bad[i].word] = bad[i].value;
        CHECK(!attach(&dev));
        CHECK(!(f->words[1] & PCI_COMMAND_MASTER));
    }
}

TEST(virtio_pci_takes_the_first_structure_it_can_use)
{
    struct virtio_pci dev;

    begin();
    struct function *f = add_virtio();
    put_capability(f, 0x80, 0xa0, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3000, 0x1000);
    f->words[0x84 / 4] = 0; /* in a BAR that is of no use */
    put_capability(f, 0xa0, 0xc0, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x1000, 0x1000);
    put_capability(f, 0xc0, 0, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3000, 0x1000);
    CHECK(attach(&dev));
    CHECK(dev.notify == registers + 0x1000);
}

/* --- MSI-X ---------------------------------------------------------------------------------- */

enum { MSIX_AT = 0xa0, TABLE = 0x1000, ENTRIES = 3 };
static volatile struct pci_msix_entry *const table = (void *)(registers + TABLE);

/* A device with a table of interrupts in BAR 4, and two pairs of queues. */
static struct function *add_msix(void)
{
    struct function *f = add_virtio();

    put_capability(f, 0x80, MSIX_AT, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3000, 0x1000);
    f->words[MSIX_AT / 4] = 0x11 | (ENTRIES - 1) << 16 | 1u << 30;
    f->words[MSIX_AT / 4 + 1] = TABLE | 4;
    return f;
}

static bool enable(struct virtio_pci *dev, uint16_t q, bool wakes)
{
    const struct virtio_queue_place place = {64, 0x1000, 0x2000, 0x3000, wakes};

    dev->common->num_queues = 32;
    dev->common->queue_size = 256;
    dev->common->queue_enable = 0;
    return dev->base.ops->queue_enable(&dev->base, q, &place);
}

TEST(virtio_pci_receive_queues_have_interrupts)
{
    struct virtio_pci dev;

    begin();
    struct function *f = add_msix();
    memset(registers + TABLE, 0xff, sizeof(struct pci_msix_entry) * ENTRIES);
    CHECK(attach(&dev));
    const struct virtio_transport_ops *ops = dev.base.ops;
    CHECK_EQ(f->words[MSIX_AT / 4] >> 30, 2); /* on, and not masked as a whole */
    CHECK_EQ(dev.common->msix_config, VIRTIO_MSI_NO_VECTOR);
    for (uint32_t i = 0; i < ENTRIES; i++)
        CHECK_EQ(table[i].control, 1); /* masked */
    CHECK(enable(&dev, 1, false));
    CHECK_EQ(dev.common->queue_msix_vector, VIRTIO_MSI_NO_VECTOR);
    CHECK(!ops->arm(&dev.base, 1, true));
    CHECK(enable(&dev, 2, true));
    CHECK_EQ(dev.common->queue_msix_vector, 1);
    CHECK_EQ(table[1].control, 1); /* nobody wants to be woken yet */
    CHECK(ops->arm(&dev.base, 2, true));
    CHECK(table[1].address_low == 0xfee00000 && table[1].address_high == 0);
    CHECK(table[1].data == 0x40 && table[1].control == 0);
    CHECK(table[0].control == 1 && table[2].control == 1);
    CHECK(enable(&dev, 6, true)); /* has no entry: is polled */
    CHECK_EQ(dev.common->queue_msix_vector, VIRTIO_MSI_NO_VECTOR);
    CHECK(!ops->arm(&dev.base, 6, true));
    begin();
    add_msix()->words[MSIX_AT / 4] = 0x11 | 255 << 16; /* of a long table only some are used */
    CHECK(attach(&dev));
    CHECK_EQ(dev.msix.count, PCI_MSIX_MAX);
    CHECK(enable(&dev, 16, true));
    CHECK_EQ(dev.common->queue_msix_vector, 8);
}

TEST(virtio_pci_without_msix_polls)
{
    static const struct {
        uint32_t word, value;
    } bad[] = {
        {0, 0x12},               /* another capability */
        {0, 0x11 | 0x7ff << 16}, /* 2048 entries: more than the BAR holds */
        {1, (BAR_LEN - 32) | 4}, /* the last entry isn't inside */
        {1, 0xfffffff8 | 4},     /* offset and length wrap over 32 bits */
        {1, TABLE | 6},
        {1, TABLE | 7}, /* there is no such BAR */
        {1, TABLE | 0}, /* BAR 0 has no length */
    };
    struct virtio_pci dev;

    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++) {
        begin();
        struct function *f = add_msix();
        f->words[MSIX_AT / 4 + bad[i].word] = bad[i].value;
        CHECK(attach(&dev)); /* it works all the same */
        CHECK(!(f->words[MSIX_AT / 4] & 1u << 31));
        CHECK(enable(&dev, 0, true));
        CHECK(!dev.base.ops->arm(&dev.base, 0, true));
    }
    begin();
    struct function *f = add_msix();
    put_capability(f, 0x80, 0xf8, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3000, 0x1000);
    f->words[0xf8 / 4] = 0x11; /* cut off by the end of configuration space */
    CHECK(attach(&dev));
    CHECK_EQ(dev.msix.count, 0);
}
