/* SPDX-License-Identifier: BSD-2-Clause */
/* netfront_store.c - what netfront reads and writes in the store (xen/io/netif.h, its comments). */
#include "netdev/netfront/netfront_store.h"
#include "boot/boot.h"
#include "boot/xen.h"
#include "netbuf/eth.h"

enum {
    NAME_MAX = 64,
    NUMBER_MAX = 12, /* bytes of a number's text, with the closing zero */
    TRANSACTIONS_MAX = 8,
    MTU_DEFAULT = 1500,
    MTU_MIN = 68,
};

/* --- reading -------------------------------------------------------------------------------- */

static int read_text(const char *folder, const char *name, char *value, size_t size)
{
    char path[NETFRONT_PATH_MAX + NAME_MAX];

    format(path, sizeof path, "%s/%s", folder, name);
    int len = store_read(0, path, value, size);
    if (len < 0)
        return len;
    return strlen(value) == (size_t)len ? STORE_OK : STORE_EPROTO; /* no zero bytes in it */
}

static int read_number(const char *folder, const char *name, uint32_t max, uint32_t *value)
{
    char text[NUMBER_MAX];
    uint64_t number;
    int error = read_text(folder, name, text, sizeof text);

    if (error)
        return error;
    if (!parse_u64(text, strlen(text), max, &number))
        return STORE_EPROTO;
    *value = (uint32_t)number;
    return STORE_OK;
}

/* Reads a number; `value` if it is missing or nonsense. If the store doesn't answer, *error says
 * so, and calls with that *error don't ask the store again. */
static uint32_t read_or(const char *folder, const char *name, uint32_t value, int *error)
{
    int said = *error ? *error : read_number(folder, name, UINT32_MAX, &value);

    if (said == STORE_ETIMEOUT)
        *error = said;
    return value;
}

static const char *own_folder(const struct netfront *nf, char folder[NAME_MAX])
{
    format(folder, NAME_MAX, NETFRONT_FOLDER "/%u", nf->vif);
    return folder;
}

static bool hex_digit(char c, uint8_t *value)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c >= 'A' ? c | 32 : c) : NULL;

    if (at)
        *value = (uint8_t)(*value << 4 | (at - digits));
    return at != NULL;
}

/* "00:16:3e:00:00:02", and not a group's address. */
static bool parse_mac(const char *text, uint8_t mac[ETH_MAC_BYTES])
{
    if (strlen(text) != ETH_MAC_TEXT_BYTES - 1)
        return false;
    for (uint32_t i = 0; i < ETH_MAC_BYTES; i++, text += 3) {
        mac[i] = 0;
        if (!hex_digit(text[0], &mac[i]) || !hex_digit(text[1], &mac[i]) ||
            text[2] != (i + 1 < ETH_MAC_BYTES ? ':' : 0))
            return false;
    }
    return !(mac[0] & 1);
}

static int read_vif_mac(uint32_t vif, uint8_t mac[ETH_MAC_BYTES])
{
    char folder[NAME_MAX], text[ETH_MAC_TEXT_BYTES];

    format(folder, sizeof folder, NETFRONT_FOLDER "/%u", vif);
    int error = read_text(folder, "mac", text, sizeof text);
    if (error)
        return error;
    return parse_mac(text, mac) ? STORE_OK : STORE_EPROTO;
}

/* Why the vif can't be used, and what to do about it. */
static void tell_bad_mac(const struct netfront *nf, int error)
{
    char folder[NAME_MAX], text[NAME_MAX];

    if (error == STORE_ETIMEOUT)
        print("%s: it can't be used, as the store doesn't answer; is xenstored running?\n",
              nf->where);
    else if (read_text(own_folder(nf, folder), "mac", text, sizeof text) == STORE_OK)
        print("%s: it can't be used, as its MAC address '%s' isn't one of a single host; give the "
              "vif "
              "one in xl's configuration, such as mac=00:16:3e:00:00:01.\n",
              nf->where, text);
    else
        print("%s: it can't be used, as the store doesn't tell its MAC address; xenstore-ls -fp in "
              "dom0 shows whether this domain may read %s/mac.\n",
              nf->where, folder);
}

int netfront_read_own(struct netfront *nf)
{
    char folder[NAME_MAX];
    int error = read_vif_mac(nf->vif, nf->mac);

    if (error) {
        tell_bad_mac(nf, error);
        return error == STORE_ETIMEOUT ? NETDEV_ETIMEOUT : NETDEV_EDEVICE;
    }
    uint32_t mtu = read_or(own_folder(nf, folder), "mtu", MTU_DEFAULT, &error);
    if (mtu < MTU_MIN || mtu > UINT16_MAX - NETFRONT_FRAME_EXTRA)
        mtu = MTU_DEFAULT;
    nf->mtu_bytes = nf->mtu_max_bytes = (uint16_t)mtu;
    return error ? NETDEV_ETIMEOUT : 0;
}

