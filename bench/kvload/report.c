/* SPDX-License-Identifier: BSD-2-Clause */
/* report.c - see report.h. */
#include "report.h"
#include "memory.h"

#include <math.h>

static const char rule[] = "---------------------------------------------------------------------";

void report_add(struct load_result *total, const struct load_result *one)
{
    for (int k = 0; k < LOAD_KINDS; k++) {
        struct load_tally *to = &total->kinds[k];
        const struct load_tally *from = &one->kinds[k];
        to->count += from->count;
        to->hits += from->hits;
        to->misses += from->misses;
        to->bytes += from->bytes;
        histogram_merge(&to->latency, &from->latency);
    }
    total->sent += one->sent;
    total->timeouts += one->timeouts;
    total->late += one->late;
    if (one->latest_cycles > total->latest_cycles)
        total->latest_cycles = one->latest_cycles;
    total->wrong += one->wrong;
    total->busy_cycles += one->busy_cycles;
    total->cycles += one->cycles;
    total->seconds = fmax(total->seconds, one->seconds);
}

static void add_totals(const struct report *report, struct load_tally *totals)
{
    struct load_result all = {0}, one = {0};

    for (int k = 0; k < LOAD_KINDS; k++) {
        one.kinds[0] = report->result.kinds[k];
        report_add(&all, &one);
    }
    *totals = all.kinds[0];
}

static double a_second(const struct report *report, uint64_t count)
{
    return report->result.seconds > 0 ? (double)count / report->result.seconds : 0;
}

static double mean_ms(const struct histogram *h)
{
    return h->count ? (double)h->sum / (double)h->count / 1e6 : 0;
}

/* Of the buckets' tops, as HdrHistogram has it. */
static double deviation_ms(const struct histogram *h)
{
    double squares = 0;

    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && h->count > 0; i++) {
        const double off = (double)histogram_top(i) / 1e6 - mean_ms(h);
        squares += h->buckets[i] ? (double)h->buckets[i] * off * off : 0;
    }
    return h->count ? sqrt(squares / (double)h->count) : 0;
}

static double percentile_ms(const struct histogram *h, double percent)
{
    return (double)histogram_percentile(h, percent) / 1e6;
}

static void print_rule(FILE *file, uint32_t percentiles)
{
    fprintf(file, "%.67s", rule);
    for (uint32_t i = 0; i <= percentiles; i++)
        fprintf(file, "%.16s", rule);
    fprintf(file, "\n");
}

static void table_row(FILE *file, const struct report *report, const char *name,
                      const struct load_tally *tally, bool hits)
{
    const struct options *o = report->options;

    fprintf(file, "%-10s %12.2f ", name, a_second(report, tally->count));
    if (hits)
        fprintf(file, "%12.2f %12.2f ", a_second(report, tally->hits),
                a_second(report, tally->misses));
    else
        fprintf(file, "%12s %12s ", "---", "---");
    fprintf(file, "%15.5f ", mean_ms(&tally->latency));
    for (uint32_t i = 0; i < o->percentile_count; i++)
        fprintf(file, "%15.5f ", percentile_ms(&tally->latency, o->percentiles[i]));
    fprintf(file, "%12.2f\n", a_second(report, tally->bytes) / 1024);
}

/* memtier's distribution: how many per cent took at most so long, a line a step. */
static void print_histogram(FILE *file, const struct report *report)
{
    static const char *const names[] = {"SET", "GET", "DELETE"};

    fprintf(file, "\n\nRequest Latency Distribution\n%-10s %15s %12s\n%.40s\n", "Type", "<= msec",
            "Percent", rule);
    for (int k = 0; k < LOAD_KINDS; k++) {
        const struct histogram *h = &report->result.kinds[k].latency;
        uint64_t seen = 0;
        double shown = 0;
        for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && h->count > 0; i++) {
            seen += h->buckets[i];
            double percent = 100. * (double)seen / (double)h->count;
            if (h->buckets[i] == 0 || (seen < h->count && percent - shown < (100 - shown) / 10))
                continue;
            shown = percent;
            uint64_t top = histogram_top(i);
            fprintf(file, "%-10s %15.5f %12.3f\n", names[k],
                    (double)(top < h->max ? top : h->max) / 1e6, percent);
        }
        if (h->count > 0)
            fprintf(file, "---\n");
    }
}

