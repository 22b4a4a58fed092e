/* SPDX-License-Identifier: BSD-2-Clause */
/* random.c - seeds, from the processor's generator and from time. */
#include "boot/pvh/pvh.h"

uint64_t boot_random(void)
{
    static uint64_t mixed;
    uint64_t v = 0;
    uint8_t good = 0;

    if (cpuid(1).ecx & 1u << 30)
        for (int i = 0; i < 10 && !good; i++)
            __asm__ volatile("rdrand %0; setc %1" : "=r"(v), "=q"(good));
    /* Also for processors without rdrand: time, stirred (the finalizer of splitmix64). */
    mixed += clock_cycles() ^ clock_ns() << 32 ^ pvh_first_cycle << 16;
    v ^= mixed;
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9;
    v = (v ^ v >> 27) * 0x94d049bb133111eb;
    return v ^ v >> 31;
}
