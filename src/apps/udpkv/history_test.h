/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history_test.h - is what happened to a key linearizable? That is: could all the operations have
 * been done one at a time, each at some moment between its begin and its end, with these results?
 * In history_test.c, after Wing and Gong, "Testing and verifying concurrent objects".
 */
#ifndef UDPKV_HISTORY_TEST_H
#define UDPKV_HISTORY_TEST_H

#include "boot/lib.h"

enum { HISTORY_MAX = 32 }; /* operations */

/* Every value that is written is another number, from 1 on; 0 stands for no value. */
struct history_op {
    enum { HISTORY_SET, HISTORY_GET, HISTORY_DELETE, HISTORY_CAS } what;
    uint32_t begin, end; /* moments, of one clock for all */
    uint32_t value;      /* written; for GET, what was read */
    uint32_t expected;   /* CAS: the value whose id was told */
    enum { HISTORY_DONE, HISTORY_OTHER, HISTORY_MISSING } result; /* of DELETE and CAS */
};

bool history_linearizable(const struct history_op *ops, uint32_t count);

#endif
