/* Tests of the store's protocol against a fake xenstored: one that keeps a few nodes, and one that
 * answers wrongly in every way that the ring allows. */
#include "boot/boot.h"
#include "boot/store_ring.h"
#include "boot/test.h"

enum { RING = XENSTORE_RING_SIZE, HEADER = sizeof(struct xsd_sockmsg), NODES = 8 };
enum { ANSWER_MAX = 8192, TX = 77 };

static struct xenstore_domain_interface page;
static struct store_ring ring;

/* The daemon: its own indices, what it reads, what it still has to write; and how it misbehaves. */
static struct {
    uint32_t req_cons, rsp_prod;
    uint8_t request[HEADER + XENSTORE_PAYLOAD_MAX];
    uint32_t request_len;
    uint8_t output[ANSWER_MAX];
    uint32_t output_len, output_sent;
    struct {
        char path[STORE_PATH_MAX + 1], value[STORE_VALUE_MAX + 1];
    } nodes[NODES];
    uint32_t requests, notifications;
    bool deaf;         /* reads no request */
    uint32_t silent;   /* doesn't answer so many requests */
    uint32_t chunk;    /* bytes that it writes at a time; 0: as many as there is room for */
    uint32_t wrong_id; /* is added to what should be there */
    uint32_t wrong_tx, wrong_type;
    const char *error;  /* answers every request with it */
    const char *answer; /* answers every request with it */
    size_t answer_len;
    const char *token; /* sends an event of it before each answer */
} daemon;

static void queue(uint32_t type, uint32_t id, uint32_t tx, const void *bytes, size_t len)
{
    struct xsd_sockmsg header = {type, id, tx, (uint32_t)len};

    assert(daemon.output_len + HEADER + len <= sizeof daemon.output);
    memcpy(daemon.output + daemon.output_len, &header, HEADER);
    memcpy(daemon.output + daemon.output_len + HEADER, bytes, len);
    daemon.output_len += HEADER + (uint32_t)len;
}

static void queue_event(const char *path, const char *token)
{
    char text[300];
    size_t len = format(text, sizeof text, "%s%c%s", path, 0, token);

    queue(XS_WATCH_EVENT, 0, 0, text, len + 1);
}

static int find(const char *path)
{
    for (int i = 0; i < NODES; i++)
        if (strcmp(daemon.nodes[i].path, path) == 0)
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
    memset(&daemon.nodes[i], 0, sizeof daemon.nodes[i]);
    if (type == XS_RM)
        return NULL;
    memcpy(daemon.nodes[i].path, path, strlen(path));
    memcpy(daemon.nodes[i].value, value, len);
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
        *text = daemon.nodes[i].value;
        *len = strlen(*text);
        return NULL;
    case XS_WRITE:
    case XS_RM:
        return change(h->type, path, path + path_len, h->len - path_len);
    case XS_DIRECTORY:
        *len = 0;
        *text = names;
        for (i = 0; i < NODES; i++)
            if (daemon.nodes[i].path[0])
                *len += format(names + *len, sizeof names - *len, "%s", daemon.nodes[i].path) + 1;
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
    const struct xsd_sockmsg *h = (const void *)daemon.request;
    const char *payload = (const char *)daemon.request + HEADER, *text = NULL;
    size_t len = 0;

    daemon.requests++;
    daemon.request_len = 0;
    if (h->type == XS_WATCH && !daemon.error) /* a new watch fires once */
        queue_event(payload, payload + strlen(payload) + 1);
    const char *error = daemon.error ? daemon.error : serve(h, payload, &text, &len);
    if (daemon.silent > 0) {
        daemon.silent--;
        return;
    }
    if (daemon.token)
        queue_event("some/node", daemon.token);
    if (error)
        text = error, len = strlen(error) + 1;
    if (daemon.answer)
        text = daemon.answer, len = daemon.answer_len;
    queue((error ? XS_ERROR : h->type) + daemon.wrong_type, h->req_id + daemon.wrong_id,
          h->tx_id + daemon.wrong_tx, text, len);
}

