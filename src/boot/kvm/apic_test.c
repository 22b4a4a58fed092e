/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of what wakes a core: a message, as devices and other cores send it, and a line. */
#include "boot/console.h"
#include "boot/io.h"
#include "boot/irq.h"
#include "boot/kvm/apic.h"
#include "boot/test.h"

/* Each test begins with an empty console: text that is kept for it shortens a wait. */
#define FOREVER UINT64_MAX

TEST(apic_interrupt_before_the_wait_ends_it)
{
    console_flush();
    for (int i = 0; i < 1000; i++) {
        uint64_t interrupts = boot_interrupts();
        apic_send(apic_id(), APIC_VECTOR_WAKE);
        CHECK_EQ(boot_interrupts(), interrupts); /* none is taken outside of boot_wait */
        boot_wait(FOREVER);
        CHECK_EQ(boot_interrupts(), interrupts + 1);
    }
}

TEST(apic_interrupts_of_one_wait_are_one)
{
    uint64_t interrupts = boot_interrupts(), deadline_ns;

    console_flush();
    apic_send(apic_id(), APIC_VECTOR_WAKE);
    apic_send(apic_id(), APIC_VECTOR_WAKE);
    boot_wait(FOREVER);
    deadline_ns = clock_ns() + 1000000;
    boot_wait(deadline_ns);
    CHECK(clock_ns() >= deadline_ns);
    CHECK_EQ(boot_interrupts(), interrupts + 1);
}

/* The timer of a wait that an interrupt ended goes off later, and doesn't end the next one. */
TEST(apic_timer_of_an_earlier_wait_is_no_deadline)
{
    console_flush();
    for (int i = 0; i < 10; i++) {
        apic_send(apic_id(), APIC_VECTOR_WAKE);
        uint64_t early_ns = clock_ns() + 1000000, deadline_ns = early_ns + 5000000;
        boot_wait(early_ns);
        uint64_t interrupts =
            boot_interrupts(); /* where early_ns was past, the next wait takes it */
        while (clock_ns() < early_ns + 1000000)
            ;
        boot_wait(deadline_ns);
        CHECK(clock_ns() >= deadline_ns || boot_interrupts() != interrupts);
    }
}

/* The serial port raises its line when it may be written to and its interrupt is switched on. */
TEST(apic_line_wakes_when_it_rises)
{
    enum { SERIAL_LINE = 4, SERIAL_ENABLE = 0x3f9, WHEN_EMPTY = 2 };

    CHECK(boot_irq_line(SERIAL_LINE));
    console_flush();
    for (int i = 0; i < 10; i++) {
        uint64_t interrupts = boot_interrupts();
        outb(SERIAL_ENABLE, WHEN_EMPTY);
        boot_wait(FOREVER);
        CHECK_EQ(boot_interrupts(), interrupts + 1);
        outb(SERIAL_ENABLE, 0);
    }
}

TEST(apic_line_must_be_there)
{
    CHECK(!boot_irq_line(4000));
    CHECK(!boot_irq_line(UINT32_MAX));
}

TEST(apic_message_names_the_core)
{
    struct boot_msi msi = boot_msi(0);

    CHECK_EQ(msi.address, 0xfee00000 + (apic_id() << 12));
    CHECK_EQ(msi.data, APIC_VECTOR_WAKE);
}
