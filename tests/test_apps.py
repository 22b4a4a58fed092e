# SPDX-License-Identifier: BSD-2-Clause
"""The small network apps, reflect and forward: as images under QEMU and Xen, and as host processes."""

import re
import socket

import pytest
from scapy.layers.inet import ICMP, IP, UDP, UDPerror
from scapy.layers.l2 import ARP, Ether

from tap import Tap
from vm import DEADLINE_S, HOST, Link, Vm, free_udp_port, image, qemu_command, user_netdev
from xen.bed import packets_told

OUTSIDE = "198.18.0.9"  # an address of no network here: forward doesn't look at it


def asks(port, payloads):
    """What a UDP client on that port of 127.0.0.1 gets back, one answer for each."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(DEADLINE_S)
        client.connect((HOST, port))
        for payload in payloads:
            client.send(payload)
            yield client.recv(65536)


def frame(number, size=60, source="02:00:00:00:00:01", port=1000):
    """A datagram between two hosts that forward isn't, with a number in it."""
    packet = Ether(src=source, dst="02:00:00:00:00:99") / IP(src=OUTSIDE, dst=OUTSIDE)
    packet /= UDP(sport=port, dport=9) / number.to_bytes(4, "big")
    return bytes(packet).ljust(size, b"x")


class Ends:
    """What is plugged into forward's devices: frames sent at one end come out at the other."""

    def __init__(self, one, other):
        self.one, self.other = one, other

    def carries(self, frames):
        """All of them, each way, whole and in order."""
        for source, sink in ((self.one, self.other), (self.other, self.one)):
            for sent in frames:
                source.send(sent)
                assert sink.recv(DEADLINE_S) == sent


# --- reflect ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_reflect_sends_datagrams_back(machine, accel):
    port = free_udp_port()
    command = qemu_command(image("reflect"), machine=machine, accel=accel, netdev=user_netdev(port, 7))
    with Vm(command) as vm:
        vm.expect(r"^reflect: serves 10\.0\.2\.15:7/udp, virtio-net over ")
        payloads = [b"hello", b"", b"x" * 1472]
        assert list(asks(port, payloads)) == payloads
        assert vm.end() == 0
        assert "reflect: datagrams dropped 0.\nreflect: every pool is whole." in vm.console()


def test_reflect_answers_on_its_port_alone_and_no_other_reflector(tmp_path):
    link = Link(tmp_path)
    command = qemu_command(image("reflect"), "reflect.port=77", machine="microvm", netdev=link.netdev)
    with Vm(command) as vm:
        vm.expect("^reflect: serves ")
        announcement = Ether(link.recv())
        assert announcement[ARP].psrc == announcement[ARP].pdst == "10.0.2.15"

        def datagram(sport, dport):
            packet = Ether(src="02:00:00:00:00:01", dst=announcement.src) / IP(src="10.0.2.2", dst="10.0.2.15")
            link.send(bytes(packet / UDP(sport=sport, dport=dport) / b"hello"))

        datagram(5000, 78)
        datagram(77, 77)
        datagram(5000, 77)
        while UDP not in (answer := Ether(link.recv())):
            assert ARP in answer or ICMP in answer
            refused = answer
        assert (refused[ICMP].type, refused[ICMP].code, refused[UDPerror].dport) == (3, 3, 78)
        assert (answer[UDP].sport, answer[UDP].dport, bytes(answer[UDP].payload)[:5]) == (77, 5000, b"hello")
        assert vm.end() == 0
        assert "reflect: datagrams dropped 2, port 1, loop 1." in vm.console()
    link.close()


def test_reflect_on_xen(xen, xen_ports):
    with xen.domain(image("reflect", "xen"), "reflect.port=11211", vif="mac=00:16:3e:00:00:02") as domain:
        domain.expect("^reflect: serves .*netfront")
        assert packets_told(xen.run("packets ping 10.0.2.15 count=10 first=1", deadline_s=60))["wrong"] == 0
        payloads = [b"hello", b"", b"x" * 1472]
        assert list(asks(xen_ports[0], payloads)) == payloads
        domain.shutdown()
        domain.expect(r"^reflect: every pool is whole\.$")
        assert domain.exit_code() == 0


