/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * console.h - between console.c, which keeps what the console's device doesn't take at once, and
 * the platform, whose device it is.
 */
#ifndef BOOT_CONSOLE_H
#define BOOT_CONSOLE_H

#include "boot/lib.h"

/* boot_stopping calls it on core 0 when it looks at the hardware: gives the device what is kept,
 * for about a millisecond at most, once in some 10 ms. A loop that has called it within the last
 * 0.1 s is not held up by its lines. */
void console_turn(void);

/* boot_wait asks for how long a core may sleep, `deadline_ns` at most: less if there is text left
 * for the device. */
uint64_t console_sleep_until(uint64_t deadline_ns);

/* Before the image ends or is suspended: waits until all that is kept has been read, or the device
 * has taken nothing for about a second, or too little for ten. False if something is left. */
bool console_flush(void);

/* --- from the platform ----------------------------------------------------------------------- */

/* Gives the device as much of the text as it takes without waiting. Returns how much, 0 if nobody
 * has made room; the whole length if there is no device and never will be. */
size_t console_device_put(const char *text, size_t len);

/* Has all that it took been read, as far as the device tells? */
bool console_device_empty(void);

/* Waits until the device may take more, a millisecond at most. */
void console_device_wait(void);

#endif
