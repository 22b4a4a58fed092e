#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Sends random sequences of requests to memcached and to udpkv and compares the answers' bytes.

    python3 tests/memcached_random.py --sequences 10000 [--seed N] [--udpkv HOST:PORT]

Starts Debian's memcached, and udpkv under QEMU if --udpkv names none. A sequence is one to twelve
datagrams of text and meta commands, or of requests of the binary protocol, right ones and spoilt
ones, on a few keys; hypothesis draws it (memcached_draws.py) and, when the answers differ, looks
for the shortest one that still does. The same seed gives the same sequences. Each begins with a
flush and with counters at zero, and ends with the counters of `stats` compared.

What must differ is listed in memcached_peer.py; everything else is an error.
"""
import argparse
import contextlib
import os
import re
import struct
import sys
import time

from hypothesis import HealthCheck, Phase, given, seed, settings

import memcached_binary as binary
from memcached_compare import Endpoint, body, header_fault
from memcached_draws import sequence
from memcached_peer import (
    DELAYED_FLUSH, HOST, LONG_GET, NEWER_FLAG, QUIT, SAME_AFTER, STATS_EQUAL, Memcached)
from vm import Vm, end_on_signals, free_udp_port, image, kvm_problem, qemu_command, user_netdev

PROGRESS = 500  # sequences between two signs of life
MAX_ANSWER = 64 * 1392  # bytes of an answer of udpkv
MAX_CUT_LINE = 2048  # bytes of a last line without its end, behind which memcached forgets the datagram
TOO_LONG = b"answer too long for UDP"
TOO_LARGE = (b"SERVER_ERROR object too large for cache\r\n", b"Too large.")
MANY = 1 << 31  # a TTL over it is one that is negative, written without its sign

MAX_NAMED_ID = 99  # small numbers in requests are nobody's id, as ids begin behind them
STORES = re.compile(rb"(?:^|\n) *(?:set|add|replace|append|prepend|cas|ms) ")
READS = re.compile(rb"(?:^|\n) *(?:get|gets|gat|gats|mg) ")
ADDS = re.compile(rb"(?<=\n) *(?:incr|decr|ma) ")
READS_BINARY = {binary.OPCODES[name] for name in ("get", "getq", "getk", "getkq", *binary.TOUCHES)}
ADDS_BINARY = {binary.OPCODES[name] for name in binary.ARITHMETIC}
LENGTH_WORD = {b"ms": 2, **dict.fromkeys((b"set", b"add", b"replace", b"append", b"prepend"), 4),
               b"cas": 4}


def may_wait(request):
    """Does a data block in it seem to be cut? Then little time is spent on waiting for memcached."""
    if request[:1] == b"\x80":
        return binary.waits(request)
    at = 0
    while (end := request.find(b"\n", at)) >= 0:
        line, at = request[at:end].split(), end + 1
        place = LENGTH_WORD.get(line[0], 99) if line else 99
        if place < len(line) and line[place].isdigit():
            at += int(line[place]) + 2
            if at > len(request):
                return True
    return False


# --- the two servers --------------------------------------------------------------------------

def expand(request, endpoint):
    request = re.sub(rb"\{bcas\+(\d)\}", lambda m: struct.pack(">Q", endpoint.cas_base + int(m[1])), request)
    return re.sub(rb"\{cas\+(\d)\}", lambda m: b"%d" % (endpoint.cas_base + int(m[1])), request)


def split_times(answer, cas_base):
    """The answer with ids made relative and times replaced, and a list of the times."""
    times = []

    def time_of(m):
        seconds = int(m[2])
        times.append(seconds if seconds < MANY else None)
        return m[1] + b"TIME"

    def relative(m):
        return m[1] + b"%d" % (int(m[2]) - cas_base if int(m[2]) else 0)

    def line(m):
        text = re.sub(rb"( c| cas=)(\d+)(?= |\r)", relative, m[0])
        text = re.sub(rb" cls=\d+", b"", text)
        text = re.sub(rb" size=\d+", b" size=", text)
        return re.sub(rb"( t| l| la=| exp=-?(?!1 ))(\d+)(?= |\r)", time_of, text)

    answer = re.sub(rb"(VALUE \S+ \d+ \d+ )(\d+)(?=\r\n)", relative, answer)
    return re.sub(rb"(?:VA|HD|NS|EX|NF|ME)[^\r]*\r\n", line, answer), times


def taken_back(ours, theirs):
    """Our text and times without the answers that memcached took back: one piece out of the middle, or the front."""
    (text, times), (short, short_times) = ours, theirs
    before = os.path.commonprefix([text, short])
    if not text.endswith(short[len(before) :]):
        return ours
    kept = before.count(b"TIME")
    return short, times[:kept] + times[len(times) - len(short_times) + kept :]


def with_short_end(request):
    """The request, of whose last line, if it has no end, no more than memcached bears."""
    return request if request[:1] == b"\x80" else request[: request.rfind(b"\n") + 1 + MAX_CUT_LINE]


def parts(request):
    """The request, cut before what adds to a number if a number may have been read before it: until memcached
    has sent the answer, it holds the item, and then stores a new one in place of padding a shorter number."""
    if request[:1] == b"\x80":
        last = 0
        held = False
        for opcode, _, end in binary.requests(request):
            if held and opcode in ADDS_BINARY:
                yield request[:last]
                yield from parts(request[last:])
                return
            held = held or opcode in READS_BINARY
            last = end
    elif (read := READS.search(request)) and (add := ADDS.search(request, read.end())):
        yield request[: add.start()]
        yield from parts(request[add.start() :])
        return
    yield request


def end_of_delayed_flush(request):
    """Where the first flush_all with a delay ends, behind which memcached has again what was flushed; or None."""
    if request[:1] != b"\x80":
        found = DELAYED_FLUSH.search(request)
        return found and (request.find(b"\n", found.end()) + 1 or len(request))
    flushes = (binary.OPCODES["flush"], binary.OPCODES["flushq"])
    return next((end for opcode, extras, end in binary.requests(request) if opcode in flushes and any(extras)), None)


def closes(request, answer):
    """Is it one behind which memcached would close a connection, which over UDP it can't forget?"""
    quits = (binary.OPCODES["quit"], binary.OPCODES["quitq"])
    return request[:1] == b"\x80" and (
        any(a.status in (0x04, 0x81) for a in binary.answers(answer)[0])
        or any(opcode in quits for opcode, _, _ in binary.requests(request)))