static double busy_share(const struct report *report)
{
    const struct load_result *r = &report->result;
    return r->cycles ? (double)r->busy_cycles / (double)r->cycles : 0;
}

double report_grown(const struct report *report, const char *name)
{
    if (server_stats_began_anew(&report->before, &report->after))
        return 0;
    return server_stats_get(&report->after, name) - server_stats_get(&report->before, name);
}

/* The share of time in which a polling server had no packets, from its stats; -1 if they don't
 * tell, or tell what can't be. */
static double server_idle_share(const struct report *report)
{
    double all = report_grown(report, "cycles_total"), busy = report_grown(report, "cycles_busy");
    return all > 0 && busy >= 0 && busy <= all ? 1 - busy / all : -1;
}

void report_head(FILE *file, const struct options *o)
{
    fprintf(file, "%-9u Threads\n%-9u Connections per thread\n", o->threads, o->clients);
    if (o->requests)
        fprintf(file, "%-9llu Requests per client\n", (unsigned long long)o->requests);
    else
        fprintf(file, "%-9.10g Seconds\n", o->test_time_s);
}

void report_table(FILE *file, const struct report *report, const char *title)
{
    const struct options *o = report->options;
    const struct load_result *r = &report->result;
    struct load_tally totals;
    char name[32];

    add_totals(report, &totals);
    fprintf(file, "\n\n%s\n", title);
    print_rule(file, o->percentile_count);
    fprintf(file, "%-10s %12s %12s %12s %15s ", "Type", "Ops/sec", "Hits/sec", "Misses/sec",
            "Avg. Latency");
    for (uint32_t i = 0; i < o->percentile_count; i++) {
        snprintf(name, sizeof name, "p%g Latency", o->percentiles[i]);
        fprintf(file, "%15s ", name);
    }
    fprintf(file, "%12s\n", "KB/sec");
    print_rule(file, o->percentile_count);
    table_row(file, report, "Sets", &r->kinds[LOAD_SET], false);
    table_row(file, report, "Gets", &r->kinds[LOAD_GET], true);
    if (o->deletes)
        table_row(file, report, "Deletes", &r->kinds[LOAD_DELETE], true);
    totals.hits = r->kinds[LOAD_GET].hits;
    totals.misses = r->kinds[LOAD_GET].misses;
    table_row(file, report, "Totals", &totals, true);
}

void report_end(FILE *file, const struct report *report)
{
    const struct load_result *r = &report->result;
    struct load_tally totals;

    add_totals(report, &totals);
    if (!report->options->hide_histogram)
        print_histogram(file, report);
    fprintf(file,
            "\n%llu requests sent, %llu answered, %llu wrong, %llu timeouts, %llu late answers.\n",
            (unsigned long long)r->sent, (unsigned long long)totals.count,
            (unsigned long long)r->wrong, (unsigned long long)r->timeouts,
            (unsigned long long)r->late);
    const struct load_tally *gets = &r->kinds[LOAD_GET];
    const uint64_t keys = gets->hits + gets->misses;
    if (report->options->multi_key_get > 1)
        fprintf(file,
                "%llu gets asked for %llu keys: %.2f keys a second. Ops/sec and latency are of "
                "requests, hits and misses of keys.\n",
                (unsigned long long)gets->count, (unsigned long long)keys, a_second(report, keys));
    if (r->timeouts > 0)
        losses_tell(file, report);
    fprintf(file, "kvload was busy %.1f %% of the time", 100 * busy_share(report));
    if (server_idle_share(report) >= 0)
        fprintf(file, "; the server was idle %.1f %%, and used %.1f cycles a request",
                100 * server_idle_share(report),
                report_grown(report, "cycles_busy") / (double)(totals.count ? totals.count : 1));
    fprintf(file, ".\n");
    const char *anew = server_stats_began_anew(&report->before, &report->after);
    if (anew)
        fprintf(file,
                "By its %s the server was started anew during the run, or its counters were set to "
                "0: what it\ncounted tells nothing.\n",
                anew);
}

