# SPDX-License-Identifier: BSD-2-Clause
"""IPv6 from outside: a Linux host with its own tools on a tap, and broken packets by scapy."""

import collections
import contextlib
import re
import subprocess

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6MLQuery, ICMPv6MLReport, ICMPv6ND_NA, ICMPv6ND_NS,
    ICMPv6ND_RA, ICMPv6NDOptDstLLAddr, ICMPv6NDOptPrefixInfo, ICMPv6NDOptSrcLLAddr, ICMPv6ParamProblem, IPv6,
    IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, RouterAlert)
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from test_tap import Namespace
from udpkv_client import HEADER
from vm import CTRL_C, DEADLINE_S, GUEST_PORT, Link, Vm, image, mac, qemu_command

HOST, APP = "fd00::1", "fd00::2"
GUEST_MAC, HOST_MAC = mac(0), "52:55:0a:00:02:02"
TAP = "tap,id=n0,ifname=ring0,script=no,downscript=no,vhost=off"
LINK_LOCAL = "fe80::5054:ff:fe12:3456"  # of GUEST_MAC
KEYS = f"net.ip6={APP}/64"

ASK = """
from udpkv_client import Client
with Client({host!r}, 11211) as client:
    for size in {sizes}:
        value = bytes(i % 251 for i in range(size))
        assert client.ask(b"set k 5 0 %d\\r\\n%s\\r\\n" % (size, value)) == b"STORED\\r\\n", size
        assert client.ask(b"get k\\r\\n") == b"VALUE k 5 %d\\r\\n%s\\r\\nEND\\r\\n" % (size, value), size
"""


# --- a Linux host ---------------------------------------------------------------------------------


class Host:
    """A Linux host whose tap's other end is an app's device."""

    def __init__(self, namespace, mtu):
        self.namespace, self.run, self.python = namespace, namespace.run, namespace.python
        self.run("ip tuntap add ring0 mode tap")
        self.run("ip link set lo up")
        self.python("open('/proc/sys/net/ipv6/conf/ring0/disable_ipv6', 'w').write('0')")
        self.run(f"ip link set ring0 mtu {mtu}")
        self.run("ip link set ring0 address 02:00:00:00:00:0b")
        self.run("ip link set ring0 up")
        self.run("ip address add 10.0.2.2/24 dev ring0")
        self.run(f"ip address add {HOST}/64 dev ring0 nodad")

    @contextlib.contextmanager
    def app(self, plat, keys, app="udpkv", accel="tcg"):
        if plat == "linux":
            command = [str(image(app, "linux")), "mem=32M", "tap=ring0", f"tap.mac={GUEST_MAC}", *keys.split()]
        else:
            command = qemu_command(image(app), keys, accel=accel, netdev=TAP)
        with Vm([*self.namespace.enter, *command]) as vm:
            vm.plat = plat
            vm.expect(f"^{app}: serves ")
            yield vm

    def ping(self, address, *options):
        """Until the first answer: an address is used when nobody objected to it for a second."""
        words = ["ping", "-6", "-n", "-q", "-c", "1", "-w", str(DEADLINE_S), *options, address]
        self.run(" ".join(words))

    def ask(self, host, sizes):
        self.python(ASK.format(host=host, sizes=sizes))


def end(vm):
    """Ends an app; returns what it counted as dropped."""
    if vm.plat == "linux":
        vm.interrupt()
    else:
        vm.send(CTRL_C)
    dropped = vm.expect(r"^udpkv: server dropped .*\.$")[0] + vm.expect(r"^udpkv: inet dropped .*\.$")[0]
    vm.expect(r"^udpkv: every pool is whole\.$")
    assert vm.status() == 0 if vm.plat == "linux" else vm.exit_code() == 0
    return dropped


@pytest.fixture
def namespace():
    made = Namespace()
    yield made
    made.close()


@pytest.fixture
def host(namespace):
    return Host(namespace, 1500)


def check_it_gets_along(host, mac, link_local):
    """A host pings and asks an app with this MAC address and the keys KEYS."""
    for size in (0, 1, 56, 1452):
        host.ping(APP, "-s", str(size))
    host.ping(f"{link_local}%ring0")
    host.ping("ff02::1%ring0", "-L")  # else its own kernel answers it
    assert f"lladdr {mac}" in host.run(f"ip -6 neighbour show {APP}")
    host.ask(APP, [1, 100, 1000, 1300])
    host.ask(f"{link_local}%ring0", [10])


