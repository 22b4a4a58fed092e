/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of where KVM's leaves are looked for, and of a date that follows a clock of seconds. */
#include "boot/kvm/kvm.h"
#include "boot/test.h"

#define NS_PER_S 1000000000ull

enum { VMM_PRESENT = 1u << 31 };
static const struct cpuid hyper_v = {0x40000005, 0x7263694d, 0x666f736f, 0x76482074};
static const struct cpuid kvm = {0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d};
static uint32_t kvm_at; /* where the machine that is asked has them */

static struct cpuid machine(uint32_t leaf)
{
    if (leaf == 1)
        return (struct cpuid){.ecx = VMM_PRESENT};
    if (leaf == kvm_at)
        return kvm;
    return leaf == 0x40000000 ? hyper_v : (struct cpuid){0};
}

static struct cpuid bare_machine(uint32_t leaf)
{
    return leaf == 0x40000000 ? kvm : (struct cpuid){0};
}

TEST(clock_finds_kvms_leaves)
{
    kvm_at = 0x40000000;
    CHECK_EQ(kvm_leaves(machine), 0x40000000);
    kvm_at = 0x40000100; /* behind Hyper-V's */
    CHECK_EQ(kvm_leaves(machine), 0x40000100);
    kvm_at = 0x4000ff00;
    CHECK_EQ(kvm_leaves(machine), 0x4000ff00);
    kvm_at = 0x40010000;
    CHECK_EQ(kvm_leaves(machine), 0);
    CHECK_EQ(kvm_leaves(bare_machine), 0);
}

TEST(date_within_the_second_stays)
{
    uint64_t at_0_ns = 1000 * NS_PER_S;

    CHECK_EQ(date_at_0_ns(at_0_ns, 5 * NS_PER_S, 1005), at_0_ns);
    CHECK_EQ(date_at_0_ns(at_0_ns, 6 * NS_PER_S - 1, 1005), at_0_ns);
}

TEST(date_moves_by_the_least_that_agrees)
{
    uint64_t at_0_ns = 1000 * NS_PER_S, now_ns = 5 * NS_PER_S + 3;

    CHECK_EQ(date_at_0_ns(at_0_ns, now_ns, 1006) + now_ns, 1006 * NS_PER_S);
    CHECK_EQ(date_at_0_ns(at_0_ns, now_ns, 1004) + now_ns, 1005 * NS_PER_S - 1);
    CHECK_EQ(date_at_0_ns(at_0_ns, now_ns, 9006) + now_ns, 9006 * NS_PER_S);
    CHECK_EQ(date_at_0_ns(at_0_ns, now_ns, 7) + now_ns, 8 * NS_PER_S - 1);
}

TEST(date_of_the_machine_is_after_2025)
{
    CHECK(clock_unix_s() >= 1767225600);
}
