/* SPDX-License-Identifier: BSD-2-Clause */
/* store_ring_fake_test.c - a fake xenstored; the header tells of it. */
#include "boot/xen/store_ring_fake_test.h"
#include "boot/boot.h"
#include "boot/test.h"

struct store_fake store_fake;
struct xenstore_domain_interface store_fake_page;
static struct store_ring ring;

void store_fake_queue(uint32_t type, uint32_t id, uint32_t tx, const void *bytes, size_t len)
{
    struct xsd_sockmsg header = {type, id, tx, (uint32_t)len};

    assert(store_fake.output_len + HEADER + len <= sizeof store_fake.output);
    memcpy(store_fake.output + store_fake.output_len, &header, HEADER);
    memcpy(store_fake.output + store_fake.output_len + HEADER, bytes, len);
    store_fake.output_len += HEADER + (uint32_t)len;
}

void store_fake_event(const char *path, const char *token)
{
    char text[300];
    size_t len = format(text, sizeof text, "%s%c%s", path, 0, token);

    store_fake_queue(XS_WATCH_EVENT, 0, 0, text, len + 1);
}

static int find(const char *path)
{
    for (int i = 0; i < NODES; i++)
        if (strcmp(store_fake.nodes[i].path, path) == 0)
            return i;
    return -1;
}

static const char *change(uint32_t type, const char *path, const char *value, size_t len)
{
    int i = find(path);

    if (type == XS_RM && i < 0)
        return "ENOENT";
    if (i < 0)
        i = find("");
    assert(i >= 0 && len <= STORE_VALUE_MAX);
    memset(&store_fake.nodes[i], 0, sizeof store_fake.nodes[i]);
    if (type == XS_RM)
        return NULL;
    memcpy(store_fake.nodes[i].path, path, strlen(path));
    memcpy(store_fake.nodes[i].value, value, len);
    return NULL;
}

/* Answers as a daemon should: sets *text and *len, or returns an error. All nodes are in a list. */
static const char *serve(const struct xsd_sockmsg *h, const char *path, const char **text,
                         size_t *len)
{
    static char names[NODES * (STORE_PATH_MAX + 1)];
    size_t path_len = strlen(path) + 1;
    int i;

    *text = "OK";
    *len = 3;
    switch (h->type) {
    case XS_READ:
        if ((i = find(path)) < 0)
            return "ENOENT";
        *text = store_fake.nodes[i].value;
        *len = strlen(*text);
        return NULL;
    case XS_WRITE:
    case XS_RM:
        return change(h->type, path, path + path_len, h->len - path_len);
    case XS_DIRECTORY:
        *len = 0;
        *text = names;
        for (i = 0; i < NODES; i++)
            if (store_fake.nodes[i].path[0])
                *len +=
                    format(names + *len, sizeof names - *len, "%s", store_fake.nodes[i].path) + 1;
        return NULL;
    case XS_TRANSACTION_START:
        *text = "77";
        return NULL;
    case XS_TRANSACTION_END:
        return h->tx_id == TX ? NULL : "ENOENT";
    default:
        return NULL;
    }
}

static void answer_request(void)
{
    const struct xsd_sockmsg *h = (const void *)store_fake.request;
    const char *payload = (const char *)store_fake.request + HEADER, *text = NULL;
    size_t len = 0;

    store_fake.requests++;
    store_fake.request_len = 0;
    if (h->type == XS_WATCH && !store_fake.error) /* a new watch fires once */
        store_fake_event(payload, payload + strlen(payload) + 1);
    const char *error = store_fake.error ? store_fake.error : serve(h, payload, &text, &len);
    if (store_fake.silent > 0) {
        store_fake.silent--;
        return;
    }
    if (store_fake.token)
        store_fake_event("some/node", store_fake.token);
    if (error)
        text = error, len = strlen(error) + 1;
    if (store_fake.answer)
        text = store_fake.answer, len = store_fake.answer_len;
    store_fake_queue((error ? XS_ERROR : h->type) + store_fake.wrong_type,
                     h->req_id + store_fake.wrong_id, h->tx_id + store_fake.wrong_tx, text, len);
}

static void read_requests(void)
{
    const struct xsd_sockmsg *h = (const void *)store_fake.request;

    while (!store_fake.deaf && store_fake.req_cons != store_fake_page.req_prod) {
        CHECK(store_fake_page.req_prod - store_fake.req_cons <= RING);
        store_fake.request[store_fake.request_len++] =
            (uint8_t)store_fake_page.req[MASK_XENSTORE_IDX(store_fake.req_cons++)];
        if (store_fake.request_len >= HEADER) {
            CHECK(h->len <= XENSTORE_PAYLOAD_MAX);
            if (store_fake.request_len == HEADER + h->len)
                answer_request();
        }
    }
    store_fake_page.req_cons = store_fake.req_cons;
}

void store_fake_write(void)
{
    uint32_t room = RING - (store_fake.rsp_prod - store_fake_page.rsp_cons);
    uint32_t n = MIN(room, store_fake.output_len - store_fake.output_sent);

    n = store_fake.chunk ? MIN(n, store_fake.chunk) : n;
    for (uint32_t i = 0; i < n; i++)
        store_fake_page.rsp[MASK_XENSTORE_IDX(store_fake.rsp_prod++)] =
            (char)store_fake.output[store_fake.output_sent++];
    if (store_fake.output_sent == store_fake.output_len)
        store_fake.output_len = store_fake.output_sent = 0;
    store_fake_page.rsp_prod = store_fake.rsp_prod;
}

void store_fake_wait(void *arg, uint64_t deadline_ns)
{
    (void)arg, (void)deadline_ns;
    read_requests();
    store_fake_write();
}

static void notify(void *arg)
{
    (void)arg;
    store_fake.notifications++;
}

struct store_ring *store_fake_start(void)
{
    memset(&store_fake, 0, sizeof store_fake);
    memset(&store_fake_page, 0, sizeof store_fake_page);
    memset(&ring, 0, sizeof ring);
    ring.page = &store_fake_page;
    ring.notify = notify;
    ring.wait = store_fake_wait;
    ring.timeout_ns = 100000000000ull;
    store_ring_start(&ring);
    return &ring;
}

struct store_ring *store_fake_start_impatient(void)
{
    store_fake_start();
    ring.timeout_ns = 1000000;
    return &ring;
}
