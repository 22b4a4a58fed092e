/* SPDX-License-Identifier: BSD-2-Clause */
/* wrong.h - says on standard error what is wrong with an answer. */
#ifndef KVLOAD_WRONG_H
#define KVLOAD_WRONG_H

#include "load.h"

enum { WRONG_SHOWN = 5 }; /* the others are only counted */

/* `about`: the key of the request that the answer should be about. load->result.wrong counts it
 * already. */
void wrong_show(const struct load *load, const struct load_slot *slot, const struct load_key *about,
                const struct datagram *in);

#endif
