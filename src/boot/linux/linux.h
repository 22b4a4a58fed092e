/* linux.h - what a driver may know of the linux platform: where boot_alloc's memory comes from, so
 * that it can be shared with another process. */
#ifndef BOOT_LINUX_LINUX_H
#define BOOT_LINUX_LINUX_H

#include "boot/lib.h"

/* All memory that boot_alloc gives out: one shared mapping of the whole file `fd`. Set before
 * app_main is called. */
struct linux_memory {
    int fd;
    uint8_t *start;
    size_t len;
};

extern struct linux_memory linux_memory;

/* cores.c tells start.c: this thread is core number `core`. */
void linux_thread_init(uint32_t core);

#endif
