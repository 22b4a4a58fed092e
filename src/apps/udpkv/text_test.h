/* SPDX-License-Identifier: BSD-2-Clause */
/* text_test.h - what the tests of commands share: a text over an empty store. In text_test.c. */
#ifndef UDPKV_TEXT_TEST_H
#define UDPKV_TEXT_TEST_H

#include "apps/udpkv/store_test.h"
#include "apps/udpkv/text.h"
#include "boot/test.h"

struct exchange {
    const char *request, *answer;
};

extern struct text test_text;

/* Begins anew, with an empty store, at TEST_NOW_S. */
void test_fresh(void);

/* Runs a request in memory of its exact length, so that reading past it is seen by ASan. Its
 * answer, which stays until the next one. */
const char *test_ask(const void *request, size_t len, enum text_end end);

void test_run(const struct exchange *exchanges, size_t count);

#define RUN(...)                                                                                   \
    do {                                                                                           \
        static const struct exchange exchanges_[] = {__VA_ARGS__};                                 \
        test_run(exchanges_, ARRAY_LEN(exchanges_));                                               \
    } while (0)

#endif
