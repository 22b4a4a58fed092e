/* SPDX-License-Identifier: BSD-2-Clause */
/* options_check.c - what options make of each other, and which contradict each other. */
#include "options.h"
#include "parts.h"
#include "port.h"
#include "protocol.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

void options_refuse(const char *text, ...)
{
    va_list args;

    va_start(args, text);
    fprintf(stderr, "kvload: ");
    vfprintf(stderr, text, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(2);
}

/* Refuses gets of more keys than a request or the window has room for. */
static void check_keys(const struct options *o)
{
    const uint32_t room = PORT_PAYLOAD - PARTS_HEADER;
    const uint32_t key_len =
        (uint32_t)(strlen(o->key_prefix) +
                   (size_t)snprintf(NULL, 0, "%llu", (unsigned long long)o->key_max));
    uint32_t fit = o->multi_key_get;

    while (o->protocol->get_len(fit, key_len) > room)
        fit--;
    if (fit < o->multi_key_get)
        options_refuse(
            "--multi-key-get=%u: a request has at most %u bytes, which is %u keys of %u bytes "
            "in %s.",
            o->multi_key_get, room, fit, key_len, o->protocol->name);
    if (o->clients * o->pipeline * o->multi_key_get > OPTIONS_MAX_WINDOW_KEYS)
        options_refuse("--clients times --pipeline times --multi-key-get is more than %d keys.",
                       OPTIONS_MAX_WINDOW_KEYS);
}

/* What is around a value in a request; a datagram's bytes in a socket's buffer, beside twice its
 * own; and how much surely fits in a buffer of Linux' net.core.rmem_default, as room that was read
 * is given back by the quarter. */
enum { AROUND_VALUE = 75, DATAGRAM_COST = 1024, SERVER_BUFFER = 212992 / 4 * 3 };

/* By default as many threads and clients as memtier has, or fewer: so many that all their requests
 * have room in the server's socket together. */
static void choose_window(struct options *o)
{
    uint32_t request = o->sizes.max + AROUND_VALUE;
    uint32_t fit = SERVER_BUFFER / (DATAGRAM_COST + 2 * request) / o->pipeline;

    if (!o->threads)
        o->threads = o->dpdk || fit == 0 ? 1 : fit < 4 ? fit : 4;
    fit /= o->threads;
    if (!o->clients)
        o->clients = o->dpdk || fit > 50 ? 50 : fit == 0 ? 1 : fit;
}

void options_complete(struct options *o)
{
    o->dpdk = o->vhost || o->eal_count > 0;
    choose_window(o);
    if (!o->server)
        o->server = o->dpdk ? "10.0.2.15" : "127.0.0.1";
    if (o->requests && o->test_time_s > 0)
        options_refuse("--requests and --test-time exclude each other.");
    if (!o->requests && !(o->test_time_s > 0))
        o->requests = 10000;
    if (o->dpdk && o->sizes.max > VALUE_MAX_FRAME)
        options_refuse(
            "A value of %u bytes fits in no Ethernet frame, and a DPDK port can't cut a datagram "
            "into fragments: there values have at most %d bytes. Leave out --vhost and what is "
            "behind -- to ask over sockets, whose values have up to %d.",
            o->sizes.max, VALUE_MAX_FRAME, VALUE_MAX);
    if (o->dpdk && o->family == AF_INET6)
        options_refuse("Over a DPDK port the server has an IPv4 address: leave out --ipv6.");
    if (o->dpdk && o->threads != 1)
        options_refuse("A DPDK port is served by one thread: --threads=1.");
    if (o->key_max < o->key_min || o->key_max - o->key_min + 1 < o->threads)
        options_refuse(
            "--key-maximum is below --key-minimum, or there are fewer keys than threads.");
    if (o->key_max - o->key_min >= UINT32_MAX)
        options_refuse(
            "There are more than 2^32 keys; raise --key-minimum or lower --key-maximum.");
    if (o->has_median && (o->key_median < (double)o->key_min || o->key_median > (double)o->key_max))
        options_refuse("--key-median=%g is none of the keys, which are %llu to %llu.",
                       o->key_median, (unsigned long long)o->key_min,
                       (unsigned long long)o->key_max);
    if (o->key_stddev > (double)(o->key_max - o->key_min + 1))
        options_refuse(
            "--key-stddev=%g is more than there are keys, %llu: say R for keys all alike.",
            o->key_stddev, (unsigned long long)(o->key_max - o->key_min + 1));
    if (o->clients * o->pipeline > OPTIONS_MAX_WINDOW)
        options_refuse("--clients times --pipeline is more than %d.", OPTIONS_MAX_WINDOW);
    if (strlen(o->key_prefix) < 1 || strlen(o->key_prefix) > OPTIONS_MAX_PREFIX)
        options_refuse("--key-prefix has 1 to %d bytes.", OPTIONS_MAX_PREFIX);
    if (strpbrk(o->key_prefix, " \t\r\n"))
        options_refuse("--key-prefix has no white space.");
    check_keys(o);
    if (o->requests == UINT64_MAX) {
        uint64_t clients = (uint64_t)o->threads * o->clients;
        o->requests = (o->key_max - o->key_min + clients) / clients;
    }
}