static void read_requests(void)
{
    const struct xsd_sockmsg *h = (const void *)daemon.request;

    while (!daemon.deaf && daemon.req_cons != page.req_prod) {
        CHECK(page.req_prod - daemon.req_cons <= RING);
        daemon.request[daemon.request_len++] =
            (uint8_t)page.req[MASK_XENSTORE_IDX(daemon.req_cons++)];
        if (daemon.request_len >= HEADER) {
            CHECK(h->len <= XENSTORE_PAYLOAD_MAX);
            if (daemon.request_len == HEADER + h->len)
                answer_request();
        }
    }
    page.req_cons = daemon.req_cons;
}

static void write_answers(void)
{
    uint32_t room = RING - (daemon.rsp_prod - page.rsp_cons);
    uint32_t n = MIN(room, daemon.output_len - daemon.output_sent);

    n = daemon.chunk ? MIN(n, daemon.chunk) : n;
    for (uint32_t i = 0; i < n; i++)
        page.rsp[MASK_XENSTORE_IDX(daemon.rsp_prod++)] = (char)daemon.output[daemon.output_sent++];
    if (daemon.output_sent == daemon.output_len)
        daemon.output_len = daemon.output_sent = 0;
    page.rsp_prod = daemon.rsp_prod;
}

static void run_daemon(void *arg, uint64_t deadline_ns)
{
    (void)arg, (void)deadline_ns;
    read_requests();
    write_answers();
}

static void notify(void *arg)
{
    (void)arg;
    daemon.notifications++;
}

static void start(void)
{
    memset(&daemon, 0, sizeof daemon);
    memset(&page, 0, sizeof page);
    memset(&ring, 0, sizeof ring);
    ring.page = &page;
    ring.notify = notify;
    ring.wait = run_daemon;
    ring.timeout_ns = 100000000000ull; /* where an answer comes, it comes */
    store_ring_start(&ring);
}

/* No answer will come; no need to wait for long. */
static void start_impatient(void)
{
    start();
    ring.timeout_ns = 1000000;
}

TEST(store_ring_reads_and_writes)
{
    char value[32];

    start();
    CHECK_EQ(store_ring_read(&ring, 0, "a", value, sizeof value), STORE_ENOENT);
    CHECK_EQ(store_ring_write(&ring, 0, "a", "hello"), STORE_OK);
    CHECK_EQ(store_ring_read(&ring, 0, "a", value, sizeof value), 5);
    CHECK_STR(value, "hello");
    CHECK_EQ(store_ring_write(&ring, 0, "a", ""), STORE_OK);
    CHECK_EQ(store_ring_read(&ring, 0, "a", value, sizeof value), 0);
    CHECK_STR(value, "");
    CHECK_EQ(store_ring_remove(&ring, 0, "a"), STORE_OK);
    CHECK_EQ(store_ring_remove(&ring, 0, "a"), STORE_ENOENT);
    CHECK_EQ(ring.dropped, 0);
}

TEST(store_ring_lists_names)
{
    char names[64];

    start();
    CHECK_EQ(store_ring_list(&ring, 0, "x", names, sizeof names), 0);
    CHECK_EQ(names[0], 0);
    store_ring_write(&ring, 0, "vif", "");
    store_ring_write(&ring, 0, "console", "");
    CHECK_EQ(store_ring_list(&ring, 0, "x", names, sizeof names), 2);
    CHECK_EQ(memcmp(names, "vif\0console\0", 13), 0);
    CHECK_EQ(store_ring_list(&ring, 0, "x", names, 13), 2);
    CHECK_EQ(store_ring_list(&ring, 0, "x", names, 12), STORE_EPROTO);
}

TEST(store_ring_has_transactions)
{
    uint32_t tx = 0;

    start();
    CHECK_EQ(store_ring_begin(&ring, &tx), STORE_OK);
    CHECK_EQ(tx, TX);
    CHECK_EQ(store_ring_write(&ring, tx, "a", "1"), STORE_OK);
    CHECK_EQ(store_ring_end(&ring, tx, true), STORE_OK);
    daemon.error = "EAGAIN";
    CHECK_EQ(store_ring_end(&ring, tx, true), STORE_EAGAIN);
    daemon.error = NULL;
    static const char *const bad[] = {"0", "x", "", "99999999999", "1 "};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        daemon.answer = bad[i];
        daemon.answer_len = strlen(bad[i]) + 1;
        CHECK_EQ(store_ring_begin(&ring, &tx), STORE_EPROTO);
    }
    CHECK_EQ(tx, TX);
}

