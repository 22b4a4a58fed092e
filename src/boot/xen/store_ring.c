/* SPDX-License-Identifier: BSD-2-Clause */
/* store_ring.c - xenstored's protocol; store_ring.h tells of it. */
#include "boot/xen/store_ring.h"
#include "boot/boot.h"

enum { HEADER = sizeof(struct xsd_sockmsg), RING = XENSTORE_RING_SIZE };

_Static_assert(sizeof(struct xsd_sockmsg) == 16, "a header is 16 bytes");
_Static_assert(offsetof(struct xenstore_domain_interface, req_cons) == 2 * RING, "rings first");
_Static_assert(STORE_WATCHES_MAX == 16, "a bit each in 16 bits");

/* A part of a request. */
struct part {
    const void *bytes;
    size_t len;
};

/* A daemon that isn't connected to the ring yet, as in a domain that runs before xenstored knows
 * it, sets the indices when it is; until then nothing else in the page counts (Xen's
 * docs/misc/xenstore-ring.txt). False if that isn't so yet. */
static bool connected(struct store_ring *r)
{
    if (r->connected)
        return true;
    if (load_acquire(&r->page->connection) == XENSTORE_RECONNECT) /* the indices are right then */
        return false;
    r->req_prod = r->page->req_prod;
    r->rsp_cons = r->page->rsp_cons;
    r->connected = true;
    return true;
}

void store_ring_start(struct store_ring *r)
{
    r->connected = false;
    r->req_prod = r->rsp_cons = 0;
    connected(r);
    r->waiting = r->answered = r->broken = false;
    r->out_len = r->out_sent = r->in_len = 0;
    r->watches = r->fired = 0;
}

/* --- messages as bytes ---------------------------------------------------------------------- */

