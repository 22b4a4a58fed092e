/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of slots, and of a virtio device that comes and goes in one. */
#include "netdev/virtio/pci_fake_test.h"
#include "netdev/virtio/pci_slots.h"
#include "netdev/virtio/virtio_pci.h"

/* OperationRegion (PCST, SystemIO, 0xae00, 8) Name (BSEL, 0)
 * Device (S18) { Name (_ADR, 0x30000) Name (BSEL, 1) } */
static const uint8_t dsdt[] = {
    [36] = 0x5b, 0x80, 'P', 'C', 'S',  'T',  1,    0x0b, 0,   0xae, 0x0a, 8,   0x08,
    'B',         'S',  'E', 'L', 0,    0x5b, 0x82, 22,   'S', '1',  '8',  '_', 0x08,
    '_',         'A',  'D', 'R', 0x0c, 0,    0,    3,    0,   0x08, 'B',  'S', 'E',
    'L',         1,    0,   0,   0,    0,    0,    0,    0,   0,    0,    0,
};

enum { EXPRESS_AT = 0x40, ABILITIES = (EXPRESS_AT + 0x14) / 4, CONTROL = (EXPRESS_AT + 0x18) / 4 };
enum { BUTTON = 1 << 16, PRESENT = 1 << 22, POWER_OFF = 1 << 10 };

static uint16_t used;

static bool in_use(uint16_t first)
{
    return first >> 3 == used >> 3;
}

static void ignore(const struct pci_access *pci, uint16_t function)
{
    (void)pci, (void)function;
}

/* A bridge with ACPI's slots, 00:03.0 to bus 1, on a bus that has some. */
static void begin_acpi(void)
{
    pci_fake_begin();
    used = 0;
    pci_fake_host.dsdt = (struct pci_acpi_table){dsdt, sizeof dsdt};
    pci_fake_add(PCI_FUNCTION(0, 0, 0), 0x12378086, 0);
    pci_fake_add(PCI_FUNCTION(0, 3, 0), 0x22222222, 1)->words[PCI_BUS_NUMBERS / 4] = 0x010100;
    pci_scan(&pci_fake, ignore);
    pci_slots_find(&pci_fake);
}

/* A port of PCI Express, 00:04.0 to bus 1, with a device in its slot. */
static struct pci_fake_function *begin_express(void)
{
    pci_fake_begin();
    used = 0;
    pci_fake_add(PCI_FUNCTION(0, 0, 0), 0x12378086, 0);
    struct pci_fake_function *port = pci_fake_add(PCI_FUNCTION(0, 4, 0), 0x000c1b36, 1);
    port->words[PCI_BUS_NUMBERS / 4] = 0x010100;
    port->words[PCI_COMMAND_STATUS / 4] = 1u << 20;
    port->words[PCI_CAPABILITIES / 4] = EXPRESS_AT;
    port->words[EXPRESS_AT / 4] = 0x10 | 0x142u << 16;
    port->words[ABILITIES] = 0x7b;
    port->words[CONTROL] = PRESENT;
    pci_scan(&pci_fake, ignore);
    pci_slots_find(&pci_fake);
    port->words[CONTROL] = PRESENT; /* bits that were cleared by ones */
    return port;
}

TEST(pci_slots_of_acpi)
{
    const uint16_t function = PCI_FUNCTION(1, 5, 2);

    begin_acpi();
    CHECK(!pci_slot_wanted_back(&pci_fake, function));
    CHECK(pci_slot_has_power(&pci_fake, function));
    pci_fake_slots.wanted[1] = 1 << 5;
    pci_fake_slots.wanted[0] = 1 << 5;
    CHECK(pci_slot_wanted_back(&pci_fake, function));
    CHECK(!pci_slot_wanted_back(&pci_fake, PCI_FUNCTION(1, 6, 0)));
    CHECK(!pci_slot_wanted_back(&pci_fake, PCI_FUNCTION(2, 5, 0))); /* a bus without slots */
    pci_slot_give_back(&pci_fake, function, in_use);
    CHECK(pci_fake_slots.given[1] == 1 << 5 && pci_fake_slots.given[0] == 0);
    CHECK(!pci_slot_wanted_back(&pci_fake, function));
    pci_fake_slots.wanted[0] = 1 << 3; /* the bridge on the way to it */
    CHECK(pci_slot_wanted_back(&pci_fake, function));
    used = PCI_FUNCTION(0, 3, 0); /* as one behind it that isn't given yet makes it */
    pci_slot_give_back(&pci_fake, function, in_use);
    CHECK_EQ(pci_fake_slots.given[0], 0);
    used = 0;
    pci_slot_give_back(&pci_fake, function, in_use);
    CHECK_EQ(pci_fake_slots.given[0], 1 << 3);
    pci_fake_slots.wanted[1] = UINT32_MAX; /* nothing answers at those ports */
    CHECK(!pci_slot_wanted_back(&pci_fake, function));
}

