/* SPDX-License-Identifier: BSD-2-Clause */
/* backtrace.c - walks frame pointers: [frame] is the caller's frame, [frame + 8] its return
 * address.
 */
#include "boot/backtrace.h"

enum { MAX_FRAMES = 32 };

void backtrace_print(uintptr_t at, uintptr_t frame)
{
    print("backtrace: %p", (void *)at);
    for (int i = 0; i < MAX_FRAMES; i++) {
        if (frame % sizeof frame != 0 || !backtrace_on_stack(frame, 2 * sizeof frame))
            break;
        const uintptr_t *pair = (const uintptr_t *)frame;
        if (pair[1] == 0 || pair[0] <= frame)
            break;
        print(" %p", (void *)pair[1]);
        frame = pair[0];
    }
    print("\n");
}
