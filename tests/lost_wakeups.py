#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Sends packets at the worst moments, when a server that sleeps is about to, and sees that each is
answered: none may wait until the server wakes by itself.

    python3 tests/lost_wakeups.py --packets 1000000 [--system linux|microvm|q35|pc]... [--accel ...]
                                  [--mode intr|auto]... [--seed N]

An image under QEMU is udpkv on QEMU's user network: requests come in pairs, the second at a random
time after the first, so that it meets the loop anywhere between the first one's answer and sleep.
It sleeps for at most WAKE_S by itself, and an answer that takes longer than DEADLINE_S is an error:
what a busy machine delays is far from either. As a host process (linux) the unit tests idle_race_*
do the same, with a device in a thread.
"""
import argparse
import random
import re
import select
import socket
import struct
import subprocess
import sys
import time

from vm import Vm, end_on_signals, free_udp_port, image, kvm_problem, qemu_command, user_netdev

WAKE_S = 60
DEADLINE_S = 20
SYSTEMS = ("linux", "microvm", "q35", "pc")
MODES = ("intr", "auto")
GAP_US = 400  # up to so much between two requests of a pair: the time that an answer takes, and more
IDLE_US = 100  # of idle.mode=auto: arming is in the middle of the gaps
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


def end(app, port):
    """Ends an app that sleeps for long: each datagram has it look at its console."""
    app.interrupt()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        while True:
            sock.sendto(b"wake up", ("127.0.0.1", port))
            try:
                return app.process.wait(0.02)
            except subprocess.TimeoutExpired:
                pass


def run_image(machine, accel, mode, packets, seed=1, more=()):
    port = free_udp_port()
    keys = f"idle.mode={mode} idle.us={IDLE_US} idle.wake={WAKE_S * 1000} udpkv.mem=4M"
    command = qemu_command(image("udpkv"), keys, machine=machine, accel=accel,
                           netdev=user_netdev(port), more=more)
    with Vm(command) as app:
        app.expect("udpkv: serves")
        slowest_us = pairs(port, packets, seed)
        end(app, port)
        match = app.expect(r": slept (\d+) times, woken by (\d+) interrupts")
        assert app.exit_code() == 0
    return Result(packets, slowest_us, int(match[1]), int(match[2]))


# --- the host process -----------------------------------------------------------------------------

def run_linux(packets):
    """In the unit tests a device plays the same in a thread of its own."""
    command = [str(image("selftest", "linux")), "only=idle_race", f"wakeups={packets}"]
    with Vm(command) as tests:
        tests.expect(r"^\d+ passed, \d+ failed", DEADLINE_S + packets / 100)
        if tests.status():
            raise LostWakeup(tests.console())
        return re.findall(r"^idle_race: (.*)", tests.console(), re.M)


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
        on_linux = system == "linux"
        for accel in ["-"] if on_linux else args.accel or ["kvm", "tcg"]:
            for mode in ["-"] if on_linux else args.mode or MODES:
                what = f"{system} {accel} {mode}"
                problem = kvm_problem() if accel == "kvm" else None
                if problem:
                    print(f"skip {what}: {problem}", flush=True)
                    continue
                try:
                    results = run_linux(args.packets) if on_linux else [
                        run_image(system, accel, mode, args.packets, args.seed)]
                    for result in results:
                        print(f"ok   {what}: {result}", flush=True)
                except (LostWakeup, AssertionError) as error:
                    failed += 1
                    print(f"FAIL {what}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    end_on_signals()
    sys.exit(main())
