#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a flood of packets from made-up sources costs others: udpkv on a tap, kvload at a fixed rate alone, then
the same beside the flood in runs of ten seconds until the flood is over, then whether all is whole.

    python3 tests/flood.py KIND [--plat linux|kvm] [--packets N] [--flood-rate N] [--rate N] [--ratio R]

KIND is
    fragments      first fragments of IPv4 datagrams that never complete, each of another datagram
    fragments6     the same over IPv6
    solicitations  IPv6 neighbour solicitations: of our addresses, of others in their groups, of others
    arp            ARP requests: for our address and for others

The system is a host process (linux) or the image under QEMU (kvm), with KVM where it works. Prints each rate and
what udpkv counted of the flood. The status is 0 if all is well: the worst run beside the flood had at least
--ratio of the rate alone, values in fragments can be set afterwards over IPv4 and IPv6, and every pool is whole;
1 if not; 2 if it can't be measured: wrong usage, no network namespace, no kvload, a flood that was too short.
Needs `make kvload` and the app (`make APP=udpkv PLAT=linux`, or kvm).
"""

import argparse
import ctypes
import json
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from test_ipv6 import APP, GUEST_MAC, Host, end
from test_tap import APP_IP, Namespace
from udpkv_client import Client
from vm import DEADLINE_S, GUEST_PORT, ROOT, end_on_signals, image, kvm_problem

KVLOAD = ROOT / "build/bench/kvload"
SECONDS = 10
FRAMES = 65536  # that differ at most; then they come again
SLOTS = 8  # datagrams that udpkv puts together at a time
DEVICE = "ring0"
QUEUE = 10_000  # packets that the tap holds: as many as come while the system has no processor
KEYS = f"net.ip6={APP}/64"


# --- frames ---------------------------------------------------------------------------------------


def checksum(data):
    words = sum(struct.unpack(f"!{len(data) // 2}H", data))
    return (0xFFFF - words % 0xFFFF).to_bytes(2, "big")


def packed(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def made_up_mac(dice):
    return b"\x02" + dice.randbytes(5)


def made_up_ip(dice):
    """Of a neighbour that isn't there."""
    return packed("10.0.2.0")[:3] + bytes((dice.randrange(20, 220),))


def made_up_ip6(dice):
    return packed(APP)[:8] + b"\x02" + dice.randbytes(7)


def link_local(mac):
    return packed("fe80::")[:8] + bytes((mac[0] ^ 2, *mac[1:3], 0xFF, 0xFE, *mac[3:]))


def fragment(dice, number, mac):
    ip = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 500, number, 0x2000, 64, 17, 0))
    ip += made_up_ip(dice) + packed(APP_IP)
    ip[10:12] = checksum(ip)
    return mac + made_up_mac(dice) + b"\x08\x00" + ip + bytes(480)


def fragment6(dice, number, mac):
    more = struct.pack("!BBHI", 17, 0, 1, number)
    ip = struct.pack("!IHBB", 6 << 28, 488, 44, 64) + made_up_ip6(dice) + packed(APP)
    return mac + made_up_mac(dice) + b"\x86\xdd" + ip + more + bytes(480)


def solicitation(dice, number, mac):
    ours = packed(APP)
    stranger = packed(APP)[:8] + dice.randbytes(8)
    target = (ours, link_local(mac), stranger[:13] + ours[13:], stranger)[number % 4]
    group, sender = packed("ff02::1:ff00:0")[:13] + target[13:], made_up_mac(dice)
    addresses = made_up_ip6(dice) + group
    body = target + b"\x01\x01" + sender
    message = b"\x87\0" + checksum(addresses + struct.pack("!IIHHI", 32, 58, 0x8700, 0, 0) + body) + bytes(4) + body
    ip = struct.pack("!IHBB", 6 << 28, 32, 58, 255) + addresses
    return b"\x33\x33" + group[12:] + sender + b"\x86\xdd" + ip + message


def arp(dice, number, mac):
    sender, target = made_up_mac(dice), packed(APP_IP) if number % 2 else made_up_ip(dice)
    packet = struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + sender + made_up_ip(dice) + bytes(6) + target
    return b"\xff" * 6 + sender + b"\x08\x06" + packet + bytes(18)


