/* SPDX-License-Identifier: BSD-2-Clause */
/* fault.h - faults on purpose; see fault.c for their names. */
#ifndef APPS_SELFTEST_FAULT_H
#define APPS_SELFTEST_FAULT_H

#include "boot/lib.h"

/* Provokes the fault. Returns only if there is none of that name, or if it did nothing: false,
 * after a sentence. */
bool fault_provoke(const char *name);

#endif
