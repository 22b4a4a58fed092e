/* SPDX-License-Identifier: BSD-2-Clause */
/* report.c - see report.h. */
#include "report.h"

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
    total->strays += one->strays;
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

static double grown(const struct report *report, const char *name)
{
    return server_stats_get(&report->after, name) - server_stats_get(&report->before, name);
}

/* The share of time in which a polling server had no packets, from its stats; -1 if they don't
 * tell, or tell what can't be, as of a server that was restarted meanwhile. */
static double server_idle_share(const struct report *report)
{
    double all = grown(report, "cycles_total"), busy = grown(report, "cycles_busy");
    return all > 0 && busy >= 0 && busy <= all ? 1 - busy / all : -1;
}

void report_table(FILE *file, const struct report *report)
{
    const struct options *o = report->options;
    const struct load_result *r = &report->result;
    struct load_tally totals;
    char name[32];

    add_totals(report, &totals);
    fprintf(file, "%-9u Threads\n%-9u Connections per thread\n", o->threads, o->clients);
    if (o->requests)
        fprintf(file, "%-9llu Requests per client\n", (unsigned long long)o->requests);
    else
        fprintf(file, "%-9.10g Seconds\n", o->test_time_s);
    fprintf(file, "\n\nALL STATS\n");
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
    if (!o->hide_histogram)
        print_histogram(file, report);
    fprintf(file,
            "\n%llu requests sent, %llu answered, %llu wrong, %llu timeouts, %llu late answers.\n",
            (unsigned long long)r->sent, (unsigned long long)totals.count,
            (unsigned long long)r->wrong, (unsigned long long)r->timeouts,
            (unsigned long long)r->strays);
    fprintf(file, "kvload was busy %.1f %% of the time", 100 * busy_share(report));
    if (server_idle_share(report) >= 0)
        fprintf(file, "; the server was idle %.1f %%, and used %.1f cycles a request",
                100 * server_idle_share(report),
                grown(report, "cycles_busy") / (double)(totals.count ? totals.count : 1));
    fprintf(file, ".\n");
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

static void json_tally(FILE *file, const struct report *report, const char *name,
                       const struct load_tally *tally)
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
    fprintf(file, ", \"Time-Serie\": {}, \"Percentile Latencies\": {");
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
    fprintf(file, ", \"port\": %u, \"protocol\": \"memcache_text over UDP\", \"threads\": %u",
            o->port, o->threads);
    fprintf(file, ", \"clients\": %u, \"pipeline\": %u, \"requests\": %llu, \"test_time\": %g",
            o->clients, o->pipeline, (unsigned long long)o->requests, o->test_time_s);
    fprintf(file, ", \"rate_limiting\": %g, \"ratio\": \"%u:%u:%u\"", o->rate, o->sets, o->gets,
            o->deletes);
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
    json_tally(file, report, "Sets", &r->kinds[LOAD_SET]);
    json_tally(file, report, "Gets", &r->kinds[LOAD_GET]);
    if (report->options->deletes)
        json_tally(file, report, "Deletes", &r->kinds[LOAD_DELETE]);
    json_tally(file, report, "Totals", &totals);
    fprintf(file,
            "}, \"kvload\": {\"sent\": %llu, \"wrong\": %llu, \"timeouts\": %llu, \"late\": %llu",
            (unsigned long long)r->sent, (unsigned long long)r->wrong,
            (unsigned long long)r->timeouts, (unsigned long long)r->strays);
    fprintf(file, ", \"foreign\": %llu, \"seconds\": %.6f, \"busy_share\": %.4f",
            (unsigned long long)report->foreign, r->seconds, busy_share(report));
    fprintf(file, ", \"cycles_hz\": %.0f, \"first_answer_unix_ms\": %.3f", report->cycles_hz,
            report->first_answer_unix_ms);
    double idle = server_idle_share(report);
    if (idle >= 0)
        fprintf(file, ", \"server_idle_share\": %.4f, \"server_cycles_per_request\": %.2f", idle,
                grown(report, "cycles_busy") / (double)(totals.count ? totals.count : 1));
    fprintf(file, "}, \"server stats\": {");
    for (uint32_t i = 0; i < report->after.count; i++) {
        const char *name = report->after.entries[i].name;
        fprintf(file, "%s", i ? ", " : "");
        json_text(file, name);
        fprintf(file, ": %.15g", grown(report, name));
    }
    fprintf(file, "}}\n");
}