def check_it_is_found(host, mac):
    """By a host that asks its group, and knows nothing from the app's announcements, which are some seconds old."""
    host.run("ip -6 neighbour flush dev ring0")
    told = host.run(f"ndisc6 -q {APP} ring0")
    assert told.strip().lower() == mac
    host.ping(APP)


@pytest.mark.parametrize("plat", ["kvm", "linux"])
def test_a_linux_host_gets_along(host, plat):
    with host.app(plat, KEYS) as vm:
        vm.expect(f"^udpkv: IPv6 addresses are {LINK_LOCAL}, {APP}\\.$")
        check_it_gets_along(host, GUEST_MAC, LINK_LOCAL)
        check_it_is_found(host, GUEST_MAC)
        assert "udp_checksum" not in end(vm)


@pytest.mark.parametrize("plat", ["kvm", "linux"])
def test_long_requests_come_in_fragments(host, plat):
    """And long answers in several datagrams, none of which is longer than the link carries."""
    host.run("ip link set ring0 mtu 1280")
    with host.app(plat, KEYS) as vm:
        host.ping(APP)
        host.ask(APP, [1300, 4000, 20000, 60000])
        end(vm)


def check_answers_are_memcacheds(host, address=f"[{APP}]"):
    told = host.python(f"""
from memcached_compare import compare
from memcached_peer import Memcached
with Memcached() as port:
    result = compare(f"127.0.0.1:{{port}}", "{address}:11211")
print(*result.errors, result.asked > 500, sep="\\n")
""")
    assert told == "True\n"


@pytest.mark.parametrize("plat", ["kvm", "linux"])
def test_answers_are_memcacheds_to_the_byte(host, plat):
    with host.app(plat, KEYS) as vm:
        host.ping(APP)
        check_answers_are_memcacheds(host)
        end(vm)


def test_an_address_that_another_host_has_is_not_used(host):
    host.run(f"ip address add {APP}/64 dev ring0 nodad")
    with host.app("linux", f"{KEYS} net.ip6=fd00::3/64") as vm:
        vm.expect(f"^net.ip6: {APP} isn't used, as another host has it\\.$")
        host.ping("fd00::3")
        host.ping(f"{LINK_LOCAL}%ring0")
        assert "nd_conflict 1" in end(vm)


def test_an_address_that_another_host_takes_is_told(host):
    with host.app("linux", KEYS) as vm:
        host.ping(APP)
        host.python(f"""
from scapy.layers.inet6 import IPv6, ICMPv6ND_NA, ICMPv6NDOptDstLLAddr
from scapy.layers.l2 import Ether
from scapy.sendrecv import sendp
for _ in range(2):
    sendp(Ether(src="{HOST_MAC}", dst="33:33:00:00:00:01") / IPv6(src="{APP}", dst="ff02::1", hlim=255) /
          ICMPv6ND_NA(tgt="{APP}", R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr="{HOST_MAC}"), iface="ring0", verbose=0)
""")
        vm.expect(f"^net.ip6: {APP} is another host's, too; give one of the two another\\.$")
        end(vm)
        assert vm.console().count("another host's") == 1


def test_only_own_networks_are_answered_unless_others_are_allowed(host):
    host.run("ip address add 2001:db8:9::1/128 dev ring0 nodad")
    ask = f"""
import socket
from udpkv_client import HEADER
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
    s.bind(("{{source}}", 0))
    s.settimeout({{timeout}})
    s.sendto(HEADER.pack(1, 0, 1, 0) + b"version\\r\\n", ("{APP}", 11211))
    try:
        print(s.recv(2000)[8:15])
    except TimeoutError:
        print("none")
"""
    for allow, answered in ("", HOST), ("udpkv.allow=2001:db8::/32", "2001:db8:9::1"), ("udpkv.allow=10.0.0.0/8", ""):
        with host.app("linux", f"{KEYS} {allow}") as vm:
            host.ping(APP)
            for source in HOST, "2001:db8:9::1":
                wanted = source == answered
                got = host.python(ask.format(source=source, timeout=DEADLINE_S if wanted else 0.5))
                assert got == ("b'VERSION'\n" if wanted else "none\n"), (allow, source)
            assert f"drop_denied {1 if answered else 2}" in end(vm)


