/* SPDX-License-Identifier: BSD-2-Clause */
/* relay.c - lets somebody outside ask a guest as if from dom0: datagrams go on from here, and the
 * answers back to whoever asked last. */
#include "packets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int udp_socket(int family)
{
    int fd = socket(family, SOCK_DGRAM, 0);

    if (fd < 0)
        fail("socket");
    return fd;
}

/* A socket that speaks with this address alone, which is of IPv6 if there is a colon in it. */
static int connected_socket(const char *address, uint16_t port)
{
    struct sockaddr_in guest = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 guest6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    const bool ip6 = strchr(address, ':');
    int fd = udp_socket(ip6 ? AF_INET6 : AF_INET);

    if (ip6 && inet_pton(AF_INET6, address, &guest6.sin6_addr) != 1) {
        fprintf(stderr, "packets: %s is no IPv6 address\n", address);
        exit(2);
    }
    if (!ip6)
        guest.sin_addr.s_addr = ip_of(address);
    if (ip6 ? connect(fd, (struct sockaddr *)&guest6, sizeof guest6)
            : connect(fd, (struct sockaddr *)&guest, sizeof guest))
        fail(address);
    return fd;
}

int packets_relay(const char *address)
{
    check_keys(" port listen ");
    struct sockaddr_in here = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)number_of("listen", 11211)),
    };
    struct sockaddr_in client = {.sin_family = AF_UNSPEC};
    const uint16_t port = (uint16_t)number_of("port", 11211);
    struct pollfd in[2] = {{.fd = udp_socket(AF_INET), .events = POLLIN},
                           {.fd = connected_socket(address, port), .events = POLLIN}};
    static char data[65536];

    if (bind(in[0].fd, (struct sockaddr *)&here, sizeof here))
        fail("bind");
    printf("packets: relaying\n");
    fflush(stdout);
    while (!over) {
        socklen_t size = sizeof client;
        ssize_t len;

        if (poll(in, 2, -1) < 0)
            continue;
        if (in[0].revents && (len = recvfrom(in[0].fd, data, sizeof data, MSG_DONTWAIT,
                                             (struct sockaddr *)&client, &size)) >= 0)
            send(in[1].fd, data, (size_t)len, 0);
        if (in[1].revents && (len = recv(in[1].fd, data, sizeof data, MSG_DONTWAIT)) >= 0)
            sendto(in[0].fd, data, (size_t)len, 0, (struct sockaddr *)&client, sizeof client);
    }
    return 0;
}
