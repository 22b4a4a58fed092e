/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * events.c - event channels, of the ABI with two levels (Xen's event_channel.h): a bit a port says
 * "pending", which Xen sets and we clear, another "masked".
 *
 * Interrupts stay off and all channels masked, so no event ever interrupts the app: drivers look at
 * the pending bits, and waits are SCHEDOP_poll, which looks at them, too, and doesn't care for
 * masks. Which events wake a core is noted here, core by core.
 */
#include "boot/console.h"
#include "boot/xen.h"
#include "boot/xen/domain.h"

#include <xen/event_channel.h>

enum { WORD_BITS = 64, CALLBACK_VECTOR = 0xf3 };
enum { POLL_PORTS_MAX = 128 };             /* Xen's limit */
#define POLL_NS_MAX (3600 * 1000000000ull) /* Xen's time is signed */

static xen_ulong_t wakes[BOOT_CORES_MAX][EVTCHN_2L_NR_CHANNELS / WORD_BITS]; /* a bit a port */
static uint64_t interrupts[BOOT_CORES_MAX];
static uint32_t core_ports[BOOT_CORES_MAX]; /* by which cores wake each other; 0: not yet */

/* The word of a bitmap that has the port's bit. */
static xen_ulong_t *word_of(xen_ulong_t *bitmap, uint32_t port)
{
    assert(port > 0 && port < EVTCHN_2L_NR_CHANNELS);
    return &bitmap[port / WORD_BITS];
}

static xen_ulong_t bit_of(uint32_t port)
{
    return 1ul << port % WORD_BITS;
}

static void set_wake(uint32_t core, uint32_t port, bool on)
{
    xen_ulong_t *word = word_of(wakes[core], port);

    if (on)
        __atomic_fetch_or(word, bit_of(port), __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(word, ~bit_of(port), __ATOMIC_RELAXED);
}

bool events_add_core(uint32_t core)
{
    struct evtchn_bind_ipi bind = {.vcpu = core};

    if (xen_hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, (uintptr_t)&bind, 0) != 0)
        return false;
    core_ports[core] = bind.port;
    set_wake(core, bind.port, true);
    return true;
}

void events_wake_core(uint32_t core)
{
    xen_event_notify(core_ports[core]);
}

void events_core_wait(uint64_t deadline_ns)
{
    events_wait(core_ports[boot_core()], deadline_ns);
}

/* The vector is never delivered, as interrupts stay off. It is set because the tools take a domain
 * with a callback for one that heeds control/shutdown and that can be told that its suspension was
 * cancelled; and because with it Xen notes that the domain runs in 64-bit mode. */
void events_connect(void)
{
    struct xen_hvm_param callback = {.domid = DOMID_SELF,
                                     .index = HVM_PARAM_CALLBACK_IRQ,
                                     .value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 |
                                              CALLBACK_VECTOR};

    for (size_t i = 0; i < ARRAY_LEN(xen_shared->evtchn_mask); i++)
        __atomic_store_n(&xen_shared->evtchn_mask[i], ~0ul, __ATOMIC_RELAXED);
    memset(wakes, 0, sizeof wakes); /* of channels that a move has ended */
    if (xen_hypercall(__HYPERVISOR_hvm_op, HVMOP_set_param, (uintptr_t)&callback, 0) != 0)
        panic("Xen refuses an event callback by vector; use Xen 4.11 or later.");
    for (uint32_t core = 0; core < BOOT_CORES_MAX; core++)
        if (core_ports[core] != 0 && !events_add_core(core))
            panic("Xen has no vcpu %u any more; the domain had it before it was moved.", core);
}

/* Waits for an event on one of the ports. */
static void poll(evtchn_port_t *ports, uint32_t count, uint64_t deadline_ns)
{
    uint64_t timeout_ns = MIN(deadline_ns, clock_ns() + POLL_NS_MAX);
    struct sched_poll poll = {.nr_ports = count, .timeout = clock_to_xen_ns(timeout_ns)};

    set_xen_guest_handle(poll.ports, ports);
    xen_hypercall(__HYPERVISOR_sched_op, SCHEDOP_poll, (uintptr_t)&poll, 0);
}

void events_wait(uint32_t port, uint64_t deadline_ns)
{
    evtchn_port_t ports[] = {port};

    poll(ports, 1, deadline_ns);
    xen_event_take(port);
}

/* The ports that wake a core. */
static uint32_t waking_ports(uint32_t core, evtchn_port_t ports[POLL_PORTS_MAX])
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < ARRAY_LEN(wakes[core]); i++) {
        xen_ulong_t word = __atomic_load_n(&wakes[core][i], __ATOMIC_RELAXED);
        for (; word != 0; word &= word - 1) {
            assert(count < POLL_PORTS_MAX);
            ports[count++] = i * WORD_BITS + (uint32_t)__builtin_ctzl(word);
        }
    }
    return count;
}

void boot_wait(uint64_t deadline_ns)
{
    evtchn_port_t ports[POLL_PORTS_MAX];
    uint32_t core = boot_core(), count = waking_ports(core, ports);
    uint64_t before = interrupts[core];

    deadline_ns = console_sleep_until(deadline_ns);
    while (interrupts[core] == before && clock_ns() < deadline_ns) {
        poll(ports, count, deadline_ns);
        for (uint32_t i = 0; i < count; i++)
            interrupts[core] += xen_event_take(ports[i]);
    }
}

uint64_t boot_interrupts(void)
{
    return interrupts[boot_core()];
}

uint32_t xen_event_alloc(uint16_t domid)
{
    struct evtchn_alloc_unbound alloc = {.dom = DOMID_SELF, .remote_dom = domid};

    if (xen_hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, (uintptr_t)&alloc,
                      0) != 0)
        return 0;
    xen_event_take(alloc.port); /* of a channel that had the number before */
    return alloc.port;
}

void xen_event_close(uint32_t port)
{
    struct evtchn_close close = {port};

    for (uint32_t core = 0; core < BOOT_CORES_MAX; core++)
        set_wake(core, port, false); /* the next channel of that number is another one */
    xen_hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_close, (uintptr_t)&close, 0);
}

void xen_event_notify(uint32_t port)
{
    struct evtchn_send send = {port};

    xen_hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (uintptr_t)&send, 0);
}

bool xen_event_take(uint32_t port)
{
    xen_ulong_t *word = word_of(xen_shared->evtchn_pending, port), bit = bit_of(port);

    if (!(load_acquire(word) & bit))
        return false;
    __atomic_fetch_and(word, ~bit,
                       __ATOMIC_SEQ_CST); /* what follows sees what the event tells of */
    return true;
}

void xen_event_wake(uint32_t port, bool on)
{
    set_wake(boot_core(), port, on);
}

void xen_yield(void)
{
    xen_hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0);
}
