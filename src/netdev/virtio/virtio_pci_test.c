/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of virtio's PCI transport, with configuration spaces of our own making. */
#include "netdev/virtio/pci_fake_test.h"
#include "netdev/virtio/virtio_pci.h"

static bool attach(struct virtio_pci *dev)
{
    return virtio_pci_attach(dev, &pci_fake, PCI_FUNCTION(0, 2, 0));
}

/* --- virtio --------------------------------------------------------------------------------- */

TEST(virtio_pci_attaches_to_a_good_device)
{
    struct virtio_pci dev;

    pci_fake_begin();
    struct pci_fake_function *f = pci_fake_virtio();
    CHECK(attach(&dev));
    CHECK_STR(dev.base.where, "pci 00:02.0");
    CHECK((uint8_t *)dev.common == pci_fake_registers && dev.device == pci_fake_registers + 0x2000);
    CHECK(dev.notify_phys == PCI_FAKE_BASE + 0x3000 && dev.notify_len == 0x1000);
    CHECK_EQ(dev.notify_multiplier, 4);
    CHECK_EQ(f->words[1] & 0x406, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
    CHECK_EQ(dev.common->msix_config, VIRTIO_MSI_NO_VECTOR);
}

TEST(virtio_pci_queue_and_doorbell)
{
    const struct virtio_queue_place place = {64, 0x123456789000, 0x123456789400, 0x1000, true};
    struct virtio_pci dev;

    pci_fake_begin();
    pci_fake_virtio();
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
    CHECK_EQ(pci_fake_registers[0x3000 + 12], 1);
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

    pci_fake_begin();
    pci_fake_virtio();
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

/* Virtio 1.2, 4.1.4.4: a doorbell may lie anywhere in the area, which may be long, and the area at
 * any even address. */
TEST(virtio_pci_doorbell_far_away)
{
    const struct virtio_queue_place place = {64, 0x1000, 0x2000, 0x3000, false};
    enum { FAR = 4 << 20 };
    struct virtio_pci dev;

    pci_fake_begin();
    struct pci_fake_function *f = pci_fake_virtio();
    f->bar_len[4] = 2 * FAR;
    pci_fake_capability(f, 0x80, 0, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3002, FAR + 0x1000);
    f->words[0x80 / 4 + 4] = 0x10000;
    CHECK(attach(&dev));
    dev.common->num_queues = 64;
    dev.common->queue_size = 256;
    dev.common->queue_notify_off = FAR / 0x10000;
    CHECK(dev.base.ops->queue_enable(&dev.base, 40, &place));
    CHECK_EQ(pci_fake_mapped, PCI_FAKE_BASE + 0x3002 + FAR);
    dev.base.ops->kick(&dev.base, 40);
    CHECK_EQ(pci_fake_registers[0x3002], 40);
}

/* Virtio 1.2, 3.3.1: what the device had may be taken back once it reaches no memory. */
TEST(virtio_pci_stops_a_device_that_does_not_reset)
{
    struct virtio_pci dev;

    pci_fake_begin();
    struct pci_fake_function *f = pci_fake_virtio();
    CHECK(attach(&dev));
    const struct virtio_transport_ops *ops = dev.base.ops;
    CHECK(ops->stop_dma(&dev.base));
    CHECK_EQ(f->words[1] & 0x406, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_OFF);
    ops->set_status(&dev.base, 0);
    CHECK(!(f->words[1] & PCI_COMMAND_MASTER));
    ops->set_status(&dev.base, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    CHECK(f->words[1] & PCI_COMMAND_MASTER);
    f->stuck_bits = PCI_COMMAND_MASTER;
    CHECK(!ops->stop_dma(&dev.base));
}

TEST(virtio_pci_capabilities_that_loop)
{
    struct virtio_pci dev;

    pci_fake_begin();
    struct pci_fake_function *f = pci_fake_virtio();
    pci_fake_capability(f, 0x80, 0x40, VIRTIO_PCI_CAP_ISR_CFG, 0x3000, 0x1000);
    CHECK(!attach(&dev)); /* no notification area, however often it goes round */
    pci_fake_capability(f, 0x80, 0x80, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3000, 0x1000);
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
        {0x40, 2, PCI_FAKE_BAR_LEN},     /* begins at the end */
        {0x40, 2, UINT32_MAX - 3},       /* offset + length wraps over 32 bits */
        {0x40, 2, 2},                    /* pci_fake_registers wouldn't be aligned */
        {0x40, 3, PCI_FAKE_BAR_LEN + 1}, /* longer than the BAR */
        {0x40, 3, 55},                   /* too short to be one */
        {0x40, 3, 0},
        {0x40, 1, 6}, /* there is no BAR 6 */
        {0x40, 1, 0xff},
        {0x40, 1, 0}, /* BAR 0 has no length */
        {0x60, 3, 0},
        {0x80, 3, 1},          /* no room for a doorbell */
        {0x80, 2, 0x2001},     /* doorbells wouldn't be aligned */
        {0x80, 0, 0x02100009}, /* too short for a multiplier */
        {0x40, 0, 0x010f6009}, /* cut off */
    };
    struct virtio_pci dev;

    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++) {
        pci_fake_begin();
        struct pci_fake_function *f = pci_fake_virtio();
        f->words[bad[i].at / 4 + bad[i].word] = bad[i].value;
        CHECK(!attach(&dev));
        CHECK(!(f->words[1] & PCI_COMMAND_MASTER));
    }
}

TEST(virtio_pci_takes_the_first_structure_it_can_use)
{
    struct virtio_pci dev;

    pci_fake_begin();
    struct pci_fake_function *f = pci_fake_virtio();
    pci_fake_capability(f, 0x80, 0xa0, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3000, 0x1000);
    f->words[0x84 / 4] = 0; /* in a BAR that is of no use */
    pci_fake_capability(f, 0xa0, 0xc0, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x1000, 0x1000);
    pci_fake_capability(f, 0xc0, 0, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3000, 0x1000);
    CHECK(attach(&dev));
    CHECK_EQ(dev.notify_phys, PCI_FAKE_BASE + 0x1000);
}

/* --- MSI-X ---------------------------------------------------------------------------------- */

enum { MSIX_AT = 0xa0, TABLE = 0x1000, ENTRIES = 3 };
static volatile struct pci_msix_entry *const table = (void *)(pci_fake_registers + TABLE);

/* A device with a table of interrupts in BAR 4, and two pairs of queues. */
static struct pci_fake_function *add_msix(void)
{
    struct pci_fake_function *f = pci_fake_virtio();

    pci_fake_capability(f, 0x80, MSIX_AT, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3000, 0x1000);
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

    pci_fake_begin();
    struct pci_fake_function *f = add_msix();
    memset(pci_fake_registers + TABLE, 0xff, sizeof(struct pci_msix_entry) * ENTRIES);
    CHECK(attach(&dev));
    const struct virtio_transport_ops *ops = dev.base.ops;
    CHECK_EQ(f->words[MSIX_AT / 4] >> 30, 2); /* on, and not masked as a whole */
    CHECK_EQ(dev.common->msix_config, VIRTIO_MSI_NO_VECTOR);
    for (uint32_t i = 0; i < ENTRIES; i++)
        CHECK_EQ(table[i].control, UINT32_MAX); /* masked */
    CHECK(enable(&dev, 1, false));
    CHECK_EQ(dev.common->queue_msix_vector, VIRTIO_MSI_NO_VECTOR);
    CHECK(!ops->arm(&dev.base, 1, true));
    CHECK(enable(&dev, 2, true));
    CHECK_EQ(dev.common->queue_msix_vector, 1);
    CHECK(table[1].control & 1); /* nobody wants to be woken yet */
    CHECK(ops->arm(&dev.base, 2, true));
    CHECK(table[1].address_low == 0xfee00000 && table[1].address_high == 0);
    CHECK_EQ(table[1].data, 0x40);
    CHECK_EQ(table[1].control, UINT32_MAX - 1); /* reserved bits stay (PCI 3.0, 6.8.2.9) */
    CHECK((table[0].control & 1) && (table[2].control & 1));
    CHECK(enable(&dev, 6, true)); /* has no entry: is polled */
    CHECK_EQ(dev.common->queue_msix_vector, VIRTIO_MSI_NO_VECTOR);
    CHECK(!ops->arm(&dev.base, 6, true));
    pci_fake_begin();
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
        {0, 0x12},                        /* another capability */
        {0, 0x11 | 0x7ff << 16},          /* 2048 entries: more than the BAR holds */
        {1, (PCI_FAKE_BAR_LEN - 32) | 4}, /* the last entry isn't inside */
        {1, 0xfffffff8 | 4},              /* offset and length wrap over 32 bits */
        {1, TABLE | 6},
        {1, TABLE | 7}, /* there is no such BAR */
        {1, TABLE | 0}, /* BAR 0 has no length */
    };
    struct virtio_pci dev;

    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++) {
        pci_fake_begin();
        struct pci_fake_function *f = add_msix();
        f->words[MSIX_AT / 4 + bad[i].word] = bad[i].value;
        CHECK(attach(&dev)); /* it works all the same */
        CHECK(!(f->words[MSIX_AT / 4] & 1u << 31));
        CHECK(enable(&dev, 0, true));
        CHECK(!dev.base.ops->arm(&dev.base, 0, true));
    }
    pci_fake_begin();
    struct pci_fake_function *f = add_msix();
    pci_fake_capability(f, 0x80, 0xf8, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3000, 0x1000);
    f->words[0xf8 / 4] = 0x11; /* cut off by the end of configuration space */
    CHECK(attach(&dev));
    CHECK_EQ(dev.msix.count, 0);
}