# --- which device -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key, number", [("", 0), ("net.dev=1", 1), ("net.dev=52:54:00:12:34:57", 1)])
def test_an_app_takes_the_device_that_it_is_told(tmp_path, key, number):
    links = [Link(tmp_path / name) for name in ("0", "1") if not (tmp_path / name).mkdir()]
    netdevs = [link.netdev.replace("id=n0", f"id=n{i}") for i, link in enumerate(links)]
    with Vm(qemu_command(image("reflect"), key, machine="microvm", netdevs=netdevs)) as vm:
        for i in (0, 1):
            used = "it is used" if i == number else r"it isn't used, but net\.dev= chooses"
            mac = f"52:54:00:12:34:5{6 + i}"
            vm.expect(rf"^reflect: device {i} is virtio-net over MMIO at .*, MAC {mac}; {used}\.$")
        assert Ether(links[number].recv()).src == f"52:54:00:12:34:5{6 + number}"
        assert vm.end() == 0
        assert links[1 - number].recv(0) is None
    for link in links:
        link.close()


def test_a_device_that_isnt_there_is_answered_with_those_that_are():
    netdevs = ["user,id=n0", "user,id=n1"]
    with Vm(qemu_command(image("reflect"), "net.dev=00:1f.0", machine="microvm", netdevs=netdevs)) as vm:
        vm.expect("^reflect: device 0 is virtio-net over MMIO at mmio 0x")
        vm.expect("^reflect: device 1 is ")
        vm.expect(r"^reflect: net\.dev=00:1f\.0 is none of this machine's network devices")
        assert vm.exit_code() == 64


# --- forward ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", ["microvm", "q35", "pc"])
@pytest.mark.parametrize("pairs", [1, 2])
def test_forward_passes_frames_between_the_devices_of_a_pair(tmp_path, machine, pairs):
    links = []
    for i in range(2 * pairs):
        (tmp_path / str(i)).mkdir()
        links.append(Link(tmp_path / str(i)))
    netdevs = [link.netdev.replace("id=n0", f"id=n{i}") for i, link in enumerate(links)]
    with Vm(qemu_command(image("forward"), machine=machine, netdevs=netdevs)) as vm:
        for _ in range(pairs):
            vm.expect("^forward: passes frames between ")
        for i in range(0, 2 * pairs, 2):
            ends = Ends(links[i], links[i + 1])
            ends.carries([frame(number, size) for number, size in enumerate((60, 61, 590, 1513, 1514))])
        assert all(link.recv(0) is None for link in links)
        assert vm.end() == 0
        assert len(re.findall("received 5 packets, sent 5 with", vm.console())) == 2 * pairs
    for link in links:
        link.close()


def test_forward_on_two_cores(accel):
    """Flows of both directions on queues that QEMU chooses; each comes whole and in order."""
    with Tap(queues=2) as one, Tap(queues=2) as other:
        netdevs = [one.netdev, other.netdev.replace("id=n0", "id=n1")]
        command = qemu_command(image("forward"), "cores=2", machine="microvm", accel=accel, cpus=2,
                               netdevs=netdevs, queues=2)
        with Vm(command, pass_fds=(*one.fds, *other.fds)) as vm:
            vm.expect("^forward: passes frames between ")
            frames = [frame(number, port=1000 + number % 16) for number in range(400)]
            Ends(one, other).carries(frames)
            assert vm.end() == 0
            assert len(re.findall("received 400 packets, sent 400 with", vm.console())) == 2


@pytest.mark.parametrize("nics", [0, 1, 3])
def test_forward_wants_devices_in_pairs(nics):
    netdevs = [f"user,id=n{i}" for i in range(nics)]
    with Vm(qemu_command(image("forward"), machine="microvm", netdevs=netdevs)) as vm:
        vm.expect(f"^forward: it needs network devices in pairs, and there are {nics}; with QEMU add ")
        assert vm.exit_code() == 64


def test_forward_on_xen(xen):
    with xen.domain(image("forward", "xen"), vif=["bridge=none", "bridge=none"]) as domain:
        domain.expect("^forward: passes frames between vif 0 and vif 1")
        for source, sink in ((0, 1), (1, 0)):
            counter = xen.start(f"packets sink vif{domain.domid}.{sink} count=2000 seconds=60 idle=5")
            counter.expect("listening")
            # Not faster than TCG's Xen can carry: what finds no room is dropped.
            xen.run(f"packets send vif{domain.domid}.{source} count=2000 burst=8 rate=2000 src.mac=02:00:00:00:00:01",
                    deadline_s=60)
            counter.wait(90)
            came = packets_told(counter.output)
            assert came["unique"] > 1000 and came["csum_bad"] == came["duplicates"] == 0, came
        domain.shutdown()
        domain.expect(r"^forward: every pool is whole\.$")
        assert domain.exit_code() == 0
