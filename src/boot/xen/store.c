/* SPDX-License-Identifier: BSD-2-Clause */
/* store.c - this domain's connection to xenstored: the ring page and its event channel. The
 * protocol is in store_ring.c. */
#include "boot/xen/domain.h"
#include "boot/xen/store_ring.h"

uint64_t store_timeout_ns = 2000000000ull;

static uint64_t port;
static struct store_ring ring;
static uint32_t incarnation;

static void notify(void *arg)
{
    (void)arg;
    xen_event_notify((uint32_t)port);
}

static void wait(void *arg, uint64_t deadline_ns)
{
    (void)arg;
    events_wait((uint32_t)port, deadline_ns);
}

/* The ring of the host where the domain runs now. */
static void connect_to_store(void)
{
    uint64_t frame;

    incarnation = xen_incarnation;
    ring.page = NULL;
    if (!xen_hvm_param(HVM_PARAM_STORE_PFN, &frame) ||
        !xen_hvm_param(HVM_PARAM_STORE_EVTCHN, &port) || frame >= BOOT_ADDRESS_END / PAGE_SIZE)
        return;
    paging_map(frame * PAGE_SIZE, PAGE_SIZE, false);
    ring.page = (struct xenstore_domain_interface *)(frame * PAGE_SIZE);
    ring.notify = notify;
    ring.wait = wait;
    store_ring_start(&ring);
}

/* False if this domain has no store. */
static bool ready(void)
{
    if (incarnation != xen_incarnation)
        connect_to_store();
    ring.timeout_ns = store_timeout_ns;
    return ring.page != NULL;
}

int store_read(uint32_t tx, const char *path, char *value, size_t size)
{
    return ready() ? store_ring_read(&ring, tx, path, value, size) : STORE_EREFUSED;
}

int store_write(uint32_t tx, const char *path, const char *value)
{
    return ready() ? store_ring_write(&ring, tx, path, value) : STORE_EREFUSED;
}

int store_remove(uint32_t tx, const char *path)
{
    return ready() ? store_ring_remove(&ring, tx, path) : STORE_EREFUSED;
}

int store_list(uint32_t tx, const char *path, char *names, size_t size)
{
    return ready() ? store_ring_list(&ring, tx, path, names, size) : STORE_EREFUSED;
}

int store_begin(uint32_t *tx)
{
    return ready() ? store_ring_begin(&ring, tx) : STORE_EREFUSED;
}

int store_end(uint32_t tx, bool commit)
{
    return ready() ? store_ring_end(&ring, tx, commit) : STORE_EREFUSED;
}

int store_watch(const char *path)
{
    return ready() ? store_ring_watch(&ring, path) : STORE_EREFUSED;
}

void store_unwatch(int watch)
{
    if (ready())
        store_ring_unwatch(&ring, watch);
}

bool store_watch_fired(int watch)
{
    return ready() && store_ring_watch_fired(&ring, watch);
}

void store_wait(uint64_t deadline_ns)
{
    if (ready())
        store_ring_wait(&ring, deadline_ns);
}