/* Sends as much of the request as has room. */
static void pump_out(struct store_ring *r)
{
    if (!connected(r) || r->broken || r->out_sent == r->out_len)
        return;
    uint32_t used = r->req_prod - load_acquire(&r->page->req_cons); /* before we overwrite */
    if (used > RING) {
        r->broken = true;
        return;
    }
    uint32_t n = MIN(RING - used, r->out_len - r->out_sent);
    if (n == 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        r->page->req[MASK_XENSTORE_IDX(r->req_prod++)] = (char)r->out.bytes[r->out_sent++];
    store_release(&r->page->req_prod, r->req_prod); /* the bytes are there before the index */
    r->notify(r->arg);
}

/* A watch's event: the path that changed, and the token that we gave, each closed by a zero byte.
 */
static void take_event(struct store_ring *r)
{
    const char *path = (const char *)r->in.bytes + HEADER;
    const char *end = memchr(path, 0, r->in.header.len);
    uint64_t watch;

    if (end) {
        size_t len = r->in.header.len - (size_t)(end + 1 - path);
        if (len > 1 && end[len] == 0 &&
            parse_u64(end + 1, len - 1, STORE_WATCHES_MAX - 1, &watch) && r->watches >> watch & 1) {
            r->fired |= (uint16_t)(1u << watch);
            return;
        }
    }
    r->dropped++;
}

/* Takes the message that is complete. */
static void take_message(struct store_ring *r)
{
    if (r->in.header.type == XS_WATCH_EVENT) {
        take_event(r);
    } else if (r->waiting && r->in.header.req_id == r->req_id) {
        r->waiting = false;
        r->answered = true;
    } else {
        r->dropped++;
    }
    r->in_len = 0;
}

/* Copies bytes of the message that is coming in, up to its end or the end of its header. */
static uint32_t take_bytes(struct store_ring *r, uint32_t available)
{
    uint32_t want = HEADER + (r->in_len < HEADER ? 0 : r->in.header.len);
    uint32_t n = MIN(available, want - r->in_len);

    for (uint32_t i = 0; i < n; i++)
        r->in.bytes[r->in_len++] = (uint8_t)r->page->rsp[MASK_XENSTORE_IDX(r->rsp_cons + i)];
    return n;
}

/* Takes messages up to the answer that is waited for, or until there is none. It ends whatever the
 * daemon writes meanwhile. */
static void pump_in(struct store_ring *r)
{
    uint32_t budget = 4 * RING, taken = 0;

    while (connected(r) && !r->broken && !r->answered && taken < budget) {
        uint32_t available = load_acquire(&r->page->rsp_prod) - r->rsp_cons; /* before its bytes */
        if (available > RING)
            r->broken = true;
        if (available == 0 || r->broken)
            break;
        uint32_t n = take_bytes(r, available);
        taken += n;
        r->rsp_cons += n;
        store_release(&r->page->rsp_cons, r->rsp_cons); /* read before it may be overwritten */
        if (r->in_len < HEADER)
            continue;
        if (r->in.header.len > XENSTORE_PAYLOAD_MAX)
            r->broken = true;
        else if (r->in_len == HEADER + r->in.header.len)
            take_message(r);
    }
    if (taken > 0)
        r->notify(r->arg);
}

/* --- requests and answers ------------------------------------------------------------------- */

static void compose(struct store_ring *r, uint32_t type, uint32_t tx, const struct part *parts,
                    size_t count)
{
    uint32_t len = 0;

    for (size_t i = 0; i < count; i++) {
        assert(parts[i].len <= sizeof r->out - HEADER - len);
        memcpy(r->out.bytes + HEADER + len, parts[i].bytes, parts[i].len);
        len += (uint32_t)parts[i].len;
    }
    r->req_id = r->req_id + 1 ? r->req_id + 1 : 1; /* events have number 0 */
    r->out.header = (struct xsd_sockmsg){type, r->req_id, tx, len};
    r->out_len = HEADER + len;
    r->out_sent = 0;
    r->waiting = true;
}

/* The answer's payload, until the next call. */
static const char *payload(const struct store_ring *r)
{
    return (const char *)r->in.bytes + HEADER;
}

static bool payload_is(const struct store_ring *r, const char *text)
{
    size_t len = strlen(text) + 1;

    return r->in.header.len == len && memcmp(payload(r), text, len) == 0;
}

/* What came back: the payload's length, or an error. */
static int judge(const struct store_ring *r, uint32_t type, uint32_t tx)
{
    const struct xsd_sockmsg *h = &r->in.header;

    if (h->tx_id != tx || (h->type != type && h->type != XS_ERROR))
        return STORE_EPROTO;
    if (h->type == type)
        return (int)h->len;
    if (payload_is(r, "ENOENT"))
        return STORE_ENOENT;
    if (payload_is(r, "EAGAIN"))
        return STORE_EAGAIN;
    return h->len > 0 && payload(r)[h->len - 1] == 0 ? STORE_EREFUSED : STORE_EPROTO;
}

/* Sends a request and waits for its answer. If the time of the request before ran out while only a
 * part of it was sent, its rest goes first. */
static int call(struct store_ring *r, uint32_t type, uint32_t tx, const struct part *parts,
                size_t count)
{
    uint64_t deadline_ns = clock_ns() + r->timeout_ns;
    bool composed = false;

    for (;;) {
        pump_out(r);
        if (!composed && r->out_sent == r->out_len) {
            compose(r, type, tx, parts, count);
            composed = true;
            pump_out(r);
        }
        pump_in(r);
        if (r->answered) {
            r->answered = false;
            return judge(r, type, tx);
        }
        bool late = clock_ns() >= deadline_ns;
        if (r->broken || late) {
            r->waiting = false;
            return r->broken ? STORE_EPROTO : STORE_ETIMEOUT;
        }
        r->wait(r->arg, deadline_ns);
    }
}

/* A call whose answer is just "OK". */
static int call_ok(struct store_ring *r, uint32_t type, uint32_t tx, const struct part *parts,
                   size_t count)
{
    int len = call(r, type, tx, parts, count);

    if (len < 0)
        return len;
    return payload_is(r, "OK") ? STORE_OK : STORE_EPROTO;
}

static bool path_fits(const char *path)
{
    return memchr(path, 0, STORE_PATH_MAX + 1) != NULL;
}

/* --- what boot/xen.h says ------------------------------------------------------------------- */

int store_ring_read(struct store_ring *r, uint32_t tx, const char *path, char *value, size_t size)
{
    if (!path_fits(path))
        return STORE_EPROTO;
    int len = call(r, XS_READ, tx, &(struct part){path, strlen(path) + 1}, 1);
    if (len < 0)
        return len;
    if ((size_t)len >= size)
        return STORE_EPROTO;
    memcpy(value, payload(r), (size_t)len);
    value[len] = 0;
    return len;
}

int store_ring_write(struct store_ring *r, uint32_t tx, const char *path, const char *value)
{
    if (!path_fits(path) || !memchr(value, 0, STORE_VALUE_MAX + 1))
        return STORE_EPROTO;
    struct part parts[] = {{path, strlen(path) + 1}, {value, strlen(value)}};
    return call_ok(r, XS_WRITE, tx, parts, 2);
}

int store_ring_remove(struct store_ring *r, uint32_t tx, const char *path)
{
    if (!path_fits(path))
        return STORE_EPROTO;
    return call_ok(r, XS_RM, tx, &(struct part){path, strlen(path) + 1}, 1);
}

int store_ring_list(struct store_ring *r, uint32_t tx, const char *path, char *names, size_t size)
{
    int count = 0;

    if (!path_fits(path))
        return STORE_EPROTO;
    int len = call(r, XS_DIRECTORY, tx, &(struct part){path, strlen(path) + 1}, 1);
    if (len < 0)
        return len;
    if ((size_t)len >= size)
        return STORE_EPROTO;
    char before = 0; /* an empty name would look like the end, one that isn't closed has none */
    for (int i = 0; i < len; before = names[i++]) {
        names[i] = payload(r)[i];
        if (names[i] == 0 && before == 0)
            return STORE_EPROTO;
        count += names[i] == 0;
    }
    names[len] = 0;
    return before == 0 ? count : STORE_EPROTO;
}

int store_ring_begin(struct store_ring *r, uint32_t *tx)
{
    uint64_t id;
    int len = call(r, XS_TRANSACTION_START, 0, &(struct part){"", 1}, 1);

    if (len < 0)
        return len;
    if (len < 2 || payload(r)[len - 1] != 0 ||
        !parse_u64(payload(r), (size_t)len - 1, UINT32_MAX, &id) || id == 0)
        return STORE_EPROTO;
    *tx = (uint32_t)id;
    return STORE_OK;
}

int store_ring_end(struct store_ring *r, uint32_t tx, bool commit)
{
    return call_ok(r, XS_TRANSACTION_END, tx, &(struct part){commit ? "T" : "F", 2}, 1);
}

/* A watch's token is its number. */
static int call_watch(struct store_ring *r, uint32_t type, int watch)
{
    char token[4];
    size_t len = format(token, sizeof token, "%d", watch);
    struct part parts[] = {{r->watch_path[watch], strlen(r->watch_path[watch]) + 1},
                           {token, len + 1}};

    return call_ok(r, type, 0, parts, 2);
}

int store_ring_watch(struct store_ring *r, const char *path)
{
    int watch = 0;

    if (!path_fits(path))
        return STORE_EPROTO;
    while (watch < STORE_WATCHES_MAX && r->watches >> watch & 1)
        watch++;
    if (watch == STORE_WATCHES_MAX)
        return STORE_EREFUSED;
    uint16_t bit = (uint16_t)(1u << watch);
    memcpy(r->watch_path[watch], path, strlen(path) + 1);
    r->watches |= bit; /* its first event may come before the answer */
    r->fired &= (uint16_t)~bit;
    int error = call_watch(r, XS_WATCH, watch);
    if (error == STORE_EREFUSED && payload_is(r, "EEXIST")) {
        r->fired |= bit; /* left by a call whose answer came too late; there is no new event */
        error = STORE_OK;
    }
    if (error != STORE_OK)
        r->watches &= (uint16_t)~bit;
    return error == STORE_OK ? watch : error;
}

void store_ring_unwatch(struct store_ring *r, int watch)
{
    assert(watch >= 0 && watch < STORE_WATCHES_MAX && r->watches >> watch & 1);
    call_watch(r, XS_UNWATCH, watch);
    r->watches &= (uint16_t) ~(1u << watch);
}

bool store_ring_watch_fired(struct store_ring *r, int watch)
{
    assert(watch >= 0 && watch < STORE_WATCHES_MAX);
    if (load_acquire(&r->page->rsp_prod) != r->rsp_cons)
        pump_in(r);
    uint16_t bit = (uint16_t)(1u << watch);
    bool fired = r->fired & bit;
    r->fired &= (uint16_t)~bit;
    return fired;
}

void store_ring_wait(struct store_ring *r, uint64_t deadline_ns)
{
    if (load_acquire(&r->page->rsp_prod) != r->rsp_cons)
        pump_in(r);
    if (!r->fired)
        r->wait(r->arg, deadline_ns);
}