/* --- the back end --------------------------------------------------------------------------- */

/* A vif that is attached again may get another number: looks for one with our address, and makes it
 * ours. */
static int adopt(struct netfront *nf)
{
    char names[NETFRONT_LIST_MAX];
    uint8_t mac[ETH_MAC_BYTES];
    uint64_t vif;
    int count = store_list(0, NETFRONT_FOLDER, names, sizeof names);
    const char *name = names;

    for (int i = 0; i < count; i++, name += strlen(name) + 1)
        if (parse_u64(name, strlen(name), UINT16_MAX, &vif) && vif != nf->vif &&
            read_vif_mac((uint32_t)vif, mac) == STORE_OK && memcmp(mac, nf->mac, sizeof mac) == 0) {
            print("%s is now vif %lu.\n", nf->where, vif);
            nf->vif = (uint32_t)vif;
            format(nf->where, sizeof nf->where, "vif %u", nf->vif);
            return STORE_OK;
        }
    return STORE_ENOENT;
}

static void tell_other_mac(struct netfront *nf, const uint8_t mac[ETH_MAC_BYTES])
{
    char text[ETH_MAC_TEXT_BYTES], own[ETH_MAC_TEXT_BYTES];

    if (!nf->refused_said)
        print(
            "%s: it is back with the MAC address %s and isn't used, as this image goes on with %s; "
            "attach it with mac=%s.\n",
            nf->where, eth_mac_format(text, mac), eth_mac_format(own, nf->mac), own);
    nf->refused_said = true;
}

/* Finds the vif with our address: STORE_OK. STORE_EREFUSED: the one of our number has another. */
static int find_vif(struct netfront *nf)
{
    uint8_t mac[ETH_MAC_BYTES];
    int error = read_vif_mac(nf->vif, mac);

    if (error == STORE_ETIMEOUT)
        return error;
    if ((error == STORE_OK && memcmp(mac, nf->mac, sizeof mac) == 0) || adopt(nf) == STORE_OK) {
        nf->refused_said = false;
        return STORE_OK;
    }
    if (error)
        return STORE_ENOENT;
    tell_other_mac(nf, mac);
    return STORE_EREFUSED;
}

/* Sets the back end of the vif with our number, and watches it. */
static int set_back(struct netfront *nf)
{
    char folder[NAME_MAX], path[NETFRONT_PATH_MAX];
    uint32_t domid;
    int error = read_text(own_folder(nf, folder), "backend", path, sizeof path);

    if (error || (error = read_number(folder, "backend-id", DOMID_FIRST_RESERVED - 1, &domid)))
        return error;
    if (strcmp(path, nf->path) == 0 && domid == nf->domid && nf->watch >= 0)
        return STORE_OK;
    if (nf->watch >= 0)
        store_unwatch(nf->watch);
    nf->watch = store_watch(path);
    nf->domid = (uint16_t)domid;
    nf->met = false;
    memcpy(nf->path, path, sizeof path);
    return STORE_OK;
}

int netfront_find_back(struct netfront *nf)
{
    const int found = nf->wanted ? find_vif(nf) : STORE_OK;
    const bool there = found == STORE_OK || found == STORE_EREFUSED;
    const int error = there ? set_back(nf) : found;

    return error ? error : found;
}

int netfront_back_state(const struct netfront *nf)
{
    uint32_t state;
    int error = read_number(nf->path, "state", XenbusStateReconfigured, &state);

    if (error == STORE_ENOENT || error == STORE_EPROTO || error == STORE_EREFUSED)
        return XenbusStateUnknown;
    return error ? error : (int)state;
}

bool netfront_back_online(const struct netfront *nf)
{
    int error = 0;

    return read_or(nf->path, "online", 1, &error) != 0;
}

int netfront_read_features(struct netfront *nf)
{
    int error = 0;

    nf->features = (struct netfront_features){
        .rx_copy = read_or(nf->path, "feature-rx-copy", 0, &error),
        .sg = read_or(nf->path, "feature-sg", 0, &error),
        .split_events = read_or(nf->path, "feature-split-event-channels", 0, &error),
        .tx_csum = !read_or(nf->path, "feature-no-csum-offload", 0, &error),
        .tx_csum_ipv6 = read_or(nf->path, "feature-ipv6-csum-offload", 0, &error),
        .queues_max = read_or(nf->path, "multi-queue-max-queues", 1, &error),
    };
    if (nf->features.queues_max == 0)
        nf->features.queues_max = 1;
    return error;
}