def too_much(theirs, ours):
    """Does udpkv refuse to send that much, having run the commands up to there, or to keep that much?"""
    if len(theirs) > MAX_ANSWER and (ours.endswith(TOO_LONG) or ours.endswith(TOO_LONG + b"\r\n")):
        return True
    return any(words in ours and words not in theirs for words in TOO_LARGE)


class Difference(AssertionError):
    pass


class Silence(AssertionError):
    pass


class Comparison:
    """Runs sequences on both servers. `counts` tells what happened, for the report."""

    def __init__(self, stack, udpkv):
        self.stack = stack
        self.udpkv = Endpoint(udpkv)
        self.server = self.memcached = None
        self.counts = {"sequences": 0, "requests": 0, "ended as memcached waits for data": 0,
                       "ended by flush_all with a delay": 0,
                       "ended as memcached is to close the connection": 0,
                       "ended by an answer or a value too long for udpkv": 0,
                       "answers before a get with too long a key": 0, "left out: quit": 0}
        self.start_memcached()

    def start_memcached(self):
        if self.server:
            self.server.__exit__()
            self.memcached.socket.close()
        else:
            self.stack.callback(lambda: self.server.__exit__())
        self.server = Memcached()
        self.memcached = Endpoint(f"{HOST}:{self.server.__enter__()}")
        self.memcached.marker_tries = 1  # one that is lost was taken for a data block
        self.memcached.marker_timeout_s = 10.0

    def begin(self):
        for endpoint in (self.memcached, self.udpkv):
            endpoint.cas_base = 0
            while endpoint.cas_base <= MAX_NAMED_ID:
                answer = endpoint.text(b"flush_all\r\nset base 0 0 1\r\nx\r\ngets base\r\n"
                                       b"delete base\r\nstats reset\r\n")
                endpoint.cas_base = int(answer.split()[6])
                if endpoint.cas_base <= MAX_NAMED_ID:  # a server just started: each takes an id
                    endpoint.text(b"flush_all noreply\r\n" * 70)

    def answers(self, request):
        ours = self.udpkv.ask(expand(request, self.udpkv))
        patience_s = self.memcached.marker_timeout_s
        if may_wait(request):
            self.memcached.marker_timeout_s = 0.1
        try:
            theirs = self.memcached.ask(expand(request, self.memcached))
        except AssertionError as error:
            self.start_memcached()
            if STORES.search(request) or binary.waits(request):
                raise Silence from error
            raise
        finally:
            self.memcached.marker_timeout_s = patience_s
        return theirs, ours

    def check(self, request, theirs, ours, patience_s):
        fault = header_fault(ours)
        shown, texts, parts = [body(theirs), body(ours)], [], []
        for text, endpoint in zip(shown, (self.memcached, self.udpkv)):
            text = binary.readable(text, lambda cas: cas - endpoint.cas_base)
            for pattern, instead in SAME_AFTER:
                text = re.sub(pattern, instead, text)
            texts.append(text)
        for text, endpoint in zip(texts, (self.memcached, self.udpkv)):
            parts.append(split_times(text, endpoint.cas_base))
        (theirs, _), (ours, _) = parts
        if LONG_GET.search(request) and len(ours) > len(theirs):
            self.counts["answers before a get with too long a key"] += 1
            parts[1] = taken_back(parts[1], parts[0])
        same = parts[0][0] == parts[1][0] and all(
            a == b or (a is not None and b is not None and abs(a - b) <= patience_s)
            for a, b in zip(parts[0][1], parts[1][1]))
        if fault or not same:
            raise Difference(f"{fault or ''}\n    asked      {request!r}\n"
                             f"    memcached  {shown[0]!r}\n    udpkv      {shown[1]!r}")

    def check_stats(self):
        theirs, ours = (dict(re.findall(rb"STAT (\S+) (.*)\r\n", e.text(b"stats\r\n")))
                        for e in (self.memcached, self.udpkv))
        for name in STATS_EQUAL:
            a, b = theirs.get(name.encode()), ours.get(name.encode())
            if a != b:
                raise Difference(f"stats: {name} is {a} for memcached, {b} for udpkv")

    def run(self, requests):
        try:
            self.compare(requests)
        except Difference as difference:
            told = "".join(f"\n    {request!r}" for request in requests)
            raise Difference(f"{difference}\n  in the sequence{told}") from None

    def compare(self, requests):
        self.counts["sequences"] += 1
        if self.counts["sequences"] % PROGRESS == 0:
            print(f"{self.counts['sequences']} sequences", file=sys.stderr, flush=True)
        start = time.monotonic()
        self.begin()
        for request in (part for request in requests for part in parts(request)):
            if QUIT.search(request):
                self.counts["left out: quit"] += 1
                continue
            if NEWER_FLAG.search(request):
                self.counts["left out: a flag of newer memcacheds"] += 1
                continue
            self.counts["requests"] += 1
            flush_end = end_of_delayed_flush(request)
            request = with_short_end(request[:flush_end])
            try:
                theirs, ours = self.answers(request)
            except Silence:
                self.counts["ended as memcached waits for data"] += 1
                return
            if too_much(body(theirs), body(ours)):
                self.counts["ended by an answer or a value too long for udpkv"] += 1
                return
            self.check(request, theirs, ours, time.monotonic() - start + 2)
            if closes(request, body(theirs)):
                self.counts["ended as memcached is to close the connection"] += 1
                self.start_memcached()
                return
            if flush_end:
                self.counts["ended by flush_all with a delay"] += 1
                return
        self.check_stats()


