/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packets.h - sends, counts and times packets from within dom0 or a Linux guest, for the tests and
 * measurements of tests/xen. A static program of Linux; prints one line of JSON at its end.
 *
 *   packets send IF [size=60] [burst=32] [count=N] [seconds=S] [rate=PPS] [dst.mac=..] [src.mac=..]
 *                   [src.ip=..] [dst.ip=..] [src.port=9] [dst.port=9] [csum=1]
 *                   [buffer=BYTES] [bypass=1] [lossy=1]
 *   packets sink IF [count=N] [seconds=S] [idle=S]
 *   packets ping IP [count=100] [size=56] [to=SIZE] [deadline=S] [first=1] [lossy=1]
 *   packets relay IP [port=11211] [listen=11211]
 *
 * send and sink speak pktgen's packets (apps/pktgen/packet.h) on an AF_PACKET socket, below bridge
 * and firewall. send is held back by the interface: a packet counts towards `buffer` until the
 * driver has let go of it, so that nothing is dropped on this side. With bypass=0 packets go by the
 * interface's queueing discipline, which waits where the driver has no room. With lossy=1, and
 * bursts of one, a packet that finds no room is lost instead of sent again.
 *
 * sink counts what comes *in* by the interface until `count` different numbers came, `seconds` are
 * over, or none came for `idle` seconds after the first.
 *
 * ping waits for each echo reply and compares every byte; with `to` the sizes from `size` to `to`
 * take turns; with first=1 it asks every millisecond until somebody answers and tells how long that
 * took; with lossy=1 it goes on where the network is away.
 *
 * relay passes UDP datagrams on, so that clients outside can ask a guest from dom0, over IPv4 or,
 * where IP is such an address, IPv6.
 */
#ifndef PACKETS_H
#define PACKETS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "apps/pktgen/packet.h"

extern volatile sig_atomic_t over; /* Ctrl-C, or kill -INT */

int packets_send(const char *interface);
int packets_sink(const char *interface);
int packets_ping(const char *address);
int packets_relay(const char *address);

/* A socket for whole frames of the interface; receives those of `protocol`, with 0 none. */
int packet_socket(const char *interface, uint16_t protocol);

/* The running sum over UDP header, data and pseudo header. */
uint64_t packet_sum(const struct packet *p);

/* Monotonic time. */
double seconds(void);

/* Prints what failed, with errno's text, and exits. */
_Noreturn void fail(const char *what);

/* The words of the command line: key=value. What is wrong with one is said, and ends the program.
 */
void check_keys(const char *known); /* names, with a blank around each */
const char *text_of(const char *key, const char *otherwise);
double number_of(const char *key, double otherwise);
void mac_of(const char *key, const char *otherwise, uint8_t *mac);
uint32_t ip_of(const char *text);

#endif
