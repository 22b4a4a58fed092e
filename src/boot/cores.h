/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cores.h - between boot_run (cores.c) and the platform, which starts the other cores and puts them
 * to sleep. An image that never asks for cores links none of it.
 */
#ifndef BOOT_CORES_H
#define BOOT_CORES_H

#include "boot/lib.h"

/* cores.c: what cores 1 and up do for ever: sleep, and run what boot_run gives them. */
_Noreturn void cores_loop(uint32_t core);

/* How many cores haven't returned from their run yet; core 0 isn't counted. */
extern uint32_t cores_running;

/* boot_wake_others, once there were others: boot_run sets it. */
extern void (*cores_wake_others)(void);

/* --- from the platform ----------------------------------------------------------------------- */

/* On core 0, at start-up: starts cores 1 to count - 1, each of which calls cores_loop on a stack of
 * its own. Ends the image, as boot_misconfigured does, if the machine hasn't so many. */
void cores_start(uint32_t count);

/* Sleeps until core_wake was called for this core since its last sleep, or clock_ns() is
 * `deadline_ns`. May return early. */
void core_sleep(uint64_t deadline_ns);

void core_wake(uint32_t core);

#endif
