/*
 * start.c - the linux platform: a host process, for unit tests, sanitizers, debuggers and fuzzers.
 * The arguments are the command line's words.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "boot/backtrace.h"
#include "boot/boot.h"

const char boot_platform[] = "linux";

/* All that boot_alloc gives comes out of one mapping, which the kernel fills as it is touched. */
static uint64_t memory_bytes;
BOOT_KEY_RANGE("mem", boot_parse_size, &memory_bytes, NULL, "bytes",
               "memory for pools and stores; 1G if not given", 1 << 20, 1ull << 40);

static uint8_t *memory;
static size_t memory_used, memory_len = 1ull << 30;
static uintptr_t stack_low, stack_high;
static volatile sig_atomic_t stop_signal;

void boot_exit(int code)
{
    exit(code);
}

static void on_signal(int signal)
{
    stop_signal = signal;
}

bool boot_stopping(void)
{
    return stop_signal != 0;
}

void boot_console_write(const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
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
    if (start > memory_len || len > memory_len - start)
        return NULL;
    memory_used = start + len;
    return memory + start;
}

void *boot_alloc_unset(size_t len, size_t align)
{
    return boot_alloc(len, align);
}

size_t boot_alloc_max(void)
{
    return memory_len - memory_used;
}

uint64_t boot_memory_bytes(void)
{
    return memory_len;
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

static char *join(int argc, char **argv)
{
    static char line[4096];
    size_t len = 0;

    line[0] = 0;
    for (int i = 1; i < argc; i++) {
        len += format(line + len, sizeof line - len, "%s ", argv[i]);
        if (len >= sizeof line) {
            print("command line: it is longer than %zu bytes.\n", sizeof line - 1);
            boot_exit(BOOT_EXIT_USAGE);
        }
    }
    return line;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};

    find_stack();
    memory = mmap(NULL, 1ull << 40, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        panic("The kernel gives no address space; raise ulimit -v.");
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    boot_command_line(join(argc, argv));
    if (memory_bytes)
        memory_len = memory_bytes;
    return app_main();
}
