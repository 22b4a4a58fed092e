/*
 * wait.S - the only place where interrupts are on: while the processor sleeps in wait_halt. So the
 * handlers know what is in the registers, and save none. General registers and basic instructions
 * only, as ring 0 may be emulated.
 *
 * sti lets interrupts through after the next instruction only, so one that is pending already ends
 * that hlt; none gets lost in between.
 */
        .section .text.wait, "ax", @progbits

/* wait_halt(rdi: the count of interrupts, rsi: the local APIC's EOI register): sleeps until an
 * interrupt was handled. */
        .globl  wait_halt
wait_halt:
        movl    %cs, %eax
        testb   $3, %al
        jnz     wait_halt_ring3
        sti
        hlt
        cli
        ret
wait_halt_ring3:                        /* hlt isn't allowed here: it ends up in wait_protection */
        hlt
        ret

/* The handler of general protection faults: this hlt is carried out, all others are reported. */
        .globl  wait_protection
wait_protection:                        /* on the stack: error code, rip, ... */
        cmpq    $wait_halt_ring3, 8(%rsp)
        jne     trap_vectors + 16 * 13
        sti
        hlt
        cli
        incq    8(%rsp)                 /* hlt is one byte long */
        addq    $8, %rsp
        iretq

        .globl  wait_wake, wait_timer, wait_spurious
wait_wake:
        incq    (%rdi)
wait_timer:
        movl    $0, (%rsi)
wait_spurious:                          /* wants no EOI (Intel SDM volume 3, 11.9) */
        iretq

        .section .note.GNU-stack, "", @progbits
