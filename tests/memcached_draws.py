# SPDX-License-Identifier: BSD-2-Clause
"""What memcached_random.py asks: hypothesis' strategies, from words and numbers up to `sequence`, a list of
datagrams of text and meta commands and of requests of the binary protocol, right ones and spoilt ones."""
import re

from hypothesis import strategies as st

import memcached_binary as binary

MAX_REQUEST = 65507 - 8  # bytes of commands in a datagram


def named(function):
    """The function, a lambda. Of one that has no other name hypothesis reads the source each time it draws from it,
    which would take most of a run's time."""
    function.__name__ = "named"
    return function


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
cas = st.one_of(st.integers(1, 8).map(named(lambda n: b"{cas+%d}" % n)), integer)
value = st.one_of(
    words("", "x", "10", "0", "9", "99", "18446744073709551615", "-1", " 5", "5 ", "5 x", "x\r\n"),
    st.integers(0, 1300).map(named(lambda n: b"v" * n)),
    st.integers(0, 9000).map(named(lambda n: b"V" * n)),
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
        named(lambda flags: b"".join(b" " + flag for flag in flags)))


def token(letter, strategy):
    return strategy.map(named(lambda text: letter.encode() + text))


opaque = token("O", st.sampled_from([b"", b"1", b"abc", b"o" * 31, b"o" * 32]))
proxy = words("P", "Lx", "P/a")
rare = words("Z", "y", "G5", "W", "\xff", "~", "1", "S2", "vv", "b", "F", "C", "T", "D", "MZ", "M")
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
    named(lambda key, flags, ttl, block, wrong, cas, last: data(
        b"cas %b %b %b %%d %b%b\r\n" % (key, flags, ttl, cas, last), block, wrong)),
    plain_key, number, exptime, value, mostly, cas, noreply)
retrieval = st.builds(named(lambda name, keys: b"%b %b\r\n" % (name, b" ".join(keys))),
                      words("get", "gets", "get", "gat 0", "gats 60", "gat -1", "gat x"),
                      st.lists(plain_key, min_size=1, max_size=5))
others = st.builds(named(lambda name, key, n, last: b"%b %b %b%b\r\n" % (name, key, n, last)),
                   words("incr", "decr", "touch", "delete"), plain_key,
                   st.one_of(integer, exptime), noreply)
# Many keys, few of which are there: what memcached answers has to fit the socket's buffer.
many_keys = st.builds(named(lambda name, count, keys: b" ".join(
    [name, *keys, *(b"m%d" % i for i in range(count)), *keys]) + b"\r\n"),
                      words("get", "gets", "gat 60"), st.integers(6, 400), st.lists(plain_key, max_size=2))
deletion = st.builds(named(lambda key, last: b"delete %b%b\r\n" % (key, last)), plain_key, noreply)
plain = words("version\r\n", "mn\r\n", "verbosity 0\r\n", "flush_all\r\n", "flush_all -1\r\n",
              "flush_all noreply\r\n", "\r\n", "get\r\n", "mn x y\r\n", "stats foo\r\n",
              "stats reset\r\n", "mx a\r\n", "shutdown\r\n", "slabs\r\n", "verbosity\r\n")
meta_get = st.builds(named(lambda key, flags: b"mg %b%b\r\n" % (key, flags)), plain_key, get_flags)
meta_set = st.builds(
    named(lambda key, flags, block, wrong: data(b"ms %b %%d%b\r\n" % (key, flags), block, wrong)),
    plain_key, set_flags, value, mostly)
meta_delete = st.builds(named(lambda key, flags: b"md %b%b\r\n" % (key, flags)), plain_key, delete_flags)
meta_add = st.builds(named(lambda key, flags: b"ma %b%b\r\n" % (key, flags)), plain_key, add_flags)
meta_debug = st.builds(named(lambda key, last: b"me %b%b\r\n" % (key, last)), plain_key,
                       words("", "", " b", " b x", " v"))
