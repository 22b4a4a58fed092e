/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_user_linux.c - the messages of vhost-user.
 *
 *     request | flags | size of payload | payload        32 bits each; payload up to 40 bytes here
 *               version 1, is a reply, wants a reply
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "boot/boot.h"
#include "netdev/netdev.h"
#include "netdev/virtio/vhost_user.h"

enum { FIRST_PATIENCE = 3 }; /* times the control timeout */
enum { VERSION = 1, FLAG_REPLY = 1 << 2, FLAG_NEED_REPLY = 1 << 3, FLAG_MASK = 0xf };

struct header {
    uint32_t request, flags, size;
};

const char *vhost_user_connect(struct vhost_user *v, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *v = (struct vhost_user){.socket = -1};
    if (strlen(path) >= sizeof address.sun_path)
        return "its path is longer than 107 bytes";
    memcpy(address.sun_path, path, strlen(path));
    v->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (v->socket >= 0 && connect(v->socket, (struct sockaddr *)&address, sizeof address) == 0)
        return NULL;
    const char *reason = strerror(errno);
    vhost_user_close(v);
    return reason;
}

void vhost_user_close(struct vhost_user *v)
{
    if (v->socket >= 0)
        close(v->socket);
    v->socket = -1;
}

/* Waits until the socket can be read from or written to. */
static bool wait_for_socket(const struct vhost_user *v, short events, uint64_t deadline_ns)
{
    struct pollfd fd = {.fd = v->socket, .events = events};
    uint64_t now_ns = clock_ns();

    if (now_ns >= deadline_ns)
        return false;
    poll(&fd, 1, (int)((deadline_ns - now_ns) / 1000000) + 1);
    return true; /* perhaps too early: callers try, and wait again */
}

static bool again(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

bool vhost_user_connected(struct vhost_user *v)
{
    uint8_t byte;
    ssize_t n;

    if (v->socket < 0)
        return false;
    n = recv(v->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n <= 0 && !again(n))
        vhost_user_close(v);
    return v->socket >= 0;
}

static bool receive(const struct vhost_user *v, void *to, size_t len, uint64_t deadline_ns)
{
    while (len > 0) {
        ssize_t n = recv(v->socket, to, len, MSG_DONTWAIT);
        if (n > 0) {
            to = (uint8_t *)to + n;
            len -= (size_t)n;
        } else if (!again(n) || !wait_for_socket(v, POLLIN, deadline_ns)) {
            return false;
        }
    }
    return true;
}

/* Sends a message, with the descriptor `fd` unless that is -1. */
static bool transmit(const struct vhost_user *v, const struct header *header, const void *payload,
                     int fd, uint64_t deadline_ns)
{
    uint8_t bytes[sizeof *header + VHOST_USER_PAYLOAD_MAX];
    struct iovec data = {bytes, sizeof *header + header->size};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof fd)];
    } control = {.space = {0}};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    ssize_t n;

    assert(header->size <= VHOST_USER_PAYLOAD_MAX);
    memcpy(bytes, header, sizeof *header);
    memcpy(bytes + sizeof *header, payload, header->size);
    if (fd >= 0) {
        message.msg_control = control.space;
        message.msg_controllen = sizeof control.space;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    }
    while (again(n = sendmsg(v->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT)))
        if (!wait_for_socket(v, POLLOUT, deadline_ns))
            return false;
    return n == (ssize_t)data.iov_len; /* if the other side reads, a whole message has room */
}

/* Receives a reply, which must be one to that request and of that length. */
static bool receive_reply(const struct vhost_user *v, enum vhost_user_request request, void *reply,
                          uint32_t len, uint64_t deadline_ns)
{
    struct header h;

    return receive(v, &h, sizeof h, deadline_ns) && h.request == request &&
           (h.flags & FLAG_MASK) == (VERSION | FLAG_REPLY) && h.size == len &&
           receive(v, reply, len, deadline_ns);
}

/* Receives the answer to vhost_user_poll_u64, if one is still to come. */
static bool take_polled(struct vhost_user *v, uint64_t *value, uint64_t deadline_ns)
{
    const enum vhost_user_request request = v->polled;

    v->polled = 0;
    return !request || receive_reply(v, request, value, sizeof *value, deadline_ns);
}

/*
 * Sends a request and, if reply_len isn't 0, awaits its reply, which must be of that length. False,
 * with the connection closed, if there is none or it is not what was asked for.
 */
static bool exchange(struct vhost_user *v, const struct header *header, const void *payload, int fd,
                     void *reply, uint32_t reply_len)
{
    /* DPDK may look at a new connection only after a second. */
    const uint64_t patience = v->answered ? 1 : FIRST_PATIENCE;
    const uint64_t deadline_ns = clock_ns() + patience * netdev_control_timeout_ns;
    uint64_t too_late;

    if (v->socket < 0)
        return false;
    if (take_polled(v, &too_late, deadline_ns) && transmit(v, header, payload, fd, deadline_ns) &&
        (reply_len == 0 || receive_reply(v, (enum vhost_user_request)header->request, reply,
                                         reply_len, deadline_ns))) {
        v->answered |= reply_len > 0;
        return true;
    }
    vhost_user_close(v);
    return false;
}

bool vhost_user_get(struct vhost_user *v, enum vhost_user_request request, const void *payload,
                    uint32_t len, void *reply, uint32_t reply_len)
{
    const struct header header = {request, VERSION, len};

    return exchange(v, &header, payload, -1, reply, reply_len);
}

bool vhost_user_set(struct vhost_user *v, enum vhost_user_request request, const void *payload,
                    uint32_t len, int fd)
{
    const struct header header = {request, VERSION | (v->acks ? FLAG_NEED_REPLY : 0), len};
    uint64_t refused = 0;

    return exchange(v, &header, payload, fd, &refused, v->acks ? sizeof refused : 0) &&
           refused == 0;
}

bool vhost_user_get_u64(struct vhost_user *v, enum vhost_user_request request, uint64_t *value)
{
    return vhost_user_get(v, request, "", 0, value, sizeof *value);
}

bool vhost_user_set_u64(struct vhost_user *v, enum vhost_user_request request, uint64_t value,
                        int fd)
{
    return vhost_user_set(v, request, &value, sizeof value, fd);
}

bool vhost_user_poll_u64(struct vhost_user *v, enum vhost_user_request request, uint64_t *value)
{
    const struct header header = {request, VERSION, 0};
    uint8_t answer[sizeof header + sizeof *value];
    const uint64_t at_once = 0;

    if (v->socket < 0)
        return false;
    if (!v->polled) {
        v->polled = transmit(v, &header, "", -1, at_once) ? request : 0;
        return false;
    }
    if (recv(v->socket, answer, sizeof answer, MSG_PEEK | MSG_DONTWAIT) < (ssize_t)sizeof answer)
        return false; /* whether the connection is gone, vhost_user_connected finds out */
    if (take_polled(v, value, at_once))
        return true;
    vhost_user_close(v);
    return false;
}
