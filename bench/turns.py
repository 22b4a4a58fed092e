# SPDX-License-Identifier: BSD-2-Clause
"""Systems that stay connected to one vhost side and take turns on one core: windows of their rates.

    with Turns(systems, huge) as turns:
        turns.connect("rx", 64)
        window = turns.measure(system)          of each system in turn, again and again
"""

import collections
import re
import shlex
import time

import common
import distance
import systems
from systems import IMIX, SystemGone
from testpmd import TestpmdError, back_end

DIRECTIONS = ("tx", "rx", "fwd")
# What testpmd does on the vhost side, and which of its counters is the rate.
HOST_MODES = {"tx": "rxonly", "rx": "txonly", "fwd": "macswap"}
HOST_COUNTERS = {"tx": "rx", "rx": "tx", "fwd": "rx"}
SETTLE_S = 0.15
UNDISTURBED_SHARE = 0.95  # of its core, that the vhost side had; less, and others were at work there
PATIENCE_S = 5  # with windows in which nothing moved, as other programs may have the cores

# cores_ns: before and after; host_cycles: the vhost side's a packet in turns that moved some, or None;
# host_share: of its core, that the vhost side had
Window = collections.namedtuple("Window", "mpps frame_bytes cores_ns host_cycles host_share")


def testpmd_cycles(text):
    """The busy cycles a packet that a testpmd told with `set record-core-cycles on`, or None."""
    told = re.search(r"CPU cycles/packet=([\d.]+)", text)
    return float(told[1]) if told else None


class Turns:
    """The vhost side and its systems, of which only the one that is measured runs."""

    def __init__(self, members, huge, settle_s=SETTLE_S, records=False):
        """records: the vhost side counts its busy cycles, for some cycles a burst."""
        self.systems, self.failures, self.commands = members, {}, {}
        self._settle_s, self._records = settle_s, records
        self._direction = self._size = None
        self._host_core = systems.cores()[0]
        self._host = back_end([system.socket for system in members], self._host_core, huge)
        self.commands["vhost side"] = shlex.join(self._host.command)

    def __enter__(self):
        try:
            self._host.wait_prompt()
            if self._records:
                self._host.ask("set record-core-cycles on")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        common.ignore_signals()
        for system in self.systems:
            system.close()
        self._host.close()

    def alive(self):
        return [system for system in self.systems if system.name not in self.failures]

    def give_up(self, system, error):
        self.failures[system.name] = " ".join(str(error).split())[:400]
        system.close()

    def connect(self, direction, size, members=None):
        """Gets the systems, all that run unless told, ready for it, connected and held still. One that
        fails gets a second chance, as a busy machine can let a handshake run out of time."""
        self._direction, self._size = direction, size
        waiting = self.alive() if members is None else members
        for last_chance in (False, True):
            failed = []
            for system in waiting:
                try:
                    self._get_ready(system)
                except (SystemGone, TestpmdError) as error:
                    system.close()
                    failed.append(system)
                    if last_chance:
                        self.give_up(system, error)
                self.commands[system.name] = system.command
            waiting = failed
        self._host.ask(f"set fwd {HOST_MODES[direction]}")
        systems.set_size(self._host, size)

    def _get_ready(self, system):
        system.prepare(self._direction, self._size)
        system.ready()
        self._host.wait_link(self.systems.index(system), system.ready)
        if system.runs_at_once:
            system.pause()

    def measure(self, system, window_s):
        """The Window of one system. Raises SystemGone if it moved nothing, or other frames than it should."""
        host, port, direction = self._host, self.systems.index(system), self._direction
        side = HOST_COUNTERS[direction]
        before_ns = distance.now_ns()
        host.ask(f"set portlist {port}")
        system.resume()
        host.ask("start tx_first 32" if direction == "fwd" else "start")
        try:
            time.sleep(self._settle_s)
            busy_s, now_s = systems.cpu_seconds(host.process.pid), time.monotonic()
            rate, end_s = host.rate(port, window_s), now_s + PATIENCE_S
            while getattr(rate, f"{side}_packets") == 0 and time.monotonic() < end_s:
                rate = host.rate(port, window_s)
            share = (systems.cpu_seconds(host.process.pid) - busy_s) / (time.monotonic() - now_s)
        finally:
            stopped = host.ask("stop")
            system.pause()
        frame = getattr(rate, f"{side}_bytes")
        if getattr(rate, f"{side}_packets") == 0:
            raise SystemGone(f"{system.name} moved no packet in {PATIENCE_S} s ({direction})")
        if self._size != IMIX and abs(frame - self._size) > 0.01 * self._size:
            raise SystemGone(f"{direction}: frames of {frame:.1f} bytes were seen, not of {self._size}")
        cores_ns = before_ns, distance.now_ns()
        return Window(getattr(rate, f"{side}_mpps"), frame, cores_ns, testpmd_cycles(stopped), share)


def rounds(turns, number, window_s, members=None):
    """{system's name: [its Window of each round, or None]}: every system, or every one of `members`, once
    a round, with every second round in reverse, so that what the first suffers isn't one system's alone."""
    members = turns.systems if members is None else members
    seen = {system.name: [] for system in members}
    for at in range(number):
        for system in members[:: -1 if at % 2 else 1]:
            window = None
            if system.name not in turns.failures:
                try:
                    window = turns.measure(system, window_s)
                except SystemGone as error:
                    turns.give_up(system, error)
            seen[system.name].append(window)
    return seen
