# SPDX-License-Identifier: BSD-2-Clause
"""Images as domains of a real Xen, with Linux' netback at the other end of their netfront.

From outside they are reached by QEMU's user network, dom0's bridge and netback; from dom0 by the
bridge, or at the interface itself.
"""

import contextlib
import re

import pytest

import linearizable
from memcached_compare import compare
from memcached_peer import Memcached
from udpkv_client import EVERY_COMMAND, Client, many_requests
from vm import GUEST_IP, image
from xen.bed import announcement, packets_told

HOST = "127.0.0.1"
MAC = "00:16:3e:00:00:02"
VIF = f"mac={MAC}"


@contextlib.contextmanager
def udpkv(xen, keys="", **options):
    """Yields udpkv's domain once it serves; then ends it in order and looks for its pools."""
    options.setdefault("vif", VIF)
    with xen.domain(image("udpkv", "xen"), keys, **options) as domain:
        domain.expect("^udpkv: serves ")
        yield domain
        domain.shutdown()
        domain.expect(r"^udpkv: every pool is whole\.$")
        assert domain.exit_code() == 0
        assert domain.reason == "poweroff"


def test_hello_greets_and_ends(xen):
    with xen.domain(image("hello", "xen")) as hello:
        hello.expect("^Ringloop: hello on xen, version [^,]+, ring 0, 32 MiB, clock xen, ")
        hello.expect(r"^Hello from Ringloop on xen\.$")
        assert hello.exit_code() == 0
        assert hello.reason == "poweroff"


def test_a_bad_key_is_told(xen):
    with xen.domain(image("hello", "xen"), "nope=1") as hello:
        hello.expect("there is no key 'nope'")
        assert hello.exit_code() == 64


def test_a_line_that_is_too_long_is_refused_with_its_length(xen):
    with xen.domain(image("hello", "xen"), "nope=".ljust(5000, "x")) as hello:
        hello.expect("^command line: it has 5000 bytes, and at most 4095 are taken; ")
        assert hello.exit_code() == 64


def test_devices_come_in_the_order_of_the_configuration(xen):
    macs = [f"00:16:3e:00:01:{i:02x}" for i in (7, 3, 5)]
    vifs = [f"mac={mac}" for mac in macs]
    with xen.domain(image("selftest", "xen"), "only=devices_", vif=vifs) as selftest:
        selftest.expect("^2 passed, 0 failed, 0 skipped$")
        assert selftest.exit_code() == 0
        assert re.findall(r"^device \d: ([0-9a-f:]{17}), ", selftest.console(), re.M) == macs


def test_a_fault_is_a_crash_for_xen(xen):
    with xen.domain(image("selftest", "xen"), "fault=div") as selftest:
        selftest.expect(r"^fault: .*\(vector 0\)")
        assert selftest.exit_code() == 71
        assert selftest.reason == "crash"


@pytest.mark.parametrize("only", ["xen_", "wait_"])
def test_unit_tests_of_the_platform_pass(xen, only):
    with xen.domain(image("selftest", "xen"), f"only={only}") as selftest:
        result = selftest.expect(r"^(\d+) passed, (\d+) failed, 0 skipped$")
        assert result[2] == "0", selftest.console()
        assert int(result[1]) > 0
        assert selftest.exit_code() == 0


@pytest.mark.parametrize("verb, reason", [("shutdown", "poweroff"), ("reboot", "reboot")])
def test_an_operators_wish_ends_it_in_order(xen, verb, reason):
    with xen.domain(image("udpkv", "xen"), vif=VIF) as domain:
        domain.expect("^udpkv: serves ")
        xen.run(f"xl {verb} {domain.name}")
        domain.expect(r"^udpkv: every pool is whole\.$")
        assert domain.exit_code() == 0
        assert domain.reason == reason


def test_ctrl_c_on_the_console_ends_it_in_order(xen):
    with xen.domain(image("udpkv", "xen"), vif=VIF) as domain:
        domain.expect("^udpkv: serves ")
        domain.send(b"\x03")
        domain.expect(r"^udpkv: every pool is whole\.$")
        assert domain.exit_code() == 0


@pytest.fixture
def from_outside(xen_ports):
    yield xen_ports[0]


@pytest.fixture
def from_dom0(xen, xen_ports):
    """A port whose datagrams a program of dom0 asks udpkv itself, and passes the answers back."""
    relay = xen.start(f"packets relay {GUEST_IP}")
    try:
        relay.expect("relaying")
        yield xen_ports[1]
    finally:
        relay.kill()


@pytest.fixture(params=["from_outside", "from_dom0"])
def port(request):
    return request.getfixturevalue(request.param)


