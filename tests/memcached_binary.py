# SPDX-License-Identifier: BSD-2-Clause
"""memcached's binary protocol: requests made, right ones and spoilt ones, and answers read.

A request or an answer is a header and a body of extras, key and value; numbers are big endian. It is
told in memcached's doc/protocol-binary.xml, "Memcache Binary Protocol".
"""
import re
import struct
from collections import namedtuple

HEADER = struct.Struct(">BBHBBHIIQ")  # magic, opcode, key length, extras length, type, status, body length, opaque, cas
REQUEST, ANSWER = 0x80, 0x81
OPAQUE = 0x01020304

OPCODES = {
    "get": 0x00, "getq": 0x09, "getk": 0x0C, "getkq": 0x0D,
    "set": 0x01, "add": 0x02, "replace": 0x03, "append": 0x0E, "prepend": 0x0F,
    "setq": 0x11, "addq": 0x12, "replaceq": 0x13, "appendq": 0x19, "prependq": 0x1A,
    "delete": 0x04, "deleteq": 0x14, "incr": 0x05, "incrq": 0x15, "decr": 0x06, "decrq": 0x16,
    "touch": 0x1C, "gat": 0x1D, "gatq": 0x1E, "gatk": 0x23, "gatkq": 0x24,
    "quit": 0x07, "quitq": 0x17, "flush": 0x08, "flushq": 0x18, "noop": 0x0A, "version": 0x0B,
    "stat": 0x10, "verbosity": 0x1B, "sasl_list": 0x20, "sasl_auth": 0x21, "sasl_step": 0x22,
}
STORES = ("set", "add", "replace", "setq", "addq", "replaceq")
APPENDS = ("append", "prepend", "appendq", "prependq")
ARITHMETIC = ("incr", "decr", "incrq", "decrq")
TOUCHES = ("touch", "gat", "gatq", "gatk", "gatkq")
NEVER = 0xFFFFFFFF  # an expiry that keeps incr and decr from creating an item

Answer = namedtuple("Answer", "opcode status extras key value opaque cas")


def request(name, key=b"", extras=b"", value=b"", cas=0, opaque=OPAQUE, magic=REQUEST, key_len=None,
            extras_len=None, body_len=None, kind=0, vbucket=0):
    """One request; lengths that are given lie. `name` may be an opcode's number."""
    return HEADER.pack(
        magic, OPCODES.get(name, name), len(key) if key_len is None else key_len,
        len(extras) if extras_len is None else extras_len, kind, vbucket,
        len(extras) + len(key) + len(value) if body_len is None else body_len, opaque, cas,
    ) + extras + key + value


def flags_and_expiry(flags=0, expiry=0):
    return struct.pack(">II", flags, expiry)


def delta(by, initial=0, expiry=0):
    return struct.pack(">QQI", by, initial, expiry)


def seconds(expiry):
    return struct.pack(">I", expiry)


def requests(text):
    """The opcode and extras of each whole request that a datagram begins with, and where it ends."""
    at = 0
    while len(text) - at >= HEADER.size and text[at] == REQUEST:
        _, opcode, _, extras_len, _, _, body_len, _, _ = HEADER.unpack_from(text, at)
        extras = text[at + HEADER.size : at + HEADER.size + extras_len]
        at += HEADER.size + body_len
        yield opcode, extras, at


def waits(text):
    """Is there a request whose body goes beyond the datagram, though its extras and key are there?"""
    while len(text) >= HEADER.size and text[0] == REQUEST:
        _, _, key_len, extras_len, _, _, body_len, _, _ = HEADER.unpack_from(text)
        left = len(text) - HEADER.size
        if body_len > left >= key_len + extras_len:
            return True
        text = text[HEADER.size + body_len :]
    return False


def answers(text):
    """The answers that a text is, one behind the other, and what is left behind them."""
    found = []
    while len(text) >= HEADER.size:
        magic, opcode, key_len, extras_len, kind, status, body_len, opaque, cas = HEADER.unpack_from(text)
        body, rest = text[HEADER.size : HEADER.size + body_len], text[HEADER.size + body_len :]
        if magic != ANSWER or kind != 0 or len(body) != body_len or key_len + extras_len > body_len:
            break
        key_end = extras_len + key_len
        found.append(Answer(opcode, status, body[:extras_len], body[extras_len:key_end], body[key_end:], opaque, cas))
        text = rest
    return found, text


def statistics(text):
    """The names and values that the answers to stat are."""
    return {a.key: a.value for a in answers(text)[0] if a.key}


def readable(text, show_cas=lambda cas: cas):
    """The answers as lines, each id (but 0: none) as show_cas has it."""
    found, rest = answers(text)
    lines = [b"%02x status %02x extras %s key %s id %d opaque %08x value %s\r\n"
             % (a.opcode, a.status, a.extras.hex().encode(), a.key, show_cas(a.cas) if a.cas else 0, a.opaque, a.value)
             for a in found]
    return b"".join(lines) + rest


def unescape(text):
    """The bytes that \\r \\n \\t \\\\ \\xHH in a text mean."""
    short = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}
    return re.sub(rb"\\(x[0-9a-f]{2}|.)", lambda m: short.get(m[1]) or bytes([int(m[1][1:], 16)]), text)


def written(text, cas_of):
    """The request that a line of memcached_requests.txt means by `setq key=a extras=00000005+00000000 value=x*9`:
    extras in hex with + between its fields, X*N is N times X, and cas may be a key, for cas_of."""
    name, *words = text.split()
    given = dict(word.split("=", 1) for word in words)
    for what in ("key", "value"):
        if what in given:
            part, _, count = given[what].partition("*")
            given[what] = unescape(part.encode("latin-1")) * int(count or 1)
    for what in ("key_len", "extras_len", "body_len", "opaque", "magic", "kind", "vbucket"):
        if what in given:
            given[what] = int(given[what], 0)
    if "extras" in given:
        given["extras"] = bytes.fromhex(given["extras"].replace("+", ""))
    if "cas" in given:
        given["cas"] = int(given["cas"]) if re.fullmatch(r"\d+", given["cas"]) else cas_of(given["cas"].encode())
    return request(name if name in OPCODES else int(name, 16), **given)
