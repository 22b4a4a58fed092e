/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cores.c - cores of a host process: threads. If the process may use as many processors as it has
 * cores, core i stays on the i-th of them.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>

#include "boot/boot.h"
#include "boot/cores.h"
#include "boot/linux/linux.h"

static sem_t wakes[BOOT_CORES_MAX];
static cpu_set_t allowed;
static bool pinned;

static void pin(uint32_t core)
{
    cpu_set_t one;
    int cpu = -1;

    if (!pinned)
        return;
    for (uint32_t i = 0; i <= core; i++)
        do
            cpu++;
        while (!CPU_ISSET(cpu, &allowed));
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static void *thread(void *arg)
{
    const uint32_t core = (uint32_t)(uintptr_t)arg;

    linux_thread_init(core);
    pin(core);
    cores_loop(core);
}

/* Signals are for core 0, which has them blocked until all threads have inherited that. */
void cores_start(uint32_t count)
{
    sigset_t all, before;
    pthread_t id;

    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    pinned = CPU_COUNT(&allowed) >= (int)count;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (uint32_t core = 0; core < count; core++)
        sem_init(&wakes[core], 0, 0);
    for (uint32_t core = 1; core < count; core++) {
        if (pthread_create(&id, NULL, thread, (void *)(uintptr_t)core) != 0)
            boot_misconfigured(
                "the kernel gives this process no %u threads; ask for fewer with cores=.", count);
        pthread_detach(id);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pin(0);
}

void core_sleep(uint64_t deadline_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000),
                                   .tv_nsec = (long)(deadline_ns % 1000000000)};

    sem_clockwait(&wakes[boot_core()], CLOCK_MONOTONIC, &until);
}

void core_wake(uint32_t core)
{
    sem_post(&wakes[core]);
}
