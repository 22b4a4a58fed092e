/* SPDX-License-Identifier: BSD-2-Clause */
/* How far apart two processors are: the time that one cache line takes to the other and back.
 *
 *     distance A B        prints nanoseconds, the lower quartile of batches over 15 ms
 *
 * Two threads, one pinned to each processor, write the line in turn. A batch in which either was
 * taken off its processor is long, and the lower quartile passes over it. Where other programs take
 * both processors in turns it goes on for a while, until it has seen enough batches.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUND_TRIPS = 20, ENOUGH_BATCHES = 100, MAX_BATCHES = 65536 };
static const double MAX_FOUND_NS = 10000; /* more is the scheduler's doing */
static const uint64_t DURATION_NS = 15000000, MAX_DURATION_NS = 300000000;

enum turn { ANSWERED, ASKED, END };
/* Two cache lines to itself, as a processor may fetch the neighbour of a line with it. */
static struct {
    _Alignas(128) _Atomic enum turn turn;
} line;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void pin_to(int processor)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0) {
        fprintf(stderr, "distance: this process may not run on processor %d. See taskset -pc $$\n",
                processor);
        exit(2);
    }
}

static void *answer(void *processor)
{
    pin_to(*(int *)processor);
    for (;;) {
        enum turn turn = atomic_load_explicit(&line.turn, memory_order_acquire);
        if (turn == END) {
            return NULL;
        }
        if (turn == ASKED) {
            atomic_store_explicit(&line.turn, ANSWERED, memory_order_release);
        }
    }
}

/* One there and back. */
static void round_trip(void)
{
    atomic_store_explicit(&line.turn, ASKED, memory_order_release);
    while (atomic_load_explicit(&line.turn, memory_order_acquire) != ANSWERED) {
    }
}

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static int processor_of(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || number < 0 || number >= CPU_SETSIZE) {
        fprintf(stderr, "distance: %s is no processor; they have numbers from 0 to %d\n", text,
                CPU_SETSIZE - 1);
        exit(2);
    }
    return (int)number;
}

int main(int argc, char **argv)
{
    static double batch_ns[MAX_BATCHES];
    if (argc != 3) {
        fprintf(stderr, "usage: distance PROCESSOR PROCESSOR\n");
        return 2;
    }
    int first = processor_of(argv[1]), second = processor_of(argv[2]);
    if (first == second) {
        fprintf(stderr, "distance: %d is one processor, and a distance is between two\n", first);
        return 2;
    }

    pthread_t other;
    pin_to(first);
    if (pthread_create(&other, NULL, answer, &second) != 0) {
        fprintf(stderr, "distance: no second thread\n");
        return 1;
    }
    round_trip(); /* the other thread is there */
    int batches = 0;
    uint64_t begin = now_ns(), before = begin, now = begin;
    while (batches < MAX_BATCHES && (now - begin < DURATION_NS ||
                                     (batches < ENOUGH_BATCHES && now - begin < MAX_DURATION_NS))) {
        for (int i = 0; i < ROUND_TRIPS; i++) {
            round_trip();
        }
        now = now_ns();
        batch_ns[batches++] = (double)(now - before) / ROUND_TRIPS;
        before = now;
    }
    atomic_store_explicit(&line.turn, END, memory_order_release);
    pthread_join(other, NULL);
    qsort(batch_ns, (size_t)batches, sizeof(batch_ns[0]), by_size);
    double found_ns = batch_ns[batches / 4];
    if (found_ns > MAX_FOUND_NS) {
        fprintf(stderr, "distance: other programs take processors %d and %d\n", first, second);
        return 1;
    }
    printf("%.1f\n", found_ns);
    return 0;
}
