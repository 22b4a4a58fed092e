# SPDX-License-Identifier: BSD-2-Clause
"""Loops that sleep when no packets come: udpkv and pktgen with idle.mode=poll, intr and auto."""

import contextlib
import json
import os
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import lost_wakeups
from testpmd import back_end
from udpkv_client import Client
from vm import (
    CTRL_C, DEADLINE_S, MACHINES, Vm, free_udp_port, image, kvm_problem, qemu_command, user_netdev)


@pytest.mark.parametrize("mode", lost_wakeups.MODES)
@pytest.mark.parametrize("machine", MACHINES)
def test_no_wakeup_is_lost(machine, accel, mode):
    """Some thousand packets; tests/lost_wakeups.py sends a million."""
    result = lost_wakeups.run_image(machine, accel, mode, packets=2000)
    assert result.waits > result.packets / 10, result  # it did sleep
    assert result.interrupts <= result.waits + 1, result  # and was woken once each time


def processor_s(process):
    """Seconds of processor time that a process has used."""
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def served(machine, accel, mode):
    """udpkv and a port that leads to it."""
    port = free_udp_port()
    keys = f"idle.mode={mode} udpkv.mem=4M"
    command = qemu_command(image("udpkv"), keys, machine=machine, accel=accel,
                           netdev=user_netdev(port))
    with Vm(command) as app:
        app.expect("udpkv: serves")
        with Client("127.0.0.1", port) as client:
            assert client.ask(b"version\r\n").startswith(b"VERSION")
            yield app, client


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_an_idle_server_uses_almost_no_processor(machine, accel):
    """Two at a time: until the one that polls has used a second, auto uses next to nothing."""
    with served(machine, accel, "poll") as (polls, _), served(machine, accel, "auto") as (auto, client):
        begin = processor_s(polls.process), processor_s(auto.process)
        end = time.monotonic() + DEADLINE_S
        while processor_s(polls.process) - begin[0] < 1:
            assert time.monotonic() < end
            time.sleep(0.05)
        used = processor_s(auto.process) - begin[1]
        assert used < 0.1, f"{used} s while the other one used 1 s"
        assert client.ask(b"version\r\n").startswith(b"VERSION")  # awake again
        stats = client.ask(b"stats netdev\r\n").decode()
        assert "STAT idle:mode auto\r\n" in stats
        assert int(re.search(r"idle:waits (\d+)", stats)[1]) > 0
        assert auto.end() == 0  # Ctrl-C is heard asleep
        auto_slept = re.search(r"udpkv: slept (\d+) times", auto.console())
        assert int(auto_slept[1]) > 0
        assert polls.end() == 0
        assert "udpkv: slept 0 times, woken by 0 interrupts." in polls.console()


@pytest.mark.parametrize("mode", lost_wakeups.MODES)
@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_the_end_is_heard_while_packets_come(machine, accel, mode):
    """Each interrupt puts off the look for Ctrl-C; so many of them must not do it for ever."""
    with served(machine, accel, mode) as (app, client), ThreadPoolExecutor() as pool:
        ended = pool.submit(app.end)
        while not ended.done():
            with contextlib.suppress(ConnectionRefusedError):  # it has ended meanwhile
                client.send(b"version\r\n")
            time.sleep(random.uniform(0, 0.005))
        assert ended.result() == 0


def test_the_end_is_heard_behind_other_input(accel):
    """All that was typed is read at once, however seldom it looks."""
    port = free_udp_port()
    command = qemu_command(image("udpkv"), "idle.wake=2000", accel=accel, netdev=user_netdev(port))
    with Vm(command) as app:
        app.expect("udpkv: serves")
        app.send(b"x" * 40 + CTRL_C)
        assert app.exit_code() == 0


def test_a_machine_without_interrupts_is_polled(accel):
    """A virtio device without MSI-X."""
    port = free_udp_port()
    command = qemu_command(image("udpkv"), "idle.mode=intr", accel=accel)
    command[-4:-4] = ["-netdev", user_netdev(port), "-device",
                      "virtio-net-pci,netdev=n0,vectors=0"]
    with Vm(command) as app:
        app.expect("udpkv: serves")
        app.expect(r"^udpkv: virtio-net over PCI at pci \S+ has no interrupts that can be used")
        with Client("127.0.0.1", port) as client:
            assert client.ask(b"version\r\n").startswith(b"VERSION")
        assert app.end() == 0


@pytest.mark.parametrize("keys, told", [
    ("idle.mode=sleep", "expected auto, poll or intr"),
    ("idle.mode=auto idle.mode=poll", r"idle\.mode is given twice"),
    ("idle.wake=0", "expected a whole number from 1 to 60000"),
])
def test_wrong_keys_are_refused(keys, told):
    with Vm([str(image("udpkv", "linux")), *keys.split()]) as app:
        app.expect(told)
        assert app.status() == 64


def system_command(system, app, keys, socket):
    """An app at a vhost-user back end. With PCI it needs KVM: without, QEMU 7.2 crashes when a guest
    takes an interrupt of such a device (docs/debugging.md)."""
    if system == "linux":
        return [str(image(app, "linux")), f"vhost={socket}", "mem=16M", *keys.split()]
    if system == "q35" and kvm_problem():
        pytest.skip(f"KVM can't be used here: {kvm_problem()}")
    accel = "kvm" if system == "q35" else "tcg"
    return qemu_command(image(app), keys, machine=system, accel=accel, vhost_user=socket)


@pytest.mark.testpmd
@pytest.mark.parametrize("system", ["linux", "microvm", "q35"])
def test_under_load_it_polls(tmp_path, system):
    """testpmd sends all the time: far fewer interrupts than packets, also where it has to share a core."""
    keys = "mode=rx idle.mode=auto count=300k seq=off report=json report.interval=0"
    socket = tmp_path / "vhost"
    with back_end([socket], options=["--forward-mode=txonly", "--auto-start"]):
        with Vm(system_command(system, "pktgen", keys, socket)) as app:
            summary = json.loads(app.expect(r"^\{.*\}$")[0])
            assert app.status() == (0 if system == "linux" else 1), app.console()
    assert summary["rx"]["packets"] >= 300000
    assert summary["interrupts"] < summary["rx"]["packets"] / 20
    assert summary["interrupts"] <= summary["waits"] + 1


@pytest.mark.testpmd
@pytest.mark.parametrize("system", ["linux", "microvm", "q35"])
def test_a_back_end_is_restarted_while_the_loop_waits(tmp_path, system):
    """A reflector sleeps; its back end is killed and another one comes, whose packets wake it."""
    socket = tmp_path / "vhost"
    keys = "mode=fwd idle.mode=intr report.interval=0"
    with contextlib.ExitStack() as started:
        def start_back_end():
            testpmd = started.enter_context(back_end([socket], options=["--forward-mode=io"]))
            testpmd.wait_prompt()
            return testpmd

        testpmd = start_back_end()
        app = started.enter_context(Vm(system_command(system, "pktgen", keys, socket)))
        app.expect("^pktgen: mode fwd")
        for last in (False, False, True):
            testpmd.wait_link(0)
            testpmd.ask("start tx_first 1")
            testpmd.wait_traffic(0, 1000)  # round and round
            testpmd.ask("stop")
            if not last:
                testpmd.close()
                testpmd = start_back_end()
        app.interrupt()
        match = app.expect(r"^pktgen: slept (\d+) times, woken by (\d+) interrupts")
        assert int(match[1]) > 0 and int(match[2]) > 0
        app.expect(r"^pktgen: every pool is whole\.$")
        assert app.status() == (0 if system == "linux" else 1), app.console()