@contextlib.contextmanager
def booted_udpkv():
    """udpkv under QEMU; yields its address."""
    port = free_udp_port()
    accel = "tcg" if kvm_problem() else "kvm"
    command = qemu_command(image("udpkv"), machine="microvm", accel=accel, netdev=user_netdev(port))
    with Vm(command) as vm:
        vm.expect("^udpkv: serves ")
        yield f"{HOST}:{port}"


def compare(udpkv, sequences, seed_number=0):
    """Runs that many sequences; Difference with the shortest one found. Returns the counts."""
    with contextlib.ExitStack() as stack:
        comparison = Comparison(stack, udpkv)

        @seed(seed_number)
        @settings(max_examples=sequences, database=None, deadline=None, print_blob=False,
                  report_multiple_bugs=False, phases=(Phase.generate, Phase.shrink),
                  suppress_health_check=list(HealthCheck))
        @given(sequence)
        def run(requests):
            comparison.run(requests)

        run()
        return comparison.counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=int, default=10000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--udpkv", metavar="HOST:PORT", help="one that runs already")
    args = parser.parse_args()
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        udpkv = args.udpkv or stack.enter_context(booted_udpkv())
        try:
            counts = compare(udpkv, args.sequences, args.seed)
        except Difference as difference:
            print(f"They differ: {difference}")
            return 1
    for what, count in counts.items():
        print(f"{count:8} {what}")
    print(f"No difference outside the list, seed {args.seed}, {time.monotonic() - start:.0f} s.")
    return 0


if __name__ == "__main__":
    end_on_signals()
    sys.exit(main())
