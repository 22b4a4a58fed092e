# SPDX-License-Identifier: BSD-2-Clause
"""A machine's lives under QEMU: saved, set back, moved, stopped. No answer is ever wrong, only what was
in flight may be lost, every pool is whole at the end, and the date is right again."""

import collections
import contextlib
import json
import subprocess
import time

import pytest

from moving import HostDate, Machine, Relay
from udpkv_client import Client
from vm import DEADLINE_S, HOST, ROOT, kvm_problem

Case = collections.namedtuple("Case", "machine accel cores packed")
CLIENTS, PIPELINE = 4, 4
LOAD = (f"--clients={CLIENTS} --threads=1 --pipeline={PIPELINE} --ratio=1:3 --key-maximum=500 --data-size=100"
        " --populate --control --timeout-ms=4000").split()


def named(*case):
    name = "-".join(["packed" if word is True else "split" if word is False else str(word) for word in case])
    marks = [pytest.mark.skipif(bool(kvm_problem()), reason=f"KVM can't be used here: {kvm_problem()}")]
    return pytest.param(*case, id=name, marks=marks if "kvm" in case else [])


@pytest.fixture(scope="module")
def kvload():
    subprocess.run(["make", "-s", "-C", ROOT, "kvload"], check=True)
    return ROOT / "build/bench/kvload"


class Load:
    """kvload, which checks every answer: also that what was stored once is never older again."""

    def __init__(self, kvload, port):
        self._process = subprocess.Popen([kvload, f"--port={port}", *LOAD], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)
        assert self._process.stdout.readline() == "ready\n"

    def begin(self, seconds, rate=2000):
        self._process.stdin.write(f"{seconds} {rate}\n")
        self._process.stdin.flush()

    def begin_at(self, relay):
        """Begins a run of a second, and waits until it is under way."""
        wanted = relay.answers + 50
        self.begin(1)
        relay.wait_answers(wanted)

    def result(self):
        """What was counted of a run that has begun."""
        told = json.loads(self._process.stdout.readline())["kvload"]
        assert told["wrong"] == 0, told
        return told

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self._process.stdin.close()
        if kind:
            self._process.kill()
        assert self._process.wait(DEADLINE_S) == 0 or kind
        self._process.stdout.close()


MOVES = [
    named("microvm", "tcg", 1, True, "second"),
    named("q35", "tcg", 2, False, "file"),
    named("microvm", "kvm", 2, False, "second"),
    named("q35", "kvm", 1, True, "file"),
]


@pytest.mark.parametrize("machine, accel, cores, packed, way", MOVES)
def test_it_moves_under_load(tmp_path, kvload, machine, accel, cores, packed, way):
    """To a second QEMU, or by a file. Clients keep asking the same port."""
    case = Case(machine, accel, cores, packed)._asdict()
    file = f"{tmp_path}/moved"
    out, into = (f"unix:{file}",) * 2 if way == "second" else (f"exec:cat >{file}", f"exec:cat {file}")
    with contextlib.ExitStack() as opened:
        relay = opened.enter_context(Relay())
        first = opened.enter_context(Machine(tmp_path / "1", **case)).serves()
        relay.plug(first.cable)
        with Load(kvload, relay.number) as load:
            if way == "second":
                second = opened.enter_context(Machine(tmp_path / "2", **case, more=["-incoming", into]))
            load.begin_at(relay)
            first.migrate(out)
            if way == "file":
                second = opened.enter_context(Machine(tmp_path / "2", **case, more=["-incoming", into]))
            second.goes_on()
            relay.plug(second.cable)
            lost = load.result()["timeouts"]
            load.begin(0.3)
            after = load.result()
        assert lost <= CLIENTS * PIPELINE  # what was in flight
        assert after["timeouts"] == 0 and after["sent"] > 0
        second.end()


SNAPSHOTS = [
    named("microvm", "tcg", 1, False),
    named("q35", "tcg", 2, True),
    named("pc", "kvm", 1, True),
]


@pytest.mark.parametrize("machine, accel, cores, packed", SNAPSHOTS)
def test_it_is_set_back_to_a_snapshot(tmp_path, kvload, machine, accel, cores, packed):
    """Taken under load, and gone back to under load, twice: then items are as they were."""
    with Relay() as relay, Machine(tmp_path / "1", machine, accel, cores, packed).serves() as vm:
        relay.plug(vm.cable)
        vm.add_snapshot_disk(tmp_path / "disk")
        with Client(HOST, relay.number) as client:
            assert client.ask(b"set a 0 0 6\r\nbefore\r\n") == b"STORED\r\n"
            with Load(kvload, relay.number) as load:
                load.begin_at(relay)
                vm.snapshot("snapshot-save")
                assert load.result()["timeouts"] == 0
            for _ in range(2):
                assert client.ask(b"set a 0 0 5\r\nafter\r\n") == b"STORED\r\n"
                for _ in range(PIPELINE):
                    client.send(b"version\r\n")
                vm.snapshot("snapshot-load")
                assert client.ask(b"get a\r\n") == b"VALUE a 0 6\r\nbefore\r\nEND\r\n"
            with Load(kvload, relay.number) as load:
                load.begin(0.2)
                assert load.result()["timeouts"] == 0
        vm.end()


