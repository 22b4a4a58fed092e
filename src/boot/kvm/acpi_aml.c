/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * acpi_aml.c - what an image needs of the machine's description in AML. AML is a program; in place
 * of running it, this file looks for the few objects that VMMs write in one way:
 *
 *   Name (\_S5, Package () {5, ...})                        soft off has sleep type 5
 *
 *   Device (PWRB) {Name (_HID, "PNP0C0C")}                  the power button
 *   Name (_HID, "ACPI0013")                                 there is a generic event device
 *   OperationRegion (EREG, SystemMemory, 0xfea00000, 4)     the register that its method reads,
 *   If (... == 2) {Notify (PWRB, 0x80)}                     and the button's bit in it
 *
 * The button's bit is the number before the Notify that names the device, and the register is the
 * last region before that. This is how QEMU and cloud-hypervisor write it; a description that says
 * it in another way has no power button for an image.
 */
#include "boot/kvm/acpi_tables.h"

enum { HEADER_BYTES = 36 };
enum {
    ZERO = 0x00,
    ONE = 0x01,
    NAME = 0x08,
    BYTE = 0x0a,
    WORD = 0x0b,
    DWORD = 0x0c,
    STRING = 0x0d,
    QWORD = 0x0e,
    PACKAGE = 0x12,
    DUAL_NAME = 0x2e,
    MULTI_NAME = 0x2f,
    EXTENDED = 0x5b,
    REGION = 0x80,
    ROOT = '\\',
    PARENT = '^',
    NOTIFY = 0x86
};
enum { SEGMENT_BYTES = 4, PRESSED = 0x80 /* what the button's Notify says */ };

/* What is left to read; `at` never passes `end`. */
struct aml {
    const uint8_t *at, *end;
};

static size_t aml_left(const struct aml *a)
{
    return (size_t)(a->end - a->at);
}

/* Goes to the end of the next place where the bytes stand. */
static bool seek_bytes(struct aml *a, const void *bytes, size_t len)
{
    const uint8_t first = *(const uint8_t *)bytes;

    while (aml_left(a) >= len) {
        const uint8_t *found = memchr(a->at, first, aml_left(a) - len + 1);
        if (!found)
            break;
        a->at = found + 1;
        if (memcmp(found, bytes, len) == 0) {
            a->at = found + len;
            return true;
        }
    }
    a->at = a->end;
    return false;
}

/* A constant (20.2.3). */
static bool take_constant(struct aml *a, uint64_t *value)
{
    if (aml_left(a) == 0)
        return false;
    const uint8_t op = *a->at++;
    const size_t bytes = op == BYTE ? 1 : op == WORD ? 2 : op == DWORD ? 4 : op == QWORD ? 8 : 0;

    *value = op == ONE;
    if (bytes == 0)
        return op == ZERO || op == ONE;
    if (aml_left(a) < bytes)
        return false;
    memcpy(value, a->at, bytes);
    a->at += bytes;
    return true;
}

/* A name (20.2.2): \ or any ^, then a segment, two, or a count and so many. *last is the last one,
 * which is what tells an object from its neighbours. */
static bool take_name(struct aml *a, const uint8_t **last)
{
    size_t segments = 1;

    while (aml_left(a) > 0 && (*a->at == ROOT || *a->at == PARENT))
        a->at++;
    if (aml_left(a) > 0 && *a->at == DUAL_NAME) {
        segments = 2;
        a->at++;
    } else if (aml_left(a) > 1 && *a->at == MULTI_NAME) {
        segments = a->at[1];
        a->at += 2;
    }
    if (segments == 0 || aml_left(a) < segments * SEGMENT_BYTES)
        return false;
    a->at += segments * SEGMENT_BYTES;
    *last = a->at - SEGMENT_BYTES;
    return true;
}

/* Behind a package's length, of 1 to 4 bytes (20.2.4), and the number of its elements. */
static bool enter_package(struct aml *a)
{
    if (aml_left(a) < 1)
        return false;
    const size_t bytes = 1 + (*a->at >> 6) + 1;
    if (aml_left(a) < bytes)
        return false;
    a->at += bytes;
    return true;
}

