/* SPDX-License-Identifier: BSD-2-Clause */
/* The Xen of xen_fake_test.h: grants, event channels and the store. */
#include "netdev/netfront/xen_fake_test.h"

#define OWN "/local/domain/7/"

struct node {
    char path[FAKE_NODE_PATH];
    char value[FAKE_NODE_VALUE];
    bool used;
};

static struct {
    char path[FAKE_NODE_PATH];
    bool used, changed, fired; /* changed: inside a transaction */
} watches[STORE_WATCHES_MAX];

struct fake_xen fake_xen;
uint64_t store_timeout_ns = 2000000000ull;

static struct node nodes[FAKE_NODES], before[FAKE_NODES];
static uint32_t open_tx, grants_used, next_grant = 1;

void fake_xen_begin(void)
{
    fake_xen = (struct fake_xen){.grants_max = FAKE_GRANTS - 1, .ports_max = FAKE_PORTS - 1};
    memset(nodes, 0, sizeof nodes);
    memset(watches, 0, sizeof watches);
    open_tx = grants_used = 0;
}

void xen_on_resume(void (*resume)(void *arg), void *arg)
{
    fake_xen.resume = resume;
    fake_xen.resume_arg = arg;
}

void fake_suspend(void)
{
    memset(fake_xen.grants, 0, sizeof fake_xen.grants);
    grants_used = 0;
    memset(fake_xen.ports, 0, sizeof fake_xen.ports);
    memset(watches, 0, sizeof watches);
    fake_xen.resume(fake_xen.resume_arg);
}

/* --- grants and event channels -------------------------------------------------------------- */

uint32_t xen_grants_used(void)
{
    return grants_used;
}

uint32_t xen_grants_free(void)
{
    return fake_xen.grants_max - MIN(grants_used, fake_xen.grants_max);
}

uint32_t xen_grant(uint16_t domid, const void *page, bool readonly)
{
    CHECK_EQ((uintptr_t)page % PAGE_SIZE, 0);
    if (xen_grants_free() == 0)
        return 0;
    while (fake_xen.grants[next_grant].used)
        next_grant = 1 + next_grant % (FAKE_GRANTS - 1);
    fake_xen.grants[next_grant] = (struct fake_grant){page, domid, true, readonly, 0};
    grants_used++;
    return next_grant;
}

bool xen_grant_end(uint32_t ref)
{
    CHECK(ref > 0 && ref < FAKE_GRANTS && fake_xen.grants[ref].used);
    if (fake_xen.grants[ref].busy)
        return false;
    fake_xen.grants[ref].used = false;
    grants_used--;
    next_grant = ref;
    return true;
}

bool fake_granted(uint32_t ref, uint16_t domid, bool write)
{
    const struct fake_grant *g = &fake_xen.grants[ref < FAKE_GRANTS ? ref : 0];

    return g->used && g->domid == domid && !(write && g->readonly);
}

uint8_t *fake_page(uint32_t ref, uint16_t domid, bool write)
{
    CHECK(fake_granted(ref, domid, write));
    return (uint8_t *)(uintptr_t)fake_xen.grants[ref].page;
}

uint32_t xen_event_alloc(uint16_t domid)
{
    for (uint32_t port = 1; port <= fake_xen.ports_max; port++)
        if (!fake_xen.ports[port].used) {
            fake_xen.ports[port] = (struct fake_port){.domid = domid, .used = true};
            return port;
        }
    return 0;
}

static struct fake_port *port_of(uint32_t port)
{
    CHECK(port > 0 && port < FAKE_PORTS && fake_xen.ports[port].used);
    return &fake_xen.ports[port];
}

void xen_event_close(uint32_t port)
{
    port_of(port)->used = false;
}

void xen_event_notify(uint32_t port)
{
    port_of(port)->notified++;
}

void xen_yield(void)
{
    fake_xen.yields++;
}

bool xen_event_take(uint32_t port)
{
    struct fake_port *p = port_of(port);
    const bool pending = p->pending;

    p->pending = false;
    return pending;
}

void xen_event_wake(uint32_t port, bool on)
{
    port_of(port)->awake = on;
}

/* --- the store ------------------------------------------------------------------------------ */

static void absolute(char full[FAKE_NODE_PATH], const char *path)
{
    CHECK(format(full, FAKE_NODE_PATH, "%s%s", path[0] == '/' ? "" : OWN, path) < FAKE_NODE_PATH);
}

static struct node *find_node(const char *full)
{
    for (uint32_t i = 0; i < FAKE_NODES; i++)
        if (nodes[i].used && strcmp(nodes[i].path, full) == 0)
            return &nodes[i];
    return NULL;
}

/* Is it `path` or below it? */
static bool is_at_or_below(const char *full, const char *path)
{
    size_t len = strlen(path);

    return strncmp(full, path, len) == 0 && (full[len] == 0 || full[len] == '/');
}

static void changed(const char *full)
{
    for (uint32_t i = 0; i < STORE_WATCHES_MAX; i++)
        if (watches[i].used &&
            (is_at_or_below(full, watches[i].path) || is_at_or_below(watches[i].path, full)))
            *(open_tx ? &watches[i].changed : &watches[i].fired) = true;
}

static void put(const char *full, const char *value)
{
    struct node *node = find_node(full);

    for (uint32_t i = 0; i < FAKE_NODES && !node; i++)
        if (!nodes[i].used)
            node = &nodes[i];
    CHECK(node && strlen(value) < FAKE_NODE_VALUE);
    node->used = true;
    format(node->path, sizeof node->path, "%s", full);
    format(node->value, sizeof node->value, "%s", value);
    changed(full);
}

