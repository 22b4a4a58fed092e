/* backtrace.h - the calls that led here, for panics and faults. */
#ifndef BOOT_BACKTRACE_H
#define BOOT_BACKTRACE_H

#include "boot/lib.h"

/*
 * Prints `backtrace: 0x... 0x...`: the address `at`, then the return addresses found by walking the
 * frame pointers from `frame` upwards, at most 32. `make lines` turns them into source lines. A
 * frame that isn't on a stack ends the walk.
 */
void backtrace_print(uintptr_t at, uintptr_t frame);

/* Is `len` bytes at `address` part of a stack? From the platform. */
bool backtrace_on_stack(uintptr_t address, size_t len);

#endif
