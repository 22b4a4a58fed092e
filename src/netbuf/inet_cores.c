/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inet_cores.c - one host on several cores. Each core has a struct inet of its own. One of them,
 * core 0's, speaks for the host: it alone probes for addresses, announces them and asks DHCP
 * servers. It publishes how far each address is, and the others follow; what they receive that is
 * for it to know, they leave with it:
 *
 *     addresses   written by the speaker alone, a word for each address
 *     conflicts   a MAC address that somebody else's ARP packet gave for one of them
 *     mail        one DHCP server's answer; a further one meanwhile is dropped, and asked for again
 *
 * Each word says all by itself, so none waits for another; only the mail's content is guarded, by
 * its state.
 */
#include "boot/boot.h"
#include "netbuf/inet_build.h"

enum { MAIL_EMPTY, MAIL_WRITTEN, MAIL_FULL };

/* An address in a word: bits 0 to 31 the address, then length, flags and state. */
static uint64_t word_of(const struct inet_address *address)
{
    if (address->state == INET_ADDRESS_FREE)
        return 0;
    return (uint64_t)address->state << 48 | (uint64_t)address->flags << 40 |
           (uint64_t)address->prefix.len << 32 | address->prefix.address;
}

RUNS_SELDOM void inet_cores_publish(struct inet *inet)
{
    for (uint32_t i = 0; i < INET_ADDRESSES; i++)
        __atomic_store_n(&inet->shared.addresses[i], word_of(&inet->addresses[i]),
                         __ATOMIC_RELAXED);
}

RUNS_SELDOM void inet_join(struct inet *host, struct inet *other)
{
    assert(!host->host && other != host);
    host->shared.has_followers = true;
    other->host = host;
    inet_cores_publish(host);
    inet_follow(other);
}

RUNS_SELDOM void inet_follow(struct inet *other)
{
    for (uint32_t i = 0; i < INET_ADDRESSES; i++) {
        struct inet_address *own = &other->addresses[i];
        uint64_t word = __atomic_load_n(&other->host->shared.addresses[i], __ATOMIC_RELAXED);
        if (word == word_of(own))
            continue;
        const struct ipv4_prefix prefix = {(uint32_t)word, word ? (uint8_t)(word >> 32) : 32};
        inet_put_address(other, i, prefix, (uint8_t)(word >> 40));
        inet_address_in_state(other, i, (enum inet_address_state)(word >> 48));
    }
}

void inet_cores_conflict(const struct inet *other, uint32_t index, const uint8_t *mac)
{
    __atomic_store_n(&other->host->shared.conflicts[index], eth_mac_number(mac), __ATOMIC_RELAXED);
}

RUNS_SELDOM enum dhcp_reason inet_cores_mail(const struct inet *other,
                                             const struct dhcp_answer *answer)
{
    struct inet_shared *shared = &other->host->shared;
    uint32_t state = MAIL_EMPTY;

    if (!__atomic_compare_exchange_n(&shared->mail_state, &state, MAIL_WRITTEN, false,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return DHCP_BUSY;
    shared->mail = *answer;
    __atomic_store_n(&shared->mail_state, MAIL_FULL, __ATOMIC_RELEASE); /* with its content */
    return DHCP_TAKEN;
}

RUNS_SELDOM void inet_cores_collect(struct inet *inet)
{
    struct inet_shared *shared = &inet->shared;

    for (uint32_t i = 0; i < INET_ADDRESSES; i++) {
        const uint64_t mac = __atomic_exchange_n(&shared->conflicts[i], 0, __ATOMIC_RELAXED);
        if (mac == 0)
            continue;
        inet->addresses[i].conflict = true;
        memcpy(inet->addresses[i].other, &mac, ETH_MAC_BYTES);
    }
    if (__atomic_load_n(&shared->mail_state, __ATOMIC_ACQUIRE) != MAIL_FULL)
        return;
    const struct dhcp_answer answer = shared->mail;
    __atomic_store_n(&shared->mail_state, MAIL_EMPTY, __ATOMIC_RELEASE); /* it has been read */
    inet_dhcp_collect(inet, &answer);
}
