/* SPDX-License-Identifier: BSD-2-Clause */
/* The back end of netback_fake_test.h. */
#include "netdev/netfront/netback_fake_test.h"

enum { RING_MASK = NETFRONT_RING - 1 };

struct netback netback;

#define FRONT "/local/domain/7/device/vif/%u"
#define BACK  "/local/domain/%u/backend/vif/7/%u"

/* --- the handshake -------------------------------------------------------------------------- */

static void set_state(enum xenbus_state state)
{
    char text[4];

    format(text, sizeof text, "%d", state);
    fake_put(text, BACK "/state", netback.domid, netback.vif);
}

void netback_say(const char *name, const char *value)
{
    fake_put(value, BACK "/%s", netback.domid, netback.vif, name);
}

static uint32_t front_number(const char *folder, const char *name)
{
    uint64_t number = 0;
    const char *text = fake_get(FRONT "%s/%s", netback.vif, folder, name);

    CHECK(text && parse_u64(text, strlen(text), UINT32_MAX, &number));
    return (uint32_t)number;
}

static bool front_has(const char *folder, const char *name)
{
    return fake_get(FRONT "%s/%s", netback.vif, folder, name) != NULL;
}

static void send_event(uint32_t port)
{
    fake_xen.ports[port].notified++;
    fake_xen.ports[port].pending = true;
}

static uint32_t back_port(uint32_t port)
{
    CHECK(port > 0 && port < FAKE_PORTS && fake_xen.ports[port].used &&
          fake_xen.ports[port].domid == netback.domid);
    return port;
}

static void connect_queue(struct netback_queue *q, const char *folder)
{
    *q = (struct netback_queue){.tx_ref = front_number(folder, "tx-ring-ref"),
                                .rx_ref = front_number(folder, "rx-ring-ref")};
    q->tx = (void *)fake_page(q->tx_ref, netback.domid, true);
    q->rx = (void *)fake_page(q->rx_ref, netback.domid, true);
    fake_xen.grants[q->tx_ref].busy++;
    fake_xen.grants[q->rx_ref].busy++;
    /* As netback does: two channels if there are two, else one. */
    if (front_has(folder, "event-channel-tx")) {
        q->tx_port = back_port(front_number(folder, "event-channel-tx"));
        q->rx_port = back_port(front_number(folder, "event-channel-rx"));
        CHECK(q->tx_port != q->rx_port);
    } else {
        q->tx_port = q->rx_port = back_port(front_number(folder, "event-channel"));
    }
}

static void connect(void)
{
    CHECK_EQ(front_number("", "request-rx-copy"), 1);
    CHECK_EQ(front_number("", "feature-rx-notify"), 1);
    CHECK_EQ(front_number("", "feature-sg"), 1);
    netback.queues_count = 1;
    if (front_has("", "multi-queue-num-queues")) {
        netback.queues_count = front_number("", "multi-queue-num-queues");
        CHECK(!front_has("", "tx-ring-ref") && !front_has("", "event-channel"));
    }
    CHECK(netback.queues_count >= 1 && netback.queues_count <= NETDEV_MAX_QUEUE_PAIRS);
    for (uint32_t q = 0; q < netback.queues_count; q++) {
        char folder[16] = "";
        if (netback.queues_count > 1)
            format(folder, sizeof folder, "/queue-%u", q);
        connect_queue(&netback.queues[q], folder);
    }
    netback.connected = true;
    netback.connections++;
}

static void disconnect(void)
{
    for (uint32_t q = 0; netback.connected && !netback.keeps_pages && q < netback.queues_count;
         q++) {
        fake_xen.grants[netback.queues[q].tx_ref].busy--;
        fake_xen.grants[netback.queues[q].rx_ref].busy--;
    }
    netback.connected = false;
}

/* Takes a step in the manner that it has for it. */
static void behave(enum netback_manner manner, enum xenbus_state state)
{
    switch (manner) {
    case NETBACK_FINE:
        if (state == XenbusStateConnected)
            connect();
        set_state(state);
        break;
    case NETBACK_SILENT:
        break;
    case NETBACK_CLOSES:
        set_state(XenbusStateClosing);
        break;
    case NETBACK_GOES:
        netback_detach();
    }
}

void netback_react(void)
{
    const char *front = fake_get(FRONT "/state", netback.vif);
    const char *back = fake_get(BACK "/state", netback.domid, netback.vif);

    if (!front || !back)
        return;
    if (front[0] == '0' + XenbusStateInitialising) {
        disconnect();
        if (back[0] != '0' + XenbusStateInitWait)
            behave(netback.init_wait, XenbusStateInitWait);
    } else if (front[0] == '0' + XenbusStateConnected && back[0] == '0' + XenbusStateInitWait) {
        behave(netback.connect, XenbusStateConnected);
    } else if (front[0] == '0' + XenbusStateClosing && netback.closing == NETBACK_FINE) {
        disconnect();
        set_state(XenbusStateClosing);
    } else if (front[0] == '0' + XenbusStateClosed && netback.close == NETBACK_FINE) {
        if (!netback.frees_closing)
            disconnect();
        set_state(XenbusStateClosed);
    }
}

/* --- the toolstack -------------------------------------------------------------------------- */

