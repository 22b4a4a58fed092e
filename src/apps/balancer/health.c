/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * health.c - who is up: each back end is asked now and then, and what its answer begins with is
 * looked at.
 *
 * A question's source port is a random one, and only an answer to it counts, once: who can't see
 * the question can't answer for a back end. The back end's MAC address comes by ARP, then with each
 * answer.
 */
#include "apps/balancer/balancer.h"
#include "netbuf/hash.h"

enum { NONCE_FIRST = 49152, NONCES = 16384 }; /* dynamic ports (RFC 6335, section 6) */

static void note_miss(struct balancer *lb, uint16_t id)
{
    struct backend *b = &lb->backends.list[id];

    b->asked = false;
    b->misses++;
    if (!b->is_up) {
        b->streak = 0;
        return;
    }
    if (++b->streak < lb->conf.check.down_after)
        return;
    b->streak = 0;
    backends_set_up(&lb->backends, id, false);
}

/* The first answer of all is enough: nobody says that it was ill. */
static void note_answer(struct balancer *lb, uint16_t id)
{
    struct backend *b = &lb->backends.list[id];

    b->answers++;
    if (b->is_up) {
        b->streak = 0;
        return;
    }
    if (b->answered_once && ++b->streak < lb->conf.check.up_after)
        return;
    b->answered_once = true;
    b->streak = 0;
    backends_set_up(&lb->backends, id, true);
}

/* Looks for the back end's MAC address. True if it has one. Some at a time: inet keeps no more. */
static bool find_mac(struct balancer *lb, struct backend *b, uint64_t now_ns)
{
    if (b->has_mac)
        return true;
    if (!b->is_sought && lb->backends.sought == INET_ARP_ASKED / 2)
        return false;
    const enum inet_neighbour found =
        inet_resolve(&lb->inet, b->ip, lb->conf.gateway, now_ns, b->mac);
    b->has_mac = found == INET_KNOWN;
    lb->backends.sought -= b->is_sought;
    b->is_sought = found == INET_ASKING;
    lb->backends.sought += b->is_sought;
    return b->has_mac;
}

static void build_question(struct balancer *lb, struct backend *b, struct netbuf *nb)
{
    struct inet_peer to = {.ip = b->ip, .port = lb->conf.check.port};

    lb->nonce = hash_mix(lb->nonce ^ lb->conf.seed, HASH_ODD) + 1;
    b->nonce_port = to.local_port = (uint16_t)(NONCE_FIRST + (lb->nonce >> 32) % NONCES);
    eth_mac_copy(to.mac, b->mac);
    memcpy(nb->data + INET_UDP_HEADROOM, lb->conf.check.ask, lb->conf.check.ask_len);
    inet_udp_build(&lb->inet, nb, &to, lb->conf.check.ask_len, false);
    b->asked = true;
    lb->checks++;
}

/* Its time has come. True if nb is the question. */
static bool ask(struct balancer *lb, uint16_t id, uint64_t now_ns, struct netbuf *nb)
{
    struct backend *b = &lb->backends.list[id];
    const bool asks = lb->conf.check.every_ns != 0;

    b->ask_ns = now_ns + (asks ? lb->conf.check.every_ns : BALANCER_RESOLVE_NS);
    if (b->asked)
        note_miss(lb, id);
    if (!b->is_up && asks) /* it may be another machine by now */
        b->has_mac = false;
    if (!find_mac(lb, b, now_ns))
        return false;
    if (!asks) {
        backends_set_up(&lb->backends, id, true);
        return false;
    }
    build_question(lb, b, nb);
    return true;
}

bool health_ask(struct balancer *lb, uint64_t now_ns, struct netbuf *nb)
{
    for (uint32_t left = lb->backends.count; left > 0; left--) {
        if (lb->check_next >= lb->backends.count)
            lb->check_next = 0;
        const uint16_t id = lb->backends.order[lb->check_next++];
        if (now_ns >= lb->backends.list[id].ask_ns && ask(lb, id, now_ns, nb))
            return true;
    }
    return false;
}

bool health_answer(struct balancer *lb, const struct inet_udp *udp)
{
    const struct balancer_check *check = &lb->conf.check;
    const uint16_t id = backends_find(&lb->backends, udp->from.ip);

    if (id == BACKENDS_NONE || udp->from.port != check->port)
        return false;
    struct backend *b = &lb->backends.list[id];
    if (!b->asked || udp->from.local_port != b->nonce_port)
        return false;
    if (udp->payload_len < check->begin_len ||
        memcmp(udp->payload, check->begin, check->begin_len) != 0) {
        b->wrong++; /* the next question finds that this one has no answer */
        return true;
    }
    b->asked = false;
    eth_mac_copy(b->mac, udp->from.mac);
    note_answer(lb, id);
    return true;
}
