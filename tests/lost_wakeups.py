#!/usr/bin/env python3
"""Sends packets at the worst moments, when a server that sleeps is about to, and sees that each is
answered: none may wait until the server wakes by itself.

    python3 tests/lost_wakeups.py --packets 1000000 [--system linux|microvm|q35|pc]... [--accel ...]
                                  [--mode intr|auto]... [--seed N]

An image under QEMU is udpkv on QEMU's user network: requests come in pairs, the second at a random
time after the first, so that it meets the loop anywhere between the first one's answer and sleep.
The host process is pktgen's reflector behind testpmd, and pktgen plays ping-pong with it, with
random pauses. Both sleep for at most WAKE_S by themselves, and an answer that takes longer than
DEADLINE_S is an error: what a busy machine delays is far from either.
"""
import argparse
import contextlib
import json
import random
import re
import select
import socket
import struct
import sys
import tempfile
import time

from testpmd import back_end, why_no_testpmd
from vm import Vm, free_udp_port, image, kvm_problem, qemu_command, user_netdev

WAKE_S = 60
DEADLINE_S = 20
SYSTEMS = ("linux", "microvm", "q35", "pc")
MODES = ("intr", "auto")
GAP_US = 400  # up to so much between two requests of a pair: the time that an answer takes, and more
IDLE_US = {"image": 100, "linux": 20}  # of mode=auto: arming is in the middle of the gaps
PAUSE_US = 50
HEADER = struct.Struct("!HHHH")


class LostWakeup(Exception):
    """An answer didn't come."""


class Result:
    def __init__(self, packets, slowest_us, waits, interrupts):
        self.packets, self.slowest_us = packets, slowest_us
        self.waits, self.interrupts = waits, interrupts

    def __str__(self):
        return (f"{self.packets} packets, each answered, the slowest after {self.slowest_us:.0f} us; "
                f"slept {self.waits} times, {self.interrupts} interrupts")


def slept(app):
    """What the app says at its end."""
    match = app.expect(r": slept (\d+) times, woken by (\d+) interrupts")
    return int(match[1]), int(match[2])


def keys(mode, kind):
    return f"mode={mode} idle.us={IDLE_US[kind]} idle.wake={WAKE_S * 1000}"


# --- images ---------------------------------------------------------------------------------------

def spin(us):
    end = time.perf_counter_ns() + us * 1000
    while time.perf_counter_ns() < end:
        pass


def receive(sock, sent_ns):
    """Takes one answer; how long it took, in microseconds."""
    while True:
        if not select.select([sock], [], [], DEADLINE_S)[0]:
            raise LostWakeup(f"{len(sent_ns)} requests have no answer after {DEADLINE_S} s")
        number = HEADER.unpack_from(sock.recv(2048))[0]
        if number in sent_ns:
            return (time.perf_counter_ns() - sent_ns.pop(number)) / 1000


def pairs(port, packets, seed):
    """Sends the packets; returns the longest time that an answer took."""
    draw, sent_ns, slowest_us = random.Random(seed), {}, 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        for number in range(packets):
            if number % 2 == 0:
                while sent_ns:
                    slowest_us = max(slowest_us, receive(sock, sent_ns))
            spin(draw.randrange(GAP_US))
            sent_ns[number & 0xFFFF] = time.perf_counter_ns()
            sock.send(HEADER.pack(number & 0xFFFF, 0, 1, 0) + b"mn\r\n")
        while sent_ns:
            slowest_us = max(slowest_us, receive(sock, sent_ns))
    return slowest_us


def run_image(machine, accel, mode, packets, seed=1):
    port = free_udp_port()
    command = qemu_command(image("udpkv"), f"{keys(mode, 'image')} udpkv.mem=4M", machine=machine,
                           accel=accel, netdev=user_netdev(port))
    with Vm(command) as app:
        app.expect("udpkv: serves")
        slowest_us = pairs(port, packets, seed)
        # Asleep for a minute it doesn't look at its console; a packet wakes it.
        app.interrupt()
        with contextlib.suppress(LostWakeup):
            while app.process.poll() is None:
                pairs(port, 2, seed)
        result = Result(packets, slowest_us, *slept(app))
        assert app.exit_code() == 0
    return result


# --- the host process -----------------------------------------------------------------------------

def run_linux(folder, mode, packets, seed=1):
    """seed is of no use here: pktgen draws its own pauses."""
    sockets = [f"{folder}/reflector", f"{folder}/player"]
    options = ["--forward-mode=io", "--auto-start"]
    player_keys = f"mode=pingpong pause={PAUSE_US} count={packets} report=json report.interval=0"
    reflector_keys = f"mode=fwd {keys(mode, 'linux')} report.interval=0"
    programs = [[str(image("pktgen", "linux")), f"vhost={socket}", "mem=16M", *words.split()]
                for socket, words in zip(sockets, (reflector_keys, player_keys))]
    with back_end(sockets, options=options) as testpmd:
        with Vm(programs[0]) as reflector:
            reflector.expect("^pktgen: mode fwd")
            testpmd.wait_link(0)
            with Vm(programs[1]) as player:
                deadline_s = DEADLINE_S + packets / 2000
                summary = json.loads(player.expect(r"^\{.*\}$", deadline_s)[0])
                assert player.status() == 0
            reflector.interrupt()
            waits, interrupts = slept(reflector)
            assert reflector.status() == 0
    if summary["sequence"]["lost"]:
        raise LostWakeup(f"{summary['sequence']['lost']} packets had no answer within 100 ms")
    return Result(packets, summary["latency_ns"]["max"] / 1000, waits, interrupts)


# --- the command ----------------------------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packets", type=int, default=1000000)
    parser.add_argument("--system", action="append", choices=SYSTEMS)
    parser.add_argument("--accel", action="append", choices=("kvm", "tcg"))
    parser.add_argument("--mode", action="append", choices=MODES)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    failed = 0
    for system in args.system or SYSTEMS:
        for accel in ["-"] if system == "linux" else args.accel or ["kvm", "tcg"]:
            for mode in args.mode or MODES:
                problem = why_no_testpmd() if system == "linux" else accel == "kvm" and kvm_problem()
                if problem:
                    print(f"skip {system} {accel} {mode}: {problem}", flush=True)
                    continue
                try:
                    if system == "linux":
                        with tempfile.TemporaryDirectory() as folder:
                            result = run_linux(folder, mode, args.packets, args.seed)
                    else:
                        result = run_image(system, accel, mode, args.packets, args.seed)
                    print(f"ok   {system} {accel} {mode}: {result}", flush=True)
                except (LostWakeup, AssertionError) as error:
                    failed += 1
                    print(f"FAIL {system} {accel} {mode}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
