/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_user_linux.c - the front end of vhost-user (QEMU's docs/interop/vhost-user): what a device
 * has registers for are messages over a UNIX socket here; the rings lie in memory that both
 * processes map.
 *
 *     driver, app                this file                         back end
 *     rings, buffers  ========== the platform's memory =========== maps it
 *     set_status(ACKNOWLEDGE)    GET_FEATURES, ..._PROTOCOL_FEATURES, SET_OWNER   ---->
 *     set_features               SET_FEATURES, SET_MEM_TABLE with a descriptor    ---->
 *     queue_enable               SET_VRING_NUM, BASE, ADDR, KICK, CALL, ENABLE    ---->
 *     kick                       an eventfd of each ring                          ---->
 *     boot_wait                  an eventfd of each receive ring                  <----
 *     set_status(0)              SET_VRING_ENABLE, GET_VRING_BASE of each ring    ---->
 *
 * Where the back end breaks the protocol, is silent or closes the connection (vhost_user.h), the
 * status says that the device needs a reset; acknowledging the device connects anew. Addresses in
 * messages and rings are this process's own.
 *
 * What a VMM does for its guest beside passing rings on isn't offered: control queue, MTU,
 * announcements, an IOMMU.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "boot/boot.h"
#include "boot/linux/linux.h"
#include "netdev/virtio/virtio_net.h"
#include "netdev/virtio/virtio_user.h"

#include <linux/vhost_types.h>
#include <poll.h>
#include <string.h>

enum { NO_DESCRIPTOR = 1 << 8 }; /* in SET_VRING_KICK and _CALL, beside the ring's number */
enum { WHERE_PATH = 12 };        /* characters of the path that are shown */

#define ASK_PERIOD_NS 10000000000ull /* between two questions for the back end's status */

/* The bit of the features which says that there are protocol features, and those that we use. */
#define F_PROTOCOL_FEATURES    VIRTIO_BIT(30)
#define PROTOCOL_F_MQ          VIRTIO_BIT(0)
#define PROTOCOL_F_REPLY_ACK   VIRTIO_BIT(3)
#define PROTOCOL_F_STATUS      VIRTIO_BIT(16)
#define PROTOCOL_FEATURES_USED (PROTOCOL_F_MQ | PROTOCOL_F_REPLY_ACK | PROTOCOL_F_STATUS)

/* What a back end does by itself, given rings and memory. */
#define FEATURES_PASSED_ON                                                                         \
    (VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_RING_PACKED) |                           \
     VIRTIO_BIT(VIRTIO_F_IN_ORDER) | VIRTIO_BIT(VIRTIO_F_ORDER_PLATFORM) |                         \
     VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) |               \
     VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |                         \
     VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_MQ))

struct memory_table {
    uint32_t count, padding;
    struct {
        uint64_t guest_address, size, user_address, offset;
    } region;
};

_Static_assert(sizeof(struct memory_table) == 40, "one region");
_Static_assert(sizeof(struct vhost_vring_addr) == 40, "as the specification has it");
_Static_assert(sizeof(struct vhost_vring_state) == 8, "as the specification has it");

static struct virtio_user *user_of(struct virtio_transport *t)
{
    return (struct virtio_user *)t;
}

/* --- the connection ------------------------------------------------------------------------- */

/* Learns what the back end can do. */
static bool examine(struct virtio_user *u)
{
    struct vhost_user *v = &u->link;
    uint64_t extensions, pairs = 1;

    u->extensions = u->features = 0;
    if (!vhost_user_get_u64(v, VHOST_USER_GET_FEATURES, &u->offered))
        return false;
    u->has_extensions = u->offered & F_PROTOCOL_FEATURES;
    if (u->has_extensions) {
        if (!vhost_user_get_u64(v, VHOST_USER_GET_PROTOCOL_FEATURES, &extensions))
            return false;
        extensions &= PROTOCOL_FEATURES_USED;
        if (!vhost_user_set_u64(v, VHOST_USER_SET_PROTOCOL_FEATURES, extensions, -1))
            return false;
        u->extensions = extensions;
        v->acks = extensions & PROTOCOL_F_REPLY_ACK;
        if (extensions & PROTOCOL_F_MQ && !vhost_user_get_u64(v, VHOST_USER_GET_QUEUE_NUM, &pairs))
            return false;
    }
    u->queues = 2 * (uint32_t)MIN(pairs, (uint64_t)VIRTIO_USER_QUEUES / 2);
    return vhost_user_set(v, VHOST_USER_SET_OWNER, "", 0, -1);
}

