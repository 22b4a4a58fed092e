/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.h - the platform contract: everything that an app, a driver or a pool may ask of the
 * machine. A platform is a folder in src/boot that implements this header.
 *
 * The platform starts, takes its keys and the app's from the command line, and calls app_main() on
 * a stack of 64 KiB. There is one thread of execution, unless the app spreads over more cores by
 * boot_run, and nothing interrupts it, but where it waits. When app_main returns, the image ends
 * with the value returned.
 */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include "boot/lib.h"

/* The app. Returns the exit code: 0 for success, 1 to 63 as the app's README says. */
int app_main(void);

/*
 * Exit codes that don't come from the app. On a QEMU with isa-debug-exit, QEMU's own status is
 * twice the code plus one; elsewhere an image switches the machine off, or resets one that can't be
 * switched off, and the code is only in the closing line on the console.
 */
enum boot_exit {
    BOOT_EXIT_OK = 0,
    BOOT_EXIT_USAGE = 64, /* wrong command line or machine: the console says what to change */
    BOOT_EXIT_PANIC = 70, /* panic or assert: a bug, or a host that breaks its word */
    BOOT_EXIT_FAULT = 71, /* a processor exception */
};

/* Ends the image. */
_Noreturn void boot_exit(int code);

/*
 * The machine that the image was given, or a key, isn't what it needs: too little memory, too few
 * processors or devices, a value that doesn't fit them. Says so in a sentence that tells what to
 * change, behind the app's name, and ends the image with BOOT_EXIT_USAGE. It is no panic: started
 * again, the image would come to the same end, so no supervisor should. In panic.c.
 */
