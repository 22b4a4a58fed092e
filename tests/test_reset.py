# SPDX-License-Identifier: BSD-2-Clause
"""A machine that is reset: the image boots as the first time, whatever it was doing."""

import contextlib
import re
import socket
import struct
import threading

import pytest

from udpkv_client import HEADER, Client
from vhost_port import VhostPort
from vm import DEADLINE_S, HOST, MACHINES, Vm, free_udp_port, image, kvm_problem, qemu_command, user_netdev
from xen.qmp import Qmp

RESETS = 10
FASTEST = "tcg" if kvm_problem() else "kvm"


@contextlib.contextmanager
def resettable(folder, app, keys="", more=(), **machine):
    """An image in a machine that a reset doesn't end; yields (vm, monitor)."""
    path = str(folder / "qmp")
    more = [*more, "-qmp", f"unix:{path},server=on,wait=off"]
    command = qemu_command(image(app), keys, more=more, **machine)
    command.remove("-no-reboot")
    with Vm(command) as vm:
        monitor = Monitor(path, DEADLINE_S)
        try:
            yield vm, monitor
        finally:
            monitor.close()


class Monitor(Qmp):
    """QEMU's monitor, and what this file does by it."""

    def wait_for(self, event):
        while not any(e["event"] == event for e in self.events):
            self.events.append(self._read())
        self.events.clear()

    def reset(self):
        self.execute("system_reset")
        self.wait_for("RESET")


