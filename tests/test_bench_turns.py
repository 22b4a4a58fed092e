# SPDX-License-Identifier: BSD-2-Clause
"""bench/turns.py: whose turn it is, what is kept of it, and which frames are refused; which systems are chosen."""

import subprocess
import sys
import types

import pytest

from vm import ROOT

sys.path.insert(0, str(ROOT / "bench"))
import systems  # noqa: E402
import turns  # noqa: E402
from systems import IMIX, SystemGone  # noqa: E402


class FakeTurns:
    """Two systems, of which the second ends at its second turn."""

    def __init__(self):
        self.systems = [types.SimpleNamespace(name=name) for name in ("one", "two")]
        self.failures, self.turns = {}, []

    def measure(self, system, window_s):
        self.turns.append(system.name)
        if self.turns.count("two") == 2 and system.name == "two":
            raise SystemGone("it ended")
        return turns.Window(len(self.turns), 64, (90, 91), None, 1)

    def give_up(self, system, error):
        self.failures[system.name] = str(error)


def test_every_second_round_is_in_reverse_and_what_ended_has_no_more_turns():
    bed, told = FakeTurns(), []
    seen = turns.rounds(bed, 3, 0.5, after=lambda *words: told.append((words[0], words[1].name, bool(words[2]))))
    assert bed.turns == ["one", "two", "two", "one", "one"] and bed.failures == {"two": "it ended"}
    assert told == [(1, "one", True), (1, "two", True), (2, "two", False), (2, "one", True), (3, "one", True),
                    (3, "two", False)]
    samples, cores = {}, {}
    turns.keep(seen, samples, cores, "rx", 64)
    assert samples == {("one", "rx", 64): [1, 4, 5], ("two", "rx", 64): [2]}
    assert turns.apart(seen["one"][0]._replace(host_share=0.9)) is None
    assert cores == {("one", "rx", 64): [(90, 91)] * 3, ("two", "rx", 64): [(90, 91)]}


@pytest.mark.parametrize("direction, size, seen, packets", [
    ("tx", 64, 64.5, 10**6), ("rx", 1500, 1500, 1), ("rx", IMIX, 712, 10**6), ("rx", IMIX, 779, 600),
    ("fwd", IMIX, 900, 10**6), ("tx", IMIX, 357.8, 10**6),
])
def test_frames_of_the_size_that_was_asked_for_count(direction, size, seen, packets):
    turns.check_frame(direction, size, seen, packets)


@pytest.mark.parametrize("direction, size, seen, packets", [
    ("tx", 64, 60, 10), ("rx", IMIX, 779, 10**6), ("rx", IMIX, 64, 600), ("tx", IMIX, 711, 10**6), ("fwd", IMIX, 64, 9),
])
def test_other_frames_are_refused(direction, size, seen, packets):
    with pytest.raises(SystemGone, match=f"frames of {seen}.0 bytes were seen"):
        turns.check_frame(direction, size, seen, packets)


def test_systems_are_named_by_a_part_and_hidden_ones_in_full():
    members = [types.SimpleNamespace(name=name) for name in ("our-kvm", "our-kvm-split", "dpdk-split")]
    hidden = [members[1]]

    def named(text):
        return [system.name for system in systems.named(members, text, hidden)]

    assert named("") == named(None) == ["our-kvm", "dpdk-split"]
    assert named("split") == ["dpdk-split"] and named("our") == ["our-kvm"] and named("kvm-spl") == []
    assert named("dpdk,our-kvm-split") == ["our-kvm-split", "dpdk-split"]


@pytest.mark.parametrize("script, status", [("pktgen", 2), ("paced", 1), ("zero-loss", 1)])
def test_a_system_that_there_is_not_is_refused(script, status):
    done = subprocess.run([ROOT / "bench" / script, "--no-build", "--no-install", "--systems=ringloop-linux-splt"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    if "apt-get install" in done.stdout:  # measuring needs packages that testing doesn't
        assert done.returncode == 2
        return
    assert done.returncode == status and "no system's name contains" in done.stdout, done.stdout
    assert "ringloop-linux-splt" in done.stdout and "Traceback" not in done.stdout


def test_a_busy_machine_and_who_did_not_run_are_told():
    bed = turns.Turns.__new__(turns.Turns)  # without a vhost side
    bed._windows, bed._disturbed, bed.failures = 4, 0, {}
    assert bed.notes() == []
    bed._disturbed, bed.failures = 1, {"two": "it ended"}
    busy, gone = bed.notes()
    assert "in 1 of 4 windows" in busy and gone == "two didn't run: it ended"
