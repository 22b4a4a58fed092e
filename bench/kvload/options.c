/* SPDX-License-Identifier: BSD-2-Clause */
/* options.c - kvload's command line, by getopt_long; see options.h. */
#include "options.h"
#include "protocol.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    OPT_VHOST = 256,
    OPT_LOCAL_IP,
    OPT_PIPELINE,
    OPT_TEST_TIME,
    OPT_RATE,
    OPT_RATIO,
    OPT_SIZE_RANGE,
    OPT_SIZE_LIST,
    OPT_EXPIRY,
    OPT_PREFIX,
    OPT_KEY_MIN,
    OPT_KEY_MAX,
    OPT_PATTERN,
    OPT_STDDEV,
    OPT_MEDIAN,
    OPT_ZIPF,
    OPT_MULTI_KEY_GET,
    OPT_PERCENTILES,
    OPT_JSON,
    OPT_HIDE,
    OPT_ALL_RUNS,
    OPT_NOTHING,
    OPT_RANDOMIZE,
    OPT_HDR,
    OPT_FLUSH,
    OPT_POPULATE,
    OPT_CONTROL,
    OPT_TIMEOUT,
    OPT_CONNECT,
    OPT_SPIN,
    OPT_HELP,
};

static const struct option table[] = {
    {"server", 1, NULL, 's'},
    {"host", 1, NULL, 's'},
    {"ipv4", 0, NULL, '4'},
    {"ipv6", 0, NULL, '6'},
    {"port", 1, NULL, 'p'},
    {"threads", 1, NULL, 't'},
    {"clients", 1, NULL, 'c'},
    {"requests", 1, NULL, 'n'},
    {"data-size", 1, NULL, 'd'},
    {"vhost", 1, NULL, OPT_VHOST},
    {"local-ip", 1, NULL, OPT_LOCAL_IP},
    {"pipeline", 1, NULL, OPT_PIPELINE},
    {"test-time", 1, NULL, OPT_TEST_TIME},
    {"rate-limiting", 1, NULL, OPT_RATE},
    {"ratio", 1, NULL, OPT_RATIO},
    {"data-size-range", 1, NULL, OPT_SIZE_RANGE},
    {"data-size-list", 1, NULL, OPT_SIZE_LIST},
    {"expiry-range", 1, NULL, OPT_EXPIRY},
    {"key-prefix", 1, NULL, OPT_PREFIX},
    {"key-minimum", 1, NULL, OPT_KEY_MIN},
    {"key-maximum", 1, NULL, OPT_KEY_MAX},
    {"key-pattern", 1, NULL, OPT_PATTERN},
    {"key-stddev", 1, NULL, OPT_STDDEV},
    {"key-median", 1, NULL, OPT_MEDIAN},
    {"key-zipf-exp", 1, NULL, OPT_ZIPF},
    {"multi-key-get", 1, NULL, OPT_MULTI_KEY_GET},
    {"print-percentiles", 1, NULL, OPT_PERCENTILES},
    {"json-out-file", 1, NULL, OPT_JSON},
    {"hide-histogram", 0, NULL, OPT_HIDE},
    {"protocol", 1, NULL, 'P'},
    {"random-data", 0, NULL, 'R'},
    {"randomize", 0, NULL, OPT_RANDOMIZE},
    {"distinct-client-seed", 0, NULL, OPT_NOTHING},
    {"run-count", 1, NULL, 'x'},
    {"print-all-runs", 0, NULL, OPT_ALL_RUNS},
    {"out-file", 1, NULL, 'o'},
    {"hdr-file-prefix", 1, NULL, OPT_HDR},
    {"flush", 0, NULL, OPT_FLUSH},
    {"populate", 0, NULL, OPT_POPULATE},
    {"control", 0, NULL, OPT_CONTROL},
    {"timeout-ms", 1, NULL, OPT_TIMEOUT},
    {"connect-timeout-ms", 1, NULL, OPT_CONNECT},
    {"spin", 0, NULL, OPT_SPIN},
    {"help", 0, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static uint64_t whole(const char *name, const char *text, uint64_t min, uint64_t max)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || number < min || number > max)
        options_refuse("--%s is a number from %llu to %llu, not '%s'.", name,
                       (unsigned long long)min, (unsigned long long)max, text);
    return number;
}

static double real(const char *name, const char *text, double above)
{
    char *end;
    double number = strtod(text, &end);

    if (end == text || *end || !(number > above) || number > 1e15)
        options_refuse("--%s is a number above %g, not '%s'.", name, above, text);
    return number;
}

static void read_range(const char *name, const char *text, uint32_t max, uint32_t *from,
                       uint32_t *to)
{
    int end = 0;

    if (sscanf(text, "%u-%u%n", from, to, &end) != 2 || text[end] || *from > *to || *to > max)
        options_refuse("--%s is two numbers such as 10-20, the second at most %u, not '%s'.", name,
                       max, text);
}