void report_seconds(struct report *report, const struct load *const *loads)
{
    const uint32_t threads = report->options->threads;

    report->second_count = 0;
    for (uint32_t i = 0; i < threads; i++)
        if (loads[i]->second_count > report->second_count)
            report->second_count = loads[i]->second_count;
    const size_t bytes = report->second_count * sizeof *report->seconds;
    report->seconds = memory_grow(report->seconds, bytes);
    memset(report->seconds, 0, bytes);
    for (uint32_t i = 0; i < threads; i++) {
        for (uint32_t s = 0; s < report->second_count; s++) {
            const uint32_t last = loads[i]->second_count - 1;
            const struct load_second *from = &loads[i]->seconds[s < last ? s : last];
            for (int k = 0; k < LOAD_KINDS; k++) {
                report->seconds[s].count[k] += from->count[k];
                report->seconds[s].latency_ns[k] += from->latency_ns[k];
            }
        }
    }
}

/* HdrHistogram's outputPercentileDistribution, in milliseconds: five steps each time that what is
 * left is halved. */
static void print_hgrm(FILE *file, const struct histogram *h)
{
    uint64_t seen = 0;
    double wanted = 0;

    fprintf(file, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
            "1/(1-Percentile)");
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && seen < h->count; i++) {
        seen += h->buckets[i];
        const double share = (double)seen / (double)h->count;
        if (h->buckets[i] == 0 || share < wanted)
            continue;
        const uint64_t top = histogram_top(i);
        fprintf(file, "%12.5f %2.12f %10llu", (double)(top < h->max ? top : h->max) / 1e6, share,
                (unsigned long long)seen);
        if (seen < h->count)
            fprintf(file, " %14.2f\n", 1 / (1 - share));
        else
            fprintf(file, "\n");
        while (share < 1 && wanted <= share)
            wanted += exp2(floor(log2(1 - wanted))) / 5 / 2;
    }
    fprintf(file, "#[Mean    = %12.5f, StdDeviation   = %12.5f]\n", mean_ms(h), deviation_ms(h));
    fprintf(file, "#[Max     = %12.5f, Total count    = %12llu]\n", (double)h->max / 1e6,
            (unsigned long long)h->count);
    fprintf(file, "#[Buckets = %12d, SubBuckets     = %12d]\n", HISTOGRAM_BUCKETS, 1);
}

bool report_hgrm(const struct report *report, const char *prefix, uint32_t run)
{
    static const char *const names[] = {"SET", "GET", "DELETE"};
    bool written = true;

    for (int k = 0; k < LOAD_KINDS; k++) {
        char name[4096];
        if (report->result.kinds[k].count == 0)
            continue;
        snprintf(name, sizeof name, "%s_%s_run_%u.hgrm", prefix, names[k], run);
        FILE *file = fopen(name, "w");
        if (file)
            print_hgrm(file, &report->result.kinds[k].latency);
        if (!file || fclose(file) != 0) {
            fprintf(stderr, "kvload: %s can't be written.\n", name);
            written = false;
        }
    }
    return written;
}

/* --- JSON ---------------------------------------------------------------------------------- */

/* A byte beyond ASCII is told as the character of its number: a key's bytes need be no UTF-8. */
static void json_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; text++)
        fprintf(file,
                *text == '"' || *text == '\\' ? "\\%c"
                : *text < ' ' || *text > '~'  ? "\\u%04x"
                                              : "%c",
                (uint8_t)*text);
    fputc('"', file);
}

