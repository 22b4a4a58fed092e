/*
 * start.c - from entry.S to app_main. pvh.h tells the order.
 *
 * Where the loop runs: some clouds offer a KVM without hardware virtualization. There guest code in
 * ring 3 runs natively, and code in ring 0 is emulated, about a thousand times slower. So the app
 * runs in ring 3 where ring 0 turns out to be slow, and in ring 0 elsewhere.
 */
#include "boot/pvh/layout.h"
#include "boot/pvh/pvh.h"

enum { RING_AUTO = -1, COMMAND_LINE_MAX = 4096 };

void pvh_start(const struct hvm_start_info *start_info);

/* In .data, as entry.S writes it before .bss can be trusted. */
__attribute__((section(".data"))) uint64_t pvh_first_cycle = 1;
uintptr_t __stack_chk_guard = 0x9d1f0c5a7b3e6824; /* until pvh_main draws a random one */

static struct hvm_start_info info;
static char command_line[COMMAND_LINE_MAX];
static int ring = RING_AUTO;

static const char *parse_ring(const struct boot_key *key, const char *text)
{
    bool good = strcmp(text, "0") == 0 || strcmp(text, "3") == 0 || strcmp(text, "auto") == 0;

    (void)key; /* ring_forced() has read it long ago */
    return good ? NULL : "0, 3 or auto";
}
BOOT_KEY("ring", parse_ring, NULL, "auto", "",
         "processor ring in which the app runs: 0, 3, or auto for the one that is fast here");

void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
    panic("A function has written past its stack frame; this is a bug in Ringloop or in the app.");
}

/* The ring is needed before the command line is parsed. */
static int ring_forced(void)
{
    for (const char *word = command_line; word; word = strchr(word, ' ')) {
        word += *word == ' ';
        if (strncmp(word, "ring=", 5) == 0 && (word[5] == '0' || word[5] == '3'))
            return word[5] - '0';
    }
    return RING_AUTO;
}

/* Cycles of the quickest of some rounds of a short loop: others may interrupt one, not all. */
static bool ring0_is_emulated(void)
{
    enum { ROUNDS = 3, ITERATIONS = 32, EMULATED_CYCLES = 300 };
    uint64_t best = UINT64_MAX;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = clock_cycles();
        for (int i = 0; i < ITERATIONS; i++)
            __asm__ volatile("");
        best = MIN(best, clock_cycles() - start);
    }
    return best > ITERATIONS * EMULATED_CYCLES;
}

static void copy_command_line(void)
{
    uint64_t reach = BOOT_PD_ENTRIES * (2ull << 20);
    uint64_t from = info.cmdline_paddr;

    if (from == 0)
        return;
    for (size_t i = 0; i < sizeof command_line; i++) {
        if (from + i >= reach)
            break;
        command_line[i] = ((const char *)(uintptr_t)from)[i];
        if (command_line[i] == 0)
            return;
    }
    panic("The command line is longer than %zu bytes or outside of the first 16 MiB.",
          sizeof command_line - 1);
}

/* Changes the canary, so it may never return to a function that has checked the old one. */
__attribute__((no_stack_protector)) _Noreturn static void pvh_main(void)
{
    memory_init();
    machine_init(&info);
    __stack_chk_guard = boot_random() & ~0xffull; /* a zero byte stops runaway strings */
    boot_command_line(command_line);
    uint64_t cycles = clock_cycles() - pvh_first_cycle;
    print("Ringloop: %s on %s, ring %d, %lu MiB, clock %s, started in %lu us.\n", boot_app,
          boot_platform, ring, (boot_memory_bytes() + (1 << 19)) >> 20, machine_clock_name(),
          cycles * 1000 / (clock_cycles_hz() / 1000));
    boot_exit(app_main());
}

static void pvh_main_ring3(void)
{
    pvh_main();
}

void pvh_start(const struct hvm_start_info *start_info)
{
    if ((uintptr_t)start_info >= BOOT_PD_ENTRIES * (2ull << 20) - sizeof info)
        panic("The VMM has put hvm_start_info at %p, outside of the first 16 MiB.", start_info);
    info = *start_info;
    copy_command_line();
    memory_read_map(&info);
    paging_protect_image();
    traps_init();
    machine_init_ring0();
    ring = ring_forced();
    if (ring == RING_AUTO)
        ring = ring0_is_emulated() ? 3 : 0;
    if (ring == 3)
        enter_ring3(pvh_main_ring3);
    pvh_main();
}
