/* SPDX-License-Identifier: BSD-2-Clause */
/* text_stats.h - the command stats, for text.c and binary.c to run. For more lines of it see
 * text.h. */
#ifndef UDPKV_TEXT_STATS_H
#define UDPKV_TEXT_STATS_H

#include "apps/udpkv/command.h"

void text_stats(struct command *c);

/* Shows the part of stats that has this name, or with no name the counters, and leaves the end to
 * the caller; false if there is no such part. */
bool text_stats_show(struct text *text, struct word name, struct reply *reply);

/* Counts commands and items from 0 on. */
void text_stats_reset(struct text *text);

#endif
