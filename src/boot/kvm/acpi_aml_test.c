/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of what is found in AML, as VMMs write it and as nobody should. */
#include "boot/kvm/acpi_tables.h"
#include "boot/test.h"

enum { HEADER_BYTES = 36, ROOM = 512 };

static uint8_t aml[ROOM];
static size_t aml_len;

static void begin(void)
{
    memset(aml, 0xff, sizeof aml);
    aml_len = HEADER_BYTES;
}

static void add(const void *bytes, size_t len)
{
    memcpy(aml + aml_len, bytes, len);
    aml_len += len;
}

#define ADD(text) add(text, sizeof(text) - 1)

/* --- pieces; each is commented in ASL ------------------------------------------------------- */

/* Name (_HID, "ACPI0013") */
#define GENERIC_EVENTS                                                                             \
    "\x08_HID\x0d"                                                                                 \
    "ACPI0013\0"
/* Name (_HID, "PNP0C0C") in Device (PWRB), once as text and once as a number */
#define BUTTON        "\x5b\x82\x1aPWRB\x08_HID\x0dPNP0C0C\0\x08_UID\0"
#define BUTTON_NUMBER "\x5b\x82\x1a.__SB_PWRB\x08_HID\x0c\x41\xd0\x0c\x0c\x08_UID\0"

/* A microvm of QEMU: OperationRegion (EREG, SystemMemory, 0xfea00000, 4), its field, and in _EVT
 * If (((Local0 & 2) == 2)) {Notify (PWRB, 0x80)}. */
static void add_qemu(void)
{
    ADD(GENERIC_EVENTS);
    ADD("\x5b\x80"
        "EREG\0\x0c\0\0\xa0\xfe\x0a\x04");
    ADD("\x5b\x81\x0b"
        "EREG\x23"
        "ESEL\x20");
    ADD("\x14\x1b_EVT\x09\x70"
        "ESEL\x60\xa0\x11\x93\x7b\x60\x0a\x02\0\x0a\x02\x86PWRB\x0a\x80");
    ADD(BUTTON);
}

/* cloud-hypervisor: the region stands in a device of its own, has one byte and an address of 64
 * bits; And (Local0, 8, Local1) If (Local1 == 8) {Notify (\_SB.PWRB, 0x80)}. */
static void add_cloud_hypervisor(void)
{
    ADD("\x5b\x80"
        "GDST\0\x0e\0\xf0\xff\xff\xff\x0f\0\0\x01");
    ADD("\x5b\x81\x0b"
        "GDST\x21"
        "GDAT\x08");
    ADD("\x7b\x60\x0a\x04\x61\xa0\x0e\x93\x61\x0a\x04\\/\x03_SB_PHPRPSCN");
    ADD("\x7b\x60\x0a\x08\x61\xa0\x11\x93\x61\x0a\x08\x86\\._SB_PWRB\x0a\x80");
    ADD(GENERIC_EVENTS);
    ADD("\x08_UID\0");
    ADD(BUTTON_NUMBER);
}

/* --- the power button ------------------------------------------------------------------------ */

static struct acpi_register events;
static uint32_t bit;

static bool finds_button(void)
{
    return acpi_aml_power_button(aml, aml_len, &events, &bit);
}

TEST(acpi_aml_power_button_of_qemu)
{
    begin();
    add_qemu();
    CHECK(finds_button());
    CHECK_EQ(events.address, 0xfea00000);
    CHECK_EQ(events.space, ACPI_MEMORY);
    CHECK_EQ(events.bytes, 4);
    CHECK_EQ(bit, 2);
}

TEST(acpi_aml_power_button_of_cloud_hypervisor)
{
    begin();
    add_cloud_hypervisor();
    CHECK(finds_button());
    CHECK_EQ(events.address, 0xffffffff000);
    CHECK_EQ(events.bytes, 1);
    CHECK_EQ(bit, 8);
}

TEST(acpi_aml_power_button_behind_a_port)
{
    begin();
    ADD("\x5b\x80^\\GDST\x01\x0b\0\xb0\x01");    /* OperationRegion (GDST, SystemIO, 0xb000, One) */
    ADD("\xa0\x09\x93\x60\x01\x86PWRB\x0a\x80"); /* If (Local0 == One) {Notify (PWRB, 0x80)} */
    ADD(GENERIC_EVENTS);
    ADD(BUTTON);
    CHECK(finds_button());
    CHECK_EQ(events.address, 0xb000);
    CHECK_EQ(events.space, ACPI_PORT);
    CHECK_EQ(bit, 1);
}

