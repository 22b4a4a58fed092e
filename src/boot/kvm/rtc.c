/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtc.c - the date of a PC's real-time clock (Motorola's MC146818, as QEMU has it): registers
 * behind an index port and a data port, so one core at a time reads it.
 */
#include "boot/io.h"
#include "boot/kvm/kvm.h"

enum { RTC_INDEX = 0x70, RTC_DATA = 0x71 };

static uint32_t rtc_register(uint8_t index, bool bcd)
{
    outb(RTC_INDEX, index);
    uint32_t v = inb(RTC_DATA);
    return bcd ? (v >> 4) * 10 + (v & 15) : v;
}

/* Days from 1970-01-01 to a date: years are counted from March, so that the leap day is the last.
 */
static uint64_t days(uint32_t year, uint32_t month, uint32_t day)
{
    uint64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;

    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

/* One look, during which the clock may tick: then it may be wrong. 0 if there is no clock. */
static uint64_t look(bool bcd)
{
    uint32_t month = rtc_register(8, bcd), day = rtc_register(7, bcd);

    if (month < 1 || month > 12 || day < 1 || day > 31)
        return 0;
    uint64_t d = days(2000 + rtc_register(9, bcd), month, day);
    return ((d * 24 + rtc_register(4, bcd)) * 60 + rtc_register(2, bcd)) * 60 +
           rtc_register(0, bcd);
}

uint64_t rtc_unix_s(uint64_t expected_s)
{
    enum { TRIES = 100, STATUS_B = 11, BINARY = 4 };
    const bool bcd = !(rtc_register(STATUS_B, false) & BINARY);
    uint64_t last_s = look(bcd);

    for (int i = 0; i < TRIES && last_s; i++) {
        if (last_s + 1 >= expected_s && last_s <= expected_s + 1)
            return last_s;
        uint64_t s = look(bcd);
        if (s == last_s)
            return s;
        last_s = s;
    }
    return 0;
}