def test_off_is_off(host):
    with host.app("linux", "net.ip6=off") as vm:
        host.run(f"ping -n -q -c 1 -w {DEADLINE_S} 10.0.2.15")
        assert "IPv6" not in vm.console()
        end(vm)


# Waits until the bridge, which begins some seconds after it was made, passes to ring0 no more solicitations
# for groups that nobody reported there; then until so many questions for reports have gone there.
SNOOPS = """
import socket, time
from vm import DEADLINE_S
port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
port.bind(("ring0", 0))
probe = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
end_s = time.monotonic() + DEADLINE_S

def comes(found, timeout_s):
    until_s = min(time.monotonic() + timeout_s, end_s)
    while (left_s := until_s - time.monotonic()) > 0:
        port.settimeout(left_s)
        try:
            if found(port.recv(2000)):
                return True
        except TimeoutError:
            pass
    assert time.monotonic() < end_s
    return False

number = 0x100
while True:
    number += 1
    probe.sendto(b"", (f"fd00::{{number:x}}", 9))
    if not comes(lambda frame: frame[54:55] == bytes([135]) and frame[76:78] == number.to_bytes(2, "big"), 0.5):
        break
for _ in range({questions}):
    assert comes(lambda frame: frame[20:21] == bytes([0]) and frame[62:63] == bytes([130]), DEADLINE_S)
"""


def test_a_bridge_that_looks_who_listens_lets_solicitations_through(namespace):
    """And goes on to do so, though it forgets within three seconds who doesn't answer its questions."""
    run = namespace.run
    run("ip link add name bridge0 type bridge")
    run("ip link set bridge0 type bridge mcast_snooping 1 mcast_query_response_interval 100 mcast_query_interval 100"
        " mcast_startup_query_interval 100 mcast_membership_interval 300")
    run("ip link set bridge0 type bridge mcast_querier 1")
    run("ip tuntap add ring0 mode tap")
    run("ip link set ring0 master bridge0")
    namespace.python("open('/proc/sys/net/ipv6/conf/bridge0/disable_ipv6', 'w').write('0')")
    run("ip link set bridge0 up")
    run("ip link set ring0 up")
    run(f"ip address add {HOST}/64 dev bridge0 nodad")
    with namespace.app("udpkv", "tap=ring0", f"tap.mac={GUEST_MAC}", *KEYS.split()) as vm:
        vm.plat = "linux"
        vm.expect("^udpkv: serves ")
        namespace.python(SNOOPS.format(questions=8))
        groups = run("bridge mdb show dev bridge0")
        for group in ("ff02::1:ff00:2", "ff02::1:ff12:3456"):
            assert f"port ring0 grp {group} " in groups
        for address in (APP, f"{LINK_LOCAL}%bridge0"):
            run("ip -6 neighbour flush dev bridge0")
            run(f"ping -6 -n -q -c 1 -w {DEADLINE_S} {address}")
        end(vm)


@contextlib.contextmanager
def radvd(host, folder):
    """Linux' router advertisement daemon, for 2001:db8:1::/64."""
    conf = folder / "radvd.conf"
    conf.write_text("""interface ring0 {
    AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvLinkMTU 1400;
    prefix 2001:db8:1::/64 { AdvValidLifetime 8000; AdvPreferredLifetime 8000; };
};
""")
    host.run("ip address add 2001:db8:1::1/64 dev ring0 nodad")
    command = ["radvd", "-n", "-m", "stderr", "-C", str(conf), "-p", str(folder / "pid")]
    daemon = subprocess.Popen([*host.namespace.enter, *command], stderr=subprocess.PIPE, text=True)
    try:
        yield daemon
    finally:
        daemon.terminate()
        daemon.wait()
        daemon.stderr.close()


@pytest.mark.parametrize("plat", ["kvm", "linux"])
def test_a_routers_prefix_makes_an_address(host, tmp_path, plat):
    address = f"2001:db8:1:0{LINK_LOCAL[5:]}"
    with radvd(host, tmp_path), host.app(plat, "net.ip6=auto") as vm:
        vm.expect(f"^udpkv: IPv6 addresses are {LINK_LOCAL}, and what routers advertise\\.$")
        vm.expect(f"^net.ip6: {address} is ours, as a router advertised its network\\.$")
        host.ping(address)
        host.ask(address, [100, 1352])
        assert "2001:db8:1::/64" in host.run("rdisc6 -1 ring0")
        end(vm)


