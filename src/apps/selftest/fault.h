/* SPDX-License-Identifier: BSD-2-Clause */
/* fault.h - faults on purpose; see fault.c for their names. */
#ifndef APPS_SELFTEST_FAULT_H
#define APPS_SELFTEST_FAULT_H

#include "boot/lib.h"

/* Provokes the fault. Returns false, after a sentence, only if there was none. */
bool fault_provoke(const char *name);

#endif