/* A port whose bus has no number doesn't tell of the slots of bus 0. */
TEST(pci_slots_of_a_bus_without_a_number)
{
    struct pci_fake_function *port = begin_express();

    port->words[PCI_BUS_NUMBERS / 4] = 0;
    pci_slots_find(&pci_fake);
    port->words[CONTROL] = PRESENT | BUTTON;
    CHECK(!pci_slot_wanted_back(&pci_fake, PCI_FUNCTION(0, 0, 0)));
    port->words[CONTROL] = POWER_OFF;
    CHECK(pci_slot_has_power(&pci_fake, PCI_FUNCTION(0, 3, 0)));
}

TEST(pci_slots_give_back_what_nobody_uses)
{
    begin_acpi();
    used = PCI_FUNCTION(0, 7, 0);
    pci_fake_slots.wanted[0] = 1 << 7 | 1 << 8;
    pci_fake_slots.wanted[1] = 1 << 7;
    pci_slots_tidy(&pci_fake, in_use);
    pci_slots_tidy(&pci_fake, in_use);
    CHECK_EQ(pci_fake_slots.given[0], 1 << 8);
    CHECK_EQ(pci_fake_slots.given[1], 1 << 7);
}

TEST(pci_slots_of_express)
{
    const uint16_t function = PCI_FUNCTION(1, 0, 0);
    struct pci_fake_function *port = begin_express();

    CHECK(!pci_slot_wanted_back(&pci_fake, function));
    port->words[CONTROL] |= BUTTON;
    CHECK(pci_slot_wanted_back(&pci_fake, function));
    pci_slot_give_back(&pci_fake, function, in_use);
    CHECK_EQ(port->words[CONTROL] & 0x7c0, POWER_OFF | 3 << 8 | 3 << 6);
    CHECK(port->words[CONTROL] & BUTTON); /* a one, which clears it */
    port->words[CONTROL] &= 0xffff;       /* the device has gone */
    CHECK(!pci_slot_has_power(&pci_fake, function));
    CHECK(port->words[CONTROL] & POWER_OFF);
    port->words[CONTROL] |= PRESENT | BUTTON; /* as one does that was plugged in */
    CHECK(!pci_slot_wanted_back(&pci_fake, function));
    CHECK(!pci_slot_has_power(&pci_fake, function));
    CHECK_EQ(port->words[CONTROL] & 0x7c0, 1 << 8 | 3 << 6);
    CHECK(pci_slot_has_power(&pci_fake, function));
    port->words[CONTROL] = UINT32_MAX; /* the port has gone itself */
    CHECK(!pci_slot_wanted_back(&pci_fake, function));
    CHECK(!pci_slot_has_power(&pci_fake, function));
}

TEST(pci_slots_of_express_that_can_not_be_told)
{
    static const struct {
        uint32_t word, value;
    } bad[] = {
        {EXPRESS_AT / 4, 0x10 | 0x42u << 16}, /* has no slot */
        {ABILITIES, 0x3b},                    /* nothing comes or goes */
        {ABILITIES, 0x7a},                    /* no button */
        {ABILITIES, 0x79},                    /* its power can't be switched */
    };

    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct pci_fake_function *port = begin_express();
        port->words[bad[i].word] = bad[i].value;
        pci_slots_find(&pci_fake);
        port->words[CONTROL] = PRESENT | BUTTON;
        CHECK(!pci_slot_wanted_back(&pci_fake, PCI_FUNCTION(1, 0, 0)));
        CHECK(pci_slot_has_power(&pci_fake, PCI_FUNCTION(1, 0, 0)));
    }
}