# --- broken packets -------------------------------------------------------------------------------


PEER = "fe80::9"
ALL, SOLICITED = "ff02::1", "ff02::1:ff12:3456"
GROUP_MACS = {ALL: "33:33:00:00:00:01", SOLICITED: "33:33:ff:12:34:56"}
DATA = Raw(HEADER.pack(1, 0, 1, 0) + b"version\r\n")


def ip6(dst=LINK_LOCAL, src=PEER, **fields):
    mac = GROUP_MACS.get(dst, GUEST_MAC)
    return Ether(src=HOST_MAC, dst=mac) / IPv6(src=src, dst=dst, **fields)


def udp(**fields):
    return UDP(**{"sport": 4000, "dport": GUEST_PORT, **fields}) / DATA


def ns(target=LINK_LOCAL, **fields):
    return ICMPv6ND_NS(tgt=target, **fields)


def nd(*args, **fields):
    return ip6(*args, **{"hlim": 255, **fields})


class Guest:
    def __init__(self, vm, link):
        self.vm, self.link = vm, link
        self.dropped = collections.Counter()
        self._sport = 4000

    def send(self, packet, counter=None):
        self.link.send(bytes(packet))
        if counter:
            self.dropped[counter] += 1

    def ask(self, head=None):
        """A good request; returns its answer and what came before it."""
        self._sport = 4000 + (self._sport - 3999) % 1000
        self.send((head or ip6()) / udp(sport=self._sport))
        before = []
        while raw := self.link.recv(DEADLINE_S):
            packet = Ether(raw)
            if UDP in packet and packet[UDP].dport == self._sport:
                return packet, before
            if packet.type != 0x806:
                before.append(packet)
        raise AssertionError(f"no answer\n{self.vm.console()}")


@pytest.fixture(scope="module", params=["microvm", "q35"])
def guest(request, tmp_path_factory):
    link = Link(tmp_path_factory.mktemp("link"), discovery=True)
    try:
        command = qemu_command(image("udpkv"), "net.ip6=link", machine=request.param, netdev=link.netdev)
        with Vm(command) as vm:
            vm.expect("^udpkv: IPv6 addresses are ")
            reports = 0
            while reports < 3:  # before it probes, and with both announcements: then it has said all
                raw = link.recv()
                assert raw, vm.console()
                reports += ICMPv6MLReport in Ether(raw)
            yield Guest(vm, link)
    finally:
        link.close()


def test_good_packets_are_answered(guest):
    answer, before = guest.ask()
    assert before == []
    assert (answer.dst, answer.src) == (HOST_MAC, GUEST_MAC)
    assert (answer[IPv6].src, answer[IPv6].dst, answer[IPv6].hlim) == (LINK_LOCAL, PEER, 64)
    again = answer.copy()
    del again[UDP].chksum
    assert Ether(bytes(again))[UDP].chksum == answer[UDP].chksum != 0
    for size in (0, 1, 1452):
        guest.send(ip6() / ICMPv6EchoRequest(id=7, seq=3, data=b"x" * size))
        answer = Ether(guest.link.recv())
        assert answer[ICMPv6EchoReply].data == b"x" * size and answer[IPv6].src == LINK_LOCAL


@pytest.mark.parametrize("dst", [LINK_LOCAL, SOLICITED])
def test_solicitations_are_answered(guest, dst):
    guest.send(nd(dst) / ns() / ICMPv6NDOptSrcLLAddr(lladdr=HOST_MAC))
    answer = Ether(guest.link.recv())
    assert (answer.dst, answer[IPv6].dst, answer[IPv6].hlim) == (HOST_MAC, PEER, 255)
    advert = answer[ICMPv6ND_NA]
    assert (advert.tgt, advert.R, advert.S, advert.O) == (LINK_LOCAL, 0, 1, 1)
    assert answer[ICMPv6NDOptDstLLAddr].lladdr == GUEST_MAC
    guest.send(nd(SOLICITED, "::") / ns())  # by who wants the address
    answer = Ether(guest.link.recv())
    assert (answer.dst, answer[IPv6].dst) == (GROUP_MACS[ALL], ALL)
    assert (answer[ICMPv6ND_NA].S, answer[ICMPv6ND_NA].O) == (0, 1)