# Of each kind what makes a frame, and udpkv's counters of which one counts each.
KINDS = {
    "fragments": (fragment, ("drop_fragment_kept", "drop_fragment_again")),
    "fragments6": (fragment6, ("drop_fragment_kept", "drop_fragment_again")),
    "solicitations": (solicitation, ("nd_replies", "drop_nd_target", "drop_ip6_group")),
    "arp": (arp, ("arp_replies", "drop_arp_target")),
}


def frames_of(kind, count):
    dice, mac = random.Random(1), bytes.fromhex(GUEST_MAC.replace(":", ""))
    return [KINDS[kind][0](dice, number, mac) for number in range(count)]


# --- the sender, in the namespace -----------------------------------------------------------------


class Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class Header(ctypes.Structure):
    """struct msghdr; on a socket that is bound a message needs no name."""

    _fields_ = (("name", ctypes.c_void_p), ("name_len", ctypes.c_uint), ("pieces", ctypes.c_void_p),
                ("piece_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_len", ctypes.c_size_t),
                ("flags", ctypes.c_int))


class Message(ctypes.Structure):
    """struct mmsghdr"""

    _fields_ = (("header", Header), ("len", ctypes.c_uint))


def send(kind, count, rate):
    """Sends so many frames, at most so many a second, none of which the tap drops: past its queueing discipline
    the driver tells of each whether its queue took it."""
    SOL_PACKET, PACKET_QDISC_BYPASS, AT_ONCE = 263, 20, 32
    differ = min(count, FRAMES)
    frames = frames_of(kind, differ)
    size, blob = len(frames[0]), ctypes.create_string_buffer(b"".join(frames))
    at, piece_at = ctypes.addressof(blob), ctypes.sizeof(Piece)
    pieces = (Piece * differ)(*((at + i * size, size) for i in range(differ)))
    at = ctypes.addressof(pieces)
    messages = (Message * differ)(*(Message(Header(pieces=at + i * piece_at, piece_count=1)) for i in range(differ)))
    libc = ctypes.CDLL(None, use_errno=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        raw.bind((DEVICE, 0))
        due_s, sent = time.monotonic(), 0
        while sent < count:
            first = sent % differ
            burst = min(AT_ONCE, count - sent, differ - first)
            taken = max(libc.sendmmsg(raw.fileno(), ctypes.byref(messages[first]), burst, 0), 0)
            sent += taken
            # Time in which it had no processor isn't made up for: that would be a burst.
            due_s = max(due_s + taken / rate, time.monotonic() - AT_ONCE / rate)
            time.sleep(max(0.0005 if taken < burst else 0, due_s - time.monotonic()))


def counters():
    """What udpkv's inet counted."""
    with Client(APP_IP, GUEST_PORT) as client:
        lines = client.ask(b"stats netdev\r\n").decode().splitlines()
    words = (line.split(" ") for line in lines if line.startswith("STAT inet:"))
    return {name.removeprefix("inet:"): int(value) for _, name, value in words}


def beside(kind, count, rate):
    """Sends a flood and asks udpkv meanwhile. Returns what it counted of the flood, and its answers by address:
    at least one of each, or TimeoutError."""
    before, answers = counters(), {APP_IP: 0, APP: 0}
    sender = threading.Thread(target=send, args=(kind, count, rate))
    sender.start()
    for address in answers:
        end_s = time.monotonic() + DEADLINE_S
        with Client(address, GUEST_PORT, timeout_s=1) as client:
            while not answers[address] or (sender.is_alive() and address == APP):
                try:
                    assert client.ask(b"mn\r\n") == b"MN\r\n"
                    answers[address] += 1
                    sender.join(0.001)  # which has its turn
                except TimeoutError:
                    if time.monotonic() > end_s:
                        raise
    sender.join()
    return difference(before, counters()), answers


# --- the command ----------------------------------------------------------------------------------

SET_LARGE = """
from test_fragments import check_values
from udpkv_client import Client
for address in {addresses!r}:
    with Client(address, {port}) as client:
        check_values(client)
"""


def number(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return int(text)


class Unmeasured(Exception):
    """Why nothing can be said."""


def difference(before, after):
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


def in_namespace(host, expression):
    """The value of an expression with functions of this file."""
    return json.loads(host.python(f"import json, flood\nprint(json.dumps(flood.{expression}))"))


def kvload(namespace, rate):
    """Requests a second that were answered, all of them right."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        command = [*namespace.enter, str(KVLOAD), f"--server={APP_IP}", "--threads=1", "--clients=1",
                   "--pipeline=16", f"--rate-limiting={rate}", f"--test-time={SECONDS}", "--populate",
                   "--key-maximum=1000", "--hide-histogram", f"--json-out-file={told}"]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, f"kvload ended with {done.returncode}: {done.stderr}"
        return json.loads(told.read_text())["ALL STATS"]["Totals"]["Ops/sec"]


def lost_in_the_tap(host):
    """Packets that it had no room for: neither udpkv nor its device ever saw them."""
    (told,) = json.loads(host.run(f"ip -s -j link show {DEVICE}"))
    return told["stats64"]["tx"]["dropped"]


def measure(host, args):
    """The worst rate beside the flood, to that alone."""
    alone = kvload(host.namespace, args.rate)
    print(f"alone: {alone:.0f} requests a second", flush=True)
    program = f"import flood; flood.send({args.kind!r}, {args.packets}, {args.flood_rate})"
    rates, lost = [], lost_in_the_tap(host)
    sender = host.namespace.start_python(program)
    try:
        while True:
            rate = kvload(host.namespace, args.rate)
            if sender.poll() is not None:
                break
            rates.append(rate)
            print(f"beside the flood: {rate:.0f}", flush=True)
    finally:
        sender.kill()
        sender.wait()
    if sender.returncode != 0 or not rates:
        raise Unmeasured(f"the flood was over within {SECONDS} s, or failed: give it more --packets")
    lost = lost_in_the_tap(host) - lost
    print(f"the tap had no room for {lost} packets: those that the sender tried again, and requests")
    return min(rates) / alone


def run(args):
    if not KVLOAD.is_file():
        raise Unmeasured("there is no kvload; build it: make kvload")
    if not image("udpkv", args.plat).is_file():
        raise Unmeasured(f"there is no udpkv; build it: make APP=udpkv PLAT={args.plat}")
    namespace = Namespace()
    try:
        host = Host(namespace, 1500)
        accel = "tcg" if kvm_problem() else "kvm"
        with host.app(args.plat, KEYS, accel=accel) as vm:
            host.run(f"ip link set {DEVICE} txqueuelen {QUEUE}")
            namespace.ping()
            host.ping(APP)
            before = in_namespace(host, "counters()")
            ratio = measure(host, args)
            counted = difference(before, in_namespace(host, "counters()"))
            print("udpkv counted " + ", ".join(f"{name} {count}" for name, count in counted.items()))
            host.python(SET_LARGE.format(addresses=(APP_IP, APP), port=GUEST_PORT))
            print("values in fragments are taken over IPv4 and IPv6")
            end(vm)
            print("every pool is whole")
    finally:
        namespace.close()
    return ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", metavar="KIND", choices=KINDS, help=", ".join(KINDS))
    parser.add_argument("--plat", choices=("linux", "kvm"), default="linux", help="(default %(default)s)")
    parser.add_argument("--packets", type=number, default=10_000_000, help="of the flood (default %(default)s)")
    parser.add_argument("--flood-rate", type=number, default=50_000,
                        help="of them a second at most; a full tap would lose requests, too (default %(default)s)")
    parser.add_argument("--rate", type=number, default=2000, help="kvload's requests a second (default %(default)s)")
    parser.add_argument("--ratio", type=float, default=0.95, help="what must be left of it (default %(default)s)")
    args = parser.parse_args()
    try:
        ratio = run(args)
    except (Unmeasured, pytest.skip.Exception) as error:
        print(f"flood.py: {error}", file=sys.stderr)
        return 2
    except (AssertionError, subprocess.CalledProcessError) as error:
        print(f"FAIL {args.kind} {args.plat}: {error}")
        return 1
    verdict = "ok  " if ratio >= args.ratio else "FAIL"
    print(f"{verdict} {args.kind} {args.plat}: {ratio:.3f} of the rate alone, asked for {args.ratio}")
    return ratio < args.ratio


if __name__ == "__main__":
    end_on_signals()
    sys.exit(main())
