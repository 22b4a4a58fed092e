/* SPDX-License-Identifier: BSD-2-Clause */
/* unit.c - runs the unit tests that are linked into this program; see test.h. */
#include "boot/boot.h"
#include "boot/test.h"

extern const struct unit_test __start_unit_tests[], __stop_unit_tests[];

static const char *only;
BOOT_KEY("only", boot_parse_string, &only, "", "", "run only tests whose name begins with this");

#define LATE_NS 60000000000ull

static void *next_test[5]; /* where test_failed goes on */
static uint64_t began_ns;

bool test_is_late(void)
{
    return clock_ns() - began_ns > LATE_NS;
}

void test_failed(const char *file, int line, const char *what)
{
    print("FAIL %s:%d: %s\n", file, line, what);
    __builtin_longjmp(next_test, 1);
}

static bool passes(const struct unit_test *test)
{
    if (__builtin_setjmp(next_test) != 0)
        return false;
    panic_catch = NULL;
    began_ns = clock_ns();
    test->run();
    return true;
}

int unit_run(void)
{
    static uint32_t passed, failed; /* static: kept over the jump */

    for (const struct unit_test *test = __start_unit_tests; test < __stop_unit_tests; test++) {
        if (strncmp(test->name, only, strlen(only)) != 0)
            continue;
        if (passes(test)) {
            passed++;
            print("ok   %s\n", test->name);
        } else {
            failed++;
            print("FAIL %s (%s)\n", test->name, test->file);
        }
    }
    if (passed + failed == 0)
        print("no test's name begins with '%s'\n", only);
    print("%u passed, %u failed, 0 skipped\n", passed, failed);
    return passed + failed == 0 ? 2 : failed > 0;
}
