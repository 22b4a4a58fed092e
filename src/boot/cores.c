/* SPDX-License-Identifier: BSD-2-Clause */
/* cores.c - the key `cores`, and boot_run: one function on every core at a time. */
#include "boot/cores.h"
#include "boot/boot.h"

/* How long a core sleeps before it looks again, though nobody woke it: the idle ones, and core 0,
 * which goes on looking for the operator's wish to end while others run. */
#define IDLE_NS  1000000000ull
#define WATCH_NS 50000000ull

static uint64_t given;
static uint32_t cores = 1;
static void (*work)(uint32_t core);
static uint32_t runs; /* boot_run's number: a core that has done fewer has work */

/* They start as soon as their number is known, so that a machine that has too few ends at once; and
 * once: a test that sets all keys again leaves them alone. */
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
        while (load_acquire(&runs) == done) /* what was written before boot_run is seen */
            core_sleep(clock_ns() + IDLE_NS);
        work(core);
        /* What this core wrote is seen by core 0 once it sees all of them gone. */
        if (__atomic_sub_fetch(&cores_running, 1, __ATOMIC_ACQ_REL) == 0)
            core_wake(0);
    }
}

void boot_run(void (*run)(uint32_t core))
{
    assert(boot_core() == 0 && load_acquire(&cores_running) == 0);
    work = run;
    cores_running = cores - 1;
    store_release(&runs, runs + 1);
    for (uint32_t core = 1; core < cores; core++)
        core_wake(core);
    run(0);
    while (load_acquire(&cores_running) > 0) {
        core_sleep(clock_ns() + WATCH_NS);
        boot_stopping();
    }
}
