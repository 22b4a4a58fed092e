/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test.h - unit tests. They stand beside their code in *_test.c and run twice: as a host process
 * under sanitizers (PLAT=linux) and inside an image. The app `selftest` runs those of everything
 * below the apps; each app's own are a program apart, APP.unit, which `make unit APP=...` runs.
 *
 *     TEST(pool_gives_back_what_it_gave)
 *     {
 *         CHECK(netbuf_pool_whole(pool));
 *         CHECK_EQ(netbuf_alloc_bulk(pool, bufs, 3), 3);
 *     }
 *
 * Checks are for core 0; what other cores see they leave to it.
 */
#ifndef BOOT_TEST_H
#define BOOT_TEST_H

#include "boot/lib.h"

struct unit_test {
    const char *name;
    const char *file;
    void (*run)(void);
};

#define TEST(test_name)                                                                            \
    static void test_##test_name(void);                                                            \
    static const struct unit_test unit_test_##test_name                                            \
        __attribute__((used, section("unit_tests"), aligned(8))) = {#test_name, __FILE__,          \
                                                                    test_##test_name};             \
    static void test_##test_name(void)

/* Runs the tests of this program whose name begins with what the key `only` says, and prints how
 * each ended. The exit code: 0 if all passed, 1 if one failed, 2 if there was none. */
int unit_run(void);

/* Has the test run for longer than any takes? For loops that wait for what is tested, so that they
 * end, on any core. On core 0 they say CHECK_IN_TIME(). */
bool test_is_late(void);

/* Ends the test as failed, saying where. */
_Noreturn void test_failed(const char *file, int line, const char *what);

#define CHECK(expr) ((expr) ? (void)0 : test_failed(__FILE__, __LINE__, #expr))

#define CHECK_IN_TIME() CHECK(!test_is_late())

#define CHECK_EQ(got, want)                                                                        \
    do {                                                                                           \
        long long got_ = (long long)(got), want_ = (long long)(want);                              \
        if (got_ != want_) {                                                                       \
            char what_[200];                                                                       \
            format(what_, sizeof what_, "%s is %lld, expected %lld (%s)", #got, got_, want_,       \
                   #want);                                                                         \
            test_failed(__FILE__, __LINE__, what_);                                                \
        }                                                                                          \
    } while (0)

#define CHECK_STR(got, want)                                                                       \
    do {                                                                                           \
        const char *got_ = (got), *want_ = (want);                                                 \
        if (strcmp(got_, want_) != 0) {                                                            \
            char what_[400];                                                                       \
            format(what_, sizeof what_, "%s is \"%s\", expected \"%s\"", #got, got_, want_);       \
            test_failed(__FILE__, __LINE__, what_);                                                \
        }                                                                                          \
    } while (0)

/* The statement must end in panic, a failed assert or boot_misconfigured. Its locals are lost. */
#define CHECK_PANICS(statement)                                                                    \
    do {                                                                                           \
        void *catch_[5];                                                                           \
        void **volatile outer_ = panic_catch;                                                      \
        volatile bool panicked_ = true;                                                            \
        if (__builtin_setjmp(catch_) == 0) {                                                       \
            panic_catch = catch_;                                                                  \
            statement;                                                                             \
            panicked_ = false;                                                                     \
        }                                                                                          \
        panic_catch = outer_;                                                                      \
        if (!panicked_)                                                                            \
            test_failed(__FILE__, __LINE__, "no panic from " #statement);                          \
    } while (0)

#endif