/* Both are longer than the ring is. */
TEST(store_ring_passes_long_messages_in_pieces)
{
    static char path[STORE_PATH_MAX + 1], value[STORE_VALUE_MAX + 1], got[STORE_VALUE_MAX + 1];
    static char names[3000];

    for (uint32_t chunk = 0; chunk < 600; chunk = chunk * 3 + 1) {
        start();
        daemon.chunk = chunk;
        memset(path, 'p', STORE_PATH_MAX);
        for (int i = 0; i < STORE_VALUE_MAX; i++)
            value[i] = (char)('a' + i % 25);
        CHECK_EQ(store_ring_write(&ring, 0, path, value), STORE_OK);
        CHECK_EQ(store_ring_read(&ring, 0, path, got, sizeof got), STORE_VALUE_MAX);
        CHECK_STR(got, value);
        for (char c = '0'; c < '0' + NODES - 1; c++) {
            path[0] = c;
            CHECK_EQ(store_ring_write(&ring, 0, path, "x"), STORE_OK);
        }
        CHECK_EQ(store_ring_list(&ring, 0, "", names, sizeof names), NODES);
    }
}

TEST(store_ring_refuses_what_is_too_long)
{
    static char path[STORE_PATH_MAX + 2], value[STORE_VALUE_MAX + 2], got[8];

    start();
    memset(path, 'p', STORE_PATH_MAX + 1);
    memset(value, 'v', STORE_VALUE_MAX + 1);
    CHECK_EQ(store_ring_write(&ring, 0, path, ""), STORE_EPROTO);
    CHECK_EQ(store_ring_write(&ring, 0, "a", value), STORE_EPROTO);
    CHECK_EQ(store_ring_read(&ring, 0, path, got, sizeof got), STORE_EPROTO);
    CHECK_EQ(store_ring_watch(&ring, path), STORE_EPROTO);
    CHECK_EQ(daemon.requests, 0);
    CHECK_EQ(store_ring_write(&ring, 0, "a", "12345678"), STORE_OK);
    CHECK_EQ(store_ring_read(&ring, 0, "a", got, sizeof got), STORE_EPROTO);
    CHECK_EQ(store_ring_write(&ring, 0, "a", "1234567"), STORE_OK);
    CHECK_EQ(store_ring_read(&ring, 0, "a", got, sizeof got), 7);
}

TEST(store_ring_watch_fires_once_an_event)
{
    start();
    int a = store_ring_watch(&ring, "a"), b = store_ring_watch(&ring, "b");
    CHECK_EQ(a, 0);
    CHECK_EQ(b, 1);
    CHECK(store_ring_watch_fired(&ring, b));
    CHECK(store_ring_watch_fired(&ring, a));
    CHECK(!store_ring_watch_fired(&ring, a));
    queue_event("a/below", "0");
    queue_event("a", "0");
    write_answers();
    CHECK(!store_ring_watch_fired(&ring, b));
    CHECK(store_ring_watch_fired(&ring, a));
    CHECK(!store_ring_watch_fired(&ring, a));
    store_ring_unwatch(&ring, a);
    queue_event("a", "0");
    write_answers();
    CHECK(!store_ring_watch_fired(&ring, b));
    CHECK_EQ(ring.dropped, 1);
    CHECK_EQ(store_ring_watch(&ring, "c"), 0);
}

TEST(store_ring_notes_events_between_request_and_answer)
{
    char value[8];

    start();
    int watch = store_ring_watch(&ring, "some");
    CHECK(store_ring_watch_fired(&ring, watch));
    daemon.token = "0";
    CHECK_EQ(store_ring_write(&ring, 0, "a", "1"), STORE_OK);
    CHECK(store_ring_watch_fired(&ring, watch));
    daemon.chunk = 5;
    CHECK_EQ(store_ring_read(&ring, 0, "a", value, sizeof value), 1);
    CHECK(store_ring_watch_fired(&ring, watch));
    CHECK_EQ(ring.dropped, 0);
}