/* --- a virtio device ----------------------------------------------------------------------------
 */

enum { BAR_4 = PCI_BAR0 / 4 + 4 };

TEST(virtio_pci_that_was_pulled_out)
{
    struct virtio_pci dev;

    pci_fake_begin();
    struct pci_fake_function *f = pci_fake_virtio();
    CHECK(virtio_pci_attach(&dev, &pci_fake, f->address));
    struct virtio_transport *const t = &dev.base;
    t->ops->set_status(t, 15);
    CHECK_EQ(t->ops->status(t), 15);
    f->address = PCI_FUNCTION(0, 30, 0); /* a read of a place where nothing is */
    for (uint32_t value = 0; value <= 0xff; value += 0xff) {
        t->ops->set_status(t, 15);
        dev.common->device_status = (uint8_t)value;
        CHECK_EQ(t->ops->status(t), 0xff);
        CHECK(!t->ops->present(t));
        CHECK_EQ(virtio_reset(t), 0); /* at once: it does nothing any more */
        dev.common->device_status = (uint8_t)value;
        CHECK_EQ(t->ops->status(t), 0);
    }
}

TEST(virtio_pci_that_is_plugged_in_again)
{
    struct virtio_pci dev;

    pci_fake_begin();
    struct pci_fake_function *f = pci_fake_virtio();
    CHECK(virtio_pci_attach(&dev, &pci_fake, f->address));
    struct virtio_transport *const t = &dev.base;
    t->ops->set_status(t, 15);
    CHECK(t->ops->present(t));
    f->words[BAR_4] = 0xc; /* another one, as it is when power came on */
    f->words[1] = 1u << 20;
    t->ops->set_status(t, 15);
    CHECK_EQ(t->ops->status(t), 15);
    dev.common->device_status = 0;
    CHECK_EQ(t->ops->status(t), 0xff);
    CHECK(t->ops->present(t));
    CHECK_EQ(f->words[BAR_4], PCI_FAKE_BASE | 0xc);
    CHECK_EQ(f->words[1] & 6, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    CHECK_EQ(t->ops->status(t), 0);
    f->words[BAR_4] = 0xc;
    f->words[0] = 0x10421af4; /* a disk */
    CHECK(!t->ops->present(t));
    f->words[0] = 0x10411af4;
    pci_fake_capability(f, 0x80, 0, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x1000, 0x1000); /* elsewhere */
    CHECK(!t->ops->present(t));
    CHECK(!t->ops->present(t));
    f->words[BAR_4] = 0xc;
    pci_fake_capability(f, 0x80, 0, VIRTIO_PCI_CAP_NOTIFY_CFG, 0x3000, 0x1000);
    CHECK(t->ops->present(t));
}

/* One that can't be used is found, and wanted back while another one is looked at. */
TEST(virtio_pci_gives_back_a_device_that_can_not_be_used)
{
    struct virtio_pci dev;

    begin_acpi();
    struct pci_fake_function *f = pci_fake_virtio();
    virtio_pci_probe(&pci_fake); /* it offers no VIRTIO_F_VERSION_1 */
    f->address = PCI_FUNCTION(0, 6, 0);
    CHECK(virtio_pci_attach(&dev, &pci_fake, f->address));
    CHECK(dev.common->device_status & VIRTIO_CONFIG_S_FAILED);
    dev.base.ops->set_status(&dev.base, 15);
    pci_fake_slots.wanted[0] = 1 << 2;
    for (uint32_t bus = 0; bus < 2; bus++) {
        dev.next_slot_ns = 0;
        CHECK(!dev.base.ops->wanted_back(&dev.base));
    }
    CHECK_EQ(pci_fake_slots.given[0], 1 << 2);
}