class TestServer:
    """One udpkv for all of these; at its end every buffer is there."""

    @pytest.fixture(scope="class", autouse=True)
    def server(self, xen):
        with udpkv(xen):
            yield

    def test_it_serves(self, port):
        with Client(HOST, port) as client:
            answers = {request: client.ask(request) for request in EVERY_COMMAND}
            assert answers[b"set greeting 7 0 5\r\nhello\r\n"] == b"STORED\r\n"
            assert answers[b"incr count 1\r\n"] == b"42\r\n"
            assert answers[b"nonsense\r\n"] == b"ERROR\r\n"
            many_requests(HOST, port, 2000)

    def test_answers_are_memcacheds_to_the_byte(self, port):
        with Memcached() as memcached:
            result = compare(f"{HOST}:{memcached}", f"{HOST}:{port}")
        assert not result.errors, "\n".join(result.errors)
        assert result.asked > 500
        assert result.headers_compared > 300

    def test_pings_of_every_size_come_back(self, xen):
        told = packets_told(xen.run(f"packets ping {GUEST_IP} size=0 to=1472", deadline_s=120))
        assert told["received"] == told["sent"] == 1473
        assert told["wrong"] == 0


@pytest.mark.parametrize("mode", ["intr", "auto"])
def test_it_sleeps_and_hears_of_every_packet(xen, mode):
    """It would wake by itself after five seconds only, and each ping is answered within one."""
    with xen.domain(image("udpkv", "xen"), f"idle.mode={mode} idle.wake=5000", vif=VIF) as domain:
        domain.expect("^udpkv: serves ")
        answers_soon(xen)
        told = packets_told(xen.run(f"packets ping {GUEST_IP} count=500 deadline=1", deadline_s=60))
        assert told["received"] == told["sent"] == 500
        domain.shutdown()
        slept = domain.expect(r"^udpkv: slept (\d+) times, woken by (\d+) interrupts")
        assert 0 < int(slept[2]) <= int(slept[1])
        assert domain.exit_code() == 0


def pktgen(xen, keys, **options):
    """Its interface is on no bridge, so that dom0 has nothing else to do with what it sends."""
    vif = f"{VIF},bridge=none"
    return xen.domain(image("pktgen", "xen"), f"{keys} report=json", vif=vif, **options)


def pktgens_summary(domain):
    summary = packets_told(domain.expect(r"^\{.*\}$", 60)[0])
    domain.expect(r"^pktgen: every pool is whole\.$")
    assert domain.exit_code() == 0
    return summary


@pytest.mark.parametrize("size", [60, 1514])
def test_what_is_sent_to_it_is_accounted_for(xen, size):
    """Every number either came or is known to be lost, and what comes is in order."""
    with pktgen(xen, "mode=rx idle=1") as domain:
        domain.expect("^pktgen: mode rx")
        vif = f"vif{domain.domid}.0"
        sent = packets_told(xen.run(f"packets send {vif} count=20000 size={size} dst.mac={MAC}"))
        sequence = pktgens_summary(domain)["sequence"]
        assert sent["sent"] == 20000
        assert sequence["unique"] + sequence["lost"] + sequence["first"] <= 20000
        assert sequence["unique"] > 10000
        assert sequence["duplicates"] == sequence["reordered"] == sequence["stale"] == 0


@pytest.mark.parametrize("size", [60, 1514])
@pytest.mark.parametrize("csum", ["sw", "offload"])
def test_what_it_sends_is_accounted_for(xen, size, csum):
    """dom0 gets all packets in order, with checksums that are right or are left to it."""
    keys = f"mode=tx count=20000 size={size} csum={csum} src.ip=198.18.0.1"
    with pktgen(xen, keys, paused=True) as domain:
        sink = xen.start(f"packets sink vif{domain.domid}.0 count=20000 seconds=30")
        sink.expect("listening")
        xen.run(f"xl unpause {domain.name}")
        tx = pktgens_summary(domain)["tx"]
        assert sink.wait(60) == 0
        came = packets_told(sink.output)
        assert tx["packets"] == 20000
        assert came["unique"] + came["lost"] + came["first"] == 20000
        assert came["duplicates"] == came["reordered"] == came["csum_bad"] == 0
        assert came["csum_open"] == (came["received"] if csum == "offload" else 0)


def answers_soon(xen):
    """udpkv answers dom0's pings, or will soon. Returns the seconds that it took."""
    told = packets_told(xen.run(f"packets ping {GUEST_IP} first=1", deadline_s=20))
    assert told["received"] == 1
    return told["seconds"]


