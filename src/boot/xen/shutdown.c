/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shutdown.c - what the operator asks of the domain: Ctrl-C on the console; the commands of
 * `xl shutdown`, `xl reboot`, `xl save` and `xl migrate`, which come as a word in the store at
 * control/shutdown and are acknowledged by making it empty; and memory/target, which `xl mem-set`
 * writes (Xen's docs/misc/xenstore-paths.pandoc).
 *
 * Several cores meet before the domain is suspended: core 0 asks, each other one stops in its own
 * boot_stopping, and they spin until the domain runs again and all that they use has been made
 * anew. None of them looks at the clock meanwhile, as its page goes away.
 */
#include "boot/console.h"
#include "boot/xen.h"
#include "boot/xen/domain.h"

enum { RESUMES_MAX = 8, READ_TRIES = 3, LOOKS_PER_S = 100 };
/* A core that sleeps is woken to the meeting; one that computes for longer prevents it. */
#define MEET_NS 3000000000ull

static struct {
    void (*call)(void *arg);
    void *arg;
} resumes[RESUMES_MAX];
static unsigned resume_count;

static uint32_t incarnation; /* in which the watches were set */
static int watch, target_watch;
static uint64_t target_kib; /* memory/target; 0: not read yet */
static int reads_left;      /* of a command that we know to be there */
static bool stopping;
static bool meeting; /* the other cores shall stop */
static uint32_t stopped_cores;

void xen_on_resume(void (*resume)(void *arg), void *arg)
{
    assert(resume_count < RESUMES_MAX);
    resumes[resume_count].call = resume;
    resumes[resume_count++].arg = arg;
}

/* Begins to listen, and tells the tools which commands are heeded. */
static void listen(void)
{
    static const char *const features[] = {"control/feature-poweroff", "control/feature-reboot",
                                           "control/feature-suspend"}; /* halt has none */

    incarnation = xen_incarnation;
    reads_left = 0;
    target_kib = 0; /* it is read when its new watch has fired */
    watch = store_watch("control/shutdown");
    target_watch = store_watch("memory/target");
    for (size_t i = 0; i < ARRAY_LEN(features) && watch >= 0; i++)
        if (store_write(0, features[i], "1") == STORE_ETIMEOUT)
            break;
}

/* On another core: stops until core 0 lets it go on. */
static void meet(void)
{
    if (likely(!load_acquire(&meeting)))
        return;
    __atomic_fetch_add(&stopped_cores, 1, __ATOMIC_ACQ_REL);
    while (load_acquire(&meeting)) /* what core 0 did meanwhile is seen */
        xen_yield();
    __atomic_fetch_sub(&stopped_cores, 1, __ATOMIC_ACQ_REL);
}

/* On core 0: true once all the others have stopped, false if one doesn't. */
static bool stop_others(void)
{
    const uint64_t deadline_ns = clock_ns() + MEET_NS;

    store_release(&meeting, true);
    for (uint32_t core = 1; core < core_count; core++)
        events_wake_core(core);
    while (load_acquire(&stopped_cores) < core_count - 1 && clock_ns() < deadline_ns)
        xen_yield();
    return load_acquire(&stopped_cores) == core_count - 1;
}

/* Returns once they all have gone on, so that the next meeting counts none of this one. */
static void let_others_go(void)
{
    store_release(&meeting, false);
    while (load_acquire(&stopped_cores) > 0)
        xen_yield();
}

static void suspend(void)
{
    if (!stop_others())
        print("xen: the domain isn't suspended, as only %u of its %u other cores came to "
              "boot_stopping within %llu s.\n",
              load_acquire(&stopped_cores), core_count - 1, MEET_NS / 1000000000);
    else if (xen_suspend())
        for (unsigned i = 0; i < resume_count; i++)
            resumes[i].call(resumes[i].arg);
    let_others_go();
}

static void obey(const char *command)
{
    if (strcmp(command, "suspend") == 0) {
        suspend();
    } else if (strcmp(command, "poweroff") == 0 || strcmp(command, "halt") == 0) {
        stopping = true;
    } else if (strcmp(command, "reboot") == 0) {
        xen_end_reason = SHUTDOWN_reboot;
        stopping = true;
    }
}

static void look_for_target(void)
{
    char text[24];
    uint64_t kib;

    if (target_watch < 0 || !store_watch_fired(target_watch))
        return;
    int len = store_read(0, "memory/target", text, sizeof text);
    if (len <= 0 || !parse_u64(text, (size_t)len, BALLOON_TARGET_MAX_KIB, &kib) || kib == 0)
        return;
    if (target_kib != 0)
        balloon_follow(kib, target_kib);
    target_kib = kib;
}

static void look_for_command(void)
{
    char command[16];

    if (incarnation != xen_incarnation)
        listen();
    console_turn();
    look_for_target();
    stopping = console_ctrl_c() || stopping;
    if (watch >= 0 && store_watch_fired(watch))
        reads_left = READ_TRIES;
    if (reads_left == 0)
        return;
    int len = store_read(0, "control/shutdown", command, sizeof command);
    reads_left = len == STORE_ETIMEOUT ? reads_left - 1 : 0;
    if (len > 0) {
        store_write(0, "control/shutdown", "");
        obey(command);
    }
}

bool boot_stopping(void)
{
    static uint64_t next_look;

    if (boot_core() != 0)
        meet();
    if (stopping || clock_cycles() < next_look || boot_core() != 0)
        return stopping;
    look_for_command();
    /* From now on, not from before: the cycle counter of another host may be far behind. */
    next_look = clock_cycles() + clock_cycles_hz() / LOOKS_PER_S;
    return stopping;
}