/* Of each second what the kinds whose bits are set had together. */
static void json_seconds(FILE *file, const struct report *report, uint32_t kinds)
{
    uint64_t count_before = 0, latency_before = 0;

    for (uint32_t s = 0; s < report->second_count; s++) {
        uint64_t count = 0, latency = 0;
        for (int k = 0; k < LOAD_KINDS; k++) {
            count += kinds >> k & 1 ? report->seconds[s].count[k] : 0;
            latency += kinds >> k & 1 ? report->seconds[s].latency_ns[k] : 0;
        }
        const uint64_t came = count - count_before;
        fprintf(file, "%s\"%u\": {\"Count\": %llu, \"Average Latency\": %.5f}", s ? ", " : "", s,
                (unsigned long long)came,
                came ? (double)(latency - latency_before) / (double)came / 1e6 : 0);
        count_before = count;
        latency_before = latency;
    }
}

static void json_tally(FILE *file, const struct report *report, const char *name,
                       const struct load_tally *tally, uint32_t kinds)
{
    const struct options *o = report->options;
    const struct histogram *h = &tally->latency;
    double kb = a_second(report, tally->bytes) / 1024;

    fprintf(file, ", \"%s\": {\"Count\": %llu, \"Ops/sec\": %.2f, \"Hits/sec\": %.2f", name,
            (unsigned long long)tally->count, a_second(report, tally->count),
            a_second(report, tally->hits));
    fprintf(file, ", \"Misses/sec\": %.2f, \"Latency\": %.5f, \"Average Latency\": %.5f",
            a_second(report, tally->misses), mean_ms(h), mean_ms(h));
    fprintf(file, ", \"Min Latency\": %.5f, \"Max Latency\": %.5f, \"KB/sec\": %.2f",
            (double)h->min / 1e6, (double)h->max / 1e6, kb);
    fprintf(file, ", \"Hits\": %llu, \"Misses\": %llu", (unsigned long long)tally->hits,
            (unsigned long long)tally->misses);
    fprintf(file, ", \"Time-Serie\": {");
    json_seconds(file, report, kinds);
    fprintf(file, "}, \"Percentile Latencies\": {");
    for (uint32_t i = 0; i < o->percentile_count; i++) {
        double p = o->percentiles[i];
        fprintf(file, "%s\"p%.*f\": %.5f", i ? ", " : "", p * 100 == floor(p * 100) ? 2 : 5, p,
                percentile_ms(h, p));
    }
    fprintf(file, "}}");
}

static void json_configuration(FILE *file, const struct options *o)
{
    fprintf(file, "{\"configuration\": {\"server\": ");
    json_text(file, o->server);
    fprintf(file, ", \"port\": %u, \"protocol\": \"%s over UDP\", \"threads\": %u", o->port,
            o->protocol->name, o->threads);
    fprintf(file, ", \"clients\": %u, \"pipeline\": %u, \"requests\": %llu, \"test_time\": %g",
            o->clients, o->pipeline, (unsigned long long)o->requests, o->test_time_s);
    fprintf(file, ", \"rate_limiting\": %g, \"ratio\": \"%u:%u:%u\"", o->rate, o->sets, o->gets,
            o->deletes);
    fprintf(file, ", \"multi_key_get\": %u, \"seed\": %llu", o->multi_key_get,
            (unsigned long long)o->seed);
    fprintf(file, ", \"data_size_range\": \"%u-%u\", \"key_prefix\": ", o->sizes.min, o->sizes.max);
    json_text(file, o->key_prefix);
    fprintf(file, ", \"key_minimum\": %llu, \"key_maximum\": %llu, \"key_pattern\": \"%c:%c\"}",
            (unsigned long long)o->key_min, (unsigned long long)o->key_max, o->set_pattern,
            o->get_pattern);
    fprintf(file, ", \"run information\": {\"Threads\": %u, \"Connections per thread\": %u",
            o->threads, o->clients);
    if (o->requests)
        fprintf(file, ", \"Requests per client\": %llu", (unsigned long long)o->requests);
    else
        fprintf(file, ", \"Seconds\": %g", o->test_time_s);
    fprintf(file, ", \"Format version\": 2}");
}