static const char wrong_answer[] = "who listens there doesn't answer, or not as vhost-user has it";

const char *virtio_user_connect(struct virtio_user *u)
{
    if (u->link.socket >= 0)
        return NULL;
    const char *reason = vhost_user_connect(&u->link, u->path);
    if (reason || examine(u))
        return reason;
    vhost_user_close(&u->link);
    return wrong_answer;
}

static void forget_queues(struct virtio_user *u)
{
    for (uint32_t q = 0; q < VIRTIO_USER_QUEUES; q++) {
        if (u->kick[q] >= 0)
            close(u->kick[q]);
        u->kick[q] = -1;
    }
}

/* --- the transport -------------------------------------------------------------------------- */

/* Connects, if somebody listens again. */
static bool present(struct virtio_transport *t)
{
    return !virtio_user_connect(user_of(t));
}

/* A back end that needs a reset can only say so when it is asked. Its answer isn't waited for, as
 * that would hold up the loop, and it isn't asked often: DPDK's writes a line for each question. */
static bool says_it_needs_reset(struct virtio_user *u)
{
    uint64_t told;

    if (!(u->status & VIRTIO_CONFIG_S_DRIVER_OK) || !(u->extensions & PROTOCOL_F_STATUS) ||
        (clock_ns() < u->ask_ns && !u->link.polled))
        return false;
    u->ask_ns = clock_ns() + ASK_PERIOD_NS;
    return vhost_user_poll_u64(&u->link, VHOST_USER_GET_STATUS, &told) &&
           (told & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* A device whose back end has gone needs a reset, unless it is in reset already: nobody touches our
 * memory then. */
static uint8_t status(struct virtio_transport *t)
{
    struct virtio_user *u = user_of(t);

    if (!vhost_user_connected(&u->link) && u->status != 0) {
        forget_queues(u);
        u->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    } else if (says_it_needs_reset(u)) {
        u->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    }
    return u->status;
}

static bool set_vring(struct virtio_user *u, enum vhost_user_request request, uint32_t q,
                      uint32_t value)
{
    const struct vhost_vring_state state = {q, value};

    return vhost_user_set(&u->link, request, &state, sizeof state, -1);
}

/* Stops the rings: the back end touches none of them after its answer. */
static void reset(struct virtio_user *u)
{
    for (uint32_t q = 0; q < VIRTIO_USER_QUEUES; q++) {
        struct vhost_vring_state state = {.index = q};
        if (u->kick[q] < 0)
            continue;
        if (u->has_extensions)
            set_vring(u, VHOST_USER_SET_VRING_ENABLE, q, 0);
        vhost_user_get(&u->link, VHOST_USER_GET_VRING_BASE, &state, sizeof state, &state,
                       sizeof state);
    }
    forget_queues(u);
    if (u->extensions & PROTOCOL_F_STATUS)
        vhost_user_set_u64(&u->link, VHOST_USER_SET_STATUS, 0, -1);
    u->features = 0;
    u->status = 0; /* also if there is no back end */
}

/* Tells the back end the status; returns it as it is then: it may refuse the features, or have
 * found an error in what it was told before it begins. */
static uint8_t tell_status(struct virtio_user *u, uint8_t value)
{
    const uint8_t added = value & (uint8_t)~u->status;
    uint64_t told = value;

    if (!(u->extensions & PROTOCOL_F_STATUS))
        return value;
    vhost_user_set_u64(&u->link, VHOST_USER_SET_STATUS, value, -1);
    if (added & (VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK))
        vhost_user_get_u64(&u->link, VHOST_USER_GET_STATUS, &told);
    u->ask_ns = clock_ns() + ASK_PERIOD_NS;
    if (added & VIRTIO_CONFIG_S_FEATURES_OK & ~told)
        value ^= VIRTIO_CONFIG_S_FEATURES_OK;
    return value | (told & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void kick(struct virtio_transport *t, uint16_t q)
{
    const uint64_t one = 1;
    int fd = user_of(t)->kick[q];

    /* An eventfd refuses a write only if its count is at the limit: then there are kicks enough. */
    if (fd >= 0 && write(fd, &one, sizeof one) < 0)
        return;
}

static void set_status(struct virtio_transport *t, uint8_t value)
{
    struct virtio_user *u = user_of(t);

    if (value == 0) {
        reset(u);
        return;
    }
    if (value == VIRTIO_CONFIG_S_ACKNOWLEDGE)
        virtio_user_connect(u);
    if (!u->features)
        value &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
    u->status = tell_status(u, value); /* status() finds out if that failed */
    for (uint16_t q = 0; q < VIRTIO_USER_QUEUES && value & VIRTIO_CONFIG_S_DRIVER_OK; q++)
        kick(t, q); /* a ring starts at its first kick, which mustn't come before this */
}

static uint64_t features(struct virtio_transport *t)
{
    const struct virtio_user *u = user_of(t);

    return (u->offered & FEATURES_PASSED_ON) | VIRTIO_BIT(VIRTIO_NET_F_STATUS) |
           (u->has_mac ? VIRTIO_BIT(VIRTIO_NET_F_MAC) : 0);
}

/* Also hands over the memory, which the back end has to know before the rings. */
static void set_features(struct virtio_transport *t, uint64_t value)
{
    struct virtio_user *u = user_of(t);
    const uint64_t address = (uintptr_t)linux_memory.start;
    const struct memory_table table = {
        .count = 1,
        .region = {address, linux_memory.len, address, 0},
    };

    value &= FEATURES_PASSED_ON;
    if (vhost_user_set_u64(&u->link, VHOST_USER_SET_FEATURES,
                           value | (u->offered & F_PROTOCOL_FEATURES), -1) &&
        vhost_user_set(&u->link, VHOST_USER_SET_MEM_TABLE, &table, sizeof table, linux_memory.fd))
        u->features = value;
}

/* The device's own configuration: the back end knows of its queues alone. */
static uint32_t config(struct virtio_transport *t, uint32_t offset, uint32_t width_bytes)
{
    struct virtio_user *u = user_of(t);
    struct virtio_net_config fields = {
        .status = vhost_user_connected(&u->link) ? VIRTIO_NET_S_LINK_UP : 0,
        .max_virtqueue_pairs = (uint16_t)(u->queues / 2)};
    uint32_t value = 0;

    memcpy(fields.mac, u->mac, sizeof fields.mac);
    if (offset + width_bytes <= sizeof fields)
        memcpy(&value, (uint8_t *)&fields + offset, width_bytes);
    return value;
}

static uint32_t config_generation(struct virtio_transport *t)
{
    (void)t;
    return 0;
}

static uint32_t queue_size_max(struct virtio_transport *t, uint16_t q)
{
    return q < user_of(t)->queues ? VRING_SIZE_MAX : 0;
}

/* Tells the back end where to interrupt for a ring, if anywhere. */
static bool set_call(struct virtio_user *u, uint16_t q, bool wakes)
{
    if (wakes && u->call[q] < 0)
        u->call[q] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wakes && u->call[q] >= 0)
        return vhost_user_set_u64(&u->link, VHOST_USER_SET_VRING_CALL, q, u->call[q]);
    return vhost_user_set_u64(&u->link, VHOST_USER_SET_VRING_CALL, q | NO_DESCRIPTOR, -1);
}

static bool queue_enable(struct virtio_transport *t, uint16_t q,
                         const struct virtio_queue_place *place)
{
    struct virtio_user *u = user_of(t);
    const struct vhost_vring_addr address = {
        .index = q,
        .desc_user_addr = place->desc,
        .used_user_addr = place->used,
        .avail_user_addr = place->avail,
    };
    /* Both sides begin at 0; on a packed ring with both wrap counters at 1. */
    const uint32_t base = u->features & VIRTIO_BIT(VIRTIO_F_RING_PACKED) ? 0x80008000 : 0;

    if (q >= u->queues || u->kick[q] >= 0)
        return false;
    u->kick[q] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return u->kick[q] >= 0 && set_vring(u, VHOST_USER_SET_VRING_NUM, q, place->size) &&
           set_vring(u, VHOST_USER_SET_VRING_BASE, q, base) &&
           vhost_user_set(&u->link, VHOST_USER_SET_VRING_ADDR, &address, sizeof address, -1) &&
           vhost_user_set_u64(&u->link, VHOST_USER_SET_VRING_KICK, q, u->kick[q]) &&
           set_call(u, q, place->wakes) &&
           (!u->has_extensions || set_vring(u, VHOST_USER_SET_VRING_ENABLE, q, 1));
}

static bool arm(struct virtio_transport *t, uint16_t q, bool on)
{
    const int fd = user_of(t)->call[q];

    if (fd >= 0)
        linux_wait_fd(fd, on);
    return fd >= 0;
}

static const struct virtio_transport_ops ops = {
    .present = present,
    .status = status,
    .set_status = set_status,
    .features = features,
    .set_features = set_features,
    .config = config,
    .config_generation = config_generation,
    .queue_size_max = queue_size_max,
    .queue_enable = queue_enable,
    .kick = kick,
    .arm = arm,
};

void virtio_user_attach(struct virtio_user *u, const char *path)
{
    size_t len = strlen(path);

    *u = (struct virtio_user){
        .base = {.ops = &ops, .driver = "virtio-net over vhost-user", .all_pairs = true},
        .path = path,
        .link = {.socket = -1}};
    for (uint32_t q = 0; q < VIRTIO_USER_QUEUES; q++)
        u->kick[q] = u->call[q] = -1;
    if (len > WHERE_PATH)
        format(u->base.where, sizeof u->base.where, "vhost-user ..%s", path + len + 2 - WHERE_PATH);
    else
        format(u->base.where, sizeof u->base.where, "vhost-user %s", path);
}

/* Connects to a back end that may just be starting: its socket refuses until it listens there. */
static const char *connect_in_time(struct virtio_user *u)
{
    enum { PAUSE_MS = 10 };
    const uint64_t end_ns = clock_ns() + netdev_control_timeout_ns;
    const char *reason;

    while ((reason = virtio_user_connect(u)) && strcmp(reason, strerror(ECONNREFUSED)) == 0 &&
           clock_ns() < end_ns)
        poll(NULL, 0, PAUSE_MS);
    return reason;
}

void virtio_user_add(const char *path, const uint8_t mac[6])
{
    struct virtio_user *u = boot_alloc(sizeof *u, CACHE_LINE);

    if (!u)
        boot_misconfigured(
            "there is no memory for the network device at %s; give the process more: mem=256M.",
            path);
    virtio_user_attach(u, path);
    u->has_mac = mac != NULL;
    if (mac)
        memcpy(u->mac, mac, sizeof u->mac);
    const char *reason = connect_in_time(u);
    if (reason == wrong_answer)
        panic("vhost=%s can't be used: %s; start another back end there.", path, reason);
    if (reason)
        boot_misconfigured(
            "vhost=%s can't be used: %s; start the back end first, such as dpdk-testpmd --vdev "
            "net_vhost0,iface=%s.",
            path, reason, path);
    virtio_net_add(&u->base);
}
