/* SPDX-License-Identifier: BSD-2-Clause */
/* linux.h - what a driver may know of the linux platform: where boot_alloc's memory comes from, so
 * that it can be shared with another process, and the files that play the part of interrupts. */
#ifndef BOOT_LINUX_LINUX_H
#define BOOT_LINUX_LINUX_H

#include "boot/lib.h"

/* The memory that boot_alloc gives out: one shared mapping of the whole file `fd`. Set before
 * app_main is called. */
struct linux_memory {
    int fd;
    uint8_t *start;
    size_t len;
};

extern struct linux_memory linux_memory;

/* In memory.c. Takes the memory, as much as the command line's mem= says, and ends the process if
 * the kernel hasn't got it. Returns of what pages it is, for a sentence that ends there. */
const char *linux_memory_take(const char *line);

/* cores.c tells start.c: this thread is core number `core`. */
void linux_thread_init(uint32_t core);

/*
 * Lets `fd` end the boot_wait() calls of this thread when it is readable; off: no longer, also
 * before it is closed. It is an eventfd that doesn't block (EFD_NONBLOCK): boot_wait reads it, so
 * one wake-up ends one wait and its owner never looks at it. Makes no system call. At most
 * LINUX_WAIT_FDS at a time; saying the same twice changes nothing.
 */
#define LINUX_WAIT_FDS 64
void linux_wait_fd(int fd, bool on);

/* The same for any other file that doesn't block: boot_wait leaves it as it is, so it ends each
 * wait until its owner has read it. */
void linux_wait_readable(int fd, bool on);

/* Readable once boot_stopping() is true: it ends every thread's waits, whichever took the signal.
 * Between start.c and wait.c. */
extern int linux_stop_fd;

#endif