/* Numbers of the moment as they are after the run; of the others, by how much they grew. */
static void json_server(FILE *file, const struct report *report)
{
    const char *anew = server_stats_began_anew(&report->before, &report->after);

    for (int gauges = 0; gauges < 2; gauges++) {
        const char *comma = "";
        fprintf(file, gauges ? "}, \"server gauges\": {" : ", \"server stats\": {");
        for (uint32_t i = 0; i < report->after.count; i++) {
            const char *name = report->after.entries[i].name;
            if (server_stats_is_gauge(name) != gauges || (!gauges && anew))
                continue;
            fprintf(file, "%s", comma);
            json_text(file, name);
            fprintf(file, ": %.15g",
                    gauges ? report->after.entries[i].value : report_grown(report, name));
            comma = ", ";
        }
    }
    fprintf(file, "}");
    if (anew) {
        fprintf(file, ", \"server began anew\": ");
        json_text(file, anew);
    }
}

void report_json(FILE *file, const struct report *report)
{
    const struct load_result *r = &report->result;
    struct load_tally totals;

    add_totals(report, &totals);
    totals.hits = r->kinds[LOAD_GET].hits;
    totals.misses = r->kinds[LOAD_GET].misses;
    json_configuration(file, report->options);
    fprintf(file, ", \"ALL STATS\": {\"Runtime\": {\"Start time\": %.0f, \"Finish time\": %.0f",
            report->start_unix_ms, report->finish_unix_ms);
    fprintf(file, ", \"Total duration\": %.0f, \"Time unit\": \"MILLISECONDS\"}",
            report->finish_unix_ms - report->start_unix_ms);
    json_tally(file, report, "Sets", &r->kinds[LOAD_SET], 1 << LOAD_SET);
    json_tally(file, report, "Gets", &r->kinds[LOAD_GET], 1 << LOAD_GET);
    if (report->options->deletes)
        json_tally(file, report, "Deletes", &r->kinds[LOAD_DELETE], 1 << LOAD_DELETE);
    json_tally(file, report, "Totals", &totals, (1 << LOAD_KINDS) - 1);
    fprintf(file,
            "}, \"kvload\": {\"sent\": %llu, \"wrong\": %llu, \"timeouts\": %llu, \"late\": %llu",
            (unsigned long long)r->sent, (unsigned long long)r->wrong,
            (unsigned long long)r->timeouts, (unsigned long long)r->late);
    const struct load_tally *gets = &r->kinds[LOAD_GET];
    fprintf(file, ", \"get_keys\": %llu, \"get_keys_per_s\": %.2f",
            (unsigned long long)(gets->hits + gets->misses),
            a_second(report, gets->hits + gets->misses));
    fprintf(file, ", \"foreign\": %llu, \"seconds\": %.6f, \"busy_share\": %.4f",
            (unsigned long long)report->foreign, r->seconds, busy_share(report));
    fprintf(file, ", \"cycles_hz\": %.0f, \"first_answer_unix_ms\": %.3f", report->cycles_hz,
            report->first_answer_unix_ms);
    losses_json(file, report);
    double idle = server_idle_share(report);
    if (idle >= 0)
        fprintf(file, ", \"server_idle_share\": %.4f, \"server_cycles_per_request\": %.2f", idle,
                report_grown(report, "cycles_busy") / (double)(totals.count ? totals.count : 1));
    fprintf(file, "}");
    json_server(file, report);
    fprintf(file, "}\n");
}
