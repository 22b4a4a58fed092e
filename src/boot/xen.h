/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xen.h - all that a driver sees of Xen: grants, event channels, the store. Implemented by
 * src/boot/xen; tests on linux put a fake Xen behind the same functions.
 *
 * Nothing here allocates after start-up, and nothing waits without a deadline. What the other
 * domain or the store says is checked here as far as this header promises; the rest is the
 * driver's.
 *
 * The domain may be suspended and go on elsewhere: then every grant, event channel and watch is
 * gone, and the functions given to xen_on_resume are called, in boot_stopping() of core 0, before
 * the app goes on; all other cores stand still in theirs meanwhile. A driver starts from nothing
 * there: it gives no grant or channel back.
 */
#ifndef BOOT_XEN_H
#define BOOT_XEN_H

#include "boot/lib.h"

/* Calls resume(arg) each time the domain was suspended and is running again. At most 8 of them. */
void xen_on_resume(void (*resume)(void *arg), void *arg);

/* --- grants: pages that another domain may map or copy from and to -------------------------- */

/* Lets domain `domid` read the 4 KiB page at `page`, which is aligned; also write it unless
 * `readonly`. Returns the grant's reference, or 0 if the table is full. */
uint32_t xen_grant(uint16_t domid, const void *page, bool readonly);

/* Takes a grant back. False if the other domain still has the page mapped or a copy is under way:
 * then the grant stays and the page must not be used for anything else; try again later. */
bool xen_grant_end(uint32_t ref);

/* Grants that can still be given, and those given and not taken back. */
uint32_t xen_grants_free(void);
uint32_t xen_grants_used(void);

/* --- event channels ------------------------------------------------------------------------- */

/* A channel that domain `domid` may bind to. Its events are noted, but don't wake this domain.
 * Returns the port, or 0 if there is none left. */
uint32_t xen_event_alloc(uint16_t domid);

void xen_event_close(uint32_t port);

/* Sends an event. One hypercall. */
void xen_event_notify(uint32_t port);

/* True once after one or more events came. No hypercall. */
bool xen_event_take(uint32_t port);

/* Lets events on the port end this core's boot_wait() calls; off: no longer. An event that came
 * before counts at once. boot_wait takes the events of these ports, at most 128. */
void xen_event_wake(uint32_t port, bool on);

/* Lets other domains run that wait for this processor. One hypercall. */
void xen_yield(void);

/* --- store: the tree of names and values shared with dom0 ----------------------------------- */

/* Longest path and value, both without the closing zero byte. */
#define STORE_PATH_MAX  255
#define STORE_VALUE_MAX 1023

enum store_error {
    STORE_OK = 0,
    STORE_ENOENT = -1,   /* no such node */
    STORE_EAGAIN = -2,   /* the transaction met another one: do it again */
    STORE_EREFUSED = -3, /* the store said another error, such as EACCES */
    STORE_ETIMEOUT = -4, /* no answer in store_timeout_ns */
    STORE_EPROTO = -5,   /* an answer that can't be, or that doesn't fit */
};

/* How long each call waits for its answer: 2 s. A variable only so that tests can be quick. */
extern uint64_t store_timeout_ns;

/* In a path, a relative name is below this domain's own folder. `tx` is 0, or a transaction. */

/* Copies the value to `value`, closes it with a zero byte, and returns its length without that; or
 * an error, STORE_EPROTO if size is too small. A value may hold any bytes. */
int store_read(uint32_t tx, const char *path, char *value, size_t size);
int store_write(uint32_t tx, const char *path, const char *value);
int store_remove(uint32_t tx, const char *path);

/* The names right below `path`, one after another, each closed by a zero byte, behind the last an
 * empty one. Returns how many. */
int store_list(uint32_t tx, const char *path, char *names, size_t size);

/* Begins a transaction: *tx is set to what the other calls want. It ends with store_end, whatever
 * happened in between. */
int store_begin(uint32_t *tx);
int store_end(uint32_t tx, bool commit);

/* Watches `path` and all below it. Returns a number, from 0 on, at most STORE_WATCHES_MAX - 1, or
 * an error. A new watch has fired once. */
#define STORE_WATCHES_MAX 16
int store_watch(const char *path);
void store_unwatch(int watch);

/* True once after something changed at or below the path. No hypercall; cheap enough for a loop. */
bool store_watch_fired(int watch);

/* Waits until a watch has fired, or until clock_ns() is `deadline_ns`; the processor is free for
 * other domains meanwhile. One that fired and that store_watch_fired hasn't told yet counts. May
 * return early. */
void store_wait(uint64_t deadline_ns);

#endif
