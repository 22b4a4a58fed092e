/* core.c - which core runs: there is one. */
#include "boot/boot.h"

uint32_t boot_core(void)
{
    return 0;
}
