#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Sends the same recorded requests to memcached and to udpkv and compares the answers' bytes.

    python3 tests/memcached_compare.py --memcached 127.0.0.1:11311 --udpkv 127.0.0.1:11211

Both run in lock step: a request, then the answer of each, then the next request. Start memcached
with one thread, so that it answers in order:

    memcached -U 11311 -p 11311 -l 127.0.0.1 -t 1 -o no_lru_maintainer,no_lru_crawler
                                                            (as root also: -u root)

(its maintainer thread at times holds an item, and then incr and decr answer otherwise), and udpkv
with udpkv.mem of at least 2M, so that its limit for a value isn't met. Every run needs a
fresh memcached: the last requests are quit, which it never forgets over UDP.

Nothing waits for an answer that may not come: behind every request goes a `version` request, the
marker, and whatever arrives before the marker's answer is the answer to the request.

What must differ is listed in memcached_peer.py, with the reason; everything else is an error.
"""
import argparse
import os
import re
import socket
import struct
import sys
import time

import memcached_binary as binary
from memcached_peer import MUST_DIFFER, SAME_AFTER, STATS_COMMON, STATS_EQUAL, STATS_EQUAL_RECORDED, UDPKV_ONLY
from udpkv_client import connected_socket

HEADER = struct.Struct(">HHHH")  # request id, sequence number, total, reserved
DATAGRAM_BYTES = 1400            # of an answer, its header included
MARKER_TIMEOUT_S = 2.0
MARKER_TRIES = 5


class Endpoint:
    """One server, asked over one UDP socket."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.name = address
        # An IPv6 address stands in brackets.
        self.socket = connected_socket(host.strip("[]") or "127.0.0.1", int(port))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.next_id = 1000
        self.cas_base = 0
        self.cas_seen = {}
        self.count_ids = True
        self.ids_shown = {}  # by key, in the order in which they were shown first
        self.marker_timeout_s, self.marker_tries = MARKER_TIMEOUT_S, MARKER_TRIES

    def ask_raw(self, datagram):
        """Sends a datagram; returns the datagrams that came back before the marker's answer."""
        got = []
        self.socket.send(datagram)
        for _ in range(self.marker_tries):
            self.next_id = 1000 + (self.next_id - 999) % 60000
            marker = self.next_id
            self.socket.send(HEADER.pack(marker, 0, 1, 0) + b"version\r\n")
            deadline = time.monotonic() + self.marker_timeout_s
            while (left := deadline - time.monotonic()) > 0:
                self.socket.settimeout(left)
                try:
                    d = self.socket.recv(65536)
                except socket.timeout:
                    break
                if len(d) < HEADER.size:
                    raise AssertionError(f"{self.name} sent a datagram of {len(d)} bytes")
                if HEADER.unpack_from(d)[0] == marker:
                    if not d[HEADER.size:].startswith(b"VERSION "):
                        raise AssertionError(f"{self.name} took a marker for the rest of "
                                             f"{datagram!r}")
                    return got
                got.append(d)
        raise AssertionError(f"{self.name} doesn't answer any more; last request: {datagram!r}")

    def ask(self, payload):
        self.next_id = 1000 + (self.next_id - 999) % 60000
        return self.ask_raw(HEADER.pack(self.next_id, 0, 1, 0) + payload)

    def text(self, payload):
        return b"".join(d[HEADER.size:] for d in self.ask(payload))

    def learn_cas_base(self):
        """Ids count up on both sides, from where they are now."""
        self.text(b"flush_all\r\n")
        self.text(b"set cas_base 0 0 1\r\nx\r\n")
        self.cas_base = int(self.text(b"gets cas_base\r\n").split()[4])
        self.text(b"delete cas_base\r\n")

    def note_cas(self, answer):
        for key, cas in re.findall(rb"VALUE (\S+) \d+ \d+ (\d+)\r\n", answer):
            self.cas_seen[key] = int(cas)
        self.cas_seen.update((a.key, a.cas) for a in binary.answers(answer)[0] if a.key and a.cas)

    def readable(self, answer):
        """A binary answer's ids are relative; where ids aren't counted it tells only that there is one."""
        return binary.readable(answer, lambda cas: cas - self.cas_base if self.count_ids else 1)

    def without_cas_base(self, answer):
        def show(m):
            ident = int(m[3])
            if self.count_ids:
                return m[1] + b"%d\r\n" % (ident - self.cas_base)
            shown = self.ids_shown.setdefault(m[2], [0])
            if ident > shown[-1]:
                shown.append(ident)
            return m[1] + b"id %d\r\n" % shown.index(ident)  # ValueError: ids went back

        return re.sub(rb"(VALUE (\S+) \d+ \d+ )(\d+)\r\n", show, answer)