static void read_size_list(struct value_sizes *sizes, const char *text)
{
    uint32_t weights[VALUE_MAX_SIZES];
    double total = 0, sum = 0;
    int end = 0;

    *sizes = (struct value_sizes){.min = VALUE_MAX};
    do {
        uint32_t n = sizes->count, len;
        if (n == VALUE_MAX_SIZES ||
            sscanf(text, "%u:%u%n", &len, &weights[n < VALUE_MAX_SIZES ? n : 0], &end) != 2 ||
            (text[end] != ',' && text[end]) || len > VALUE_MAX || weights[n] == 0)
            options_refuse(
                "--data-size-list is up to %d sizes of at most %d with weights: 32:70,1024:30.",
                VALUE_MAX_SIZES, VALUE_MAX);
        sizes->entries[sizes->count++].len = len;
        sizes->min = len < sizes->min ? len : sizes->min;
        sizes->max = len > sizes->max ? len : sizes->max;
        total += weights[n];
        text += end;
    } while (*text++ == ',');
    for (uint32_t i = 0; i < sizes->count; i++) {
        sum += weights[i];
        sizes->entries[i].below = (uint32_t)(sum / total * UINT32_MAX);
    }
}

static void read_percentiles(struct options *o, const char *text)
{
    char *end;

    o->percentile_count = 0;
    do {
        double percent = strtod(text, &end);
        if (end == text || (*end && *end != ',') || !(percent > 0 && percent <= 100) ||
            o->percentile_count == OPTIONS_MAX_PERCENTILES)
            options_refuse(
                "--print-percentiles is up to %d numbers above 0, at most 100: 50,99,99.9.",
                OPTIONS_MAX_PERCENTILES);
        o->percentiles[o->percentile_count++] = percent;
        text = end + 1;
    } while (*end);
}

void options_ratio(struct options *o, const char *text)
{
    int end = 0, more = 0;

    o->deletes = 0;
    if (sscanf(text, "%u:%u%n:%u%n", &o->sets, &o->gets, &end, &o->deletes, &more) < 2 ||
        text[more ? more : end] || o->sets > 1000000 || o->gets > 1000000 || o->deletes > 1000000 ||
        o->sets + o->gets + o->deletes == 0)
        options_refuse("--ratio is sets to gets, such as 1:10, or to deletes, too: 10:89:1.");
}

void options_key_pattern(struct options *o, const char *text)
{
    if (strlen(text) != 3 || text[1] != ':' || !strchr("RSGZP", text[0]) ||
        !strchr("RSGZP", text[2]))
        options_refuse("--key-pattern is two letters of R, S, G, Z, P, such as R:R.");
    o->set_pattern = text[0];
    o->get_pattern = text[2];
}

static bool read_more(struct options *o, int option, const char *name);

/* The options on where to, how many and how long. False if it is none of these. */
static bool read_load(struct options *o, int option, const char *name)
{
    switch (option) {
    case 's':
    case 'h':
        o->server = optarg;
        return true;
    case '4':
        o->family = AF_INET;
        return true;
    case '6':
        o->family = AF_INET6;
        return true;
    case 'p':
        o->port = (uint16_t)whole("port", optarg, 1, UINT16_MAX);
        return true;
    case 't':
        o->threads = (uint32_t)whole("threads", optarg, 1, OPTIONS_MAX_THREADS);
        return true;
    case 'c':
        o->clients = (uint32_t)whole("clients", optarg, 1, OPTIONS_MAX_CLIENTS);
        return true;
    case 'n':
        o->requests =
            strcmp(optarg, "allkeys") ? whole("requests", optarg, 1, UINT64_MAX / 2) : UINT64_MAX;
        return true;
    case 'd':
        o->sizes = (struct value_sizes){.min = (uint32_t)whole("data-size", optarg, 0, VALUE_MAX)};
        o->sizes.max = o->sizes.min;
        return true;
    case OPT_VHOST:
        o->vhost = optarg;
        return true;
    case OPT_LOCAL_IP:
        o->local_ip = optarg;
        return true;
    case OPT_PIPELINE:
        o->pipeline = (uint32_t)whole(name, optarg, 1, OPTIONS_MAX_WINDOW);
        return true;
    case OPT_TEST_TIME:
        o->test_time_s = real(name, optarg, 0);
        return true;
    case OPT_RATE:
        o->rate = real(name, optarg, 0);
        return true;
    default:
        return read_more(o, option, name);
    }
}