/* Each of the four is needed. */
TEST(acpi_aml_power_button_is_all_there_or_none)
{
    static const char no_region[] = "\x01\x86PWRB\x0a\x80";

    begin();
    ADD(GENERIC_EVENTS);
    ADD(BUTTON);
    CHECK(!finds_button()); /* neither a region nor a Notify */
    ADD(no_region);
    CHECK(!finds_button());
    begin();
    ADD("\x5b\x80"
        "GDST\x01\x0b\0\xb0\x01\x01\x86PWRB\x0a\x80");
    ADD(BUTTON);
    CHECK(!finds_button()); /* no generic event device */
    ADD(GENERIC_EVENTS);
    CHECK(finds_button());
    begin();
    ADD("\x5b\x80"
        "GDST\x01\x0b\0\xb0\x01\x01\x86LIDB\x0a\x80"); /* another device's Notify */
    ADD(BUTTON GENERIC_EVENTS);
    CHECK(!finds_button());
    begin();
    ADD("\x5b\x80"
        "GDST\x01\x0b\0\xb0\x01\x0a\x03\x86PWRB\x0a\x80"); /* 3 isn't one bit */
    ADD(BUTTON GENERIC_EVENTS);
    CHECK(!finds_button());
    begin();
    ADD("\x5b\x80"
        "GDST\x02\x0b\0\xb0\x01\x01\x86PWRB\x0a\x80"); /* in PCI's configuration */
    ADD(BUTTON GENERIC_EVENTS);
    CHECK(!finds_button());
}

/* --- \_S5 ------------------------------------------------------------------------------------ */

static int sleep_type(const void *bytes, size_t len)
{
    uint8_t type;

    begin();
    add(bytes, len);
    return acpi_aml_sleep_type(aml, aml_len, &type) ? type : -1;
}

#define SLEEP_TYPE(text) sleep_type(text, sizeof(text) - 1)

TEST(acpi_aml_sleep_type_in_every_form)
{
    CHECK_EQ(SLEEP_TYPE("\x08_S5_\x12\x08\x04\x0a\x05\0\0\0"), 5);
    CHECK_EQ(SLEEP_TYPE("\x08\\_S5_\x12\x08\x04\x0a\x07\0\0\0"), 7);
    CHECK_EQ(SLEEP_TYPE("\x08_S5_\x12\x06\x04\0\0\0\0"), 0);
    CHECK_EQ(SLEEP_TYPE("\x08_S5_\x12\x03\x01\x01"), 1); /* at the very end */
    CHECK_EQ(SLEEP_TYPE("\x08_S5_\x12\x47\x01\x04\x0b\x06\0\0\0\0"), 6);
    CHECK_EQ(SLEEP_TYPE("_S5_ \x08_S5_\x12\x04\x01\x0a\x05"), 5); /* the first is a mention */
}

TEST(acpi_aml_sleep_type_that_cant_be)
{
    CHECK_EQ(SLEEP_TYPE(""), -1);
    CHECK_EQ(SLEEP_TYPE("\x08_S4_\x12\x04\x01\x0a\x05"), -1);
    CHECK_EQ(SLEEP_TYPE("\x08_S5_\x12\x04\x01\x0a\x08"), -1); /* it has 3 bits */
    CHECK_EQ(SLEEP_TYPE("\x08_S5_\x12\x04\x01\x0d"
                        "5\0"),
             -1);                                                 /* a text */
    CHECK_EQ(SLEEP_TYPE("\x14\x06_S5_\x12\x04\x01\x0a\x05"), -1); /* no Name */
    CHECK_EQ(SLEEP_TYPE("\x08_S5_\x12"), -1);                     /* cut off */
    CHECK_EQ(SLEEP_TYPE("\x08_S5_\x12\xff\xff"), -1);
    CHECK_EQ(SLEEP_TYPE("\x08_S5_\x12\x04\x01"), -1);
    CHECK_EQ(SLEEP_TYPE("\x08_S5_\x12\x04\x01\x0a"), -1);
}

/* --- garbage --------------------------------------------------------------------------------- */

static uint32_t random_state;

static uint32_t random_byte(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 24;
}

/* A copy of its own length at the end of the room, where a sanitizer sees who reads on. */
TEST(acpi_aml_that_is_broken_anywhere)
{
    static uint8_t broken[ROOM];
    uint8_t type;

    random_state = 1;
    for (uint32_t round = 0; round < 20000; round++) {
        begin();
        if (round % 2)
            add_qemu();
        else
            add_cloud_hypervisor();
        ADD("\x08_S5_\x12\x08\x04\x0a\x05\0\0\0");
        size_t len = round % 3 ? aml_len : HEADER_BYTES + random_byte() % (aml_len - HEADER_BYTES);
        uint8_t *at = broken + ROOM - len;
        memcpy(at, aml, len);
        for (uint32_t i = round % 5; i > 0 && len > HEADER_BYTES; i--)
            at[HEADER_BYTES + random_byte() % (len - HEADER_BYTES)] = (uint8_t)random_byte();
        if (acpi_aml_sleep_type(at, len, &type))
            CHECK(type <= 7);
        if (acpi_aml_power_button(at, len, &events, &bit)) {
            CHECK(IS_POWER_OF_2(bit));
            CHECK(events.bytes == 1 || events.bytes == 2 || events.bytes == 4);
            CHECK(events.space == ACPI_MEMORY || events.space == ACPI_PORT);
        }
    }
}