class Request:
    """A line of the requests file."""

    def __init__(self, group, number, line):
        self.group, self.number, self.line = group, number, line
        self.repeat, self.sleep_s, self.raw = 1, 0.0, False
        if line.startswith("!sleep "):
            self.sleep_s = float(line.split()[1])
        elif line.startswith("!raw"):
            self.raw, self.body = True, line[5:]
        elif line.startswith("!repeat "):
            _, count, self.body = line.split(" ", 2)
            self.repeat = int(count)
        else:
            self.body = line

    def payload(self, endpoint):
        def cas_of(key):
            return endpoint.cas_seen.get(key, 0)

        def expand(m):
            if m[1].startswith("keys "):
                return " ".join(f"k{i}" for i in range(int(m[1][5:])))
            if m[1].startswith("cas "):
                return str(cas_of(m[1][4:].encode()))
            if m[1].startswith("bin "):
                return "".join(f"\\x{byte:02x}" for byte in binary.written(m[1][4:], cas_of))
            text, _, count = m[1].rpartition("*")
            return text * int(count)
        text = re.sub(r"\{([^}]*)\}", expand, self.body)
        return binary.unescape(text.encode("latin-1"))


def load(path=os.path.join(os.path.dirname(os.path.abspath(__file__)), "memcached_requests.txt")):
    requests, group = [], ""
    with open(path, encoding="ascii") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if re.fullmatch(r"\[.*\]", line):
                group = line[1:-1]
            elif line and not line.startswith("#"):
                requests.append(Request(group, number, line))
    return requests


def body(datagrams):
    return b"".join(d[HEADER.size:] for d in datagrams)


def header_fault(datagrams):
    """What is wrong with an answer's headers by protocol.txt, or None."""
    for i, d in enumerate(datagrams):
        ident, seq, total, reserved = HEADER.unpack_from(d)
        if (seq, total, reserved) != (i, len(datagrams), 0):
            return f"datagram {i} of {len(datagrams)} says {seq} of {total}, reserved {reserved}"
        if ident != HEADER.unpack_from(datagrams[0])[0]:
            return f"datagram {i} has another request id"
        if len(d) > DATAGRAM_BYTES or (i + 1 < len(datagrams) and len(d) != DATAGRAM_BYTES):
            return f"datagram {i} of {len(datagrams)} has {len(d)} bytes"
        if len(d) == HEADER.size:
            return f"datagram {i} is empty"
    return None