TEST(store_ring_has_a_limit_of_watches)
{
    start();
    for (int i = 0; i < STORE_WATCHES_MAX; i++)
        CHECK_EQ(store_ring_watch(&ring, "a"), i);
    CHECK_EQ(store_ring_watch(&ring, "a"), STORE_EREFUSED);
    store_ring_unwatch(&ring, 7);
    CHECK_EQ(store_ring_watch(&ring, "a"), 7);
}

/* The daemon heard of it, but its answer came too late: when we ask again it has the watch. */
TEST(store_ring_watch_that_is_there_already)
{
    start();
    daemon.error = "EEXIST";
    int watch = store_ring_watch(&ring, "a");
    CHECK_EQ(watch, 0);
    CHECK(store_ring_watch_fired(&ring, watch));
    daemon.error = "EACCES";
    CHECK_EQ(store_ring_watch(&ring, "b"), STORE_EREFUSED);
    daemon.error = NULL;
    CHECK_EQ(store_ring_watch(&ring, "c"), 1);
}

TEST(store_ring_drops_events_that_name_no_watch)
{
    static const char *const tokens[] = {"1", "16", "-1", "", "0x0", "00000000000000000000001"};

    start();
    int watch = store_ring_watch(&ring, "a");
    CHECK(store_ring_watch_fired(&ring, watch));
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
        queue_event("a", tokens[i]);
    queue(XS_WATCH_EVENT, 0, 0, "", 0);
    queue(XS_WATCH_EVENT, 0, 0, "a", 1);
    queue(XS_WATCH_EVENT, 0, 0, "a", 2);
    queue(XS_WATCH_EVENT, 0, 0,
          "a\0"
          "0",
          3); /* not closed */
    write_answers();
    CHECK(!store_ring_watch_fired(&ring, watch));
    CHECK_EQ(ring.dropped, ARRAY_LEN(tokens) + 4);
    CHECK(!ring.broken);
}

TEST(store_ring_error_answers)
{
    char value[8];
    static const struct {
        const char *text;
        size_t len;
        int error;
    } cases[] = {
        {"ENOENT", 7, STORE_ENOENT},   {"EAGAIN", 7, STORE_EAGAIN}, {"EACCES", 7, STORE_EREFUSED},
        {"EQUOTA", 7, STORE_EREFUSED}, {"ENOENT", 6, STORE_EPROTO}, {"", 0, STORE_EPROTO},
    };

    start();
    daemon.error = "";
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        daemon.answer = cases[i].text;
        daemon.answer_len = cases[i].len;
        CHECK_EQ(store_ring_read(&ring, 0, "a", value, sizeof value), cases[i].error);
        CHECK_EQ(store_ring_write(&ring, 0, "a", ""), cases[i].error);
        CHECK_EQ(store_ring_list(&ring, 0, "a", value, sizeof value), cases[i].error);
    }
}

TEST(store_ring_answers_that_cannot_be)
{
    char value[64];
    uint32_t tx;

    start();
    daemon.wrong_tx = 1;
    CHECK_EQ(store_ring_begin(&ring, &tx), STORE_EPROTO);
    daemon.wrong_tx = 0;
    daemon.wrong_type = 1;
    CHECK_EQ(store_ring_write(&ring, 0, "a", "1"), STORE_EPROTO);
    daemon.wrong_type = 0;
    daemon.answer = "no";
    daemon.answer_len = 3;
    CHECK_EQ(store_ring_write(&ring, 0, "a", "1"), STORE_EPROTO);
    static const struct {
        const char *text;
        size_t len;
    } lists[] = {{"a", 1}, {"a\0b", 3}, {"", 1}, {"a\0\0b", 5}, {"\0a", 3}};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        daemon.answer = lists[i].text;
        daemon.answer_len = lists[i].len;
        CHECK_EQ(store_ring_list(&ring, 0, "a", value, sizeof value), STORE_EPROTO);
    }
    daemon.answer = NULL;
    CHECK_EQ(store_ring_read(&ring, 0, "a", value, sizeof value), 1);
}

