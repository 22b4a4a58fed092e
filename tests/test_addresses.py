# SPDX-License-Identifier: BSD-2-Clause
"""Addresses of a host: several, quiet ones, a /32, probes and conflicts; and ICMP errors to who asks
what isn't served."""

import contextlib
import re
import time

import pytest
from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP, UDP, UDPerror
from scapy.layers.l2 import ARP, Ether

from test_tap import end, namespace  # noqa: F401
from udpkv_client import HEADER
from vm import DEADLINE_S, GUEST_IP, GUEST_PORT, Link, Vm, image, mac, qemu_command

conf.verb = 0
HOST_MAC, HOST_IP, FAR_IP = "02:00:00:00:00:01", "10.0.2.2", "203.0.113.9"
SECOND_IP, QUIET_IP = "10.0.7.9", "192.0.2.7"
BROADCAST = "ff:ff:ff:ff:ff:ff"
ERRORS_AT_ONCE, ERRORS_A_SECOND = 20, 100


class Host:
    """udpkv in a machine, at the other end of a cable."""

    def __init__(self, vm, link):
        self.vm, self.link = vm, link

    def send(self, packet, dst=mac(0)):
        self.link.send(bytes(Ether(src=HOST_MAC, dst=dst) / packet))

    def recv(self, wanted, deadline_s=DEADLINE_S):
        """The next frame that is wanted; None if none comes in time."""
        end_s = time.monotonic() + deadline_s
        while (left := end_s - time.monotonic()) > 0 and (raw := self.link.recv(left)):
            if wanted(packet := Ether(raw)):
                return packet
        return None

    def ask(self, dst=GUEST_IP, src=HOST_IP, port=GUEST_PORT):
        """Sends a request, of which `answer` waits for what comes back."""
        self.send(IP(src=src, dst=dst) / UDP(sport=4000, dport=port) / (HEADER.pack(1, 0, 1, 0) + b"version\r\n"))

    def answer(self, deadline_s=DEADLINE_S):
        return self.recv(lambda packet: UDP in packet and packet[UDP].dport == 4000, deadline_s)

    def serves(self, dst=GUEST_IP, src=HOST_IP):
        """An answer has to come, from the address that was asked."""
        self.ask(dst, src)
        packet = self.answer()
        assert packet and packet[IP].src == dst, self.vm.console()
        assert b"VERSION" in bytes(packet[UDP].payload)

    def arp(self, target, sender=HOST_IP, op=1):
        self.send(ARP(op=op, hwsrc=HOST_MAC, psrc=sender, pdst=target), BROADCAST)

    def announcement(self, of=None):
        return self.recv(lambda p: ARP in p and p[ARP].psrc == p[ARP].pdst and of in (None, p[ARP].psrc))


@contextlib.contextmanager
def udpkv(folder, keys):
    link = Link(folder)
    try:
        with Vm(qemu_command(image("udpkv"), keys, machine="microvm", netdev=link.netdev)) as vm:
            yield Host(vm, link)
    finally:
        link.close()


def test_answers_go_out_from_the_address_that_was_asked(tmp_path):
    keys = f"net.ip={GUEST_IP}/24 net.ip={SECOND_IP}/24 net.vip={QUIET_IP}"
    with udpkv(tmp_path, keys) as host:
        told = host.vm.expect(r"^udpkv: also has (.*)\.$")[1]
        assert told == f"{SECOND_IP}/24, {QUIET_IP}/32 (neither announced nor answered by ARP)"
        host.vm.expect("^udpkv: serves")
        announced = [host.announcement()[ARP].psrc for _ in range(4)]
        assert announced == [GUEST_IP, SECOND_IP] * 2
        for ip in (GUEST_IP, SECOND_IP, QUIET_IP):
            host.serves(dst=ip)
            host.serves(dst=ip, src="10.0.7.2")  # a neighbour by the second address
            host.send(IP(src=HOST_IP, dst=ip) / ICMP() / b"ringloop")
            assert host.recv(lambda p: ICMP in p)[IP].src == ip
        for ip in (QUIET_IP, SECOND_IP, GUEST_IP):  # the first is asked in vain, so an answer is another's
            host.arp(ip)
        for ip in (SECOND_IP, GUEST_IP):
            packet = host.recv(lambda p: ARP in p)
            assert packet[ARP].psrc == ip and packet[ARP].hwsrc == mac(0) and packet[ARP].op == 2
        assert host.vm.end() == 0
        assert "arp_target 1" in host.vm.console()


