/* SPDX-License-Identifier: BSD-2-Clause */
/* backtrace.h - what panics and faults share: who reports, and the calls that led here. */
#ifndef BOOT_BACKTRACE_H
#define BOOT_BACKTRACE_H

#include "boot/lib.h"

/*
 * panic.c: called by a core before it reports why the image ends. Of several cores that fail, one
 * reports; the others stand still here. *begun says whether the report has begun already: then the
 * core failed while it was reporting, and the image ends with `code`.
 */
void report_begin(bool *begun, int code);

/*
 * Prints `backtrace: 0x... 0x...`: the address `at`, then the return addresses found by walking the
 * frame pointers from `frame` upwards, at most 32. `make lines` turns them into source lines. A
 * frame that isn't on a stack ends the walk.
 */
void backtrace_print(uintptr_t at, uintptr_t frame);

/* Is `len` bytes at `address` part of this core's stack? From the platform. */
bool backtrace_on_stack(uintptr_t address, size_t len);

#endif