int netfront_read_carrier(struct netfront *nf)
{
    int error = 0;

    nf->carrier = read_or(nf->path, "carrier", 1, &error);
    return error;
}

/* --- writing -------------------------------------------------------------------------------- */

/* Nodes of one folder, in one transaction. After an error nothing more is written. */
struct writer {
    uint32_t tx;
    int error;
    bool remove; /* there may be nodes that have to be removed */
    char folder[NAME_MAX];
};

static void put_node(struct writer *w, const char *name, uint32_t value)
{
    char path[2 * NAME_MAX], text[NUMBER_MAX];

    if (w->error)
        return;
    format(path, sizeof path, "%s/%s", w->folder, name);
    format(text, sizeof text, "%u", value);
    w->error = store_write(w->tx, path, text);
}

/* For a node that this connection doesn't have: an earlier one may have left it. */
static void remove_node(struct writer *w, const char *name)
{
    char path[2 * NAME_MAX];

    if (w->error || !w->remove)
        return;
    format(path, sizeof path, "%s/%s", w->folder, name);
    w->error = store_remove(w->tx, path);
    if (w->error == STORE_ENOENT)
        w->error = STORE_OK;
}

static void remove_queue(struct writer *w)
{
    static const char *const names[] = {"tx-ring-ref", "rx-ring-ref", "event-channel",
                                        "event-channel-tx", "event-channel-rx"};

    for (uint32_t i = 0; i < ARRAY_LEN(names); i++)
        remove_node(w, names[i]);
}

static void put_queue(const struct netfront *nf, struct writer *w, uint32_t q)
{
    remove_queue(w);
    put_node(w, "tx-ring-ref", nf->tx[q]->page_ref);
    put_node(w, "rx-ring-ref", nf->rx[q]->page_ref);
    if (nf->features.split_events) {
        put_node(w, "event-channel-tx", nf->tx[q]->ring.port);
        put_node(w, "event-channel-rx", nf->rx[q]->ring.port);
    } else {
        put_node(w, "event-channel", nf->tx[q]->ring.port);
    }
}

/* One queue's keys stand in the folder itself, those of several in folders of their own. */
static void put_queues(const struct netfront *nf, struct writer *w)
{
    const uint32_t pairs = nf->base.queue_pairs;
    struct writer sub = *w;

    if (pairs == 1) {
        remove_node(w, "multi-queue-num-queues");
        put_queue(nf, w, 0);
        return;
    }
    remove_queue(w);
    put_node(w, "multi-queue-num-queues", pairs);
    sub.error = w->error;
    for (uint32_t q = 0; q < pairs; q++) {
        format(sub.folder, sizeof sub.folder, "%s/queue-%u", w->folder, q);
        put_queue(nf, &sub, q);
    }
    w->error = sub.error;
}

static int write_keys_once(struct netfront *nf)
{
    const bool rx_csum = nf->offloads & NETDEV_OFFLOAD_RX_CSUM;
    struct writer w = {.remove = nf->keys_written};

    own_folder(nf, w.folder);
    w.error = store_begin(&w.tx);
    if (w.error)
        return w.error;
    put_queues(nf, &w);
    put_node(&w, "request-rx-copy", 1);
    put_node(&w, "feature-rx-notify", 1);
    put_node(&w, "feature-sg", 1);
    put_node(&w, "feature-no-csum-offload", !rx_csum);
    put_node(&w, "feature-ipv6-csum-offload", rx_csum);
    /* No filter: it would keep groups from us, and IPv6's neighbours ask by group. */
    put_node(&w, "request-multicast-control", 0);
    put_node(&w, "state", XenbusStateConnected);
    int error = store_end(w.tx, !w.error);
    nf->keys_written = true;
    return w.error ? w.error : error;
}

int netfront_write_keys(struct netfront *nf)
{
    int error = STORE_EAGAIN;

    for (uint32_t i = 0; i < TRANSACTIONS_MAX && error == STORE_EAGAIN; i++)
        error = write_keys_once(nf);
    return error;
}

int netfront_write_state(struct netfront *nf, enum xenbus_state state)
{
    struct writer w = {0};

    own_folder(nf, w.folder);
    put_node(&w, "state", state);
    return w.error;
}