static bool drop(const char *full)
{
    bool found = false;

    for (uint32_t i = 0; i < FAKE_NODES; i++)
        if (nodes[i].used && is_at_or_below(nodes[i].path, full)) {
            nodes[i].used = false;
            found = true;
        }
    if (found)
        changed(full);
    return found;
}

void fake_put(const char *value, const char *fmt, ...)
{
    char full[FAKE_NODE_PATH];
    va_list args;

    va_start(args, fmt);
    vformat(full, sizeof full, fmt, args);
    va_end(args);
    if (value)
        put(full, value);
    else
        drop(full);
}

const char *fake_get(const char *fmt, ...)
{
    char full[FAKE_NODE_PATH];
    va_list args;

    va_start(args, fmt);
    vformat(full, sizeof full, fmt, args);
    va_end(args);
    const struct node *node = find_node(full);
    return node ? node->value : NULL;
}

int store_read(uint32_t tx, const char *path, char *value, size_t size)
{
    char full[FAKE_NODE_PATH];

    CHECK(tx == 0 || tx == open_tx);
    absolute(full, path);
    const struct node *node = find_node(full);
    if (fake_xen.silent)
        return STORE_ETIMEOUT;
    if (!node)
        return STORE_ENOENT;
    if (strlen(node->value) >= size)
        return STORE_EPROTO;
    return (int)format(value, size, "%s", node->value);
}

int store_write(uint32_t tx, const char *path, const char *value)
{
    char full[FAKE_NODE_PATH];

    CHECK(tx == 0 || tx == open_tx);
    absolute(full, path);
    if (fake_xen.silent || fake_xen.refuses)
        return fake_xen.silent ? STORE_ETIMEOUT : STORE_EREFUSED;
    put(full, value);
    if (!tx)
        fake_xen.changed();
    return STORE_OK;
}

int store_remove(uint32_t tx, const char *path)
{
    char full[FAKE_NODE_PATH];

    CHECK(tx == 0 || tx == open_tx);
    absolute(full, path);
    if (fake_xen.silent || fake_xen.refuses)
        return fake_xen.silent ? STORE_ETIMEOUT : STORE_EREFUSED;
    return drop(full) ? STORE_OK : STORE_ENOENT;
}

int store_list(uint32_t tx, const char *path, char *names, size_t size)
{
    char full[FAKE_NODE_PATH], seen[8][16];
    int count = 0;

    CHECK(tx == 0);
    absolute(full, path);
    const size_t len = strlen(full);
    names[0] = 0;
    for (uint32_t i = 0; i < FAKE_NODES; i++) {
        if (!nodes[i].used || !is_at_or_below(nodes[i].path, full) || !nodes[i].path[len])
            continue;
        const char *name = nodes[i].path + len + 1, *end = strchr(name, '/');
        const int bytes = end ? (int)(end - name) : (int)strlen(name);
        bool known = false;
        CHECK(count < 8);
        format(seen[count], sizeof seen[count], "%.*s", bytes, name);
        for (int k = 0; k < count; k++)
            known |= strcmp(seen[k], seen[count]) == 0;
        if (known)
            continue;
        CHECK((size_t)bytes + 2 <= size);
        format(names, size, "%s", seen[count++]);
        names += bytes + 1;
        size -= (size_t)bytes + 1;
        names[0] = 0;
    }
    return fake_xen.silent ? STORE_ETIMEOUT : count ? count : STORE_ENOENT;
}

int store_begin(uint32_t *tx)
{
    CHECK(!open_tx);
    if (fake_xen.silent)
        return STORE_ETIMEOUT;
    memcpy(before, nodes, sizeof nodes);
    *tx = open_tx = 5;
    return STORE_OK;
}

int store_end(uint32_t tx, bool commit)
{
    CHECK(tx && tx == open_tx);
    const bool conflict = fake_xen.conflicts > 0;
    open_tx = 0;
    for (uint32_t i = 0; i < STORE_WATCHES_MAX; i++) {
        watches[i].fired |= watches[i].changed && commit && !conflict;
        watches[i].changed = false;
    }
    if (!commit || conflict)
        memcpy(nodes, before, sizeof nodes);
    if (commit && conflict) {
        fake_xen.conflicts--;
        return STORE_EAGAIN;
    }
    if (commit)
        fake_xen.changed();
    return STORE_OK;
}

int store_watch(const char *path)
{
    for (int i = 0; i < STORE_WATCHES_MAX && !fake_xen.silent; i++)
        if (!watches[i].used) {
            watches[i].used = watches[i].fired = true;
            absolute(watches[i].path, path);
            return i;
        }
    return fake_xen.silent ? STORE_ETIMEOUT : STORE_EREFUSED;
}

void store_unwatch(int watch)
{
    CHECK(watch >= 0 && watch < STORE_WATCHES_MAX && watches[watch].used);
    watches[watch].used = watches[watch].fired = false;
}

bool store_watch_fired(int watch)
{
    CHECK(watch >= 0 && watch < STORE_WATCHES_MAX && watches[watch].used);
    bool fired = watches[watch].fired;
    watches[watch].fired = false;
    return fired;
}

/* The fake changes only when it is asked: it is no use to wait for long. */
void store_wait(uint64_t deadline_ns)
{
    (void)deadline_ns;
    if (fake_xen.waited)
        fake_xen.waited();
}
