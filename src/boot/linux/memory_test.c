/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of a host process's memory: what devices share, and what nobody does. */
#include "boot/boot.h"
#include "boot/linux/linux.h"
#include "boot/test.h"

static bool is_shared(const uint8_t *p)
{
    return p >= linux_memory.start && p < linux_memory.start + linux_memory.len;
}

TEST(memory_for_devices_is_shared_and_both_kinds_count_against_mem)
{
    const size_t before = boot_alloc_max();
    uint8_t *shared = boot_alloc(100, CACHE_LINE), *own = boot_alloc_private(1000, 4096);

    CHECK(shared && own);
    CHECK(is_shared(shared));
    CHECK_EQ((uintptr_t)own % 4096, 0);
    CHECK(boot_alloc_max() <= before - 1100);
    for (uint32_t i = 0; i < 1000; i++)
        CHECK_EQ(own[i], 0);
    memset(own, 1, 1000);
    CHECK_EQ(shared[0], 0);
    CHECK(boot_alloc_private(boot_alloc_max() + 1, 1) == NULL);
    CHECK(boot_alloc(boot_alloc_max() + 1, 1) == NULL);
    CHECK(boot_alloc_private(SIZE_MAX, 1) == NULL);
}
