/* SPDX-License-Identifier: BSD-2-Clause */
/* hello - prints one line and ends: the yardstick for an image's size and start-up time. */
#include "boot/boot.h"

int app_main(void)
{
    print("Hello from Ringloop on %s.\n", boot_platform);
    return 0;
}