def test_an_address_alone_answers_whom_it_is_told_to(tmp_path):
    with udpkv(tmp_path, f"net.ip={GUEST_IP}/32") as host:
        host.vm.expect(f"^udpkv: answers nobody by IPv4, as {re.escape(GUEST_IP)}/32 is a network without neighbours; ")
        host.ask()
        host.send(IP(src=HOST_IP, dst=GUEST_IP) / ICMP() / b"ringloop")
        assert ICMP in host.recv(lambda p: IP in p)  # the ping's answer, and none to the request before it
        assert host.vm.end() == 0
        assert "denied 1" in host.vm.console()
    (tmp_path / "other").mkdir()
    with udpkv(tmp_path / "other", f"net.ip={GUEST_IP}/32 udpkv.allow=0.0.0.0/0") as host:
        host.vm.expect("^udpkv: serves")
        host.serves(src=HOST_IP)
        host.serves(src=FAR_IP)  # by a router, whose MAC address asked
        assert host.vm.end() == 0
        assert "answers nobody by IPv4" not in host.vm.console()


@pytest.mark.parametrize(
    "keys, sentence",
    [
        ("net.ip=10.0.2.15/24 net.ip=10.0.2.15/16", r"the address 10\.0\.2\.15 is given twice; give it once\."),
        ("net.ip=10.0.2.15/24 net.ip=10.0.2.255/24", r"10\.0\.2\.255/24 can't be a host's address; "),
        ("net.vip=224.0.0.1", r"224\.0\.0\.1/32 can't be a host's address; "),
        (" ".join(f"net.vip=10.0.9.{i}" for i in range(8)), "expected at most 8 addresses, of net.ip and net.vip"),
        ("net.vlan=4095", "net.vlan=4095"),
        ("net.ip=10.0.2.15", r"net\.ip=10\.0\.2\.15 can't be used: expected an address and prefix length such as "),
        ("net.ip6=fd00::2", "net.ip6=fd00::2 can't be used: expected an address and prefix length such as "),
        ("net.ip6=fd00::2/64 net.ip6=fd00::2/48", "the address fd00::2 is given twice; give it once."),
        ("net.ip6=fe80::5054:ff:fe12:3456/64", "the address fe80::5054:ff:fe12:3456 is given twice; "),  # our link-local
    ],
)
def test_addresses_that_can_not_be_are_told(keys, sentence):
    with Vm(qemu_command(image("udpkv"), keys, machine="microvm", netdev="user,id=n0")) as vm:
        vm.expect(sentence)
        assert vm.exit_code() == 64


@pytest.mark.parametrize(
    "keys, families",
    [
        ("udpkv.allow=fd00::/64", "4"),
        ("udpkv.allow=fd00::/64 net.ip6=off", "4"),
        ("udpkv.allow=10.0.0.0/8 net.ip6=fd00::2/64", "6"),
        ("udpkv.allow=10.0.0.0/8 net.ip6=off", ""),
        ("udpkv.allow=10.0.0.0/8 udpkv.allow=fd00::/64", ""),
    ],
)
def test_a_family_that_nobody_may_use_is_told(tmp_path, keys, families):
    with udpkv(tmp_path, keys) as host:
        host.vm.expect("^udpkv: serves")
        assert host.vm.end() == 0
        said = re.findall(r"answers nobody by IPv(\d), as no udpkv\.allow is a network of IPv(\d); ", host.vm.console())
        assert said == [(family, family) for family in families]


def test_a_conflict_is_told_once_and_the_address_defended(tmp_path):
    with udpkv(tmp_path, "") as host:
        host.vm.expect("^udpkv: serves")
        for _ in range(2):  # those that tell of it when the link came
            assert host.announcement()
        for op in (2, 1, 2):
            host.arp(HOST_IP, sender=GUEST_IP, op=op)
        host.vm.expect(f"^udpkv: the host with MAC {HOST_MAC} has our address {re.escape(GUEST_IP)}, too: we go on")
        assert host.announcement()[ARP].hwsrc == mac(0)
        host.serves()
        assert host.vm.end() == 0
        console = host.vm.console()
        assert console.count("has our address") == 1 and "arp_conflict 3" in console


def probes(host):
    """Three, of who has no address yet."""
    for _ in range(3):
        packet = host.recv(lambda p: ARP in p)
        assert (packet[ARP].psrc, packet[ARP].pdst, packet[ARP].op) == ("0.0.0.0", GUEST_IP, 1)
        assert packet.dst == BROADCAST and packet[ARP].hwdst == "00:00:00:00:00:00"


def test_an_address_is_used_when_probes_found_nobody(tmp_path):
    with udpkv(tmp_path, "net.probe=on") as host:
        probes(host)
        host.ask()
        assert host.recv(lambda p: ARP in p)[ARP].psrc == GUEST_IP
        host.serves()
        assert host.vm.end() == 0
        assert "ip_destination 1" in host.vm.console()  # the request before it had the address


