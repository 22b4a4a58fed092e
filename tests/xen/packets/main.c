/* SPDX-License-Identifier: BSD-2-Clause */
/* main.c - the options, Ctrl-C, the clock, and which of the programs it is; see packets.h. */
#include "packets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

volatile sig_atomic_t over;

static void on_signal(int number)
{
    (void)number;
    over = 1;
}

_Noreturn void fail(const char *what)
{
    fprintf(stderr, "packets: %s: %s\n", what, strerror(errno));
    exit(1);
}

double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static char **words;

const char *text_of(const char *key, const char *otherwise)
{
    size_t len = strlen(key);

    for (char **word = words; *word; word++)
        if (strncmp(*word, key, len) == 0 && (*word)[len] == '=')
            return *word + len + 1;
    return otherwise;
}

double number_of(const char *key, double otherwise)
{
    const char *text = text_of(key, NULL);
    char *end;

    if (!text)
        return otherwise;
    double value = strtod(text, &end);
    if (*end || end == text || value < 0) {
        fprintf(stderr, "packets: %s=%s is no number\n", key, text);
        exit(2);
    }
    return value;
}

void check_keys(const char *known)
{
    for (char **word = words; *word; word++) {
        char key[32];
        size_t len = strcspn(*word, "=");

        snprintf(key, sizeof key, " %.*s ", (int)len, *word);
        if (!(*word)[len] || !strstr(known, key)) {
            fprintf(stderr, "packets: what is %s? Known are%s\n", *word, known);
            exit(2);
        }
    }
}

void mac_of(const char *key, const char *otherwise, uint8_t *mac)
{
    const char *text = text_of(key, otherwise);

    if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
               &mac[5]) != 6) {
        fprintf(stderr, "packets: %s=%s is no MAC address\n", key, text);
        exit(2);
    }
}

uint32_t ip_of(const char *text)
{
    struct in_addr address;

    if (!inet_aton(text, &address)) {
        fprintf(stderr, "packets: %s is no IPv4 address\n", text);
        exit(2);
    }
    return address.s_addr;
}

int main(int argc, char **argv)
{
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    if (argc >= 3) {
        words = argv + 3;
        if (strcmp(argv[1], "send") == 0)
            return packets_send(argv[2]);
        if (strcmp(argv[1], "sink") == 0)
            return packets_sink(argv[2]);
        if (strcmp(argv[1], "ping") == 0)
            return packets_ping(argv[2]);
        if (strcmp(argv[1], "relay") == 0)
            return packets_relay(argv[2]);
    }
    fprintf(stderr, "usage: packets send|sink INTERFACE, packets ping|relay IP; then KEY=VALUE\n");
    return 2;
}