_Noreturn void boot_misconfigured(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* True once the operator asked the image to end: Ctrl-C on the console, the power button, SIGINT
 * or SIGTERM on linux. Cheap enough for a loop: it looks at the console once in 10 ms, at the
 * button once in 100 ms, on core 0 alone; on other cores it tells what core 0 saw. */
bool boot_stopping(void);

/* Writes to the console. A loop that calls boot_stopping isn't held up by a console that nobody
 * reads: some 16 KiB are kept for it, whole lines beyond that are left out, and their number is
 * said once it is read again. Elsewhere waits for the device until it has taken nothing for a
 * second. */
void boot_console_write(const char *text, size_t len);

/* What the platform is called, "kvm", "xen" or "linux"; and, from the Makefile, the app, "udpkv",
 * and the version, "1.0.0 (1a2b3c4)". */
extern const char boot_platform[];
extern const char boot_app[], boot_version[];

/* --- time ---------------------------------------------------------------------------------- */

/* Nanoseconds since some moment before app_main. Never goes backwards on a core; two cores are at
 * most some microseconds apart. Off by at most 0.1 %; where the machine doesn't tell how fast it
 * counts, by 7 % until it has run for 2.5 ms. */
uint64_t clock_ns(void);

/* Seconds since 1970-01-01 00:00 UTC, as the machine tells it: goes ahead by the whole pause after
 * a stop, a migration or a snapshot, and goes back if the machine's date is set back. At most a
 * second behind such a change. */
uint64_t clock_unix_s(void);

/* The processor's cycle counter, for counting cycles a packet. Not a clock: see clock_ns. */
static inline uint64_t clock_cycles(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}

/* Cycles of clock_cycles() a second, within 0.1 %. Where the machine doesn't tell them, the first
 * call may wait for 2.5 ms since the start, and some later one knows them better. */
uint64_t clock_cycles_hz(void);

/* --- waiting -------------------------------------------------------------------------------
 *
 * Interrupts do one thing: they end boot_wait. They are delivered inside boot_wait alone, so a loop
 * is never interrupted, and one that doesn't wait pays nothing. */

/*
 * Lets the processor sleep until an interrupt comes or clock_ns() is `deadline_ns`. An interrupt
 * that came since the last call ends it at once: a caller that arms its sources, looks once more,
 * and then waits, misses nothing. May return early. Called on each core for itself.
 *
 * What interrupts: a device's interrupt that its driver asked for (on Xen, an event; on linux, a
 * file: boot/linux/linux.h); on linux also a signal that boot_stopping() tells of.
 */
void boot_wait(uint64_t deadline_ns);

/* Interrupts that ended this core's waits, or would have; deadlines don't count. */
uint64_t boot_interrupts(void);

/* --- cores --------------------------------------------------------------------------------- */

#define BOOT_CORES_MAX 8

/*
 * How many cores the app's loops run on: the key `cores`, 1 unless it is given. An image has the
 * key only if it calls this or boot_run. If the machine hasn't so many, the image doesn't start:
 * boot_misconfigured.
 */
uint32_t boot_cores(void);

/* Which core this is: 0, which runs app_main, to boot_cores() - 1. Some instructions. */
uint32_t boot_core(void);

/*
 * Calls run(core) once on every core: on core 0, which is the caller's, and at the same time on the
 * others, each on a stack of 64 KiB. Returns once all have returned; may be called again, by core
 * 0. What was written before is seen by every run, and what they wrote by the caller afterwards.
 * Between runs the others sleep.
 *
 * A panic, a fault or boot_exit on any core ends the image. Lines that cores print don't mix.
 * boot_alloc, boot_map_device and boot_command_line are for core 0 alone, and before the others
 * run; any core may call what else is in this header, unless its comment says otherwise. A pool, a
 * queue of a device and whatever else has an owner is used by one core at a time.
 */
void boot_run(void (*run)(uint32_t core));

/* On core 0: how many other cores haven't returned yet from the run that is under way. */
uint32_t boot_others(void);

/* On core 0: ends the boot_wait that another core may be in, so that its loop looks around. Not on
 * linux, where nothing but the core itself has to end it. */
void boot_wake_others(void);

/* --- memory -------------------------------------------------------------------------------- */

/*
 * Takes `len` zeroed bytes of the machine's memory, for good: there is no free. For pools, rings
 * and stores, at start-up only. `align` is a power of two. Returns NULL if no free region is large
 * enough. The address is also the one that devices use, on every platform.
 */
void *boot_alloc(size_t len, size_t align);

/* The same for memory that no device is to see: where a device is another process, it isn't shared
 * with that, and may come in larger pages. */
void *boot_alloc_private(size_t len, size_t align);

/* The largest block that boot_alloc can still give, in bytes. */
size_t boot_alloc_max(void);

/* All memory that the machine has, in bytes. */
uint64_t boot_memory_bytes(void);

/* The first address that an image can't use: memory and devices from there on are left out. */
#define BOOT_ADDRESS_END (1ull << 47)

/*
 * Makes `len` bytes of a device's registers at the physical address `phys` readable and writable,
 * uncached. They end at BOOT_ADDRESS_END at the latest. Not on linux. Ends the image, as
 * boot_misconfigured does, if there is no memory for page tables.
 */
void *boot_map_device(uint64_t phys, size_t len);

/* 64 bits that a stranger can't guess. Not fast: for seeds. */
uint64_t boot_random(void);

/* --- command line -------------------------------------------------------------------------- */

/*
 * A key of the command line. Parts and apps define theirs at file scope:
 *
 *     static uint64_t mem;
 *     BOOT_KEY("udpkv.mem", boot_parse_size, &mem, "64M", "bytes", "memory for items");
 *
 * A key exists in an image only if the file that defines it is linked into it. Every key is set,
 * to `def` or to what the command line says, before app_main is called. `def` is parsed like a
 * value from the command line, so what `help` shows is what is used; NULL leaves `dst` as it is.
 * A key may be given once; one with a name ending in `+` (not part of the name) may be repeated,
 * and its parser is called for each. No two keys of an image may have one name.
 */
struct boot_key {
    const char *name;
    /* Sets *dst from text. Returns NULL, or what a good value looks like: "a size such as 64M". */
    const char *(*parse)(const struct boot_key *key, const char *text);
    void *dst;
    const char *def;
    const char *unit;  /* "bytes", "ns", "" for none */
    const char *help;  /* the meaning in some words */
    uint64_t min, max; /* for boot_parse_u64 and boot_parse_size; max 0 means no limits */
};

#define BOOT_KEY_CAT2(a, b) a##b
#define BOOT_KEY_CAT(a, b)  BOOT_KEY_CAT2(a, b)
#define BOOT_KEY(name, parse, dst, def, unit, help)                                                \
    BOOT_KEY_RANGE(name, parse, dst, def, unit, help, 0, 0)
#define BOOT_KEY_RANGE(name, parse, dst, def, unit, help, min, max)                                \
    static const struct boot_key BOOT_KEY_CAT(boot_key_, __LINE__)                                 \
        __attribute__((used, section("boot_keys"), aligned(8))) = {name, parse, dst, def,          \
                                                                   unit, help,  min, max}

const char *boot_parse_u64(const struct boot_key *key, const char *text);    /* dst: uint64_t */
const char *boot_parse_size(const struct boot_key *key, const char *text);   /* uint64_t; k M G */
const char *boot_parse_bool(const struct boot_key *key, const char *text);   /* bool; on off */
const char *boot_parse_string(const struct boot_key *key, const char *text); /* const char * */

/* The longest command line that is taken, in bytes. */
#define BOOT_COMMAND_LINE_MAX 4095

/*
 * Called by a platform once, with its command line; the text must stay. `text_len` is how long the
 * whole line is, of which `text` may have the first BOOT_COMMAND_LINE_MAX bytes only: a longer line
 * is refused. Sets every key. `help` prints all keys and exits with 0; words that are Linux' are
 * passed over with a line that names them; anything wrong prints a sentence and exits with
 * BOOT_EXIT_USAGE. boot/words.h tells what a word is, and which are Linux'.
 */
void boot_command_line(const char *text, size_t text_len);

#endif