TEST(store_ring_drops_an_answer_to_another_request)
{
    char value[8];

    start_impatient();
    store_ring_write(&ring, 0, "a", "1");
    for (uint32_t wrong = 1; wrong != 0; wrong <<= 1) {
        daemon.wrong_id = wrong;
        CHECK_EQ(store_ring_read(&ring, 0, "a", value, sizeof value), STORE_ETIMEOUT);
    }
    CHECK_EQ(ring.dropped, 32);
    start();
    daemon.wrong_id = 0;
    CHECK_EQ(store_ring_write(&ring, 0, "a", "1"), STORE_OK);
}

TEST(store_ring_ends_waiting_for_a_silent_daemon)
{
    char value[8];

    start_impatient();
    daemon.silent = 2;
    CHECK_EQ(store_ring_write(&ring, 0, "a", "1"), STORE_ETIMEOUT);
    CHECK_EQ(store_ring_read(&ring, 0, "a", value, sizeof value), STORE_ETIMEOUT);
    ring.timeout_ns = 100000000000ull;
    CHECK_EQ(store_ring_read(&ring, 0, "a", value, sizeof value), 1);
    CHECK_EQ(ring.dropped, 0);
}

/* The answer of a call whose time ran out comes during the next one. */
TEST(store_ring_drops_late_answers)
{
    char value[8];

    start_impatient();
    daemon.deaf = true;
    CHECK_EQ(store_ring_write(&ring, 0, "a", "1"), STORE_ETIMEOUT);
    CHECK_EQ(store_ring_write(&ring, 0, "b", "2"), STORE_ETIMEOUT);
    daemon.deaf = false;
    ring.timeout_ns = 100000000000ull;
    CHECK_EQ(store_ring_read(&ring, 0, "b", value, sizeof value), 1);
    CHECK_STR(value, "2");
    CHECK_EQ(ring.dropped, 2);
}

/* Time runs out while a request is in the ring in part only. */
TEST(store_ring_sends_the_rest_of_a_request_first)
{
    static char value[STORE_VALUE_MAX + 1], got[STORE_VALUE_MAX + 1];

    start_impatient();
    daemon.deaf = true;
    memset(value, 'v', STORE_VALUE_MAX);
    CHECK_EQ(store_ring_write(&ring, 0, "long", value), STORE_ETIMEOUT);
    CHECK_EQ(page.req_prod, RING);
    CHECK_EQ(store_ring_write(&ring, 0, "never", "sent"), STORE_ETIMEOUT);
    daemon.deaf = false;
    ring.timeout_ns = 100000000000ull;
    CHECK_EQ(store_ring_read(&ring, 0, "long", got, sizeof got), STORE_VALUE_MAX);
    CHECK_STR(got, value);
    CHECK_EQ(store_ring_read(&ring, 0, "never", got, sizeof got), STORE_ENOENT);
}

static void check_broken(void)
{
    char value[8];
    uint32_t requests = daemon.requests;

    CHECK(ring.broken);
    CHECK_EQ(store_ring_read(&ring, 0, "a", value, sizeof value), STORE_EPROTO);
    CHECK_EQ(store_ring_watch(&ring, "a"), STORE_EPROTO);
    CHECK(!store_ring_watch_fired(&ring, 0));
    CHECK_EQ(daemon.requests, requests);
}

TEST(store_ring_length_over_the_limit)
{
    struct xsd_sockmsg header = {XS_WATCH_EVENT, 0, 0, XENSTORE_PAYLOAD_MAX};
    static const uint32_t lengths[] = {XENSTORE_PAYLOAD_MAX + 1, 0x7fffffff, UINT32_MAX - HEADER,
                                       UINT32_MAX};

    start();
    memcpy(page.rsp, &header, HEADER);
    page.rsp_prod = HEADER;
    CHECK(!store_ring_watch_fired(&ring, 0));
    CHECK(!ring.broken);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        start();
        header.len = lengths[i];
        memcpy(page.rsp, &header, HEADER);
        page.rsp_prod = RING;
        CHECK(!store_ring_watch_fired(&ring, 0));
        check_broken();
    }
}

