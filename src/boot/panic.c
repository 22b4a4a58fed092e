/* SPDX-License-Identifier: BSD-2-Clause */
/* panic.c - the end of an image that can't go on, or can't start, and which core tells of it. */
#include "boot/backtrace.h"
#include "boot/boot.h"

void **panic_catch;

void report_begin(bool *begun, int code)
{
    static uint32_t reporter; /* core + 1 */
    const uint32_t me = boot_core() + 1;
    uint32_t owner = 0;

    if (!__atomic_compare_exchange_n(&reporter, &owner, me, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        while (owner != me)
            __asm__ volatile("pause");
    if (*begun)
        boot_exit(code);
    *begun = true;
}

void panic(const char *fmt, ...)
{
    static bool panicking;
    char text[1000]; /* so that its line is below print's limit */
    va_list args;

    if (panic_catch && boot_core() == 0)
        __builtin_longjmp(panic_catch, 1);
    report_begin(&panicking, BOOT_EXIT_PANIC);
    va_start(args, fmt);
    vformat(text, sizeof text, fmt, args);
    va_end(args);
    print("\npanic: %s\n", text);
    const uintptr_t *frame = __builtin_frame_address(0);
    backtrace_print((uintptr_t)__builtin_return_address(0), frame[0]);
    boot_exit(BOOT_EXIT_PANIC);
}

void boot_misconfigured(const char *fmt, ...)
{
    char text[900]; /* so that its line is below print's limit */
    va_list args;

    if (panic_catch && boot_core() == 0)
        __builtin_longjmp(panic_catch, 1);
    va_start(args, fmt);
    vformat(text, sizeof text, fmt, args);
    va_end(args);
    print("%s: %s\n", boot_app, text);
    boot_exit(BOOT_EXIT_USAGE);
}

void assert_failed(const char *expr, const char *file, int line)
{
    panic("assertion failed: %s at %s:%d; this is a bug in Ringloop or in the app.", expr, file,
          line);
}
