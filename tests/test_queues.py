# SPDX-License-Identifier: BSD-2-Clause
"""Several cores, each with a queue pair of its own: every packet is accounted for, on its queue."""

import collections
import contextlib
import json
import re
import struct

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tap import Tap, TapError
from testpmd import back_end
from vm import Vm, image, kvm_problem, qemu_command

GUEST_MAC, OUR_MAC = "52:54:00:12:34:56", "02:00:00:00:00:01"
MACHINES = [(machine, accel) for machine in ("microvm", "q35") for accel in ("tcg", "kvm")]


@pytest.fixture(params=[("linux", None), *MACHINES], ids=lambda system: "-".join(filter(None, system)))
def system(request):
    """Where an app runs: as a host process, or on a machine."""
    if request.param[1] == "kvm" and kvm_problem():
        pytest.skip(f"KVM can't be used here: {kvm_problem()}")
    return request.param


def start(system, socket, keys, cores=2):
    """pktgen on so many cores, beside a back end."""
    platform, accel = system
    keys += f" cores={cores} report=json report.interval=0"
    if platform == "linux":
        return Vm([str(image("pktgen", "linux")), f"vhost={socket}", "mem=64M", *keys.split()])
    command = qemu_command(
        image("pktgen"), keys, machine=platform, accel=accel, vhost_user=socket, queues=2, cpus=cores
    )
    return Vm(command)


def ready(vm):
    vm.expect(r"^pktgen: mode \w+, ")


Result = collections.namedtuple("Result", "summary received sent")  # the last two by queue


def result(vm):
    """What a run tells that ends in order."""
    summary = json.loads(vm.expect(r"^\{.*\}$")[0])
    vm.expect(r"^pktgen: every pool is whole\.$")
    assert vm.status() == (1 if vm.process.args[0].startswith("qemu-") else 0), vm.console()
    for direction in ("tx", "rx"):
        drops = summary.get(direction, {}).get("drops", {})
        drops.pop("stop", None)  # what was in flight at the end
        assert not any(drops.values()), summary
    told = re.findall(r"^pktgen: queue (\d+): (\d+) packets received, (\d+) sent\.$", vm.console(), re.M)
    assert [int(queue) for queue, _, _ in told] == list(range(len(told)))
    return Result(summary, [int(n) for _, n, _ in told], [int(n) for _, _, n in told])