def test_who_asks_for_reports_gets_one(guest):
    guest.send(ip6(ALL, hlim=1) / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / ICMPv6MLQuery(mrd=100), "mld_query")
    report = Ether(guest.link.recv())
    assert report.dst == GROUP_MACS[SOLICITED]
    assert (report[IPv6].src, report[IPv6].dst, report[IPv6].hlim) == (LINK_LOCAL, SOLICITED, 1)
    assert report[RouterAlert].value == 0 and report[ICMPv6MLReport].mladdr == SOLICITED
    again = report.copy()
    del again[ICMPv6MLReport].cksum
    assert bytes(again) == bytes(report)


def test_extension_headers_are_passed_over(guest):
    head = ip6() / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / IPv6ExtHdrDestOpt()
    answer, before = guest.ask(head / IPv6ExtHdrFragment(m=0, offset=0))
    assert before == [] and IPv6ExtHdrDestOpt not in answer
    head = ip6()
    for _ in range(5):  # they leave no room behind them for an answer of full length
        head /= IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(236))])
    answer, before = guest.ask(head)
    assert before == [] and IPv6ExtHdrDestOpt not in answer


def test_a_closed_port_is_told(guest):
    asked = ip6() / udp(dport=7)
    guest.send(asked, "drop_port")
    answer = Ether(guest.link.recv())
    error = answer[ICMPv6DestUnreach]
    assert (error.code, answer[IPv6].src, answer[IPv6].dst) == (4, LINK_LOCAL, PEER)
    assert bytes(asked)[14:] == bytes(error.payload)


def test_what_is_wrong_with_a_fragment_is_told(guest):
    for head, data, code, place in (
        (IPv6ExtHdrFragment(nh=17, m=1), b"x" * 9, 0, 4),
        (IPv6ExtHdrFragment(nh=17, offset=8191), b"x" * 8, 0, 42),
        (IPv6ExtHdrFragment(nh=60, m=1), b"\x11\x01" + b"\0" * 6, 3, 0),
    ):
        wrong = ip6() / head / Raw(data)
        guest.send(wrong)
        answer = Ether(guest.link.recv())
        problem = answer[ICMPv6ParamProblem]
        assert (problem.code, problem.ptr, answer[IPv6].dst) == (code, place, PEER)
        assert bytes(wrong)[14:] == bytes(problem.payload)
    _, before = guest.ask()
    assert before == []


