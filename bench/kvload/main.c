/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kvload - loads a memcached over UDP in the manner of memtier_benchmark, checks every byte of
 * every answer, and measures. `kvload --help` tells the options, bench/README.md the rest.
 */
#include "progress.h"
#include "report.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

static struct options options;

struct thread {
    pthread_t id;
    struct load load;
    struct load_run run;
};

static double unix_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Cycles of the counter a second, over 50 ms. */
static uint64_t count_cycles_hz(void)
{
    struct timespec a, b;
    double seconds;

    clock_gettime(CLOCK_MONOTONIC, &a);
    uint64_t start = load_cycles();
    do {
        clock_gettime(CLOCK_MONOTONIC, &b);
        seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
    } while (seconds < 0.05);
    return (uint64_t)((double)(load_cycles() - start) / seconds);
}

static void *run_thread(void *argument)
{
    struct thread *thread = argument;

    load_run(&thread->load, &thread->run);
    return NULL;
}

/* The first Ctrl-C ends the run in order, a second one the program. */
static void interrupt(int number)
{
    load_stop = 1;
    signal(number, SIG_DFL);
}

/* Runs all threads; the first one is this thread. */
static void run_all(struct thread *threads, const struct load_run *run, struct report *report)
{
    const struct load *loads[OPTIONS_MAX_THREADS];
    struct port *port = threads[0].load.port;

    bool told = server_stats_ask(port, &report->before);
    report->start_unix_ms = unix_ms();
    for (uint32_t i = 0; i < options.threads; i++) {
        threads[i].run = *run;
        loads[i] = &threads[i].load;
        memset(&threads[i].load.result, 0, sizeof threads[i].load.result);
    }
    if (!options.control)
        progress_begin(loads, options.threads, run->populate ? "populate" : "run");
    for (uint32_t i = 1; i < options.threads; i++) {
        if (pthread_create(&threads[i].id, NULL, run_thread, &threads[i])) {
            fprintf(stderr, "kvload: no thread can be started.\n");
            exit(3);
        }
    }
    run_thread(&threads[0]);
    for (uint32_t i = 1; i < options.threads; i++)
        pthread_join(threads[i].id, NULL);
    if (!options.control)
        progress_end();
    report->finish_unix_ms = unix_ms();
    report->after.count = 0;
    if (told) /* without the first ones they would tell of all time */
        server_stats_ask(port, &report->after);
    memset(&report->result, 0, sizeof report->result);
    report->foreign = 0;
    report->losses = (struct losses){0};
    for (uint32_t i = 0; i < options.threads; i++) {
        report_add(&report->result, &threads[i].load.result);
        report->foreign += threads[i].load.port->foreign;
        losses_add(&report->losses, &options, threads[i].load.port);
    }
    report_seconds(report, loads);
}

/* --control: runs as standard input says. Returns whether all answers were right. */
static bool run_controlled(struct thread *threads, struct report *report)
{
    char line[128], ratio[64], pattern[64];
    bool right = true;

    printf("ready\n");
    fflush(stdout);
    while (!load_stop && fgets(line, sizeof line, stdin)) {
        double seconds, rate = 0;
        int words = sscanf(line, "%lf %lf %63s %63s", &seconds, &rate, ratio, pattern);
        if (words < 1 || !(seconds > 0 && seconds <= 1e6) || !(rate >= 0 && rate <= 1e15)) {
            line[strcspn(line, "\n")] = 0;
            fprintf(stderr,
                    "kvload: a run is SECONDS [RATE], up to 1e6 and 1e15, and may have a ratio "
                    "and a key pattern behind them, not '%s'.\n",
                    line);
            exit(2);
        }
        if (words > 2)
            options_ratio(&options, ratio);
        if (words > 3)
            options_key_pattern(&options, pattern);
        for (uint32_t i = 0; words > 2 && i < options.threads; i++)
            load_ask(&threads[i].load);
        struct load_run run = {
            .count = UINT64_MAX, .time_s = seconds, .rate = rate / options.threads};
        run_all(threads, &run, report);
        report_json(stdout, report);
        fflush(stdout);
        right &= report->result.wrong == 0;
    }
    return right;
}

static FILE *open_file(const char *name)
{
    FILE *file = fopen(name, "w");

    if (!file) {
        fprintf(stderr, "kvload: %s can't be written.\n", name);
        exit(2);
    }
    return file;
}

static double ops_a_second(const struct report *report)
{
    uint64_t count = 0;

    for (int k = 0; k < LOAD_KINDS; k++)
        count += report->result.kinds[k].count;
    return report->result.seconds > 0 ? (double)count / report->result.seconds : 0;
}