RUNS_SELDOM bool acpi_aml_sleep_type(const uint8_t *aml, size_t len, uint8_t *sleep_type)
{
    static const uint8_t s5[] = {'_', 'S', '5', '_', PACKAGE};
    struct aml a = {aml + HEADER_BYTES, aml + len};
    uint64_t value;

    while (seek_bytes(&a, s5, sizeof s5)) {
        const uint8_t *before = a.at - sizeof s5;
        bool named = before[-1] == NAME || (before[-1] == ROOT && before[-2] == NAME);
        struct aml package = a;
        if (named && enter_package(&package) && take_constant(&package, &value) && value <= 7) {
            *sleep_type = (uint8_t)value;
            return true;
        }
    }
    return false;
}

/* The name of the device whose hardware id is that of a power button: what stands before the id, as
 * an id comes first in its device. NULL if there is none. */
RUNS_SELDOM static const uint8_t *find_button(const uint8_t *aml, size_t len)
{
    static const uint8_t number[] = {NAME, '_', 'H', 'I', 'D', DWORD, 0x41, 0xd0, 0x0c, 0x0c};
    static const uint8_t text[] = "\x08_HID\x0dPNP0C0C";
    struct aml a = {aml + HEADER_BYTES, aml + len}, b = a;

    if (seek_bytes(&a, number, sizeof number))
        return a.at - sizeof number - SEGMENT_BYTES;
    if (seek_bytes(&b, text, sizeof text))
        return b.at - sizeof text - SEGMENT_BYTES;
    return NULL;
}

/* The constant that ends before `at`, if only one bit is set in it; else 0. */
static uint32_t bit_before(const uint8_t *begin, const uint8_t *at)
{
    for (size_t bytes = 1; bytes <= 9 && bytes <= (size_t)(at - begin); bytes++) {
        struct aml a = {at - bytes, at};
        uint64_t value;
        if (take_constant(&a, &value) && a.at == at && IS_POWER_OF_2(value) && value <= UINT32_MAX)
            return (uint32_t)value;
    }
    return 0;
}

/* Where the button's event is told: just behind the opcode. *bit is its bit. NULL if nowhere. */
RUNS_SELDOM static const uint8_t *find_notify(const uint8_t *aml, size_t len, const uint8_t *button,
                                              uint32_t *bit)
{
    static const uint8_t op = NOTIFY;
    struct aml a = {aml + HEADER_BYTES, aml + len};
    const uint8_t *last;
    uint64_t value;

    while (seek_bytes(&a, &op, sizeof op)) {
        struct aml call = a;
        if (!take_name(&call, &last) || memcmp(last, button, SEGMENT_BYTES) != 0)
            continue;
        *bit = bit_before(aml + HEADER_BYTES, a.at - 1);
        if (*bit && take_constant(&call, &value) && value == PRESSED)
            return a.at;
    }
    return NULL;
}

/* An operation region (20.2.5.2): name, space, address, length. */
static bool take_region(struct aml *a, struct acpi_register *region)
{
    const uint8_t *last;
    uint64_t address, bytes;

    if (!take_name(a, &last) || aml_left(a) == 0 || *a->at > ACPI_PORT)
        return false;
    const enum acpi_space space = *a->at++;
    if (!take_constant(a, &address) || !take_constant(a, &bytes))
        return false;
    if (bytes != 1 && bytes != 2 && bytes != 4)
        return false;
    *region = (struct acpi_register){address, space, (uint8_t)bytes};
    return true;
}

RUNS_SELDOM bool acpi_aml_power_button(const uint8_t *aml, size_t len, struct acpi_register *events,
                                       uint32_t *bit)
{
    static const uint8_t generic_events[] = "\x08_HID\x0d"
                                            "ACPI0013";
    static const uint8_t op[] = {EXTENDED, REGION};
    struct aml all = {aml + HEADER_BYTES, aml + len}, a = all;
    const uint8_t *button = find_button(aml, len);
    bool found = false;

    if (!button || !seek_bytes(&a, generic_events, sizeof generic_events))
        return false;
    const uint8_t *notify = find_notify(aml, len, button, bit);
    for (a = all; notify && seek_bytes(&a, op, sizeof op) && a.at < notify;) {
        struct aml region = {a.at, notify};
        found |= take_region(&region, events);
    }
    return found;
}
