/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netdev_cores.c - a device that is started again while several cores use its queues.
 *
 * That gives new rings to queues, and their buffers back to pools, of other cores. They meet for
 * it: core 0, whose netdev_recover does the work, asks for it; each other core stops in its own
 * netdev_recover, which is outside of any burst, and waits; once all do, core 0 holds them and goes
 * to work. Nobody waits for somebody who doesn't come: a core that waits goes on after a while, and
 * core 0 asks again in its next netdev_recover. Bursts know nothing of all that.
 *
 *     core        RUNS ---> WAITS ---> RUNS      by itself: nobody asks any more, or for too long
 *     core 0                WAITS ---> HELD ---> WAITS
 */
#include "boot/boot.h"
#include "netdev/netdev.h"

#define WAIT_NS (2 * NETDEV_LOOK_NS) /* so that looks that alternate meet */

enum { RUNS, WAITS, HELD };

static struct {
    uint32_t state;
} __attribute__((aligned(CACHE_LINE))) cores[BOOT_CORES_MAX];
static bool asked, holding; /* by core 0 */

static bool change(uint32_t *state, uint32_t from, uint32_t to)
{
    /* Whoever changes it last shows the other what was done to queues and pools before. */
    return __atomic_compare_exchange_n(state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void let_all_wait(void)
{
    for (uint32_t core = 1; core < BOOT_CORES_MAX; core++)
        change(&cores[core].state, HELD, WAITS);
}

bool netdev_hold_others(void)
{
    const uint32_t others = boot_others();
    uint32_t held = 0;

    if (others == 0)
        return true;
    store_release(&asked, true);
    for (uint32_t core = 1; core < BOOT_CORES_MAX; core++)
        held += load_acquire(&cores[core].state) == HELD || change(&cores[core].state, WAITS, HELD);
    holding = held == boot_others(); /* one that is held can't end */
    if (!holding) {
        let_all_wait();
        /* One that sleeps comes by its timer. But QEMU's TCG may lose what a core writes to its
         * timer while another one gives a device its place, as this one does then. */
        boot_wake_others();
    }
    return holding;
}

void netdev_ask_no_more(void)
{
    if (!holding)
        store_release(&asked, false);
}

void netdev_let_go(void)
{
    if (!holding)
        return;
    holding = false;
    netdev_ask_no_more();
    let_all_wait();
}

void netdev_meet(void)
{
    uint32_t *state = &cores[boot_core()].state;
    uint64_t deadline_ns;

    if (likely(!load_acquire(&asked)))
        return;
    deadline_ns = clock_ns() + WAIT_NS;
    store_release(state, WAITS);
    while ((load_acquire(&asked) && clock_ns() < deadline_ns) || !change(state, WAITS, RUNS))
        __builtin_ia32_pause();
}
