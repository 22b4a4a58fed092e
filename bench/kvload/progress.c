/* SPDX-License-Identifier: BSD-2-Clause */
/* progress.c - see progress.h. */
#include "progress.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool runs, over;
    const struct load *const *loads;
    uint32_t count;
    const char *what;
} progress = {.lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};

static uint64_t look(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void tell(uint32_t seconds, uint64_t *before)
{
    uint64_t answered = 0, wrong = 0, timeouts = 0;

    for (uint32_t i = 0; i < progress.count; i++) {
        const struct load_result *result = &progress.loads[i]->result;
        for (int k = 0; k < LOAD_KINDS; k++)
            answered += look(&result->kinds[k].count);
        wrong += look(&result->wrong);
        timeouts += look(&result->timeouts);
    }
    fprintf(stderr, "%s: %u s, %llu answered, %llu/s (avg. %llu/s), %llu wrong, %llu timeouts\n",
            progress.what, seconds, (unsigned long long)answered,
            (unsigned long long)(answered - *before), (unsigned long long)(answered / seconds),
            (unsigned long long)wrong, (unsigned long long)timeouts);
    *before = answered;
}

static void *run(void *unused)
{
    struct timespec next;
    uint64_t before = 0;

    clock_gettime(CLOCK_REALTIME, &next);
    pthread_mutex_lock(&progress.lock);
    for (uint32_t seconds = 1; !progress.over; seconds++) {
        next.tv_sec++;
        while (!progress.over &&
               pthread_cond_timedwait(&progress.ended, &progress.lock, &next) == 0)
            continue;
        if (!progress.over)
            tell(seconds, &before);
    }
    pthread_mutex_unlock(&progress.lock);
    return unused;
}

void progress_begin(const struct load *const *loads, uint32_t count, const char *what)
{
    progress.loads = loads;
    progress.count = count;
    progress.what = what;
    progress.over = false;
    progress.runs = pthread_create(&progress.thread, NULL, run, NULL) == 0;
}

void progress_end(void)
{
    if (!progress.runs)
        return;
    pthread_mutex_lock(&progress.lock);
    progress.over = true;
    pthread_cond_signal(&progress.ended);
    pthread_mutex_unlock(&progress.lock);
    pthread_join(progress.thread, NULL);
}