/* The runs' tables as memtier prints them, and what came of all. */
static void tell(FILE *file, const struct report *runs, uint32_t count, const struct report *all)
{
    const struct report *best = runs, *worst = runs;
    char title[64];

    report_head(file, &options);
    for (uint32_t i = 0; i < count; i++) {
        best = ops_a_second(&runs[i]) > ops_a_second(best) ? &runs[i] : best;
        worst = ops_a_second(&runs[i]) < ops_a_second(worst) ? &runs[i] : worst;
        snprintf(title, sizeof title, "RUN #%u RESULTS", i + 1);
        if (count > 1 && options.print_all_runs)
            report_table(file, &runs[i], title);
    }
    if (count > 1) {
        report_table(file, best, "BEST RUN RESULTS");
        report_table(file, worst, "WORST RUN RESULTS");
        snprintf(title, sizeof title, "AGGREGATED AVERAGE RESULTS (%u runs)", count);
    }
    report_table(file, all, count > 1 ? title : "ALL STATS");
    report_end(file, all);
}

/* All runs as one, which lasts as long as they together. */
static void add_runs(struct report *all, const struct report *runs, uint32_t count)
{
    double seconds = 0;

    *all = runs[count - 1];
    all->before = runs[0].before;
    all->start_unix_ms = runs[0].start_unix_ms;
    for (uint32_t i = 0; i + 1 < count; i++)
        report_add(&all->result, &runs[i].result);
    for (uint32_t i = 0; i < count; i++)
        seconds += runs[i].result.seconds;
    all->result.seconds = seconds;
}

int main(int argc, char **argv)
{
    static struct report first, all;
    bool right = true;

    options_read(&options, argc, argv);
    sigaction(SIGINT, &(struct sigaction){.sa_handler = interrupt},
              NULL); /* ends --control's wait */
    FILE *out = options.out_file ? open_file(options.out_file) : stdout;
    FILE *json = options.json_file ? open_file(options.json_file) : NULL;
    struct thread *threads = calloc(options.threads, sizeof *threads);
    struct report *runs = calloc(options.runs, sizeof *runs);
    uint64_t hz = count_cycles_hz();
    for (uint32_t i = 0; threads && i < options.threads; i++)
        load_init(&threads[i].load, &options,
                  options.dpdk ? port_open_dpdk(&options) : port_open_socket(&options), i, hz);
    if (!threads || !runs || !server_wait(threads[0].load.port, options.connect_timeout_ms)) {
        fprintf(stderr, "kvload: %s:%u doesn't answer. Is a memcached with -U there?\n",
                options.server, options.port);
        return 3;
    }
    losses_begin(&options, threads[0].load.port);
    first = (struct report){
        .options = &options, .cycles_hz = (double)hz, .first_answer_unix_ms = unix_ms()};
    if (options.flush && !server_flush(threads[0].load.port)) {
        fprintf(stderr, "kvload: %s:%u doesn't answer flush_all with OK, as --flush wants.\n",
                options.server, options.port);
        return 3;
    }
    if (options.populate) {
        struct load_run run = {.populate = true};
        run_all(threads, &run, &first);
        right = first.result.wrong == 0;
        if (first.result.timeouts > 0) {
            fprintf(stderr, "kvload: --populate didn't store all keys.\n");
            losses_tell(stderr, &first);
        }
    }
    if (options.control)
        return !run_controlled(threads, &first) || !right ? 1 : load_stop ? 130 : 0;
    struct load_run run = {.count =
                               options.requests ? options.requests * options.clients : UINT64_MAX,
                           .time_s = options.test_time_s,
                           .rate = options.rate * options.clients};
    uint32_t count = 0;
    do {
        runs[count] = first;
        runs[count].seconds = NULL;
        run_all(threads, &run, &runs[count++]);
    } while (count < options.runs && !load_stop);
    add_runs(&all, runs, count);
    tell(out, runs, count, &all);
    if (json)
        report_json(json, &all);
    if (fclose(out) != 0 || (json && fclose(json) != 0)) {
        fprintf(stderr, "kvload: what was measured can't be written.\n");
        return 2;
    }
    for (uint32_t i = 0; options.hdr_prefix && i < count; i++)
        if (!report_hgrm(&runs[i], options.hdr_prefix, i + 1))
            return 2;
    right &= all.result.wrong == 0;
    return !right ? 1 : load_stop ? 130 : 0;
}
