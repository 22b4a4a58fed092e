#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Sends random sequences of requests to memcached and to udpkv and compares the answers' bytes.

    python3 tests/memcached_random.py --sequences 10000 [--seed N] [--udpkv HOST:PORT]

Starts Debian's memcached, and udpkv under QEMU if --udpkv names none. A sequence is one to twelve
datagrams of text and meta commands, or of requests of the binary protocol, right ones and spoilt
ones, on a few keys; hypothesis draws it
and, when the answers differ, looks for the shortest one that still does. The same seed gives the
same sequences. Each begins with a flush and with counters at zero, and ends with the counters of
`stats` compared.

What must differ is listed in memcached_peer.py; everything else is an error.
"""
import argparse
import contextlib
import re
import struct
import sys
import time

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import memcached_binary as binary
from memcached_compare import Endpoint, body, header_fault
from memcached_peer import (
    DELAYED_FLUSH, HOST, LONG_GET, QUIT, SAME_AFTER, STATS_EQUAL, Memcached)
from vm import Vm, free_udp_port, image, kvm_problem, qemu_command, user_netdev

PROGRESS = 500  # sequences between two signs of life
MAX_REQUEST = 65507 - 8  # bytes of commands in a datagram
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


# --- requests ---------------------------------------------------------------------------------

def words(*choices):
    return st.sampled_from([c.encode("latin-1") for c in choices])


# The same keys in plain and in base64, so that commands meet on them.
PLAIN = [b"a", b"b", b"cc", b"n", b"k" * 250]
BASE64 = [b"YQ==", b"Yg==", b"Y2M=", b"bg==", b"a2tr", b"AAEC/w==", b"YQ=="]
BAD_KEYS = [b"k" * 251, b"YR==", b"Y===", b"YWI", b"YQ==YQ==", b"\x01\xff", b"noreply", b"0"]

plain_key = st.one_of(st.sampled_from(PLAIN), st.sampled_from(PLAIN + BASE64 + BAD_KEYS))
number = words("0", "1", "2", "5", "10", "99", "4294967295", "18446744073709551615")
odd_number = words("-1", "x", "1x", "+3", "", "4294967296", "18446744073709551616", "0010", "-")
integer = st.one_of(number, number, odd_number)
exptime = st.one_of(
    words("0", "60", "100"),
    words("-1", "2592000", "2592001", "4000000000", "99999999999999999999", "x", "-60", "+60"),
)
cas = st.one_of(st.integers(1, 8).map(lambda n: b"{cas+%d}" % n), integer)
value = st.one_of(
    words("", "x", "10", "0", "9", "99", "18446744073709551615", "-1", " 5", "5 ", "5 x", "\r\n"),
    st.integers(0, 1300).map(lambda n: b"v" * n),
    st.integers(0, 9000).map(lambda n: b"V" * n),
)
noreply = words("", "", "", " noreply", " noreply ", " x")
mostly = st.sampled_from([0] * 20 + [-1, 1])  # by how much a told length is wrong


def data(line, block, wrong):
    return line % (len(block) + wrong) + block + b"\r\n"


def store(name, key, flags, ttl, block, wrong, last):
    return data(b"%b %b %b %b %%d%b\r\n" % (name, key, flags, ttl, last), block, wrong)


def flags_of(letters, *tokens):
    """A few flags; letters stand alone, tokens are strategies."""
    one = st.one_of(st.sampled_from([letter.encode() for letter in letters]), *tokens)
    some = st.lists(one, max_size=6, unique_by=lambda flag: flag[:1])
    return st.one_of(some, some, st.lists(one, max_size=19)).map(
        lambda flags: b"".join(b" " + flag for flag in flags))


def token(letter, strategy):
    return strategy.map(lambda text: letter.encode() + text)


opaque = token("O", st.sampled_from([b"", b"1", b"abc", b"o" * 31, b"o" * 32]))
proxy = words("P", "Lx", "P/a")
rare = words("Z", "x", "E5", "W", "\xff", "~", "1", "S2", "vv", "b", "F", "C", "T", "D", "MZ", "M")
ttl_flag = token("T", exptime)
cas_flag = token("C", cas)
get_flags = flags_of("cfhklqstuvkvtcv", opaque, token("N", exptime), token("R", exptime), ttl_flag,
                     words("b", "b", "b"), st.one_of(proxy, rare, cas_flag))
set_flags = flags_of("ckqbcIb", opaque, ttl_flag, cas_flag, cas_flag, token("F", integer),
                     words("ME", "MA", "MP", "MR", "MS", "MX"), st.one_of(proxy, rare))
delete_flags = flags_of("kqbIIb", opaque, ttl_flag, cas_flag, st.one_of(proxy, rare))
add_flags = flags_of("ckqtvbvct", opaque, token("N", exptime), token("J", integer), ttl_flag,
                     token("D", integer), cas_flag, words("MI", "MD", "M+", "M-", "Mi"),
                     st.one_of(proxy, rare))

storage = st.builds(store, words("set", "set", "add", "replace", "append", "prepend"), plain_key,
                    integer, exptime, value, mostly, noreply)
check_and_set = st.builds(
    lambda key, flags, ttl, block, wrong, cas, last: data(
        b"cas %b %b %b %%d %b%b\r\n" % (key, flags, ttl, cas, last), block, wrong),
    plain_key, number, exptime, value, mostly, cas, noreply)
retrieval = st.builds(lambda name, keys: b"%b %b\r\n" % (name, b" ".join(keys)),
                      words("get", "gets", "get", "gat 0", "gats 60", "gat -1", "gat x"),
                      st.lists(plain_key, min_size=1, max_size=5))
others = st.builds(lambda name, key, n, last: b"%b %b %b%b\r\n" % (name, key, n, last),
                   words("incr", "decr", "touch", "delete"), plain_key,
                   st.one_of(integer, exptime), noreply)
# Many keys, few of which are there: what memcached answers has to fit the socket's buffer.
many_keys = st.builds(lambda name, count, keys: b" ".join([name, *keys, *(b"m%d" % i for i in range(count)), *keys]) + b"\r\n",
                      words("get", "gets", "gat 60"), st.integers(6, 400), st.lists(plain_key, max_size=2))
deletion = st.builds(lambda key, last: b"delete %b%b\r\n" % (key, last), plain_key, noreply)
plain = words("version\r\n", "mn\r\n", "verbosity 0\r\n", "flush_all\r\n", "flush_all -1\r\n",
              "flush_all noreply\r\n", "\r\n", "get\r\n", "mn x y\r\n", "stats foo\r\n",
              "stats reset\r\n", "mx a\r\n", "shutdown\r\n", "slabs\r\n", "verbosity\r\n")
meta_get = st.builds(lambda key, flags: b"mg %b%b\r\n" % (key, flags), plain_key, get_flags)
meta_set = st.builds(
    lambda key, flags, block, wrong: data(b"ms %b %%d%b\r\n" % (key, flags), block, wrong),
    plain_key, set_flags, value, mostly)
meta_delete = st.builds(lambda key, flags: b"md %b%b\r\n" % (key, flags), plain_key, delete_flags)
meta_add = st.builds(lambda key, flags: b"ma %b%b\r\n" % (key, flags), plain_key, add_flags)
meta_debug = st.builds(lambda key, last: b"me %b%b\r\n" % (key, last), plain_key,
                       words("", "", " b", " b x", " v"))
# As large as a datagram, of a key of its own, so that no other command brings several of them.
BIG = MAX_REQUEST - 40
big_text = st.one_of(
    st.builds(lambda name, n: data(name, b"B" * n, 0), words("set big 0 0 %d\r\n", "ms big %d c\r\n", "append big 0 0 %d\r\n"),
              st.integers(BIG - 3, BIG)),
    words("get big\r\n", "mg big v s\r\n", "delete big\r\n"))
command = st.one_of(storage, check_and_set, retrieval, others, deletion, plain, meta_get, meta_get,
                    meta_set, meta_set, meta_delete, meta_add, meta_debug)


def spoil(text, edits):
    for at, count, instead in edits:
        at %= len(text) + 1
        text = text[:at] + instead + text[at + count :]
    return text


junk = st.sampled_from([b"", b" ", b"\r\n", b"\n", b"\0", b"\t", b"\xff", b"-", b"9", b"b", b" q"])
edit = st.tuples(st.integers(0, 1400), st.integers(0, 3), junk)
few = st.one_of(command.map(lambda c: [c]), st.lists(command, min_size=1, max_size=4))
text_datagram = st.one_of(
    few.map(b"".join),
    few.map(b"".join),
    few.map(b"".join),
    st.builds(spoil, few.map(b"".join), st.lists(edit, min_size=1, max_size=3)),
    st.one_of(big_text, many_keys),
).map(lambda text: text[:MAX_REQUEST])

# The same keys, and an id of the same kind, in eight bytes for `expand`.
binary_key = st.one_of(st.sampled_from(PLAIN), st.sampled_from(PLAIN + [b"\0\r\n", b"kkk"]))
binary_cas = st.sampled_from([0] * 6 + [1, 1 << 63, *(int.from_bytes(b"{bcas+%d}" % n, "big") for n in range(1, 9))])
binary_value = st.one_of(words("", "x", "10", "0", "9", "99", "18446744073709551615", "-1", " 5", "5 ", "\r\n"),
                         st.integers(0, 200).map(lambda n: b"v" * n), st.integers(0, 9000).map(lambda n: b"V" * n))
u32 = st.sampled_from([0, 60, 100, 2592000, 2592001, 1 << 31, binary.NEVER])
u64 = st.sampled_from([0, 1, 2, 10, 99, (1 << 64) - 1, 1 << 63])
opaque_number = st.sampled_from([0, 1, 0xFFFFFFFF])
# What a request has where an answer has its status, and its type of data: nobody looks at it.
kind_and_vbucket = st.sampled_from([(0, 0)] * 8 + [(1, 0), (0xFF, 0), (0, 1), (0, 0xFFFF), (5, 6)])


def binary_request(names, extras=st.just(b""), values=st.just(b""), keys=binary_key):
    return st.builds(lambda name, key, extra, value, cas, mark, more: binary.request(
        name, key, extra, value, cas, mark, kind=more[0], vbucket=more[1]),
                     st.sampled_from(names), keys, extras, values, binary_cas, opaque_number, kind_and_vbucket)


binary_command = st.one_of(
    binary_request(("get", "getq", "getk", "getkq")),
    binary_request(binary.STORES, st.builds(binary.flags_and_expiry, u32, u32), binary_value),
    binary_request(("set", "setq"), st.just(binary.flags_and_expiry()), binary_value),
    binary_request(binary.APPENDS, values=binary_value),
    binary_request(("delete", "deleteq")),
    binary_request(binary.ARITHMETIC, st.builds(binary.delta, u64, u64, u32)),
    binary_request(binary.TOUCHES, st.builds(binary.seconds, u32)),
    binary_request(("noop", "version", "noop", "sasl_list"), keys=st.just(b"")),
    binary_request(("flush", "flushq"), st.sampled_from([b"", binary.seconds(0), binary.seconds(60)]), keys=st.just(b"")),
    binary_request(("stat",), keys=st.sampled_from([b"reset", b"sizes", b"foo", b"res"])),
)
binary_big = st.one_of(
    st.builds(lambda name, n: binary.request(name, b"big", binary.flags_and_expiry() if name[0] == "s" else b"", b"B" * n),
              st.sampled_from(("set", "setq", "append", "appendq")), st.integers(BIG, BIG + 5)),
    st.sampled_from(("get", "getk", "delete")).map(lambda name: binary.request(name, b"big")))
# Quiet ones, and a no-op that tells where their answers end.
quiet = st.lists(st.one_of(
    binary_request(("getq", "getkq"), keys=st.sampled_from([b"a", b"b", b"no"])),
    binary_request(("setq", "addq", "replaceq"), st.builds(binary.flags_and_expiry, u32, u32), words("", "x", "10")),
    binary_request(("appendq", "prependq"), values=words("", "1", "x")),
    binary_request(("deleteq",)),
    binary_request(("incrq", "decrq"), st.builds(binary.delta, u64, u64, u32)),
    binary_request(("gatq", "gatkq"), st.builds(binary.seconds, u32), keys=st.sampled_from([b"a", b"b", b"no"])),
), min_size=5, max_size=40).map(lambda requests: b"".join(requests) + binary.request("noop"))
# What its opcode, or what it tells of itself, forbids.
spoilt_request = st.one_of(
    binary_request(sorted(binary.OPCODES.keys() - {"verbosity"}), st.sampled_from([b"", b"e" * 4, b"e" * 8, b"e" * 20, b"e" * 21]),
                   keys=st.sampled_from([b"", b"a", b"k" * 251])),
    st.builds(lambda name, length: binary.request(name, b"abc", body_len=length),
              st.sampled_from(sorted(binary.OPCODES)), st.integers(0, 2)),
    st.sampled_from([0x25, 0x7F, 0xFF, "verbosity"]).map(binary.request),
    # More than they take: memcached would take what touch, gat, stat and SASL's have for the next request.
    st.builds(lambda name, more, value: binary.request(name, b"a", more, value),
              st.sampled_from(sorted(binary.OPCODES.keys() - {*binary.TOUCHES, "stat", "sasl_auth", "sasl_step", "verbosity"})),
              st.sampled_from([b"", b"e" * 4, b"e" * 8, b"e" * 20]), words("", "x", "value")),
    st.builds(lambda name, length: binary.request(name, b"abc", body_len=length),
              st.sampled_from(("get", "getkq", "delete", "incr", "noop", "flush", "version", "quit", "append", "touch")),
              st.sampled_from([4, 27, 3000, 70000, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])),
    st.builds(lambda name, key: binary.request(name, key, binary.flags_and_expiry(), b"x"),
              st.sampled_from(binary.STORES), st.sampled_from([b"k" * 251, b"k" * 300, b"k" * 65000])),
)
# By its first byte a line of text. (Behind other requests it makes memcached forget their answers.)
no_request = st.builds(lambda magic, name, end: binary.request(name, b"a", magic=magic) + end,
                       st.sampled_from([0, 0x7F, 0x81, 0xFF]), st.sampled_from(("get", "set", "noop")),
                       st.sampled_from([b"", b"\r\n", b"\nget a\r\n"]))
# The beginning of one: its head and key aren't whole.
cut_request = st.builds(lambda text, length: text[: length % len(text)],
                        st.sampled_from([binary.request("get", b"abc"), binary.request("noop"), b"get a\r\n"]),
                        st.integers(0, 40))
binary_few = st.lists(binary_command, min_size=1, max_size=5).map(b"".join)
binary_datagram = st.one_of(
    binary_few,
    binary_few,
    binary_few,
    st.one_of(quiet, quiet, quiet, binary_big, binary_big, no_request),
    st.builds(lambda *parts: b"".join(parts), binary_few, cut_request),
    st.builds(lambda *parts: b"".join(parts), st.one_of(st.just(b""), binary_few), spoilt_request),
    # All of it is text, where an id, whose bytes differ, could be the end of a line.
    st.builds(lambda *parts: b"".join(parts), command, binary_command.map(lambda text: re.sub(rb"{bcas..}", bytes(8), text))),
)
datagram = st.one_of(text_datagram, binary_datagram)
sequence = st.lists(datagram, min_size=1, max_size=12)


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
        (theirs, their_times), (ours, our_times) = parts
        if LONG_GET.search(request) and len(ours) > len(theirs):
            self.counts["answers before a get with too long a key"] += 1
            parts[1] = ours[len(ours) - len(theirs) :], our_times[len(our_times) - len(their_times) :]
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
    sys.exit(main())
