# SPDX-License-Identifier: BSD-2-Clause
"""How far apart the two cores of a measurement are, and which of its windows are comparable.

A host may move its virtual processors so that a cache line takes several times as long from one to the
other, for seconds or minutes, and with it every rate of two cores changes. So each window is measured
between two looks at that time (distance.c), and states() tells from all of a run which windows belong
together. Nothing else decides that, but that other programs had a part of a core meanwhile.
"""

import statistics
import subprocess

import systems
from systems import vm

PROGRAM = vm.ROOT / "build/bench/distance"
TARGET = "build/bench/distance"  # make's name of it
DEADLINE_S = 10
# Looks at one state differ by less, looks at two by more: seen are 86 to 110 and 430 to 460 ns on one
# machine, 260 to 320 on another.
ALIKE = 1.6
USUAL, NEARER, FARTHER, CHANGED, UNKNOWN = "usual", "nearer", "farther", "changed", "unknown"
DISTURBED = "disturbed"

problems = []  # why a distance isn't known, once each; they belong below a result's table


def now_ns(cores=None):
    """The time there and back between two cores, those of systems.cores() unless told, or None."""
    cores = cores or systems.cores()
    if cores[0] == cores[1]:
        return None  # common.conditions() says so
    try:
        done = subprocess.run([PROGRAM, *map(str, cores)], capture_output=True, text=True, timeout=DEADLINE_S)
        if done.returncode == 0:
            return float(done.stdout)
        why = done.stderr.strip().removeprefix("distance: ")
    except FileNotFoundError:
        why = f"{TARGET} isn't built"
    except subprocess.TimeoutExpired:
        why = f"no answer of {TARGET} in {DEADLINE_S} s"
    told = f"How far apart the cores were isn't known for all windows: {why}."
    if told not in problems:
        problems.append(told)
    return None


def states(windows):
    """(the usual time in ns, [a state a window]) of a run.

    windows     (ns before, ns after) of each window; None if other programs had a part of a core
    usual       the time around which most of the run's looks are
    a state     USUAL, NEARER or FARTHER, if both looks agree; CHANGED if they don't; UNKNOWN
                if one is missing; DISTURBED for None
    """
    looks = sorted(ns for window in windows if window for ns in window if ns is not None)
    if not looks:
        return None, [UNKNOWN if window else DISTURBED for window in windows]

    def around(ns):
        return [other for other in looks if max(ns, other) < ALIKE * min(ns, other)]

    usual = statistics.median(max(map(around, looks), key=len))

    def word(ns):
        if max(ns, usual) < ALIKE * min(ns, usual):
            return USUAL
        return NEARER if ns < usual else FARTHER

    def state(before, after):
        if before is None or after is None:
            return UNKNOWN
        return word(before) if word(before) == word(after) else CHANGED

    return usual, [state(*window) if window else DISTURBED for window in windows]


def summary(windows):
    """In words, for results whose figures aren't told apart by it."""
    usual, found = states(windows)
    if usual is None:
        return "not measured"
    looks = [ns for window in windows for ns in window if ns is not None]
    apart = sum(state != USUAL for state in found)
    return f"{min(looks):.0f} to {max(looks):.0f} ns apart, usually {usual:.0f}; not so in {apart} of {len(windows)}"


def states_by_key(windows):
    """(usual ns, {key: [states]}) from {key: [(before, after), ...]}: a run's windows by what was measured."""
    usual, flat = states([window for group in windows.values() for window in group])
    rest = iter(flat)
    return usual, {key: [next(rest) for _ in group] for key, group in windows.items()}


def counted(groups):
    """The state whose windows are compared where several systems were measured in turn.

    groups holds the states of each system's windows. It is the usual state if all systems have a window
    in it, else the one that most systems, then most windows, were measured in. CHANGED and DISTURBED count
    only if there is nothing else.
    """
    groups = [group for group in groups if group]

    def weight(state):
        return state not in (CHANGED, DISTURBED), sum(state in group for group in groups), state == USUAL, \
            sum(group.count(state) for group in groups)

    return max((state for group in groups for state in group), key=weight, default=UNKNOWN)


def in_state(values, seen, state):
    """The values of the windows in that state; of all windows if there is none."""
    return [value for value, other in zip(values, seen) if other == state] or list(values)
