/* SPDX-License-Identifier: BSD-2-Clause */
/* start.c - from entry.S to app_main. pvh.h tells the order. */
#include "boot/pvh/layout.h"
#include "boot/pvh/pvh.h"

void pvh_start(uint32_t start_info);

/* In .data, as entry.S writes it before .bss can be trusted. */
__attribute__((section(".data"))) uint64_t pvh_first_cycle = 1;
uintptr_t __stack_chk_guard = 0x9d1f0c5a7b3e6824; /* until pvh_main draws a random one */

extern char main_stack_top[];
static struct hvm_start_info info;
static char command_line[BOOT_COMMAND_LINE_MAX + 1] UNCLEARED;
static size_t command_line_len; /* of the VMM's whole text, of which command_line has the front */
int pvh_ring;

void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
    panic("A function has written past its stack frame; this is a bug in Ringloop or in the app.");
}

/* On q35 and pc, QEMU's own code in the machine reads the command line into 4096 bytes, behind
 * which its start info lies: a longer line overwrites that. */
static void check_start_info(void)
{
    enum { VERSIONS_MAX = 255 }; /* there has been 1 */

    if (info.version <= VERSIONS_MAX && info.magic == XEN_HVM_START_MAGIC_VALUE)
        return;
    if (info.version <= VERSIONS_MAX)
        panic("The VMM gives no PVH start info; use QEMU 4.0, Xen 4.11 or later.");
    print("command line: it has more than %d bytes, as QEMU has overwritten what it tells an image "
          "(PVH start info version %u); use fewer or shorter words.\n",
          BOOT_COMMAND_LINE_MAX, info.version);
    boot_exit(BOOT_EXIT_USAGE);
}

static void copy_command_line(void)
{
    size_t len = 0;

    command_line[0] = 0;
    if (info.cmdline_paddr == 0)
        return;
    const char *text = paging_peek("command line", info.cmdline_paddr);
    while (len < PAGING_PEEK_BYTES && text[len] != 0)
        len++;
    memcpy(command_line, text, MIN(len, (size_t)BOOT_COMMAND_LINE_MAX));
    command_line[MIN(len, (size_t)BOOT_COMMAND_LINE_MAX)] = 0;
    command_line_len = len; /* too long is told of when there is a console: boot_command_line */
}

/* Changes the canary, so it may never return to a function that has checked the old one. */
__attribute__((no_stack_protector)) _Noreturn static void pvh_main(void)
{
    memory_init();
    paging_map_memory();
    machine_init(&info);
    __stack_chk_guard = boot_random() & ~0xffull; /* a zero byte stops runaway strings */
    boot_command_line(command_line, command_line_len);
    uint64_t cycles = clock_cycles() - pvh_first_cycle;
    print("Ringloop: %s on %s, version %s, ring %d, %lu MiB, clock %s, started in %lu us.\n",
          boot_app, boot_platform, boot_version, pvh_ring, (boot_memory_bytes() + (1 << 19)) >> 20,
          machine_clock_name(), cycles * 1000 / (machine_cycles_hz() / 1000));
    boot_exit(app_main());
}

static void pvh_main_ring3(uint32_t core)
{
    (void)core;
    pvh_main();
}

void pvh_start(uint32_t start_info)
{
    memcpy(&info, paging_peek("start info", start_info), sizeof info);
    check_start_info();
    copy_command_line();
    memory_read_map(&info, paging_peek("memory map", info.memmap_paddr));
    paging_protect_image();
    traps_init();
    machine_init_ring0();
    pvh_ring = machine_ring(command_line);
    if (pvh_ring == 3)
        enter_ring3(pvh_main_ring3, 0, main_stack_top);
    pvh_main();
}
