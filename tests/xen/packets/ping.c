/* SPDX-License-Identifier: BSD-2-Clause */
/* ping.c - ICMP echo, one at a time, each answer compared to the byte. */
#include "packets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "netbuf/checksum.h"

enum { PINGS_MAX = 1000000 };

struct echo {
    uint8_t type, code;
    uint16_t checksum, identifier, sequence;
    uint8_t data[65000];
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Waits for the answer to `asked`: 1 if it came, -1 if it came with other bytes, 0 if not in time.
 */
static int answer(int fd, const struct echo *asked, size_t size, double end)
{
    static uint8_t raw[66000];

    for (;;) {
        double left = end - seconds();
        struct pollfd in = {.fd = fd, .events = POLLIN};
        struct timespec wait = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};

        if (left <= 0 || over || ppoll(&in, 1, &wait, NULL) <= 0)
            return 0;
        ssize_t len = recv(fd, raw, sizeof raw, MSG_DONTWAIT);
        size_t head = len > 20 ? (size_t)(raw[0] & 15) * 4 : 0;
        const struct echo *e = (const struct echo *)(raw + head);
        if (head < 20 || (size_t)len < head + 8 || e->type != 0 ||
            e->identifier != asked->identifier || e->sequence != asked->sequence)
            continue;
        if ((size_t)len == head + 8 + size && memcmp(e->data, asked->data, size) == 0)
            return 1;
        size_t came = (size_t)len - head - 8, at = 0;
        while (at < came && at < size && e->data[at] == asked->data[at])
            at++;
        fprintf(stderr, "packets: echo %u: sent %zu bytes, got %zu, first difference at %zu\n",
                ntohs(asked->sequence), size, came, at);
        return -1;
    }
}

int packets_ping(const char *address)
{
    check_keys(" count size to deadline first lossy ");
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = ip_of(address)};
    size_t from_size = (size_t)number_of("size", 56), to_size = (size_t)number_of("to", 0);
    size_t sizes = to_size > from_size ? to_size - from_size + 1 : 1, size = from_size;
    uint64_t count = (uint64_t)number_of("count", sizes > 1 ? (double)sizes : 100);
    bool until_first = number_of("first", 0) != 0;
    bool lossy = until_first || number_of("lossy", 0) != 0;
    double deadline = number_of("deadline", until_first ? 0.001 : 1), start = seconds();
    uint64_t sent = 0, received = 0, wrong = 0, limit = until_first ? PINGS_MAX : count;
    static struct echo echo;
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    double *times = calloc(PINGS_MAX, sizeof *times), sum = 0;

    if (fd < 0 || !times)
        fail("socket");
    if (limit > PINGS_MAX || from_size + sizes > sizeof echo.data) {
        fprintf(stderr, "packets: too many or too long\n");
        free(times);
        return 2;
    }
    for (size_t i = 0; i < sizeof echo.data; i++)
        echo.data[i] = (uint8_t)(i * 7 + (i >> 8));
    echo.type = 8;
    echo.identifier = (uint16_t)getpid();
    printf("packets: pinging\n");
    fflush(stdout);
    for (; sent < limit && !over && !(until_first && received); sent++) {
        size = from_size + sent % sizes;
        echo.sequence = htons((uint16_t)sent);
        echo.checksum = 0;
        echo.checksum = csum_finish(csum_add(0, &echo, 8 + size));
        double before = seconds();
        if (sendto(fd, &echo, 8 + size, 0, (struct sockaddr *)&to, sizeof to) < 0 && !lossy)
            fail("sendto");
        int came = answer(fd, &echo, size, before + deadline);
        if (came > 0 && received == 0) {
            printf("packets: answered\n");
            fflush(stdout);
        }
        if (came > 0)
            sum += times[received++] = (seconds() - before) * 1e6;
        wrong += came < 0;
    }
    qsort(times, received, sizeof *times, by_value);
    uint64_t n = received ? received : 1;
    printf("{\"sent\":%lu,\"received\":%lu,\"wrong\":%lu,\"seconds\":%.4f,\"min_us\":%.1f,"
           "\"avg_us\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
           sent, received, wrong, seconds() - start, times[0], sum / (double)n, times[n / 2],
           times[n * 99 / 100], times[n - 1]);
    return received == 0 || wrong;
}
