/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * domain.h - what the parts of the xen platform share: hypercalls, the page shared with Xen, and
 * what has to be done anew when the domain was suspended and goes on elsewhere.
 *
 * An image that never asks boot_stopping() and has no driver links neither shutdown.c nor store.c
 * nor grants.c: start.c and console.c must not call them.
 */
#ifndef BOOT_XEN_DOMAIN_H
#define BOOT_XEN_DOMAIN_H

#include "boot/pvh/pvh.h" /* first: Xen's headers use its types without asking for them */

#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>

/* --- hypercall.S ---------------------------------------------------------------------------- */

/* Calls __HYPERVISOR_number; ring 0. Returns what it says: negative is an errno of Xen's. */
long xen_hypercall(unsigned number, uintptr_t a, uintptr_t b, uintptr_t c);

extern bool xen_has_vmmcall; /* find.c: AMD's instruction, not Intel's */

/* --- find.c --------------------------------------------------------------------------------- */

/* Is there a Xen? To be asked before the first hypercall, and at any time after .bss is zeroed. */
bool xen_find(void);

/* False if Xen knows no such parameter of the domain, or it is 0. */
bool xen_hvm_param(uint32_t index, uint64_t *value);

/* Ends the domain, or suspends it: SHUTDOWN_suspend alone returns, 0 if it goes on elsewhere. */
long xen_shutdown(unsigned reason);

/* --- last_words.c --------------------------------------------------------------------------- */

/* Writes to the domain's console before anything is set up, in ring 0, and waits a second at most
 * for somebody to read it. Returns how much was written. */
size_t xen_last_words(const char *text, size_t len);

/* Where there is a Xen: says so, and ends the domain as one that did what it should. */
void xen_refuse(const char *text);

/* --- domain.c ------------------------------------------------------------------------------- */

/* The page that Xen keeps for this domain: time, event channels. */
extern struct shared_info *const xen_shared;

/* Counts, from 1 on, how often the domain began to run somewhere. What belongs to an earlier
 * number (grants, channels, watches, the store's ring) is gone. */
extern uint32_t xen_incarnation;

/* Lets the page of an XENMAPSPACE appear at `page`, whose own memory goes back to Xen. */
bool xen_map(unsigned space, uint32_t index, void *page);

/* --- start.c -------------------------------------------------------------------------------- */

/* The reason that boot_exit tells Xen, unless it is a crash: SHUTDOWN_poweroff at first. */
extern unsigned xen_end_reason;

/* Suspends the domain, while no other core uses anything of Xen. True if it then went on elsewhere;
 * false if it was not suspended, or goes on where it was and nothing has changed. */
bool xen_suspend(void);

/* --- balloon.c ------------------------------------------------------------------------------ */

/* At start, before memory is used: gives back what Xen hasn't given. */
void balloon_start(void);

/* The operator has changed memory/target: gives free memory back, or takes it again. Both are at
 * most BALLOON_TARGET_MAX_KIB. */
#define BALLOON_TARGET_MAX_KIB (BOOT_ADDRESS_END / 1024)
void balloon_follow(uint64_t target_kib, uint64_t before_kib);

/* --- clock.c -------------------------------------------------------------------------------- */

/* Once xen_shared is there, and again after a move: clock_ns() goes on from where it was. */
void clock_connect(void);

/* A time of clock_ns() as Xen counts. */
uint64_t clock_to_xen_ns(uint64_t ns);

/* --- events.c ------------------------------------------------------------------------------- */

/* Masks all event channels; sets the callback; after a move, binds the cores' channels anew. */
void events_connect(void);

/* Gives a core a channel by which it is woken, from boot_wait, too. False if Xen has no such vcpu.
 */
bool events_add_core(uint32_t core);
void events_wake_core(uint32_t core);

/* The same as events_wait, for the channel of the core that asks. */
void events_core_wait(uint64_t deadline_ns);

/* Waits until there was an event on the port, whatever else wakes, or until clock_ns() is
 * `deadline_ns`; the processor is free for other domains meanwhile. An event since the last wait
 * counts. May return early. */
void events_wait(uint32_t port, uint64_t deadline_ns);

/* --- console.c ------------------------------------------------------------------------------ */

void console_connect(void);

/* True if Ctrl-C is among what was typed since the last call. */
bool console_ctrl_c(void);

/* Before the domain ends: waits a while for the other side to read all that was written. */
void console_end(void);

#endif