TEST(store_ring_answer_of_the_largest_length)
{
    static char text[XENSTORE_PAYLOAD_MAX], value[XENSTORE_PAYLOAD_MAX + 1];

    start();
    memset(text, 't', sizeof text);
    daemon.answer = text;
    daemon.answer_len = sizeof text;
    store_ring_write(&ring, 0, "a", "");
    CHECK_EQ(store_ring_read(&ring, 0, "a", value, sizeof value), XENSTORE_PAYLOAD_MAX);
    CHECK_EQ(memcmp(text, value, sizeof text), 0);
    CHECK_EQ(value[sizeof text], 0);
}

TEST(store_ring_runaway_indices)
{
    static const uint32_t steps[] = {RING + 1, 0x80000000, UINT32_MAX}; /* the last: one back */

    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        start();
        page.rsp_prod += steps[i];
        CHECK(!store_ring_watch_fired(&ring, 0));
        check_broken();
        start();
        page.req_cons -= steps[i];
        CHECK_EQ(store_ring_write(&ring, 0, "a", "1"), STORE_EPROTO);
        check_broken();
    }
}

TEST(store_ring_indices_wrap)
{
    char value[8];

    start();
    page.req_prod = page.req_cons = daemon.req_cons = UINT32_MAX - 20;
    page.rsp_prod = page.rsp_cons = daemon.rsp_prod = UINT32_MAX - 5;
    store_ring_start(&ring);
    CHECK_EQ(store_ring_write(&ring, 0, "a", "12"), STORE_OK);
    CHECK_EQ(store_ring_read(&ring, 0, "a", value, sizeof value), 2);
    CHECK_STR(value, "12");
    CHECK(page.req_prod < 100 && page.rsp_prod < 100);
}

/* It starts anew on a new page, as after the domain has moved. */
TEST(store_ring_starts_again)
{
    start();
    CHECK_EQ(store_ring_watch(&ring, "a"), 0);
    page.rsp_prod += RING + 1;
    CHECK(store_ring_watch_fired(&ring, 0));
    check_broken();
    memset(&page, 0, sizeof page);
    memset(&daemon, 0, sizeof daemon);
    store_ring_start(&ring);
    CHECK_EQ(store_ring_write(&ring, 0, "a", "1"), STORE_OK);
    CHECK_EQ(store_ring_watch(&ring, "b"), 0);
}

/* A daemon that writes whatever it likes. */
static void write_anything(void *arg, uint64_t deadline_ns)
{
    static const uint32_t types[] = {XS_READ, XS_ERROR, XS_WATCH_EVENT, XS_DIRECTORY};
    uint64_t dice = boot_random();
    struct xsd_sockmsg header = {types[dice % ARRAY_LEN(types)], ring.req_id - (dice >> 8 & 1), 0,
                                 (uint32_t)(dice >> 16 & 63)};

    (void)arg, (void)deadline_ns;
    if ((dice >> 10) % 500 == 0)
        header.len = (uint32_t)(dice >> 32);
    for (size_t i = 0; i < HEADER; i++)
        page.rsp[MASK_XENSTORE_IDX(daemon.rsp_prod + i)] = ((const char *)&header)[i];
    for (uint32_t i = 0; i < MIN(header.len, 64u); i++)
        page.rsp[MASK_XENSTORE_IDX(daemon.rsp_prod + HEADER + i)] = (char)(boot_random() & 0x31);
    daemon.rsp_prod += HEADER + MIN(header.len, 64u);
    page.rsp_prod = dice >> 40 & 0xff ? daemon.rsp_prod : (uint32_t)boot_random();
    page.req_cons = dice >> 48 & 0xff ? ring.req_prod : (uint32_t)boot_random();
}

TEST(store_ring_survives_any_daemon)
{
    char text[100];
    uint32_t broken = 0, answered = 0;

    for (int round = 0; round < 300; round++) {
        start();
        ring.wait = write_anything;
        for (int i = 0; i < 20 && !ring.broken; i++) {
            answered += store_ring_read(&ring, 0, "a", text, sizeof text) >= 0;
            answered += store_ring_list(&ring, 0, "a", text, sizeof text) > 0;
            if (!(ring.watches & 1))
                store_ring_watch(&ring, "a");
            store_ring_watch_fired(&ring, 0);
        }
        broken += ring.broken;
    }
    CHECK(broken > 0 && answered > 0);
}
