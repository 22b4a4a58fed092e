/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost_user_fake_test_linux.c - a vhost-user back end in a thread: see vhost_user_fake_test.h. */
#define _GNU_SOURCE
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "netdev/virtio/vhost_user_fake_test.h"

#include <linux/virtio_config.h>

struct back_end back_end;

/* Reads a request and the descriptor that may come with it. */
static bool read_request(struct back_end_message *m, int *fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec data = {m, 12};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof control.space};

    *fd = -1;
    if (recvmsg(back_end.connection, &message, MSG_WAITALL) != 12 || m->size > sizeof m->payload)
        return false;
    if (CMSG_FIRSTHDR(&message))
        memcpy(fd, CMSG_DATA(&control.header), sizeof *fd);
    return m->size == 0 ||
           recv(back_end.connection, &m->payload, m->size, MSG_WAITALL) == (ssize_t)m->size;
}

static void map_memory(const struct back_end_message *m, int fd)
{
    if (back_end.memory)
        munmap(back_end.memory, back_end.memory_len);
    back_end.memory_len = m->payload.table[2];
    back_end.memory = mmap(NULL, back_end.memory_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

/* Is one of the descriptors for kicks readable? */
static bool is_kicked(void)
{
    struct pollfd fds[BACK_END_RINGS];

    for (uint32_t q = 0; q < BACK_END_RINGS; q++)
        fds[q] = (struct pollfd){.fd = back_end.kick[q], .events = POLLIN};
    return poll(fds, BACK_END_RINGS, 0) > 0;
}

/* Makes the reply to a request in its place. False if there is none. */
static bool make_reply(struct back_end_message *m, int fd)
{
    const bool acks = m->flags & 8;
    uint64_t value = 0;

    switch (m->request) {
    case 1:
        value = back_end.features;
        break;
    case 15:
        value = back_end.extensions;
        break;
    case 17:
        value = back_end.pairs;
        break;
    case 40:
        value = back_end.drops_features_ok ? back_end.status & ~8ull : back_end.status;
        value |= load_acquire(&back_end.needs_reset) ? VIRTIO_CONFIG_S_NEEDS_RESET : 0;
        break;
    case 11:
        m->flags |= 4;
        return true;
    default:
        if (m->request == 5)
            map_memory(m, fd);
        if (m->request == 39)
            back_end.status = m->payload.u64;
        if (m->request == 12 && fd >= 0)
            back_end.kick[m->payload.u64 % BACK_END_RINGS] = dup(fd);
        if (m->request == 13 && fd >= 0 && back_end.keeps_call)
            back_end.call = dup(fd);
        if (!acks)
            return false;
        value = m->request == back_end.refuses;
    }
    m->flags = 1 | 4;
    m->size = 8;
    m->payload.u64 = value;
    return true;
}

/* False: closes the connection. */
static bool misbehave(struct back_end_message *m, size_t *len)
{
    *len = 12 + m->size;
    switch (back_end.manner) {
    case CLOSES:
        return false;
    case SILENT:
        *len = 0;
        return true;
    case HALF:
        *len -= 3;
        return true;
    case TOO_LONG:
        m->size += 8;
        *len += 8;
        return true;
    case HUGE:
        m->size = UINT32_MAX;
        return true;
    case OTHER_REQUEST:
        m->request++;
        return true;
    case NO_REPLY_FLAG:
        m->flags &= ~4u;
        return true;
    case VERSION_2:
        m->flags ^= 3;
        return true;
    case REFUSES:
        m->payload.u64 ^= UINT64_MAX;
        return true;
    default:
        return true;
    }
}

static void serve_connection(void)
{
    struct back_end_message m;
    int fd;

    while (read_request(&m, &fd)) {
        int number = back_end.requests++;
        if (!(back_end.status & VIRTIO_CONFIG_S_DRIVER_OK) && back_end.extensions)
            back_end.was_kicked_early |= is_kicked();
        bool bad = number == back_end.bad_at;
        if (number < BACK_END_LOG) {
            back_end.log[number] = m;
            back_end.had_fd[number] = fd >= 0;
        }
        bool replies = make_reply(&m, fd);
        size_t len = 12 + m.size;
        if (fd >= 0)
            close(fd);
        back_end.was_bad |= bad && replies;
        if (bad && !misbehave(&m, &len))
            return;
        if (replies && send(back_end.connection, &m, len, MSG_NOSIGNAL) != (ssize_t)len)
            return;
    }
}

static void *back_end_thread(void *unused)
{
    int connection;

    while ((connection = accept(back_end.listener, NULL, NULL)) >= 0) {
        back_end.connection = connection;
        serve_connection();
        close(connection);
    }
    return unused;
}

void back_end_listen(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, back_end.path, strlen(back_end.path));
    back_end.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(back_end.listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(back_end.listener, 4) == 0);
    CHECK(pthread_create(&back_end.thread, NULL, back_end_thread, NULL) == 0);
}

void back_end_kill(void)
{
    shutdown(back_end.listener, SHUT_RDWR);
    shutdown(back_end.connection, SHUT_RDWR);
    pthread_join(back_end.thread, NULL);
    close(back_end.listener);
    unlink(back_end.path);
    if (back_end.memory)
        munmap(back_end.memory, back_end.memory_len);
    back_end.memory = NULL;
    if (back_end.call >= 0)
        close(back_end.call);
    back_end.call = -1;
    for (uint32_t q = 0; q < BACK_END_RINGS; q++) {
        if (back_end.kick[q] >= 0)
            close(back_end.kick[q]);
        back_end.kick[q] = -1;
    }
}

void back_end_reset(void)
{
    memset(&back_end, 0, sizeof back_end);
    back_end.bad_at = BACK_END_NEVER;
    back_end.connection = back_end.call = -1;
    for (uint32_t q = 0; q < BACK_END_RINGS; q++)
        back_end.kick[q] = -1;
    format(back_end.path, sizeof back_end.path, "/tmp/ringloop-test-%d.sock", getpid());
    unlink(back_end.path);
}