def test_a_closed_port_is_told_of_a_datagram_in_fragments(guest):
    asked = ip6() / udp(dport=7) / Raw(b"x" * 3000)
    data = bytes(asked[UDP])
    for at in range(0, len(data), 1000):
        more = at + 1000 < len(data)
        head = IPv6ExtHdrFragment(nh=17, id=77, offset=at // 8, m=int(more))
        guest.send(ip6() / head / Raw(data[at : at + 1000]), "fragment_kept" if more else "drop_port")
    error = Ether(guest.link.recv())[ICMPv6DestUnreach]
    assert error.code == 4
    assert bytes(error.payload) == bytes(asked)[14:][:1232]


OPTION = b"\x11\x00%c\x04\x00\x00\x00\x00"  # then UDP; four bytes of an option

BROKEN = {
    "version 4": (ip6(version=4) / udp(), "ip6_version"),
    "no length": (ip6(plen=0) / udp(), "ip6_length"),
    "a length beyond the frame": (ip6(plen=2000) / udp(), "ip6_length"),
    "cut in its header": (Ether(bytes(ip6() / udp())[:53]), "ip6_short"),
    "for another host": (ip6("fe80::1234") / udp(), "ip6_destination"),
    "for another group": (ip6("ff02::5") / udp(), "ip6_group"),
    "a datagram for all": (ip6(ALL) / udp(), "ip6_group"),
    "from a group": (ip6(src="ff02::9") / udp(), "ip6_source"),
    "from nobody": (ip6(src="::") / udp(), "ip6_source"),
    "from the loopback address": (ip6(src="::1") / udp(), "ip6_source"),
    "from us": (ip6(src=LINK_LOCAL) / udp(), "ip6_source"),
    "an IPv4 address": (ip6(src="::ffff:10.0.2.2") / udp(), "ip6_source"),
    "TCP": (ip6(nh=6) / Raw(b"x" * 20), "ip6_protocol"),
    "nothing": (ip6(nh=59) / Raw(b"x"), "ip6_protocol"),
    "an option to discard": (ip6(nh=60) / Raw(OPTION % 0x40) / udp(), "ip6_option"),
    "an option to be told of": (ip6(nh=60) / Raw(OPTION % 0x80) / udp(), "ip6_option"),
    "an option to be told of, but by groups": (ip6(nh=0) / Raw(OPTION % 0xC2) / udp(), "ip6_option"),
    "an option beyond its header": (ip6(nh=60) / Raw(b"\x11\0\x1e\x05\0\0\0\0") / udp(), "ip6_extension"),
    "hop by hop behind another": (ip6() / IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / udp(), "ip6_extension"),
    "nine headers": (ip6(nh=60) / Raw(b"\x3c\0\1\4\0\0\0\0" * 8 + OPTION % 1) / udp(), "ip6_extension"),
    "routing of type 0": (ip6() / IPv6ExtHdrRouting(addresses=[LINK_LOCAL], segleft=0) / udp(), "ip6_routing"),
    "to be passed on": (ip6() / IPv6ExtHdrRouting(type=4, addresses=[PEER]) / udp(), "ip6_routing"),
    "a short checksum": (ip6() / udp(chksum=0x1234), "udp_checksum"),
    "no checksum": (Ether(bytes(ip6() / udp())[:60] + b"\0\0" + bytes(DATA)), "udp_no_checksum"),
    "a UDP length that is too short": (ip6() / udp(len=7), "udp_length"),
    "a UDP length that is too long": (ip6() / udp(len=900), "udp_length"),
    "from port 0": (ip6() / udp(sport=0), "udp_port"),
    "half an echo request": (ip6(nh=58) / Raw(b"\x80\0\0"), "icmp6_short"),
    "a wrong ICMP checksum": (ip6() / ICMPv6EchoRequest(cksum=0x1234), "icmp6_checksum"),
    "an echo reply": (ip6() / ICMPv6EchoReply(), "icmp6_type"),
    "a solicitation from afar": (nd(hlim=254) / ns(), "nd_hops"),
    "a solicitation with a code": (nd() / ns(code=1), "nd_format"),
    "a solicitation of a group": (nd() / ns("ff02::1"), "nd_format"),
    "a solicitation of another host": (nd() / ns("fe80::77"), "nd_target"),
    "a solicitation with an option of no length": (nd() / ns() / ICMPv6NDOptSrcLLAddr(len=0), "nd_format"),
    "nobody's solicitation to us": (nd(src="::") / ns(), "nd_format"),
    "nobody's address": (nd(SOLICITED, "::") / ns() / ICMPv6NDOptSrcLLAddr(lladdr=HOST_MAC), "nd_format"),
    "an advertisement": (nd() / ICMPv6ND_NA(tgt=PEER, S=1), "nd_advert"),
    "a solicited one to all": (nd(ALL) / ICMPv6ND_NA(tgt=PEER, S=1), "nd_format"),
    "an advertisement of our address": (nd(ALL) / ICMPv6ND_NA(tgt=LINK_LOCAL, S=0), "nd_conflict"),
    "a router from afar": (nd(ALL, hlim=64) / ICMPv6ND_RA(), "nd_hops"),
    "a router without a link-local address": (nd(ALL, "2001:db8::1") / ICMPv6ND_RA(), "nd_format"),
    "a router that nobody asked": (nd(ALL) / ICMPv6ND_RA() / ICMPv6NDOptPrefixInfo(prefix="2001:db8::"), "nd_advert"),
    "a question for reports from afar": (ip6(ALL, hlim=64) / ICMPv6MLQuery(), "mld_format"),
    "from a network that isn't allowed": (ip6(src="2001:db8::5") / udp(), "drop_denied"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_is_dropped(guest, what):
    guest.send(*BROKEN[what])
    _, before = guest.ask()
    assert before == []


def test_it_ends_with_every_drop_counted_and_every_pool_whole(guest):
    guest.vm.send(CTRL_C)
    dropped = collections.Counter()
    for part in ("server", "inet"):
        line = guest.vm.expect(rf"^udpkv: {part} dropped (\d+)(.*)\.$")
        dropped.update({name: int(n) for name, n in re.findall(r", (\w+) (\d+)", line[2])})
    guest.vm.expect(r"^udpkv: every pool is whole\.$")
    assert guest.vm.exit_code() == 0
    assert dropped == guest.dropped
