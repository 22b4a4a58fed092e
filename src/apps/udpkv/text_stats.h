/* SPDX-License-Identifier: BSD-2-Clause */
/* text_stats.h - the command stats, for text.c to run. For more lines of it see text.h. */
#ifndef UDPKV_TEXT_STATS_H
#define UDPKV_TEXT_STATS_H

#include "apps/udpkv/command.h"

void text_stats(struct command *c);

#endif
