/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * start.c - the linux platform: a host process, whose network devices are vhost-user back ends and
 * taps; also for unit tests, sanitizers, debuggers and fuzzers. The arguments are the command
 * line's words.
 *
 * Memory is one mapping of one file without a name, so that another process can be given all of it:
 * of huge pages if enough are free, else of ordinary ones, which the kernel adds as they are
 * touched.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/memfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "boot/backtrace.h"
#include "boot/boot.h"
#include "boot/console.h"
#include "boot/linux/linux.h"
#include "boot/words.h"

const char boot_platform[] = "linux";

enum { MEMORY_DEFAULT = 256 << 20, MEMORY_MIN = 1 << 20 };
#define MEMORY_MAX (1ull << 40)

static uint64_t memory_bytes = MEMORY_DEFAULT;
BOOT_KEY_RANGE("mem", boot_parse_size, &memory_bytes, "256M", "bytes",
               "memory for pools and stores; from huge pages if enough are free", MEMORY_MIN,
               MEMORY_MAX);

#define HUGE_PAGE ((size_t)2 << 20)

struct linux_memory linux_memory = {.fd = -1};
int linux_stop_fd;
static size_t memory_used;
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

void *boot_alloc(size_t len, size_t align)
{
    assert(IS_POWER_OF_2(align));
    size_t start = ALIGN_UP(memory_used, align);
    if (start > linux_memory.len || len > linux_memory.len - start)
        return NULL;
    memory_used = start + len;
    return linux_memory.start + start; /* of a new file, so it is zeroed */
}

size_t boot_alloc_max(void)
{
    return linux_memory.len - memory_used;
}

uint64_t boot_memory_bytes(void)
{
    return linux_memory.len;
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

/* Maps the memory as a new file. False if the kernel hasn't got it: for huge pages it says so now,
 * as they are set aside when they are mapped. */
static bool map_memory(size_t len, unsigned flags)
{
    int fd = memfd_create("ringloop", MFD_CLOEXEC | flags);

    if (fd < 0)
        return false;
    if (ftruncate(fd, (off_t)len) == 0) {
        void *start = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (start != MAP_FAILED) {
            linux_memory = (struct linux_memory){fd, start, len};
            return true;
        }
    }
    close(fd);
    return false;
}

/* Memory is needed before the command line is parsed. A value that is wrong isn't taken here; the
 * parser tells of it later. */
static void read_memory_key(const char *line)
{
    const struct boot_key key = {.dst = &memory_bytes, .min = MEMORY_MIN, .max = MEMORY_MAX};
    char value[32];

    for (struct word word; word_next(&line, &word);)
        if (word.name_len == 3 && strncmp(word.name, "mem", 3) == 0 && word.value) {
            format(value, sizeof value, "%.*s", (int)word.value_len, word.value);
            boot_parse_size(&key, value);
        }
}

/* True if it came from huge pages. */
static bool take_memory(void)
{
    const size_t len = ALIGN_UP((size_t)memory_bytes, HUGE_PAGE);

    if (map_memory(len, MFD_HUGETLB | MFD_HUGE_2MB))
        return true;
    if (!map_memory(len, 0))
        boot_misconfigured("the kernel gives no %lu MiB of memory; ask for less with mem=.",
                           len >> 20);
    return false;
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
    read_memory_key(line);
    bool huge = take_memory();
    boot_command_line(line, len);
    print("Ringloop: %s on %s, version %s, %lu MiB in %s.\n", boot_app, boot_platform, boot_version,
          linux_memory.len >> 20,
          huge ? "huge pages" : "ordinary pages, as too few huge pages are free");
    boot_exit(app_main());
}
