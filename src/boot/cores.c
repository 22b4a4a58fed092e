/* SPDX-License-Identifier: BSD-2-Clause */
/* cores.c - the key `cores`, and boot_run: one function on every core at a time. */
#include "boot/cores.h"
#include "boot/boot.h"

/* How long a core sleeps at most if nobody wakes it: one without work; and core 0 while it waits
 * for the others, as it looks in between whether the operator wants an end. */
#define IDLE_NS  1000000000ull
#define WATCH_NS 50000000ull

static uint64_t given;
static uint32_t cores = 1;
static void (*work)(uint32_t core);
static uint32_t runs; /* boot_run's number: a core that has done fewer has work */

/* The cores are started as soon as their number is known, so that an image whose machine has too
 * few ends at once; and only once, also if a test sets all keys again. */
static const char *parse_cores(const struct boot_key *key, const char *text)
{
    const char *expected = boot_parse_u64(key, text);

    if (!expected && cores == 1 && given > 1) {
        cores = (uint32_t)given;
        cores_start(cores);
    }
    return expected;
}
BOOT_KEY_RANGE("cores", parse_cores, &given, "1", "", "processors that the app's loops run on", 1,
               BOOT_CORES_MAX);

uint32_t boot_cores(void)
{
    return cores;
}

void cores_loop(uint32_t core)
{
    for (uint32_t done = 0;; done++) {
        while (load_acquire(&runs) == done) { /* what was written before boot_run is seen */
            core_sleep(clock_ns() + IDLE_NS);
            boot_stopping(); /* where cores meet if the platform wants them to */
        }
        work(core);
        /* Core 0 sees what this core wrote once it sees that all have returned. */
        if (__atomic_sub_fetch(&cores_running, 1, __ATOMIC_ACQ_REL) == 0)
            core_wake(0);
    }
}

static void wake_others(void)
{
    for (uint32_t core = 1; core < cores; core++)
        core_wake(core);
}

void boot_run(void (*run)(uint32_t core))
{
    assert(boot_core() == 0 && load_acquire(&cores_running) == 0);
    work = run;
    cores_wake_others = wake_others;
    cores_running = cores - 1;
    store_release(&runs, runs + 1);
    wake_others();
    run(0);
    while (load_acquire(&cores_running) > 0) {
        core_sleep(clock_ns() + WATCH_NS);
        boot_stopping();
    }
}