void netback_attach(uint16_t domid, uint32_t vif)
{
    static const char *const ones[] = {
        "feature-rx-copy",
        "feature-sg",
        "feature-ipv6-csum-offload",
        "feature-split-event-channels",
        "online",
    };
    char text[64];

    netback.domid = domid;
    netback.vif = vif;
    for (uint32_t i = 0; i < ARRAY_LEN(ones); i++)
        netback_say(ones[i], "1");
    netback_say("multi-queue-max-queues", "4");
    set_state(XenbusStateInitialising);
    format(text, sizeof text, BACK, domid, vif);
    fake_put(text, FRONT "/backend", vif);
    fake_put(domid == FAKE_BACK ? "3" : "4", FRONT "/backend-id", vif);
    fake_put("00:16:3e:00:00:02", FRONT "/mac", vif);
    fake_put("1", FRONT "/state", vif);
    netback_react();
}

void netback_detach(void)
{
    disconnect();
    fake_put(NULL, BACK, netback.domid, netback.vif);
    fake_put(NULL, FRONT, netback.vif);
}

/* --- receive: what comes from the back end --------------------------------------------------- */

void netback_publish_rx(uint32_t q)
{
    struct netback_queue *b = &netback.queues[q];
    const uint32_t old = b->rx->rsp_prod;

    b->rx->rsp_prod = b->rx_rsp;
    if (b->rx_rsp - b->rx->rsp_event < b->rx_rsp - old)
        send_event(b->rx_port);
}

bool netback_next(uint32_t q, struct netback_slot *slot)
{
    struct netback_queue *b = &netback.queues[q];

    if (b->rx_cons == b->rx->req_prod)
        return false;
    const struct netif_rx_request *req = &b->rx->ring[b->rx_cons & RING_MASK].req;
    *slot = (struct netback_slot){.id = req->id, .ref = req->gref};
    return true;
}

bool netback_answer(uint32_t q, uint8_t first, struct netback_slot slot)
{
    struct netback_queue *b = &netback.queues[q];
    struct netback_slot next;

    if (!netback_next(q, &next))
        return false;
    uint8_t *page = fake_page(next.ref, netback.domid, true);
    for (uint32_t i = 0; (int32_t)i < slot.status && slot.offset + i < PAGE_SIZE; i++)
        page[slot.offset + i] = (uint8_t)(first + i);
    b->rx_cons++;
    b->rx->ring[b->rx_rsp++ & RING_MASK].rsp = (struct netif_rx_response){
        .id = slot.id, .offset = slot.offset, .flags = slot.flags, .status = slot.status};
    return true;
}

bool netback_send(uint32_t q, uint8_t first, uint16_t len, uint16_t flags)
{
    struct netback_slot slot;

    if (!netback_next(q, &slot))
        return false;
    slot.status = (int16_t)len;
    slot.flags = flags;
    netback_answer(q, first, slot);
    netback_publish_rx(q);
    return true;
}

bool netback_send_extra(uint32_t q, uint8_t type, uint8_t flags)
{
    struct netback_queue *b = &netback.queues[q];
    struct netback_slot slot;
    const struct netif_extra_info extra = {.type = type, .flags = flags};

    if (!netback_next(q, &slot))
        return false;
    b->rx_cons++;
    memcpy(&b->rx->ring[b->rx_rsp++ & RING_MASK], &extra, sizeof extra);
    return true;
}

/* --- transmit: what goes to it --------------------------------------------------------------- */

bool netback_take(uint32_t q, struct netback_slot *slot)
{
    struct netback_queue *b = &netback.queues[q];

    if (b->tx_cons == b->tx->req_prod)
        return false;
    const struct netif_tx_request *req = &b->tx->ring[b->tx_cons++ & RING_MASK].req;
    *slot = (struct netback_slot){.flags = req->flags,
                                  .offset = req->offset,
                                  .size = req->size,
                                  .id = req->id,
                                  .ref = req->gref};
    return true;
}

void netback_done(uint32_t q, uint16_t id, int16_t status)
{
    struct netback_queue *b = &netback.queues[q];

    b->tx->ring[b->tx_rsp++ & RING_MASK].rsp =
        (struct netif_tx_response){.id = id, .status = status};
}

void netback_publish_tx(uint32_t q)
{
    struct netback_queue *b = &netback.queues[q];
    const uint32_t old = b->tx->rsp_prod;

    b->tx->rsp_prod = b->tx_rsp;
    if (b->tx_rsp - b->tx->rsp_event < b->tx_rsp - old)
        send_event(b->tx_port);
}

uint32_t netback_sent(uint32_t q, uint8_t frame[65536], uint16_t *flags)
{
    struct netback_slot slots[XEN_NETIF_NR_SLOTS_MIN];
    uint32_t count = 0, len = 0;

    do {
        CHECK(count < ARRAY_LEN(slots)); /* as many as any back end takes */
        if (!netback_take(q, &slots[count]))
            break;
    } while (slots[count++].flags & NETTXF_more_data);
    if (count == 0)
        return 0;
    CHECK(!(slots[count - 1].flags & NETTXF_more_data)); /* a packet is published whole */
    const uint32_t total = slots[0].size;
    for (uint32_t i = 1; i < count; i++) /* the first request tells the size of all */
        slots[0].size = (uint16_t)(slots[0].size - slots[i].size);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(slots[i].size > 0 && slots[i].offset + slots[i].size <= PAGE_SIZE);
        memcpy(frame + len, fake_page(slots[i].ref, netback.domid, false) + slots[i].offset,
               slots[i].size);
        len += slots[i].size;
    }
    CHECK_EQ(len, total);
    *flags = slots[0].flags;
    for (uint32_t i = count; i > 0; i--) /* in any order */
        netback_done(q, slots[i - 1].id, NETIF_RSP_OKAY);
    netback_publish_tx(q);
    return len;
}
