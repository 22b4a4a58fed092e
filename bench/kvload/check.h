/* SPDX-License-Identifier: BSD-2-Clause */
/* check.h - for the tests of kvload's parts: a test prints `ok NAME`, or ends the program with 1.
 */
#ifndef KVLOAD_CHECK_H
#define KVLOAD_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            printf("FAIL %s:%d: %s\n", __FILE__, __LINE__, #what);                                 \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#define RUN(test)                                                                                  \
    do {                                                                                           \
        test();                                                                                    \
        printf("ok %s\n", #test);                                                                  \
    } while (0)

#endif
