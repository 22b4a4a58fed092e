#ifndef BOOT_IRQ_H
#define BOOT_IRQ_H
#include "boot/lib.h"
struct boot_msi {
    uint64_t address;
    uint32_t data;
};
struct boot_msi boot_msi(uint32_t core);
bool boot_irq_line(uint32_t line);
#endif