@pytest.mark.testpmd
def test_each_core_sends_its_share_on_its_queue(tmp_path, system):
    socket, count = tmp_path / "vhost", 100_001
    with back_end([socket], options=["--forward-mode=rxonly", "--auto-start"], queues=2) as testpmd:
        with start(system, socket, f"mode=tx count={count}") as vm:
            run = result(vm)
        assert testpmd.stats(0)["RX-packets"] == count
    assert run.summary["tx"]["packets"] == count
    assert run.summary["cores"] == 2
    assert run.sent == [count - count // 2, count // 2]


@pytest.mark.testpmd
def test_what_comes_on_a_queue_comes_out_at_its_core(tmp_path, system):
    """One pktgen sends, testpmd passes queue i of its first port on to queue i of its second one, and
    another pktgen receives: as many on each queue as were sent there, and every number."""
    sockets, count = [tmp_path / "one", tmp_path / "other"], 4001
    for last in (False, False, True):
        with back_end(sockets, options=["--forward-mode=io", "--auto-start"], queues=2) as testpmd:
            with start(system, sockets[1], "mode=rx idle=1") as receiver:
                ready(receiver)
                testpmd.wait_link(1)
                with start(("linux", None), sockets[0], f"mode=tx count={count} rate=2k") as sender:
                    sent = result(sender)
                came = result(receiver)
        told = came.summary["sequence"]
        if told["unique"] == count or last:  # other programs may stall a receiver until its ring is full
            break
    assert sent.sent == [count - count // 2, count // 2]
    assert came.received == sent.sent
    assert told == {
        "first": 0,
        "unique": count,
        "lost": 0,
        "reordered": 0,
        "duplicates": 0,
        "stale": 0,
        "unnumbered": 0,
    }


@pytest.mark.testpmd
def test_another_number_of_cores_after_a_stop(tmp_path, system):
    """Beside one and the same back end, which sends everything back."""
    socket, count = tmp_path / "vhost", 3001
    with back_end([socket], options=["--forward-mode=macswap", "--auto-start"], queues=2) as testpmd:
        for cores in (2, 1, 2):
            before = testpmd.stats(0)
            with start(system, socket, f"mode=latency count={count} rate=10k", cores) as vm:
                run = result(vm)
            after = testpmd.stats(0)
            told = run.summary["sequence"]
            assert run.summary["cores"] == cores
            assert after["RX-packets"] - before["RX-packets"] == run.summary["tx"]["packets"] == count
            assert told["unique"] + told["lost"] == count
            assert told["unique"] == run.summary["latency_ns"]["count"] == run.summary["rx"]["packets"]
            assert told["lost"] == count - (after["TX-packets"] - before["TX-packets"])
            assert run.sent == ([count - count // 2, count // 2] if cores == 2 else [])


def test_a_device_with_too_few_pairs_is_told(tmp_path):
    command = qemu_command(image("pktgen"), "cores=2", machine="microvm", netdev="user,id=n0", cpus=2)
    with Vm(command) as vm:
        vm.expect(r"^pktgen: cores=2 needs as many queue pairs, and .* has 1; with QEMU add queues=N ")
        assert vm.exit_code() == 64


# --- which queue a flow comes on --------------------------------------------------------------------

FLOWS = 8
IN_FLIGHT = 64


def flow_frame(flow):
    headers = Ether(src=OUR_MAC, dst=GUEST_MAC) / IP(src="10.0.0.1", dst="10.0.0.2")
    return bytes(headers / UDP(sport=1000 + flow, dport=9) / Raw(b"flow".ljust(22, b"\0")))


def send_flows(tap):
    """2 * 3^f packets of flow f, mixed, each of which must come back."""
    left = {flow: 2 * 3**flow for flow in range(FLOWS)}
    frames = {flow: flow_frame(flow) for flow in left}
    back, total, sent, returned = collections.Counter(), sum(left.values()), 0, 0
    while returned < total:
        while left and sent - returned < IN_FLIGHT:
            for flow in list(left):
                tap.send(frames[flow])
                sent += 1
                left[flow] -= 1
                if left[flow] == 0:
                    del left[flow]
        frame = tap.recv(30)
        assert frame, f"{returned} packets of {sent} came back"
        if frame[6:12] == bytes.fromhex(GUEST_MAC.replace(":", "")):
            back[struct.unpack_from(">H", frame, 36)[0] - 1000] += 1
            returned += 1
    assert back == {flow: 2 * 3**flow for flow in range(FLOWS)}


def flows_of(count):
    """Which flows are among `count` packets: its digits to base 3 are 2 for those and else 0. A flow
    that came partly here makes other digits."""
    digits = [count // 3**flow % 3 for flow in range(FLOWS)]
    assert set(digits) <= {0, 2} and count < 3**FLOWS, digits
    return {flow for flow, digit in enumerate(digits) if digit}


@contextlib.contextmanager
def tap_device():
    try:
        tap = Tap(queues=2)
    except TapError as error:
        pytest.skip(str(error))
    with tap:
        yield tap


@pytest.mark.parametrize("rss", [True, False], ids=["rss", "automatic"])
@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_a_flow_stays_on_one_queue(accel, machine, rss):
    """Eight flows, as many queues as cores. By chance all fall on one queue once in 128 times."""
    for _ in range(5):
        with tap_device() as tap:
            keys = "mode=fwd cores=2 report=json report.interval=0"
            command = qemu_command(
                image("pktgen"),
                keys,
                machine,
                accel,
                cpus=2,
                netdev=tap.netdev,
                queues=2,
                rss=rss,
                more=["-trace", "virtio_net_rss_enable"],
            )
            with Vm(command, pass_fds=tap.fds) as vm:
                if rss:
                    vm.expect("virtio_net_rss_enable hashes 0x3f, table of 128, key of 40")
                ready(vm)
                send_flows(tap)
                vm.interrupt()
                run = result(vm)
        queues = [flows_of(count) for count in run.received]
        assert queues[0] | queues[1] == set(range(FLOWS))
        assert not queues[0] & queues[1]
        if all(queues):
            return
    pytest.fail(f"all flows always came on one queue: {queues}")
