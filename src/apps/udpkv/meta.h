/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meta.h - memcached's meta commands, for text.c to run: mg, ms, md and ma in meta.c, me and mn in
 * meta_debug.c. The line has two words at least, but for me and mn.
 */
#ifndef UDPKV_META_H
#define UDPKV_META_H

#include "apps/udpkv/command.h"

void meta_get(struct command *c);
void meta_set(struct command *c);
void meta_delete(struct command *c);
void meta_arithmetic(struct command *c);
void meta_debug(struct command *c);
void meta_no_op(struct command *c);

#endif
