/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wait.S - the only place where interrupts are on: while the processor sleeps in wait_halt. So the
 * handlers know what is in the registers, and save none. General registers and basic instructions
 * only, as ring 0 may be emulated.
 *
 * sti lets interrupts through after the next instruction only, so one that is pending already ends
 * that hlt; none gets lost in between.
 */
        .section .text.wait, "ax", @progbits

/* bool wait_halt(void): sleeps until an interrupt was handled; false if it was only the timer's.
 * The handlers say so in eax, and leave it to the next wait to tell the local APIC that they are
 * done: after waking up nothing is emulated that can wait. */
        .globl  wait_halt
wait_halt:
        movl    %cs, %ecx
        xorl    %eax, %eax
        testb   $3, %cl
        jnz     wait_halt_ring3
        sti
        hlt
        cli
        ret
wait_halt_ring3:                        /* hlt isn't allowed here: it ends up in wait_protection */
        hlt
        ret

/* The handler of general protection faults: this hlt and the wrmsr of msr_write are carried out,
 * all else is reported. */
        .globl  wait_protection
wait_protection:                        /* on the stack: error code, rip, ... */
        cmpq    $wait_halt_ring3, 8(%rsp)
        jne     wait_is_msr
        addq    $8, %rsp
        incq    (%rsp)                  /* hlt is one byte long */
        sti
        hlt
        iretq                           /* which also turns interrupts off again */
wait_is_msr:
        cmpq    $msr_write_here, 8(%rsp)
        jne     trap_vectors + 16 * 13
        addq    $8, %rsp
        addq    $2, (%rsp)              /* wrmsr is two bytes long */
        wrmsr
        iretq

/* void msr_write(uint32_t msr, uint64_t value): in ring 3 wrmsr ends up in wait_protection, too. */
        .globl  msr_write
msr_write:
        movl    %edi, %ecx
        movl    %esi, %eax
        movq    %rsi, %rdx
        shrq    $32, %rdx
msr_write_here:
        wrmsr
        ret

        .globl  wait_wake, wait_timer, wait_spurious
wait_wake:
        movl    $1, %eax
wait_timer:
wait_spurious:
        iretq

        .section .note.GNU-stack, "", @progbits