# --- the date -----------------------------------------------------------------------------------

DAY_S = 24 * 60 * 60


def date(client):
    return client.stats()["time"]


def wait_date(client, wanted):
    """Until the machine tells that date; it looks once a second. QEMU's clock starts at a whole second,
    and tells whole ones."""
    end = time.monotonic() + DEADLINE_S
    while abs(date(client) - wanted()) > 2:
        assert time.monotonic() < end, f"the date is {date(client)} and should be {wanted()}"


def stored(client, key, expires):
    return client.ask(b"set %s 0 %d 1\r\nx\r\n" % (key, expires)) == b"STORED\r\n"


def there(client, key):
    return client.ask(b"get %s\r\n" % key) != b"END\r\n"


@pytest.mark.parametrize("machine, accel, cpu", [
    named("microvm", "tcg", None),
    named("q35", "kvm", "max,arch-capabilities=off,-kvmclock"),
])
def test_by_a_real_time_clock_the_date_is_right_again(tmp_path, machine, accel, cpu):
    """After a stop, a move and a snapshot during which the hosts' date went on by minutes and days. Items
    whose time passed meanwhile are gone; where the date is set back none lives for longer."""
    host = HostDate(tmp_path)
    parts = {"machine": machine, "accel": accel, "cpu": cpu, "date": host}
    with contextlib.ExitStack() as opened:
        relay = opened.enter_context(Relay())
        vm = opened.enter_context(Machine(tmp_path / "1", **parts)).serves()
        relay.plug(vm.cable)
        client = opened.enter_context(Client(HOST, relay.number))
        ahead = 0

        def passes(seconds, pause):
            nonlocal ahead
            assert stored(client, b"short", seconds - 10) and stored(client, b"long", 2 * DAY_S)
            ahead += seconds
            pause(lambda: host.ahead(ahead))
            wait_date(client, lambda: time.time() + ahead)
            assert not there(client, b"short") and there(client, b"long")

        def stop(change):
            vm.monitor.execute("stop")
            change()
            vm.monitor.execute("cont")

        def snapshot(change):
            vm.add_snapshot_disk(tmp_path / "disk")
            vm.snapshot("snapshot-save")
            change()
            vm.snapshot("snapshot-load")

        def move(change):
            nonlocal vm
            vm.migrate(f"exec:cat >{tmp_path}/moved")
            change()
            vm = Machine(tmp_path / "2", **parts, more=["-incoming", f"exec:cat {tmp_path}/moved"])
            opened.enter_context(vm).goes_on()
            relay.plug(vm.cable)

        passes(60, stop)
        passes(3600, snapshot)
        passes(DAY_S, move)
        assert stored(client, b"short", 1)
        before = date(client)
        host.ahead(0)
        end = time.monotonic() + DEADLINE_S
        while there(client, b"short"):
            assert time.monotonic() < end
        assert before <= date(client) < before + DEADLINE_S
        vm.end()


def test_by_kvms_wall_clock_the_date_is_right_again(tmp_path):
    """At once after a stop and a move that last for longer than an item may live. KVM's date is this
    machine's, so it has to pass."""
    if kvm_problem():
        pytest.skip(f"KVM can't be used here: {kvm_problem()}")
    seconds = 2
    with Relay() as relay, Client(HOST, relay.number) as client:
        def has_to_be_gone(vm):
            relay.plug(vm.cable)
            vm.goes_on()
            assert not there(client, b"short") and there(client, b"long")
            assert abs(date(client) - time.time()) <= 1
            vm.end()

        with Machine(tmp_path / "1", accel="kvm", cores=2).serves() as first:
            relay.plug(first.cable)
            assert stored(client, b"long", 3600)
            assert stored(client, b"short", seconds) and there(client, b"short")
            first.monitor.execute("stop")
            end = time.time() + seconds + 1
            first.migrate(f"exec:cat >{tmp_path}/moved")
            while (left := end - time.time()) > 0:
                time.sleep(left)
            has_to_be_gone(first)
        more = ["-incoming", f"exec:cat {tmp_path}/moved"]
        with Machine(tmp_path / "2", accel="kvm", cores=2, more=more) as second:
            has_to_be_gone(second)


def test_without_any_clock_a_negative_time_is_past(tmp_path):
    with Relay() as relay, Machine(tmp_path / "1", more=["-M", "rtc=off"]) as vm:
        vm.vm.expect("^clock: this machine tells no date, so it starts as 2026-01-01")
        relay.plug(vm.serves().cable)
        with Client(HOST, relay.number) as client:
            assert 0 <= date(client) - 1767225600 < DEADLINE_S
            assert stored(client, b"a", -1) and not there(client, b"a")
            assert stored(client, b"b", 60) and there(client, b"b")
        vm.end()
