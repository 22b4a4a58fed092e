/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shutdown.c - what the operator asks of the domain: Ctrl-C on the console, and the commands of
 * `xl shutdown`, `xl reboot`, `xl save` and `xl migrate`, which come as a word in the store at
 * control/shutdown and are acknowledged by making it empty (Xen's docs/misc/xenstore-paths.pandoc).
 */
#include "boot/console.h"
#include "boot/xen.h"
#include "boot/xen/domain.h"

enum { RESUMES_MAX = 8, READ_TRIES = 3, LOOKS_PER_S = 100 };

static struct {
    void (*call)(void *arg);
    void *arg;
} resumes[RESUMES_MAX];
static unsigned resume_count;

static uint32_t incarnation; /* in which the watch was set */
static int watch;
static int reads_left; /* of a command that we know to be there */
static bool stopping;

void xen_on_resume(void (*resume)(void *arg), void *arg)
{
    assert(resume_count < RESUMES_MAX);
    resumes[resume_count].call = resume;
    resumes[resume_count++].arg = arg;
}

/* Begins to listen, and tells the tools which commands are heeded. A domain of several cores can't
 * be suspended: nobody tells the others that what they use is gone. */
static void listen(void)
{
    static const char *const features[] = {"control/feature-poweroff", "control/feature-reboot",
                                           "control/feature-suspend"}; /* halt has none */
    const size_t heeded = ARRAY_LEN(features) - (core_count > 1);

    incarnation = xen_incarnation;
    reads_left = 0;
    watch = store_watch("control/shutdown");
    for (size_t i = 0; i < heeded && watch >= 0; i++)
        if (store_write(0, features[i], "1") == STORE_ETIMEOUT)
            break;
}

static void suspend(void)
{
    if (xen_suspend())
        for (unsigned i = 0; i < resume_count; i++)
            resumes[i].call(resumes[i].arg);
}

static void obey(const char *command)
{
    if (strcmp(command, "suspend") == 0 && core_count > 1) {
        print("xen: a domain with cores=%u can't be suspended.\n", core_count);
    } else if (strcmp(command, "suspend") == 0) {
        suspend();
    } else if (strcmp(command, "poweroff") == 0 || strcmp(command, "halt") == 0) {
        stopping = true;
    } else if (strcmp(command, "reboot") == 0) {
        xen_end_reason = SHUTDOWN_reboot;
        stopping = true;
    }
}

static void look_for_command(void)
{
    char command[16];

    if (incarnation != xen_incarnation)
        listen();
    console_turn();
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

    if (stopping || clock_cycles() < next_look || boot_core() != 0)
        return stopping;
    look_for_command();
    /* From now on, not from before: the cycle counter of another host may be far behind. */
    next_look = clock_cycles() + clock_cycles_hz() / LOOKS_PER_S;
    return stopping;
}
