/* SPDX-License-Identifier: BSD-2-Clause */
/* options.h - kvload's command line. */
#ifndef KVLOAD_OPTIONS_H
#define KVLOAD_OPTIONS_H

#include "value.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    OPTIONS_MAX_PREFIX = 16,
    OPTIONS_MAX_WINDOW = 8192, /* requests unanswered in one thread: ids have 16 bits */
    OPTIONS_MAX_KEYS = 255,    /* of a get */
    OPTIONS_MAX_WINDOW_KEYS = 1 << 18,
    OPTIONS_MAX_CLIENTS = 1024,
    OPTIONS_MAX_THREADS = 64,
    OPTIONS_MAX_PERCENTILES = 16,
};

struct protocol;

struct options {
    const char *server, *local_ip, *vhost;
    uint16_t port;
    int family; /* AF_INET or AF_INET6, of which the server's address is; 0: either */
    uint64_t seed;
    bool dpdk;
    char **eal; /* EAL's options, behind -- */
    int eal_count;
    uint32_t threads, clients, pipeline; /* clients: in each thread */
    uint32_t sets, gets, deletes;        /* --ratio */
    const struct protocol *protocol;
    uint32_t multi_key_get; /* keys of a get, at most */
    struct value_sizes sizes;
    const char *key_prefix;
    uint64_t key_min, key_max;
    char set_pattern, get_pattern;
    double key_stddev, key_median, zipf_exponent;
    uint64_t requests;  /* of a client; 0: as long as test_time says */
    double test_time_s; /* 0: as many as requests says */
    double rate;        /* requests a second of a client; 0: closed loop */
    uint32_t expiry_min_s, expiry_max_s;
    double percentiles[OPTIONS_MAX_PERCENTILES];
    uint32_t percentile_count;
    const char *json_file, *out_file, *hdr_prefix;
    uint32_t runs;
    bool has_median, hide_histogram, print_all_runs, flush, populate, control, spin;
    uint32_t timeout_ms, connect_timeout_ms;
};

extern const char options_help[];

/* Reads the command line. Ends the program with 2 and a sentence if it is wrong, 0 after --help. */
void options_read(struct options *options, int argc, char **argv);

/* Read what --ratio and --key-pattern say, and end the program likewise. */
void options_ratio(struct options *options, const char *text);
void options_key_pattern(struct options *options, const char *text);

/* Sets options that depend on others, and refuses those that contradict each other. */
void options_complete(struct options *options);

/* Ends the program with 2 and a sentence. */
_Noreturn void options_refuse(const char *text, ...) __attribute__((format(printf, 1, 2)));

#endif
