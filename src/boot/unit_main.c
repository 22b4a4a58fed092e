/* SPDX-License-Identifier: BSD-2-Clause */
/* unit_main.c - the app_main of a program that runs an app's unit tests: `make unit`. */
#include "boot/boot.h"
#include "boot/test.h"

int app_main(void)
{
    return unit_run();
}
