/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * start.c - the linux platform: a host process, whose network devices are vhost-user back ends and
 * taps; also for unit tests, sanitizers, debuggers and fuzzers. The arguments are the command
 * line's words.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "boot/backtrace.h"
#include "boot/boot.h"
#include "boot/console.h"
#include "boot/linux/linux.h"

const char boot_platform[] = "linux";

int linux_stop_fd;
static _Thread_local uintptr_t stack_low, stack_high;
static _Thread_local uint32_t this_core;
static volatile sig_atomic_t stop_signal;

void boot_exit(int code)
{
    static bool exiting;

    while (__atomic_exchange_n(&exiting, true, __ATOMIC_RELAXED))
        pause(); /* exit() is for one thread; another one is ending the process */
    console_flush();
    exit(code);
}

uint32_t boot_core(void)
{
    return this_core;
}

static void on_signal(int signal)
{
    int error = errno;

    stop_signal = signal;
    eventfd_write(linux_stop_fd, 1);
    errno = error;
}

bool boot_stopping(void)
{
    if (this_core == 0)
        console_turn();
    return stop_signal != 0;
}

/* What is open as standard output may be a pipe or a terminal that nobody reads. When poll says
 * that it takes something, it takes this much. */
enum { WRITE_BYTES = 256 };

size_t console_device_put(const char *text, size_t len)
{
    struct pollfd out = {STDOUT_FILENO, POLLOUT, 0};

    if (poll(&out, 1, 0) == 0)
        return 0;
    ssize_t n = write(STDOUT_FILENO, text, MIN(len, (size_t)WRITE_BYTES));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    return n > 0 ? (size_t)n : len; /* an error: there is no console, or no longer */
}

bool console_device_empty(void)
{
    return true;
}

void console_device_wait(void)
{
    struct pollfd out = {STDOUT_FILENO, POLLOUT, 0};

    poll(&out, 1, 1);
}

static uint64_t read_clock(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

uint64_t clock_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_unix_s(void)
{
    return read_clock(CLOCK_REALTIME) / 1000000000ull;
}

uint64_t clock_cycles_hz(void)
{
    static uint64_t hz;

    if (hz == 0) { /* the kernel doesn't tell: count over 20 ms, once */
        uint64_t ns = clock_ns(), cycles = clock_cycles(), ns_now;
        while ((ns_now = clock_ns()) - ns < 20000000)
            ;
        hz = (clock_cycles() - cycles) * 1000000000ull / (ns_now - ns);
    }
    return hz;
}

void *boot_map_device(uint64_t phys, size_t len)
{
    panic("A host process has no device registers (%zu bytes at 0x%lx were asked for).", len, phys);
}

uint64_t boot_random(void)
{
    uint64_t v;

    if (getrandom(&v, sizeof v, 0) != sizeof v)
        panic("The kernel gives no random bytes.");
    return v;
}

bool backtrace_on_stack(uintptr_t address, size_t len)
{
    return address >= stack_low && address < stack_high && len <= stack_high - address;
}

static void find_stack(void)
{
    pthread_attr_t attr;
    void *low;
    size_t len;

    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, &low, &len);
        pthread_attr_destroy(&attr);
        stack_low = (uintptr_t)low;
        stack_high = stack_low + len;
    }
}

void linux_thread_init(uint32_t core)
{
    this_core = core;
    find_stack();
}

/* Makes the arguments one line, as far as there is room for it. Returns how long all of it is. */
static size_t join(int argc, char **argv, char line[BOOT_COMMAND_LINE_MAX + 1])
{
    size_t len = 0;

    line[0] = 0;
    for (int i = 1; i < argc; i++) {
        const size_t at = MIN(len, (size_t)BOOT_COMMAND_LINE_MAX);
        len += format(line + at, BOOT_COMMAND_LINE_MAX + 1 - at, "%s%s", i > 1 ? " " : "", argv[i]);
    }
    return len;
}

int main(int argc, char **argv)
{
    static char line[BOOT_COMMAND_LINE_MAX + 1];
    struct sigaction action = {.sa_handler = on_signal};

    find_stack();
    linux_stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (linux_stop_fd < 0)
        boot_misconfigured("the kernel gives no eventfd; allow this process more open files.");
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    size_t len = join(argc, argv, line);
    const char *pages = linux_memory_take(line);
    boot_command_line(line, len);
    print("Ringloop: %s on %s, version %s, %lu MiB in %s.\n", boot_app, boot_platform, boot_version,
          linux_memory.len >> 20, pages);
    boot_exit(app_main());
}
