/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of boot_run, with as many cores as the key `cores` says; one is fine, too. */
#include "boot/boot.h"
#include "boot/test.h"

enum { RUNS = 50, COUNTS = 20000 };

/* What the cores leave to be checked. A line each, as they write at the same time. */
static struct {
    uint64_t runs, wrong, seen;
    uintptr_t stack;
} __attribute__((aligned(CACHE_LINE))) told[BOOT_CORES_MAX];
static uint64_t shared_count, given;

static void clear(void)
{
    memset(told, 0, sizeof told);
    shared_count = 0;
}

static void count_run(uint32_t core)
{
    told[core].runs++;
    told[core].wrong += core != boot_core() || core >= boot_cores();
}

TEST(cores_run_once_each)
{
    clear();
    CHECK_EQ(boot_core(), 0);
    CHECK(boot_cores() >= 1 && boot_cores() <= BOOT_CORES_MAX);
    for (uint64_t i = 1; i <= RUNS; i++) {
        boot_run(count_run);
        for (uint32_t core = 0; core < BOOT_CORES_MAX; core++) {
            CHECK_EQ(told[core].runs, core < boot_cores() ? i : 0);
            CHECK_EQ(told[core].wrong, 0);
        }
    }
}

static void see(uint32_t core)
{
    told[core].seen = given * 3 + core;
}

TEST(cores_see_what_was_written_before_and_are_seen_after)
{
    clear();
    for (given = 1; given < RUNS; given++) {
        boot_run(see);
        for (uint32_t core = 0; core < boot_cores(); core++)
            CHECK_EQ(told[core].seen, given * 3 + core);
    }
}

static void count_together(uint32_t core)
{
    for (uint32_t i = 0; i < COUNTS; i++)
        __atomic_fetch_add(&shared_count, core + 1, __ATOMIC_RELAXED);
}

TEST(cores_count_together)
{
    uint64_t n = boot_cores();

    clear();
    boot_run(count_together);
    CHECK_EQ(shared_count, COUNTS * n * (n + 1) / 2);
}

/* Each waits for all others: they can only get through if they run at the same time. */
static void meet(uint32_t core)
{
    const uint64_t end_ns = clock_ns() + 20000000000ull;

    __atomic_fetch_add(&shared_count, 1, __ATOMIC_SEQ_CST);
    while (load_acquire(&shared_count) < boot_cores() && clock_ns() < end_ns)
        __asm__ volatile("pause");
    told[core].seen = load_acquire(&shared_count);
}

TEST(cores_run_at_the_same_time)
{
    clear();
    boot_run(meet);
    for (uint32_t core = 0; core < boot_cores(); core++)
        CHECK_EQ(told[core].seen, boot_cores());
}

/* An SSE register keeps what the core put there while the others put in theirs. This file may be
 * compiled without SSE, so the compiler isn't told of the register, which is left as it was. */
static void keep_register(uint32_t core)
{
    uint64_t mine = 0x1111111111111111 * (core + 1), left = COUNTS * 50ull, got = mine, before[2];

    meet(core);
    __asm__ volatile("movdqu %%xmm7, %3\n\t"
                     "movq %2, %%xmm7\n"
                     "1: movq %%xmm7, %0\n\t"
                     "cmpq %0, %2\n\t"
                     "jne 2f\n\t"
                     "decq %1\n\t"
                     "jnz 1b\n"
                     "2: movdqu %3, %%xmm7"
                     : "+r"(got), "+r"(left)
                     : "r"(mine), "m"(before)
                     : "cc", "memory");
    told[core].wrong = left;
}

TEST(cores_have_registers_of_their_own)
{
    clear();
    boot_run(keep_register);
    for (uint32_t core = 0; core < boot_cores(); core++)
        CHECK_EQ(told[core].wrong, 0);
}

/* Half of the stack that boot.h promises, written from end to end. */
static void use_stack(uint32_t core)
{
    volatile uint8_t block[32 * 1024];

    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (uint8_t)(i + core);
    meet(core);
    for (size_t i = 0; i < sizeof block; i++)
        told[core].wrong += block[i] != (uint8_t)(i + core);
    told[core].stack = (uintptr_t)block;
}

TEST(cores_have_stacks_of_their_own)
{
    clear();
    boot_run(use_stack);
    for (uint32_t core = 0; core < boot_cores(); core++) {
        CHECK_EQ(told[core].wrong, 0);
        for (uint32_t other = 0; other < core; other++)
            CHECK(told[core].stack != told[other].stack);
    }
}

static void read_clock(uint32_t core)
{
    uint64_t last = clock_ns();

    for (uint32_t i = 0; i < COUNTS; i++) {
        uint64_t now = clock_ns();
        told[core].wrong += now < last;
        last = now;
    }
    told[core].seen = last;
}

TEST(cores_have_clocks_that_go_forward)
{
    uint64_t start_ns = clock_ns();

    clear();
    boot_run(read_clock);
    uint64_t end_ns = clock_ns();
    for (uint32_t core = 0; core < boot_cores(); core++) {
        CHECK_EQ(told[core].wrong, 0);
        CHECK(told[core].seen + 1000000 > start_ns && told[core].seen < end_ns + 1000000);
    }
}