# As large as a datagram, of a key of its own, so that no other command brings several of them.
BIG = MAX_REQUEST - 40
big_text = st.one_of(
    st.builds(named(lambda name, n: data(name, b"B" * n, 0)),
              words("set big 0 0 %d\r\n", "ms big %d c\r\n", "append big 0 0 %d\r\n"), st.integers(BIG - 3, BIG)),
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
few = st.one_of(command.map(named(lambda c: [c])), st.lists(command, min_size=1, max_size=4))
text_datagram = st.one_of(
    few.map(b"".join),
    few.map(b"".join),
    few.map(b"".join),
    st.builds(spoil, few.map(b"".join), st.lists(edit, min_size=1, max_size=3)),
    st.one_of(big_text, many_keys),
).map(named(lambda text: text[:MAX_REQUEST]))

# The same keys, and an id of the same kind, in eight bytes for `expand`.
binary_key = st.one_of(st.sampled_from(PLAIN), st.sampled_from(PLAIN + [b"\0\r\n", b"kkk"]))
binary_cas = st.sampled_from([0] * 6 + [1, 1 << 63, *(int.from_bytes(b"{bcas+%d}" % n, "big") for n in range(1, 9))])
binary_value = st.one_of(words("", "x", "10", "0", "9", "99", "18446744073709551615", "-1", " 5", "5 ", "x\r\n"),
                         st.integers(0, 200).map(named(lambda n: b"v" * n)),
                         st.integers(0, 9000).map(named(lambda n: b"V" * n)))
u32 = st.sampled_from([0, 60, 100, 2592000, 2592001, 1 << 31, binary.NEVER])
u64 = st.sampled_from([0, 1, 2, 10, 99, (1 << 64) - 1, 1 << 63])
opaque_number = st.sampled_from([0, 1, 0xFFFFFFFF])
# What a request has where an answer has its status, and its type of data: nobody looks at it.
kind_and_vbucket = st.sampled_from([(0, 0)] * 8 + [(1, 0), (0xFF, 0), (0, 1), (0, 0xFFFF), (5, 6)])


def binary_request(names, extras=st.just(b""), values=st.just(b""), keys=binary_key):
    return st.builds(named(lambda name, key, extra, value, cas, mark, more: binary.request(
        name, key, extra, value, cas, mark, kind=more[0], vbucket=more[1])),
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
    st.builds(named(lambda name, n: binary.request(
        name, b"big", binary.flags_and_expiry() if name[0] == "s" else b"", b"B" * n)),
              st.sampled_from(("set", "setq", "append", "appendq")), st.integers(BIG, BIG + 5)),
    st.sampled_from(("get", "getk", "delete")).map(named(lambda name: binary.request(name, b"big"))))
# Quiet ones, and a no-op that tells where their answers end.
quiet = st.lists(st.one_of(
    binary_request(("getq", "getkq"), keys=st.sampled_from([b"a", b"b", b"no"])),
    binary_request(("setq", "addq", "replaceq"), st.builds(binary.flags_and_expiry, u32, u32), words("", "x", "10")),
    binary_request(("appendq", "prependq"), values=words("", "1", "x")),
    binary_request(("deleteq",)),
    binary_request(("incrq", "decrq"), st.builds(binary.delta, u64, u64, u32)),
    binary_request(("gatq", "gatkq"), st.builds(binary.seconds, u32), keys=st.sampled_from([b"a", b"b", b"no"])),
), min_size=5, max_size=40).map(named(lambda requests: b"".join(requests) + binary.request("noop")))
# What its opcode, or what it tells of itself, forbids.
spoilt_request = st.one_of(
    binary_request(sorted(binary.OPCODES.keys() - {"verbosity"}), st.sampled_from([b"", b"e" * 4, b"e" * 8, b"e" * 20, b"e" * 21]),
                   keys=st.sampled_from([b"", b"a", b"k" * 251])),
    st.builds(named(lambda name, length: binary.request(name, b"abc", body_len=length)),
              st.sampled_from(sorted(binary.OPCODES)), st.integers(0, 2)),
    st.sampled_from([0x25, 0x7F, 0xFF, "verbosity"]).map(binary.request),
    # More than they take: memcached would take what touch, gat, stat and SASL's have for the next request.
    st.builds(named(lambda name, more, value: binary.request(name, b"a", more, value)),
              st.sampled_from(sorted(binary.OPCODES.keys() - {
                  *binary.TOUCHES, "stat", "sasl_auth", "sasl_step", "verbosity"})),
              st.sampled_from([b"", b"e" * 4, b"e" * 8, b"e" * 20]), words("", "x", "value")),
    st.builds(named(lambda name, length: binary.request(name, b"abc", body_len=length)),
              st.sampled_from(("get", "getkq", "delete", "incr", "noop", "flush", "version", "quit", "append", "touch")),
              st.sampled_from([4, 27, 3000, 70000, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])),
    st.builds(named(lambda name, key: binary.request(name, key, binary.flags_and_expiry(), b"x")),
              st.sampled_from(binary.STORES), st.sampled_from([b"k" * 251, b"k" * 300, b"k" * 20000])),
)
# By its first byte a line of text. (Behind other requests it makes memcached forget their answers.)
no_request = st.builds(named(lambda magic, name, end: binary.request(name, b"a", magic=magic) + end),
                       st.sampled_from([0, 0x7F, 0x81, 0xFF]), st.sampled_from(("get", "set", "noop")),
                       st.sampled_from([b"", b"\r\n", b"\nget a\r\n"]))
# The beginning of one: its head and key aren't whole.
cut_request = st.builds(named(lambda text, length: text[: length % len(text)]),
                        st.sampled_from([binary.request("get", b"abc"), binary.request("noop"), b"get a\r\n"]),
                        st.integers(0, 40))
binary_few = st.lists(binary_command, min_size=1, max_size=5).map(b"".join)
binary_datagram = st.one_of(
    binary_few,
    binary_few,
    binary_few,
    st.one_of(quiet, quiet, quiet, binary_big, binary_big, no_request),
    st.builds(named(lambda *parts: b"".join(parts)), binary_few, cut_request),
    st.builds(named(lambda *parts: b"".join(parts)), st.one_of(st.just(b""), binary_few), spoilt_request),
    # All of it is text, where an id, whose bytes differ, could be the end of a line.
    st.builds(named(lambda *parts: b"".join(parts)), command,
              binary_command.map(named(lambda text: re.sub(rb"{bcas..}", bytes(8), text)))),
)
datagram = st.one_of(text_datagram, binary_datagram)
sequence = st.lists(datagram, min_size=1, max_size=12)
