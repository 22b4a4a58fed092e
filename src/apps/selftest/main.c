/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * selftest - runs the unit tests (`*_test.c`) of everything below the apps, as a host process or
 * inside an image. Exits with 0 if all passed, 1 if one failed, 2 if `only` named none. Some keys
 * make it do something else for tests from outside: `fault` provokes a fault, `clock` shows the
 * clock to the host, `sleep` what it costs the host to wait, `lines` lets all cores print at the
 * same time.
 */
#include "apps/selftest/fault.h"
#include "boot/boot.h"
#include "boot/test.h"

static const char *fault;
BOOT_KEY("fault", boot_parse_string, &fault, "", "",
         "provoke this fault instead of running tests; a wrong name lists them");

enum { ALL_CORES = BOOT_CORES_MAX };
static uint64_t fault_core;
BOOT_KEY_RANGE("fault.core", boot_parse_u64, &fault_core, "0", "", "the core to do it; 8 for all",
               0, ALL_CORES);

static uint64_t lines;
BOOT_KEY_RANGE("lines", boot_parse_u64, &lines, "0", "",
               "lines for each core to print, in pieces, instead of running tests", 0, 100000);

static uint64_t clock_s;
BOOT_KEY_RANGE("clock", boot_parse_u64, &clock_s, "0", "s",
               "show the clock for that long instead of running tests", 0, 3600);

static uint64_t sleep_s;
BOOT_KEY_RANGE("sleep", boot_parse_u64, &sleep_s, "0", "s",
               "poll for that long, then sleep as long, instead of running tests", 0, 3600);

static int clock_status;

/* Prints the clock of the last core about ten times a second; reads it all the time, to see that it
 * doesn't go back. */
static int watch_clock(void)
{
    uint64_t start = clock_ns(), last = start, next = start;

    while (last - start <= clock_s * 1000000000ull && !boot_stopping()) {
        uint64_t now = clock_ns();
        if (now < last) {
            print("clock went back from %lu to %lu\n", last, now);
            return 1;
        }
        last = now;
        if (now >= next) {
            print("clock %lu date %lu cycles a second %lu\n", now, clock_unix_s(),
                  clock_cycles_hz());
            next += 100000000;
        }
    }
    return 0;
}

static void show_clock(uint32_t core)
{
    if (core == boot_cores() - 1)
        clock_status = watch_clock();
}

static void provoke(uint32_t core)
{
    if (fault_core == core || fault_core == ALL_CORES)
        fault_provoke(fault);
}

static void print_lines(uint32_t core)
{
    for (uint64_t i = 0; i < lines; i++) {
        print("line %lu ", i);
        print("of core %u, ", core);
        print("in pieces.\n");
    }
}

/* Prints when it begins to poll and when to sleep, so that the host can measure both. Wakes up
 * every 50 ms to look whether it is to end, as an app does. */
static int show_sleep(void)
{
    const uint64_t look_ns = 50000000, end_ns = clock_ns() + 2 * sleep_s * 1000000000ull;

    print("polls\n");
    while (clock_ns() < end_ns - sleep_s * 1000000000ull && !boot_stopping())
        ;
    print("sleeps\n");
    for (uint64_t now; (now = clock_ns()) < end_ns && !boot_stopping();)
        boot_wait(MIN(end_ns, now + look_ns));
    print("slept, and was interrupted %lu times\n", boot_interrupts());
    return 0;
}

int app_main(void)
{
    if (fault[0] && fault_core == 0)
        return fault_provoke(fault) ? 0 : 1;
    if (fault[0] || lines) {
        boot_run(fault[0] ? provoke : print_lines);
        return 0;
    }
    if (clock_s) {
        boot_run(show_clock);
        return clock_status;
    }
    if (sleep_s)
        return show_sleep();
    return unit_run();
}