class Load:
    """A client that never waits long, as the server may be gone; each answer that comes must be right."""

    WINDOW, PATIENCE_S = 32, 0.05

    def __init__(self, port):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((HOST, port))
        self._socket.settimeout(self.PATIENCE_S)
        self.answers, self.wrong, self._stop = 0, [], False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop:
            for ident in range(self.WINDOW):
                text = b"get k%d\r\n" if ident % 2 else b"set k%d 0 0 5\r\nvalue\r\n"
                with contextlib.suppress(ConnectionError):
                    self._socket.send(HEADER.pack(ident, 0, 1, 0) + text % (ident // 2))
            with contextlib.suppress(TimeoutError, ConnectionError):
                for _ in range(self.WINDOW):
                    self._take(self._socket.recv(65536))

    def _take(self, answer):
        ident = HEADER.unpack_from(answer)[0]
        good = (b"END\r\n", b"VALUE k%d 0 5\r\nvalue\r\nEND\r\n" % (ident // 2)) if ident % 2 else (b"STORED\r\n",)
        with self._news:
            self.answers += 1
            if answer[HEADER.size :] not in good:
                self.wrong.append(answer)
            self._news.notify_all()

    def wait(self, answers):
        """Until so many more answers have come."""
        with self._news:
            wanted = self.answers + answers
            assert self._news.wait_for(lambda: self.answers >= wanted, DEADLINE_S), "no answers come"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop = True
        self._thread.join()
        self._socket.close()


@contextlib.contextmanager
def udpkv(folder, cores, **machine):
    """udpkv on so many cores; yields (vm, monitor, port of this host)."""
    keys = "udpkv.mem=4M" + (f" cores={cores}" if cores > 1 else "")
    with contextlib.ExitStack() as stack:
        if cores > 1:  # QEMU's user network has one queue
            port = stack.enter_context(VhostPort(folder / "vhost", cores, spread=1))
            machine |= {"vhost_user": folder / "vhost", "queues": cores, "cpus": cores}
            number = port.number
        else:
            number = free_udp_port()
            machine["netdev"] = user_netdev(number)
        vm, monitor = stack.enter_context(resettable(folder, "udpkv", keys, **machine))
        vm.expect("^udpkv: serves ")
        yield vm, monitor, number


def end(vm):
    vm.interrupt()
    vm.expect(r"^udpkv: every pool is whole\.$")
    assert vm.exit_code() == 0


def lives(vm):
    """What the image said at the start of each of its lives, but for the time that it took."""
    said = re.findall(r"(Ringloop: udpkv .*), started in \d+ us\.\n(udpkv: serves .*)$", vm.console(), re.M)
    assert said
    return said


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("machine", MACHINES)
def test_ten_resets_under_load(machine, accel, cores, tmp_path):
    with udpkv(tmp_path, cores, machine=machine, accel=accel) as (vm, monitor, port):
        with Load(port) as load:
            for _ in range(RESETS):
                load.wait(100)
                monitor.reset()
                vm.expect("^udpkv: serves ")
            load.wait(100)
        assert not load.wrong
        end(vm)
        assert len(lives(vm)) == RESETS + 1
        assert len(set(lives(vm))) == 1, "one life differs from another"


@pytest.mark.parametrize("cores", [1, 2])
def test_resets_while_idle_and_while_starting(cores, tmp_path):
    with udpkv(tmp_path, cores, machine="microvm", accel=FASTEST) as (vm, monitor, port):
        with Client(HOST, port) as client:
            assert client.ask(b"set a 0 0 1\r\nx\r\n") == b"STORED\r\n"
            while b"STAT idle:waits 0\r\n" in client.ask(b"stats netdev\r\n"):
                continue
            monitor.reset()
            vm.expect("^udpkv: serves ")
            assert client.ask(b"get a\r\n") == b"END\r\n", "an earlier life's item"
        for _ in range(RESETS):
            monitor.reset()
            monitor.reset()  # while the firmware runs
            vm.expect("Ringloop: udpkv on kvm, ")  # a reset may have cut the line before
        monitor.reset()
        with Load(port) as load:
            load.wait(100)
        assert not load.wrong
        end(vm)


@pytest.mark.parametrize(
    "machine, keys",
    [
        ("microvm", "fault=panic"),
        ("microvm", "fault=stack_overflow"),
        ("microvm", "fault=pf_null ring=3"),
        ("q35", "fault=panic"),
        ("pc", "fault=pf_null ring=3"),
    ],
)
def test_a_reset_after_a_failure(machine, keys, tmp_path):
    """A machine that can't be switched off stands, as QEMU does with -no-shutdown; it fails again and
    again in the same way."""
    more = ["-no-shutdown"]
    with resettable(tmp_path, "selftest", keys, more, machine=machine, debug_exit=False) as (vm, monitor):
        ends = []
        for _ in range(3):
            ends.append(vm.expect("^backtrace: .*$")[0])
            monitor.wait_for("SHUTDOWN")
            monitor.reset()
            monitor.execute("cont")
        assert len(set(ends)) == 1
        vm.expect("^Ringloop: selftest on kvm, ")


def test_an_image_that_can_only_end_by_a_reset_starts_anew(tmp_path):
    """Of which QEMU's -no-reboot makes an end."""
    with resettable(tmp_path, "hello", machine="microvm,acpi=off", debug_exit=False) as (vm, monitor):
        for _ in range(3):
            vm.expect("^Ringloop: hello on kvm, ")
            vm.expect("^Hello from Ringloop on kvm.$")
            monitor.wait_for("RESET")


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_memory_that_nobody_zeroed(machine, tmp_path):
    """What the image's file has no content for isn't trusted, whatever is there."""
    program = image("hello")
    garbage = tmp_path / "garbage"
    start, size = segment_without_content(program)
    garbage.write_bytes(b"\xa5" * size)
    more = ["-device", f"loader,file={garbage},addr={start},force-raw=on"]
    with Vm(qemu_command(program, machine=machine, more=more)) as vm:
        vm.expect("^Hello from Ringloop on kvm.$")
        assert vm.exit_code() == 0


def segment_without_content(program):
    """Where it begins and how long it is (ELF-64: the program headers)."""
    data = program.read_bytes()
    (table,), (count,) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<H", data, 56)
    for number in range(count):
        kind, _, _, _, place, file_size, memory_size = struct.unpack_from("<IIQQQQQ", data, table + 56 * number)
        if kind == 1 and file_size == 0:
            return place, memory_size
    raise AssertionError(f"{program} has no such segment")
