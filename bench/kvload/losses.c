/* SPDX-License-Identifier: BSD-2-Clause */
/* losses.c - see losses.h. */
#include "losses.h"
#include "report.h"

#include <string.h>

static uint64_t servers_before;

/* What the sockets of this machine that are bound to the UDP port, and connected to nobody, have
 * lost for want of room. */
static uint64_t lost_at_port(uint16_t port)
{
    static const char *const files[] = {"/proc/net/udp", "/proc/net/udp6"};
    uint64_t lost = 0;

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        FILE *file = fopen(files[i], "r");
        unsigned long long drops;
        unsigned int local, remote;
        char line[512];
        while (file && fgets(line, sizeof line, file))
            if (sscanf(line,
                       "%*s %*[0-9A-F]:%x %*[0-9A-F]:%x %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
                       &local, &remote, &drops) == 3 &&
                local == port && remote == 0)
                lost += drops;
        if (file)
            fclose(file);
    }
    return lost;
}

void losses_begin(const struct options *options, const struct port *port)
{
    servers_before = port->server_is_here ? lost_at_port(options->port) : 0;
}

void losses_add(struct losses *losses, const struct options *options, struct port *port)
{
    losses->own += port->no_room ? port->no_room(port) : 0;
    losses->errors += port->errors;
    losses->error = port->error ? port->error : losses->error;
    if (port->server_is_here)
        losses->servers = lost_at_port(options->port) - servers_before;
}

/* Counters of memcached and udpkv that are of requests or answers that they dropped. */
static bool is_of_drops(const char *name)
{
    static const char oom[] = "_oom";
    const size_t len = strlen(name);

    return strncmp(name, "drop_", 5) == 0 || strcmp(name, "malloc_fails") == 0 ||
           (len >= sizeof oom && strcmp(name + len + 1 - sizeof oom, oom) == 0);
}

/* Prints each such counter that grew; how many did. */
static uint32_t tell_servers_drops(FILE *file, const struct report *report)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < report->after.count; i++) {
        const char *name = report->after.entries[i].name;
        const double more = report_grown(report, name);
        if (is_of_drops(name) && more > 0)
            fprintf(file, "%s%s %.15g", count++ ? ", " : "The server counted ", name, more);
    }
    if (count)
        fprintf(file, ".\n");
    return count;
}

static double latest_ms(const struct report *report)
{
    return (double)report->result.latest_cycles / report->cycles_hz * 1e3;
}

void losses_tell(FILE *file, const struct report *report)
{
    const struct losses *l = &report->losses;
    const struct load_result *r = &report->result;

    fprintf(file, "%llu requests timed out: no answer came within %u ms (--timeout-ms).\n",
            (unsigned long long)r->timeouts, report->options->timeout_ms);
    if (r->late > 0)
        fprintf(file, "Late answers came to some, %llu in all, the last one after %.0f ms.\n",
                (unsigned long long)r->late, latest_ms(report));
    if (l->servers > 0)
        fprintf(file,
                "The server's socket, port %u of this machine, had no room for %llu datagrams. "
                "Fewer requests at a\ntime (--threads, --clients, --pipeline) need less; a larger "
                "net.core.rmem_default, set before the server\nstarts, gives more.\n",
                report->options->port, (unsigned long long)l->servers);
    if (l->own > 0)
        fprintf(file,
                "kvload's sockets had no room for %llu datagrams of answers: a smaller --pipeline "
                "needs less, a larger\nnet.core.rmem_max gives more.\n",
                (unsigned long long)l->own);
    if (l->errors > 0)
        fprintf(file, "kvload's sockets reported %llu errors, the last one: %s.\n",
                (unsigned long long)l->errors, strerror(l->error));
    const uint32_t counters = tell_servers_drops(file, report);
    if (r->late < r->timeouts && l->servers == 0 && l->own == 0 && l->errors == 0 && counters == 0)
        fprintf(
            file,
            "What is missing nobody counted that kvload can ask: a buffer on the way, or of the "
            "server, had no room.\nFewer requests at a time (--threads, --clients, --pipeline) "
            "need less.\n");
}

void losses_json(FILE *file, const struct report *report)
{
    const struct losses *l = &report->losses;

    fprintf(file, ", \"timeout_ms\": %u, \"latest_answer_ms\": %.3f", report->options->timeout_ms,
            latest_ms(report));
    fprintf(file,
            ", \"no_room\": {\"server_socket\": %llu, \"own_sockets\": %llu}, "
            "\"socket_errors\": %llu",
            (unsigned long long)l->servers, (unsigned long long)l->own,
            (unsigned long long)l->errors);
}
