/* SPDX-License-Identifier: BSD-2-Clause */
/* progress.h - a line a second on standard error: how far a run is. By a thread of its own. */
#ifndef KVLOAD_PROGRESS_H
#define KVLOAD_PROGRESS_H

#include "load.h"

/* From now on until progress_end, of these loads, whose counters are read while they count. */
void progress_begin(const struct load *const *loads, uint32_t count, const char *what);
void progress_end(void);

#endif
