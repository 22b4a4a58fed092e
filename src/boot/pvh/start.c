/* SPDX-License-Identifier: BSD-2-Clause */
/* start.c - from entry.S to app_main. pvh.h tells the order. */
#include "boot/pvh/layout.h"
#include "boot/pvh/pvh.h"

enum { COMMAND_LINE_MAX = 4096 };

void pvh_start(const struct hvm_start_info *start_info);

/* In .data, as entry.S writes it before .bss can be trusted. */
__attribute__((section(".data"))) uint64_t pvh_first_cycle = 1;
uintptr_t __stack_chk_guard = 0x9d1f0c5a7b3e6824; /* until pvh_main draws a random one */

extern char main_stack_top[];
static struct hvm_start_info info;
static char command_line[COMMAND_LINE_MAX];
int pvh_ring;

void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
    panic("A function has written past its stack frame; this is a bug in Ringloop or in the app.");
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
    paging_map_memory();
    machine_init(&info);
    __stack_chk_guard = boot_random() & ~0xffull; /* a zero byte stops runaway strings */
    boot_command_line(command_line);
    uint64_t cycles = clock_cycles() - pvh_first_cycle;
    print("Ringloop: %s on %s, version %s, ring %d, %lu MiB, clock %s, started in %lu us.\n",
          boot_app, boot_platform, boot_version, pvh_ring, (boot_memory_bytes() + (1 << 19)) >> 20,
          machine_clock_name(), cycles * 1000 / (clock_cycles_hz() / 1000));
    boot_exit(app_main());
}

static void pvh_main_ring3(uint32_t core)
{
    (void)core;
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
    pvh_ring = machine_ring(command_line);
    if (pvh_ring == 3)
        enter_ring3(pvh_main_ring3, 0, main_stack_top);
    pvh_main();
}
