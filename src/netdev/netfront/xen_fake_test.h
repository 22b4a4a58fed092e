/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xen_fake_test.h - a Xen in memory behind boot/xen.h: for unit tests.
 */
#ifndef NETDEV_XEN_FAKE_TEST_H
#define NETDEV_XEN_FAKE_TEST_H

#include "boot/test.h"
#include "boot/xen.h"

enum {
    FAKE_NODES = 128,
    FAKE_NODE_PATH = 96,
    FAKE_NODE_VALUE = 64,
    FAKE_GRANTS = 2048,
    FAKE_PORTS = 32,
    FAKE_SELF = 7, /* our domain */
};

/* --- Xen -------------------------------------------------------------------------------------- */

struct fake_grant {
    const uint8_t *page;
    uint16_t domid;
    bool used, readonly;
    uint32_t busy; /* mapped so many times */
};

struct fake_port {
    uint16_t domid;
    bool used, awake, pending;
    uint32_t notified;
};

struct fake_xen {
    struct fake_grant grants[FAKE_GRANTS]; /* by reference; 0 isn't one */
    struct fake_port ports[FAKE_PORTS];    /* by number; 0 isn't one */
    uint32_t grants_max, ports_max;        /* how many there can be */
    uint32_t yields;                       /* calls of xen_yield */
    uint32_t conflicts;                    /* so many transactions meet another one */
    bool silent;                           /* the store doesn't answer */
    bool refuses;                          /* the store takes no writes */
    void (*changed)(void); /* called when we have changed the store: the other domains' part */
    void (*waited)(void);  /* called when we wait for news of the store; NULL: nobody */
    void (*resume)(void *arg);
    void *resume_arg;
};

extern struct fake_xen fake_xen;

/* Nothing granted, no ports, an empty store. */
void fake_xen_begin(void);

/* Nodes of the store, by absolute path, as dom0 or the back end writes and reads them; NULL if
 * there is none. `value` NULL removes the node and all below it. */
void fake_put(const char *value, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *fake_get(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* The page behind a grant to domain `domid`, which must be there, and writable if it is to be
 * written. */
uint8_t *fake_page(uint32_t ref, uint16_t domid, bool write);
bool fake_granted(uint32_t ref, uint16_t domid, bool write);

/* The domain is suspended and resumed: grants, ports and watches are gone. */
void fake_suspend(void);

#endif