/* The options on requests and keys. */
static bool read_more(struct options *o, int option, const char *name)
{
    switch (option) {
    case OPT_RATIO:
        options_ratio(o, optarg);
        return true;
    case OPT_SIZE_RANGE:
        o->sizes = (struct value_sizes){0};
        read_range(name, optarg, VALUE_MAX, &o->sizes.min, &o->sizes.max);
        return true;
    case OPT_SIZE_LIST:
        read_size_list(&o->sizes, optarg);
        return true;
    case OPT_EXPIRY:
        read_range(name, optarg, 30 * 86400, &o->expiry_min_s, &o->expiry_max_s);
        return true;
    case OPT_PREFIX:
        o->key_prefix = optarg;
        return true;
    case OPT_KEY_MIN:
        o->key_min = whole(name, optarg, 0, UINT64_MAX / 2);
        return true;
    case OPT_KEY_MAX:
        o->key_max = whole(name, optarg, 0, UINT64_MAX / 2);
        return true;
    case OPT_PATTERN:
        options_key_pattern(o, optarg);
        return true;
    case OPT_STDDEV:
        o->key_stddev = real(name, optarg, 0);
        return true;
    case OPT_MEDIAN:
        o->key_median = real(name, optarg, -1);
        o->has_median = true;
        return true;
    case OPT_MULTI_KEY_GET: /* 0: as 1 */
        o->multi_key_get = (uint32_t)whole(name, optarg, 0, OPTIONS_MAX_KEYS);
        o->multi_key_get += o->multi_key_get == 0;
        return true;
    case OPT_ZIPF:
        o->zipf_exponent = real(name, optarg, 0);
        return true;
    default:
        return false;
    }
}

static void read_rest(struct options *o, int option, const char *name)
{
    switch (option) {
    case OPT_PERCENTILES:
        read_percentiles(o, optarg);
        break;
    case OPT_JSON:
        o->json_file = optarg;
        break;
    case OPT_HIDE:
        o->hide_histogram = true;
        break;
    case 'P':
        o->protocol = strcmp(optarg, protocol_binary.name) ? &protocol_text : &protocol_binary;
        if (strcmp(optarg, o->protocol->name) != 0)
            options_refuse("--protocol is %s or %s, either asked over UDP, not '%s'.",
                           protocol_text.name, protocol_binary.name, optarg);
        break;
    case OPT_RANDOMIZE:
        o->seed = (uint64_t)time(NULL) << 32 | (uint32_t)getpid();
        break;
    case 'R':
    case OPT_NOTHING: /* what memtier is told by it is so in any case */
        break;
    case 'x':
        o->runs = (uint32_t)whole("run-count", optarg, 1, 1000);
        break;
    case OPT_ALL_RUNS:
        o->print_all_runs = true;
        break;
    case 'o':
        o->out_file = optarg;
        break;
    case OPT_HDR:
        o->hdr_prefix = optarg;
        break;
    case OPT_FLUSH:
        o->flush = true;
        break;
    case OPT_POPULATE:
        o->populate = true;
        break;
    case OPT_CONTROL:
        o->control = true;
        break;
    case OPT_TIMEOUT:
        o->timeout_ms = (uint32_t)whole(name, optarg, 1, 600000);
        break;
    case OPT_CONNECT:
        o->connect_timeout_ms = (uint32_t)whole(name, optarg, 1, 600000);
        break;
    case OPT_SPIN:
        o->spin = true;
        break;
    case OPT_HELP:
        fputs(options_help, stdout);
        exit(0);
    default:
        fprintf(stderr, "kvload --help tells the options.\n");
        exit(2);
    }
}

void options_read(struct options *o, int argc, char **argv)
{
    int option, index;

    *o = (struct options){.port = 11211,
                          .seed = 0x6b766c6f6164,
                          .pipeline = 1,
                          .runs = 1,
                          .protocol = &protocol_text,
                          .multi_key_get = 1,
                          .sets = 1,
                          .gets = 10,
                          .sizes = {.min = 32, .max = 32},
                          .key_prefix = "memtier-",
                          .key_max = 10000000,
                          .set_pattern = 'R',
                          .get_pattern = 'R',
                          .zipf_exponent = 1,
                          .percentiles = {50, 99, 99.9},
                          .percentile_count = 3,
                          .timeout_ms = 5000,
                          .connect_timeout_ms = 10000};
    for (;;) {
        index = -1;
        option = getopt_long(argc, argv, "s:h:p:P:t:c:n:d:x:o:46R", table, &index);
        if (option == -1)
            break;
        const char *name = index >= 0 ? table[index].name : "";
        if (!read_load(o, option, name))
            read_rest(o, option, name);
    }
    if (optind < argc && strcmp(argv[optind - 1], "--") != 0)
        options_refuse("'%s' is no option; kvload --help tells them.", argv[optind]);
    o->eal = argv + optind;
    o->eal_count = argc - optind;
    options_complete(o);
}
