/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * domain.c - what all parts of the xen platform need of the domain: the page shared with Xen, and
 * how often it began to run on a host. start.c sets them up.
 */
#include "boot/xen/domain.h"

/* The page shared with Xen takes the place of this one, whose memory goes back to Xen. */
static union {
    struct shared_info info;
    uint8_t bytes[PAGE_SIZE];
} shared_page __attribute__((aligned(PAGE_SIZE)));

struct shared_info *const xen_shared = &shared_page.info;
uint32_t xen_incarnation;

bool xen_map(unsigned space, uint32_t index, void *page)
{
    struct xen_add_to_physmap map = {
        .domid = DOMID_SELF, .space = space, .idx = index, .gpfn = (uintptr_t)page / PAGE_SIZE};

    return xen_hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, (uintptr_t)&map, 0) == 0;
}