def test_an_address_that_another_host_has_is_left_alone(tmp_path):
    with udpkv(tmp_path, "net.probe=on") as host:
        assert host.recv(lambda p: ARP in p)[ARP].psrc == "0.0.0.0"
        host.arp("0.0.0.0", sender=GUEST_IP, op=2)
        host.vm.expect(f"^udpkv: the host with MAC {HOST_MAC} has our address {re.escape(GUEST_IP)}, too: we don't use it")
        host.ask()
        assert host.vm.end() == 0
        assert "ip_destination 1" in host.vm.console()


def test_who_asks_a_closed_port_is_told(tmp_path):
    with udpkv(tmp_path, "") as host:
        host.vm.expect("^udpkv: serves")
        host.ask(port=GUEST_PORT + 1)
        error = host.recv(lambda p: ICMP in p)
        assert (error[ICMP].type, error[ICMP].code) == (3, 3) and error[IP].src == GUEST_IP
        assert (error[UDPerror].sport, error[UDPerror].dport) == (4000, GUEST_PORT + 1)
        again = Ether(bytes(error))
        del again[IP].chksum, again[ICMP].chksum
        assert bytes(again) == bytes(error)
        host.send(IP(src=HOST_IP, dst=GUEST_IP) / TCP(sport=4000, dport=GUEST_PORT, flags="S"))
        error = host.recv(lambda p: ICMP in p)
        assert (error[ICMP].type, error[ICMP].code) == (3, 2)
        assert host.vm.end() == 0


def test_nobody_speaks_from_an_address_of_ours(tmp_path):
    keys = f"net.ip={GUEST_IP}/24 net.ip={SECOND_IP}/24 net.vip={QUIET_IP} udpkv.allow=0.0.0.0/0"
    with udpkv(tmp_path, keys) as host:
        host.vm.expect("^udpkv: serves")
        bad = [GUEST_IP, SECOND_IP, QUIET_IP, "10.0.2.255", "10.0.7.255", "127.0.0.1", "0.0.0.0", "224.0.0.9", "240.0.0.1"]
        for src in bad:
            host.ask(src=src)
            host.send(IP(src=src, dst=GUEST_IP) / ICMP() / b"ringloop")
        host.serves(src="10.0.2.79")  # ends in the same six bits as our first address
        assert host.vm.end() == 0
        assert f"ip_source {2 * len(bad)}" in host.vm.console()


def test_errors_are_bounded_in_rate(tmp_path):
    packets = 1000
    with udpkv(tmp_path, "") as host:
        host.vm.expect("^udpkv: serves")
        begin_s = time.monotonic()
        for _ in range(packets):
            host.ask(port=GUEST_PORT + 1)
        host.serves()
        most = ERRORS_AT_ONCE + ERRORS_A_SECOND * (time.monotonic() - begin_s) + 1
        assert host.vm.end() == 0
        refused = int(re.search(r"icmp_rate (\d+)", host.vm.console())[1])
        arrived = int(re.search(r"drop_port (\d+)", host.vm.console())[1])
        assert ERRORS_AT_ONCE <= arrived - refused <= most


SEVERAL = f"net.ip={GUEST_IP}/24 net.ip={SECOND_IP}/24 net.vip={QUIET_IP} udpkv.allow=0.0.0.0/0"
ASK_SEVERAL = f"""
import socket
from udpkv_client import Client
for ip in ("{GUEST_IP}", "{SECOND_IP}", "{QUIET_IP}"):
    with Client(ip, 11211) as client:
        print(client.ask(b"version\\r\\n")[:7])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
    closed.settimeout({DEADLINE_S})
    closed.connect(("{SECOND_IP}", 7))
    for size in (1, 1472, 1473, 60000):  # the last two in fragments
        closed.send(b"x" * size)
        try:
            closed.recv(1)
        except ConnectionRefusedError:
            print("refused")
"""


def check_several_addresses(namespace):
    """A host whose tap leads to a udpkv with the keys SEVERAL gets answers from each of its addresses."""
    namespace.run("ip address add 10.0.7.2/24 dev ring0")
    namespace.ping()
    namespace.run(f"ip route add {QUIET_IP} via {SECOND_IP}")
    assert namespace.python(ASK_SEVERAL) == "b'VERSION'\n" * 3 + "refused\n" * 4


def test_linux_sees_addresses_and_closed_ports(namespace):  # noqa: F811
    with namespace.app("udpkv", "tap=ring0", *SEVERAL.split()) as app:
        app.expect("^udpkv: serves")
        namespace.up("ring0")
        check_several_addresses(namespace)
        end(app)
