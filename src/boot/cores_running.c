/* SPDX-License-Identifier: BSD-2-Clause */
/* cores_running.c - apart from cores.c, so that a driver which asks doesn't give its app the key
 * `cores`. */
#include "boot/boot.h"
#include "boot/cores.h"

uint32_t cores_running;
void (*cores_wake_others)(void);

uint32_t boot_others(void)
{
    return load_acquire(&cores_running); /* what those that returned wrote is seen */
}

void boot_wake_others(void)
{
    if (boot_others() > 0)
        cores_wake_others();
}