class Comparison:
    def __init__(self, memcached, udpkv):
        self.memcached, self.udpkv = memcached, udpkv
        self.asked = self.headers_compared = 0
        self.differed = {}  # reason -> how often
        self.errors = []

    def error(self, where, what):
        self.errors.append(f"{where}: {what}")

    def compare_stats(self, where, a, b):
        a, b = ({k.decode(): v for k, v in re.findall(rb"STAT (\S+) (.*)\r\n", x) or
                 binary.statistics(x).items()} for x in (a, b))
        for name in STATS_COMMON:
            if name not in a or name not in b:
                self.error(where, f"stats: {name} is missing on one side")
        for name in STATS_EQUAL + STATS_EQUAL_RECORDED:
            if a.get(name) != b.get(name):
                self.error(where, f"stats: {name} is {a.get(name)} for memcached, {b.get(name)} "
                                  "for udpkv")

    def compare_headers(self, where, theirs, ours, request):
        fault = header_fault(ours)
        if fault:
            self.error(where, f"udpkv's headers: {fault}")
        if ours and len(request) >= 2 and ours[0][:2] != request[:2]:
            self.error(where, "udpkv's answer has another request id")
        if theirs and header_fault(theirs) is None:
            self.headers_compared += 1
            if [d[2:8] for d in theirs] != [d[2:8] for d in ours]:
                self.error(where, f"headers: memcached sent {len(theirs)} datagrams, udpkv "
                                  f"{len(ours)}, or their numbers differ")

    def compare_answers(self, where, request, theirs, ours):
        theirs, ours = self.memcached.readable(theirs), self.udpkv.readable(ours)
        for pattern, want_theirs, want_ours, reason in MUST_DIFFER:
            if re.search(pattern, request) and re.fullmatch(want_theirs, theirs):
                self.differed[reason] = self.differed.get(reason, 0) + 1
                if not re.fullmatch(want_ours, ours):
                    self.error(where, f"udpkv answered {ours[:200]!r}, expected {want_ours!r}")
                return False
        for pattern, with_ in SAME_AFTER:
            theirs, ours = re.sub(pattern, with_, theirs), re.sub(pattern, with_, ours)
        theirs = self.memcached.without_cas_base(theirs)
        ours = self.udpkv.without_cas_base(ours)
        if theirs != ours:
            self.error(where, f"\n    asked      {request[:200]!r}\n"
                              f"    memcached  {theirs[:300]!r}\n    udpkv      {ours[:300]!r}")
        return True

    def one(self, request):
        where = f"line {request.number} [{request.group}] {request.line[:60]}"
        for _ in range(request.repeat):
            answers, sent = [], []
            for endpoint in (self.memcached, self.udpkv):
                payload = request.payload(endpoint)
                answers.append((endpoint.ask_raw if request.raw else endpoint.ask)(payload))
                sent.append(payload)
                endpoint.note_cas(body(answers[-1]))
            theirs, ours = answers
            request_id = sent[1] if request.raw else ours[0][:2] if ours else b""
            same = self.compare_answers(where, sent[1], body(theirs), body(ours))
            self.compare_headers(where, theirs if same else [], ours, request_id)
            if body(theirs).startswith(b"STAT pid ") or b"pid" in binary.statistics(body(theirs)):
                self.compare_stats(where, body(theirs), body(ours))
            self.asked += 1

    def run(self, requests):
        group = None
        if self.memcached.text(b"get a\r\nversion\r\n").count(b"\n") < 2:
            raise AssertionError("this memcached was asked to quit before: start a fresh one")
        self.memcached.learn_cas_base()
        self.udpkv.learn_cas_base()
        for endpoint in (self.memcached, self.udpkv):
            endpoint.text(b"stats reset\r\n")
        for request in requests:
            if request.group != group:
                group = request.group
                for endpoint in (self.memcached, self.udpkv):
                    endpoint.text(b"flush_all\r\n")
            if request.sleep_s:
                time.sleep(request.sleep_s)
            else:
                self.one(request)
        for request, want, reason in UDPKV_ONLY:
            got = self.udpkv.text(request)
            self.asked += 1
            if got != want:
                self.error("udpkv only", f"{request[:80]!r} ({reason}): expected {want!r}, "
                                         f"got {got[:200]!r}")


def compare(memcached, udpkv, requests=None, count_ids=True):
    """Asks the two servers ("host:port") everything. Returns the Comparison; good if it has no
    errors. count_ids=False is for a udpkv of which several cores are asked: an id needn't be the
    next number, but that of a key must be new when memcached's is, and larger."""
    comparison = Comparison(Endpoint(memcached), Endpoint(udpkv))
    comparison.memcached.count_ids = comparison.udpkv.count_ids = count_ids
    comparison.run(requests or load())
    return comparison


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--memcached", required=True, metavar="HOST:PORT")
    parser.add_argument("--udpkv", required=True, metavar="HOST:PORT")
    parser.add_argument("--group", help="only groups whose name contains this")
    args = parser.parse_args()
    requests = [r for r in load() if not args.group or args.group in r.group]
    c = compare(args.memcached, args.udpkv, requests)
    for line in c.errors:
        print(line)
    for reason, count in c.differed.items():
        print(f"differed as listed, {count} times: {reason}")
    print(f"{c.asked} requests, {c.headers_compared} times headers compared with memcached's too, "
          f"{len(c.errors)} errors")
    return 1 if c.errors else 0


if __name__ == "__main__":
    sys.exit(main())
