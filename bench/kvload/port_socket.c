/* SPDX-License-Identifier: BSD-2-Clause */
/* port_socket.c - a port of kernel UDP sockets, one a client; whole bursts by sendmmsg, recvmmsg.
 */
#define _GNU_SOURCE
#include "memory.h"
#include "port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* What is around a value in a request, and what value_write writes behind it. */
enum { SOCKET_BUFFER = 4 << 20, AROUND_VALUE = 128 };

struct socket_port {
    struct port port;
    int epoll, *sockets;
    uint32_t count; /* of sockets */
    uint32_t ready_count, ready_next;
    struct epoll_event ready[PORT_BURST];
    struct mmsghdr in[PORT_BURST], out[PORT_BURST];
    struct iovec in_pieces[PORT_BURST], out_pieces[PORT_BURST];
    uint32_t room; /* of a request */
    uint8_t *out_bytes, in_bytes[PORT_BURST][2048];
};

/* The kernel reports an error that isn't that nothing came. */
static void note_error(struct port *port)
{
    if (errno == EAGAIN || errno == EINTR)
        return;
    port->errors++;
    port->error = errno;
}

/* The next socket that has something, in turn. */
static uint32_t receive(struct port *port, struct datagram *in)
{
    struct socket_port *p = (struct socket_port *)port;

    while (true) {
        if (p->ready_next == p->ready_count) {
            int n = epoll_wait(p->epoll, p->ready, PORT_BURST, 0);
            p->ready_next = 0;
            p->ready_count = n > 0 ? (uint32_t)n : 0;
            if (n <= 0)
                return 0;
        }
        uint32_t client = p->ready[p->ready_next++].data.u32;
        int n = recvmmsg(p->sockets[client], p->in, PORT_BURST, MSG_DONTWAIT, NULL);
        if (n < 0)
            note_error(port);
        if (n <= 0)
            continue;
        for (int i = 0; i < n; i++)
            in[i] = (struct datagram){p->in_bytes[i], p->in[i].msg_len, (uint16_t)client};
        return (uint32_t)n;
    }
}

static void release(struct port *port)
{
    (void)port;
}

static uint32_t prepare(struct port *port, struct datagram *out, uint32_t n)
{
    struct socket_port *p = (struct socket_port *)port;

    for (uint32_t i = 0; i < n; i++)
        out[i].bytes = p->out_bytes + i * p->room;
    return n;
}

/* A call for each run of datagrams of one client. */
static void send_all(struct port *port, struct datagram *out, uint32_t n)
{
    struct socket_port *p = (struct socket_port *)port;

    for (uint32_t i = 0; i < n; i++)
        p->out_pieces[i].iov_len = out[i].len;
    for (uint32_t first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && out[end].client == out[first].client;)
            end++;
        for (uint32_t at = first; at < end;) {
            int sent = sendmmsg(p->sockets[out[first].client], p->out + at, end - at, 0);
            /* An error is that of the first datagram, or of an earlier one: the first one is given
             * up. */
            if (sent < 0)
                note_error(port);
            at += sent > 0 ? (uint32_t)sent : 1;
        }
    }
}

static void wait_for_something(struct port *port)
{
    struct socket_port *p = (struct socket_port *)port;
    int n;

    if (p->ready_next < p->ready_count)
        return;
    n = epoll_wait(p->epoll, p->ready, PORT_BURST, 1);
    p->ready_next = 0;
    p->ready_count = n > 0 ? (uint32_t)n : 0;
}

static uint64_t no_room(struct port *port)
{
    struct socket_port *p = (struct socket_port *)port;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < p->count; i++) {
        uint32_t counts[SK_MEMINFO_VARS] = {0};
        socklen_t len = sizeof counts;
        getsockopt(p->sockets[i], SOL_SOCKET, SO_MEMINFO, counts, &len);
        sum += counts[SK_MEMINFO_DROPS];
    }
    return sum;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "kvload: %s: %s.\n", what, strerror(errno));
    exit(3);
}

/* The first address of the server's name: what a connection would be tried to first. */
static struct addrinfo *find_server(const struct options *options)
{
    const struct addrinfo wanted = {.ai_family = options->family, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found;
    char port[8];

    snprintf(port, sizeof port, "%u", options->port);
    int error = getaddrinfo(options->server, port, &wanted, &found);
    if (error) {
        fprintf(stderr, "kvload: --server=%s: %s.\n", options->server, gai_strerror(error));
        exit(2);
    }
    return found;
}

/* Has the server an address of this machine? Then our own is the same, or it is of the loopback. */
static bool is_here(int socket, const struct addrinfo *to)
{
    struct sockaddr_in6 own; /* the longer one */
    socklen_t len = sizeof own;

    if (getsockname(socket, (struct sockaddr *)&own, &len))
        return false;
    if (to->ai_family == AF_INET6)
        return memcmp(&own.sin6_addr, &((struct sockaddr_in6 *)to->ai_addr)->sin6_addr,
                      sizeof own.sin6_addr) == 0;
    const struct in_addr from = ((struct sockaddr_in *)&own)->sin_addr;
    const struct in_addr server = ((struct sockaddr_in *)to->ai_addr)->sin_addr;
    return server.s_addr == from.s_addr || ntohl(server.s_addr) >> 24 == IN_LOOPBACKNET;
}

struct port *port_open_socket(const struct options *options)
{
    struct socket_port *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
    const int bytes = SOCKET_BUFFER;

    if (!p || !(p->sockets = calloc(options->clients, sizeof *p->sockets)))
        die("no memory");
    struct addrinfo *to = find_server(options);
    p->count = options->clients;
    p->port = (struct port){.receive = receive,
                            .release = release,
                            .prepare = prepare,
                            .send = send_all,
                            .wait = wait_for_something,
                            .no_room = no_room};
    p->ready_count = p->ready_next = 0;
    p->epoll = epoll_create1(0);
    p->room = options->sizes.max + AROUND_VALUE;
    p->room = p->room < PORT_PAYLOAD ? PORT_PAYLOAD : p->room;
    p->out_bytes = memory_grow(NULL, (size_t)PORT_BURST * p->room);
    for (uint32_t i = 0; i < options->clients; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        p->sockets[i] = socket(to->ai_family, SOCK_DGRAM, 0);
        if (p->sockets[i] < 0 || connect(p->sockets[i], to->ai_addr, to->ai_addrlen) ||
            epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->sockets[i], &event))
            die("a socket can't be opened");
        /* As large as the system allows; smaller ones only lose more. */
        setsockopt(p->sockets[i], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
        setsockopt(p->sockets[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
    p->port.server_is_here = is_here(p->sockets[0], to);
    freeaddrinfo(to);
    for (uint32_t i = 0; i < PORT_BURST; i++) {
        p->in_pieces[i] = (struct iovec){p->in_bytes[i], sizeof p->in_bytes[i]};
        p->out_pieces[i] = (struct iovec){p->out_bytes + i * p->room, 0};
        p->in[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &p->in_pieces[i], .msg_iovlen = 1}};
        p->out[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &p->out_pieces[i], .msg_iovlen = 1}};
    }
    return &p->port;
}
