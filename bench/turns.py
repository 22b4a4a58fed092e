# SPDX-License-Identifier: BSD-2-Clause
"""Systems that stay connected to one vhost side and take turns on one core: windows of their rates.

    with Turns(systems, huge) as turns:
        turns.connect("rx", 64)
        seen = rounds(turns, 5, 0.7)            every system once a round, a Window each
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
# The mean of pktgen's mix when the systems send, of testpmd's (systems.IMIX_SEGMENTS) when it does.
IMIX_MEANS = {"tx": (7 * 60 + 4 * 590 + 1514) / 12, "rx": (64 + 570 + 1500) / 3, "fwd": (64 + 570 + 1500) / 3}
IMIX_DEVIATION = 0.84  # of one frame of testpmd's mix, as a part of the mean
SETTLE_S = 0.15
UNDISTURBED_SHARE = 0.95  # of its core, that the vhost side had; less, and others were at work there
TURN_S, CONNECT_S, START_S = 0.1, 3, 10  # what comes to a window, to a connect(), and to a run
PATIENCE_S = 5  # with windows in which nothing moved, as other programs may have the cores

# cores_ns: before and after; host_cycles: the vhost side's a packet in turns that moved some, or None;
# host_share: of its core, that the vhost side had
Window = collections.namedtuple("Window", "mpps frame_bytes cores_ns host_cycles host_share")


def testpmd_cycles(text):
    """The busy cycles a packet that a testpmd told with `set record-core-cycles on`, or None."""
    told = re.search(r"CPU cycles/packet=([\d.]+)", text)
    return float(told[1]) if told else None


def mean_frame(direction, size):
    """The bytes that a frame has on average, by what was asked for."""
    return IMIX_MEANS[direction] if size == IMIX else size


def check_frame(direction, size, seen, packets):
    """Frames must be what they are said to be, or the systems aren't comparable."""
    expected = mean_frame(direction, size)
    tolerance = 0.01
    if size == IMIX and direction == "rx":  # drawn at random: four times the deviation of so many
        tolerance += 4 * IMIX_DEVIATION / packets**0.5
    if size == IMIX and direction == "fwd":  # what circulates is whatever the full rings have left
        tolerance = 0.3
    if abs(seen - expected) > tolerance * expected:
        raise SystemGone(f"{direction}: frames of {seen:.1f} bytes were seen, not of {expected:.1f}")


def seconds(windows, window_s, settle_s=SETTLE_S, connects=1):
    """About how long a run takes on a quiet machine."""
    return START_S + connects * CONNECT_S + windows * (settle_s + window_s + TURN_S)


class Turns:
    """The vhost side and its systems, of which only the one that is measured runs."""

    def __init__(self, members, huge, settle_s=SETTLE_S, records=False, side_by_side=True):
        """records: the vhost side counts its busy cycles, for some cycles a burst. side_by_side: the
        systems start together; else one after the other, where starting takes long on the core they share."""
        self.systems, self.failures, self.commands = members, {}, {}
        self._settle_s, self._records, self._side_by_side = settle_s, records, side_by_side
        self._direction = self._size = None
        self._windows = self._disturbed = 0
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
        with common.unbroken():
            for system in self.systems:
                system.close()
            self._host.close()

    def alive(self):
        return [system for system in self.systems if system.name not in self.failures]

    def give_up(self, system, error):
        self.failures[system.name] = " ".join(str(error).split())[:400]
        print(f"{system.name} doesn't run: {self.failures[system.name]}", flush=True)
        system.close()

    def notes(self):
        """What is to be told below a table: whether others were at work, and who didn't run."""
        busy = [f"Not a quiet machine: in {self._disturbed} of {self._windows} windows other programs took"
                " more than 5 % of the vhost side's core."] if self._disturbed else []
        return busy + [f"{name} didn't run: {why}" for name, why in self.failures.items()]

    def connect(self, direction, size, members=None):
        """Gets the systems, all that run unless told, ready for it, connected and held still. One that
        fails gets a second chance, as a busy machine can let a handshake run out of time."""
        self._direction, self._size = direction, size
        members = self.alive() if members is None else members
        for group in [members] if self._side_by_side else [[system] for system in members]:
            again = self._start(group, last_chance=False)
            self._start(again, last_chance=True)
        self._host.ask(f"set fwd {HOST_MODES[direction]}")
        systems.set_size(self._host, size)

    def _start(self, group, last_chance):
        """Returns those of the group that could be started but didn't get ready."""
        failed = []
        for system in group:
            try:
                system.prepare(self._direction, self._size)
            except SystemGone as error:
                self.give_up(system, error)
            self.commands[system.name] = system.command
        for system in [system for system in group if system.name not in self.failures]:
            try:
                system.ready()
                self._host.wait_link(self.systems.index(system), system.ready)
                if system.runs_at_once:
                    system.pause()
            except (SystemGone, TestpmdError) as error:
                system.close()
                failed.append(system)
                if last_chance:
                    self.give_up(system, error)
        return failed

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
        frame, packets = (getattr(rate, f"{side}_{what}") for what in ("bytes", "packets"))
        if packets == 0:
            raise SystemGone(f"{system.name} moved no packet in {PATIENCE_S} s ({direction})")
        check_frame(direction, self._size, frame, packets)
        self._windows += 1
        self._disturbed += share < UNDISTURBED_SHARE
        cores_ns = before_ns, distance.now_ns()
        return Window(getattr(rate, f"{side}_mpps"), frame, cores_ns, testpmd_cycles(stopped), share)


def rounds(turns, number, window_s, members=None, after=lambda round_, system, window: None):
    """{system's name: [its Window of each round, or None]}: every system, or every one of `members`, once
    a round, with every second round in reverse, so that what the first suffers isn't one system's alone.
    after() is called behind each turn, with None for a window that there wasn't; rounds count from 1."""
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
            after(at + 1, system, window)
    return seen


def apart(window):
    """How far apart the cores of a Window were, as distance.states() takes it."""
    return window.cores_ns if window.host_share >= UNDISTURBED_SHARE else None


def keep(seen, samples, cores, *place):
    """Files the rates that rounds() returned, and how far apart the cores were (distance.py), by (system,
    *place)."""
    for name, windows in seen.items():
        samples[name, *place] = [window.mpps for window in windows if window]
        cores[name, *place] = [apart(window) for window in windows if window]