@contextlib.contextmanager
def udpkv_under_traffic(xen, record_property):
    """Pings follow each other all the time. Yields a function that waits until they are answered
    again; afterwards no buffer and no grant is missing."""
    took = []
    with xen.domain(image("udpkv", "xen"), vif=VIF) as domain:
        domain.expect("^udpkv: serves ")
        answers_soon(xen)
        traffic = xen.start(f"packets ping {GUEST_IP} count=1000000 deadline=0.1 lossy=1")
        traffic.expect("answered")
        try:
            yield domain, lambda: took.append(answers_soon(xen))
        finally:
            traffic.kill("INT")
        told = packets_told(traffic.output)
        assert told["wrong"] == 0 and told["received"] > 0
        domain.shutdown()
        domain.expect(r": stopped; 0 pages of this domain are still granted\.$")
        domain.expect(r"^udpkv: every pool is whole\.$")
        assert domain.exit_code() == 0
        record_property("slowest_s", max(took))


def test_it_lives_through_detach_and_attach(xen, record_property):
    """The MAC stays, so that dom0 finds it again at once; and each time its neighbours are told, as the
    device may be on another bridge. Of the start two announcements may be seen here."""
    rounds = 20
    with udpkv_under_traffic(xen, record_property) as (domain, again), xen.captured() as frames:
        for _ in range(rounds):
            xen.run(f"xl network-detach {domain.name} 0; xl network-attach {domain.name} {VIF} bridge=br0")
            again()
        assert frames().count(announcement(MAC)) >= rounds // 2


def test_it_lives_without_netback_for_a_while(xen, record_property):
    """Linux unloads netback only when it has no interface any more: so it lets go of the device first.
    As no udev runs in dom0, what its rules do for the interface of a new netback is done here."""
    with udpkv_under_traffic(xen, record_property) as (domain, again):
        unbind = f"echo vif-{domain.domid}-0 >/sys/bus/xen-backend/drivers/vif/unbind"
        xen.run(f"{unbind} && rmmod xen_netback")
        try:
            assert "xen_netback" not in xen.run("lsmod")
        finally:
            xen.run("insmod /modules/xen-netback.ko")
        domain.expect("the back end has gone")  # an unloaded one leaves its state as it was
        vif = f"vif{domain.domid}.0"
        xen.run(f"until [ -e /sys/class/net/{vif} ]; do usleep 10000; done")
        status = f"/local/domain/0/backend/vif/{domain.domid}/0/hotplug-status"
        xen.run(f"brctl addif br0 {vif}; ip link set {vif} up; xenstore-write {status} connected")
        again()


def test_it_lives_through_pause_save_and_restore(xen, record_property):
    with udpkv_under_traffic(xen, record_property) as (domain, again):
        xen.run(f"xl pause {domain.name}")
        paused = packets_told(
            xen.run(f"packets ping {GUEST_IP} count=3 deadline=0.1", check=False)
        )
        assert paused["received"] == 0
        xen.run(f"xl unpause {domain.name}")
        again()
        domain.save_and_restore()
        again()


def packets_of_queues(domain, which):
    lines = [domain.expect(rf"^pktgen: queue {q}: (\d+) packets received, (\d+) sent") for q in range(2)]
    return [int(line[which]) for line in lines]


def test_two_queues_carry_what_is_sent(xen, two_queues):
    with pktgen(xen, "mode=tx count=10000 queues=2", vcpus=2, paused=True) as domain:
        sink = xen.start(f"packets sink vif{domain.domid}.0 count=10000 seconds=30")
        sink.expect("listening")
        xen.run(f"xl unpause {domain.name}")
        assert min(packets_of_queues(domain, 2)) > 1000
        pktgens_summary(domain)
        assert sink.wait(60) == 0
        came = packets_told(sink.output)
        assert came["unique"] + came["lost"] + came["first"] == 10000
        assert came["duplicates"] == came["csum_bad"] == 0


def test_udpkv_serves_on_two_vcpus(xen, two_queues, from_outside):
    """On which queue a request comes is netback's choice."""
    with udpkv(xen, "cores=2", vcpus=2), Client(HOST, from_outside) as client:
        counts = linearizable.check((HOST, from_outside), rounds=3)
        assert counts["operations"] == 3 * 8 * 30
        assert client.stats()["threads"] == 2
        packets = re.findall(r"STAT rx\d:packets (\d+)", client.ask(b"stats netdev\r\n").decode())
        assert len(packets) == 2 and sum(map(int, packets)) > counts["operations"]


@pytest.mark.parametrize("which", ["queues", "cores"])
def test_two_queues_carry_what_comes(xen, two_queues, which):
    """netback spreads flows over the queues by a hash, so there are 16 of them. One core takes both
    queues, or each of two its own."""
    with pktgen(xen, f"mode=rx idle=2 {which}=2 seq=off", vcpus=2) as domain:
        domain.expect("^pktgen: mode rx")
        for i in range(16):
            xen.run(f"packets send vif{domain.domid}.0 count=200 dst.mac={MAC} src.port={i + 1000}"
                    " bypass=0")
        assert min(packets_of_queues(domain, 1)) >= 200
        pktgens_summary(domain)
