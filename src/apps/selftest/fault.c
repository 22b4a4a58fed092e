/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fault.c - faults on purpose, one for each `fault=NAME`, to see that an image protects its memory
 * and reports what went wrong.
 */
#include "apps/selftest/fault.h"
#include "boot/boot.h"

static const char *const constant = "constant";
static uint64_t data_word;

static void write_byte(uintptr_t address)
{
    *(volatile uint8_t *)address = 1;
}

static void execute(const void *address)
{
    void (*function)(void);

    memcpy(&function, &address, sizeof function);
    function();
}

static void fault_div(void)
{
    volatile uint32_t zero = 0;
    __asm__ volatile("divl %0" : : "r"(zero), "a"(1), "d"(0));
}

static void fault_ud(void)
{
    __asm__ volatile("ud2");
}

static void fault_gp(void) /* an address that isn't canonical */
{
    volatile uintptr_t address = 1ull << 63;
    write_byte(address);
}

static void fault_pf_null(void)
{
    volatile uintptr_t address = 8;
    write_byte(address);
}

static void fault_pf_text(void)
{
    volatile uintptr_t address = (uintptr_t)fault_pf_text;
    write_byte(address);
}

static void fault_pf_rodata(void)
{
    volatile uintptr_t address = (uintptr_t)constant;
    write_byte(address);
}

static void fault_pf_unmapped(void)
{
    volatile uintptr_t address = 1ull << 46;
    write_byte(address);
}

static void fault_nx_data(void)
{
    data_word = 0xc3; /* ret */
    execute(&data_word);
}

static void fault_nx_stack(void)
{
    volatile uint64_t word = 0xc3;
    execute((const void *)&word);
}

static void fault_nx_heap(void)
{
    uint8_t *code = boot_alloc(16, 16);
    *code = 0xc3;
    execute(code);
}

static uint32_t recurse(uint32_t depth)
{
    volatile uint8_t frame[256];
    frame[0] = (uint8_t)depth;
    return depth == UINT32_MAX ? 0 : recurse(depth + 1) + frame[0];
}

static void fault_stack_overflow(void)
{
    recurse(0);
}

static void overrun(volatile uint8_t *buffer, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buffer[i] = 0x55;
}

static void fault_canary(void)
{
    volatile uint8_t buffer[16];
    volatile size_t len = 32;
    overrun(buffer, len);
}

static void fault_panic(void)
{
    panic("Asked to panic.");
}

static void fault_assert(void)
{
    volatile int one = 1;
    assert(one == 2);
}

static void fault_exit(void) /* in order, but not by the end of app_main */
{
    boot_exit(3);
}

static void fault_half_line(void) /* the report must appear though this core's line has no end */
{
    print("half a line, ");
    fault_ud();
}

/* For all cores: core 0 begins a line and doesn't end it, then core 1 has a fault to report. */
static void fault_others_line(void)
{
    static uint32_t begun;

    if (boot_core() == 0) {
        print("half a line, ");
        store_release(&begun, 1);
        for (;;)
            __asm__ volatile("pause");
    }
    while (!load_acquire(&begun))
        __asm__ volatile("pause");
    fault_ud();
}

static const struct {
    const char *name;
    void (*provoke)(void);
} faults[] = {
    {"div", fault_div},
    {"ud", fault_ud},
    {"gp", fault_gp},
    {"pf_null", fault_pf_null},
    {"pf_text", fault_pf_text},
    {"pf_rodata", fault_pf_rodata},
    {"pf_unmapped", fault_pf_unmapped},
    {"nx_data", fault_nx_data},
    {"nx_stack", fault_nx_stack},
    {"nx_heap", fault_nx_heap},
    {"stack_overflow", fault_stack_overflow},
    {"canary", fault_canary},
    {"panic", fault_panic},
    {"assert", fault_assert},
    {"exit", fault_exit},
    {"half_line", fault_half_line},
    {"others_line", fault_others_line},
};

bool fault_provoke(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        if (strcmp(name, faults[i].name) == 0)
            faults[i].provoke();
    print("fault: none of that name did what it should. Names:");
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        print(" %s", faults[i].name);
    print("\n");
    return false;
}
