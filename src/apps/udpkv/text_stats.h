/* SPDX-License-Identifier: BSD-2-Clause */
/* text_stats.h - the command stats, for text.c to run. text.h has what shows further lines of it.
 */
#ifndef UDPKV_TEXT_STATS_H
#define UDPKV_TEXT_STATS_H

#include "apps/udpkv/command.h"

void text_stats(struct command *c);

#endif
