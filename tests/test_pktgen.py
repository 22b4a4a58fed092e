# SPDX-License-Identifier: BSD-2-Clause
"""pktgen: packets made by hand and looked at one by one, two images at one cable, DPDK's testpmd."""

import contextlib
import json
import re
import socket
import struct
import subprocess
import time

import pytest
from scapy.config import conf
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from testpmd import back_end
from vm import Link, Vm, image, qemu_command

conf.verb = 0
GUEST_MAC = "52:54:00:12:34:56"  # QEMU's default for the first NIC
OTHER_MAC = "02:00:00:00:00:00"  # dst.mac if none is given
STAMP = struct.Struct(">4sIQ")  # magic, sequence, time, as in packet.h
MAGIC = b"RLPG"
WIRE_EXTRA = 24  # bytes on the wire beside a frame without its CRC


def start(keys, **machine):
    """A machine that runs pktgen and tells its summary as JSON."""
    machine.setdefault("machine", "microvm")
    return Vm(qemu_command(image("pktgen"), f"{keys} report=json", **machine))


def result(vm):
    """The summary of a run that has ended, or is about to, in order."""
    summary = json.loads(vm.expect(r"^\{.*\}$")[0])
    vm.expect(r"^pktgen: every pool is whole\.$")
    assert vm.exit_code() == 0
    for direction in ("tx", "rx"):
        drops = summary.get(direction, {}).get("drops", {})
        if direction == "rx":  # what came when nobody looked any more
            drops.pop("stop", None)
        assert not any(drops.values()), summary
    return summary


@pytest.fixture
def link(tmp_path):
    link = Link(tmp_path)
    yield link
    link.close()


def ready(vm):
    return vm.expect(r"^pktgen: mode \w+, MAC ([0-9a-f:]+), ")


def numbered(sequence, size=64, magic=MAGIC):
    """A packet like pktgen's own."""
    headers = Ether(src=OTHER_MAC, dst=GUEST_MAC) / IP() / UDP(sport=9, dport=9)
    stamp = STAMP.pack(magic, sequence & 0xFFFFFFFF, 0)
    return bytes(headers / Raw(stamp.ljust(size - 42, b"\0")))


def sequence_of(frame):
    magic, sequence, _ = STAMP.unpack_from(frame, 42)
    assert magic == MAGIC
    return sequence


def returned(frame):
    """As the other end of a cable sends it back."""
    return frame[6:12] + frame[:6] + frame[12:]


def assert_checksums_hold(frame, udp_sum=True):
    packet = Ether(frame)
    again = packet.copy()
    del again[IP].chksum
    if udp_sum:
        del again[UDP].chksum
        assert packet[UDP].chksum != 0
    assert bytes(Ether(bytes(again))) == frame
    assert packet[IP].len == len(frame) - 14
    assert packet[UDP].len == len(frame) - 34


# --- what is sent ---------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_tx_sends_valid_packets_and_exactly_so_many(link, machine):
    with start("mode=tx count=300 size=64", machine=machine, netdev=link.netdev) as vm:
        frames = [link.recv() for _ in range(300)]
        assert link.recv(0.5) is None
        summary = result(vm)
    assert summary["tx"]["packets"] == 300
    assert summary["tx"]["bytes"] == 300 * 64
    assert summary["tx"]["wire_bits"] == 300 * (64 + WIRE_EXTRA) * 8
    for number, frame in enumerate(frames):
        assert len(frame) == 64
        assert sequence_of(frame) == number
        assert_checksums_hold(frame)
        packet = Ether(frame)
        assert (packet.src, packet.dst) == (GUEST_MAC, OTHER_MAC)
        assert (packet[IP].src, packet[IP].dst) == ("198.18.0.1", "198.18.0.2")
        assert (packet[UDP].sport, packet[UDP].dport) == (9, 9)


IMIX = [60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 590, 60]
SIZES = {"60": [60], "1514": [1514], "64,128,1500": [64, 128, 1500], "imix": IMIX}
SIZES["90-92"] = [90, 91, 92]


@pytest.mark.parametrize("size", SIZES)
def test_tx_sizes(link, size):
    with start(f"mode=tx count=48 size={size}", netdev=link.netdev) as vm:
        for number in range(48):
            frame = link.recv()
            assert len(frame) == SIZES[size][number % len(SIZES[size])]
            assert sequence_of(frame) == number
            assert_checksums_hold(frame)
        result(vm)


def test_tx_flows(link):
    keys = "mode=tx count=40 seq=off size=64,100 src.mac=02:00:00:00:00:fe-02:00:00:00:01:01 "
    keys += "dst.mac=06:00:00:00:00:01 src.ip=10.0.0.1-10.0.0.5 dst.ip=10.1.0.255-10.1.1.1 "
    keys += "src.port=1000-1006 dst.port=65535"
    with start(keys, netdev=link.netdev) as vm:
        for n in range(40):
            frame = link.recv()
            assert_checksums_hold(frame)
            packet = Ether(frame)
            assert len(frame) == (64, 100)[n % 2]
            assert packet.src == f"02:00:00:00:{(0xFE + n % 4) >> 8:02x}:{(0xFE + n % 4) & 255:02x}"
            assert packet.dst == "06:00:00:00:00:01"
            assert packet[IP].src == f"10.0.0.{1 + n % 5}"
            assert packet[IP].dst == ("10.1.0.255", "10.1.1.0", "10.1.1.1")[n % 3]
            assert (packet[UDP].sport, packet[UDP].dport) == (1000 + n % 7, 65535)
            assert not any(frame[42:])  # seq=off: nothing but zeroes
        result(vm)


def test_tx_without_checksum(link):
    with start("mode=tx count=5 csum=none", netdev=link.netdev) as vm:
        for _ in range(5):
            frame = link.recv()
            assert Ether(frame)[UDP].chksum == 0
            assert_checksums_hold(frame, udp_sum=False)
        result(vm)


@pytest.mark.parametrize("burst, descs", [(1, 64), (256, 256), (7, 128)])
def test_tx_rings_and_bursts(link, burst, descs):
    keys = f"mode=tx count=1000 burst={burst} tx.descs={descs} rx.descs={descs}"
    with start(keys, netdev=link.netdev) as vm:
        assert [sequence_of(link.recv()) for _ in range(1000)] == list(range(1000))
        assert result(vm)["tx"]["packets"] == 1000


# --- what comes back ------------------------------------------------------------------------------


def test_fwd_swaps_what_there_is_and_changes_nothing_else(link):
    ether = Ether(src="02:00:00:00:00:05", dst="02:00:00:00:00:06")
    udp = ether / IP(src="10.0.0.1", dst="10.0.0.2", ttl=9, id=77) / UDP(sport=5, dport=6) / b"hello"
    whole = [udp, ether / IP(src="1.2.3.4", dst="5.6.7.8") / UDP(sport=1, dport=2) / (b"x" * 1472)]
    addresses_only = [ether / IP(src="10.0.0.1", dst="10.0.0.2", frag=5, proto=17) / (b"y" * 30)]
    macs_only = [
        ether / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=5, dport=6),
        ether / IPv6() / UDP(sport=5, dport=6) / b"hello",
        ether / ARP(psrc="10.0.0.1", pdst="10.0.0.2"),
        Ether(src=ether.src, dst="ff:ff:ff:ff:ff:ff", type=0x88B5) / b"z",
        Raw(bytes(ether)[:12] + b"\x08\x00"),
        Raw(bytes(udp)[:41]),
    ]
    frames = [bytes(p) for p in whole + addresses_only + macs_only]
    with start(f"mode=fwd count={len(frames)}", netdev=link.netdev) as vm:
        ready(vm)
        for number, sent in enumerate(frames):
            link.send(sent)
            want = bytearray(returned(sent))
            if number < len(whole) + len(addresses_only):
                want[26:30], want[30:34] = sent[30:34], sent[26:30]
            if number < len(whole):
                want[34:36], want[36:38] = sent[36:38], sent[34:36]
            assert link.recv() == bytes(want), Ether(sent)
        summary = result(vm)
    assert summary["rx"]["packets"] == summary["tx"]["packets"] == len(frames)
    assert summary["forward_drops"] == {"tx_full": 0}


def test_rx_accounts_for_every_number(link):
    # 100 to 199 but 110 to 114; 112 late; 120 and 121 swapped; 130 three times; then far ahead,
    # over the end of the window, from where 150 can't be told any more.
    numbers = [n for n in range(100, 200) if n not in range(110, 115)]
    numbers.insert(numbers.index(118), 112)
    at = numbers.index(120)
    numbers[at : at + 2] = [121, 120]
    numbers += [130, 130] + [70200] + [150, 199]
    others = [numbered(7, magic=b"none"), bytes(Ether(dst=GUEST_MAC) / ARP()), b"\2" * 14]
    with start("mode=rx idle=0.5", netdev=link.netdev) as vm:
        ready(vm)
        for frame in [numbered(n) for n in numbers] + others:
            link.send(frame)
        summary = result(vm)
    assert summary["sequence"] == {
        "first": 100,
        "unique": 96 + 1,
        "lost": 4 + 70000,
        "reordered": 2,
        "duplicates": 2,
        "stale": 2,
        "unnumbered": len(others),
    }
    assert summary["rx"]["packets"] == len(numbers) + len(others)


def test_rx_numbers_wrap(link):
    with start("mode=rx count=2000", netdev=link.netdev) as vm:
        ready(vm)
        for n in range(2000):
            link.send(numbered(0xFFFFFFFF - 999 + n))
        told = result(vm)["sequence"]
    assert (told["unique"], told["lost"], told["reordered"], told["stale"]) == (2000, 0, 0, 0)


def test_latency_times_and_accounts_for_what_comes_back(link):
    """An other side that loses one in ten packets, repeats one and swaps two."""
    with start("mode=latency rate=2k count=500", netdev=link.netdev) as vm:
        held = None
        for n in range(500):
            frame = link.recv()
            assert sequence_of(frame) == n
            if n % 10 == 3:
                continue
            if n % 10 == 5:
                held = returned(frame)
                continue
            link.send(returned(frame))
            if n % 10 == 6:
                link.send(held)
            if n % 10 == 8:
                link.send(returned(frame))
        summary = result(vm)
    told = summary["sequence"]
    assert (told["unique"], told["lost"], told["stale"]) == (450, 50, 0)
    assert (told["reordered"], told["duplicates"]) == (50, 50)
    latency = summary["latency_ns"]
    assert latency["count"] == 450
    steps = [latency[name] for name in ("min", "p50", "p90", "p99", "p99.9", "p99.99", "max")]
    assert steps == sorted(steps) and 0 < steps[0] and steps[-1] < 10e9
    assert latency["min"] <= latency["mean"] <= latency["max"]


@pytest.mark.parametrize("window", [1, 4])
def test_pingpong_keeps_a_window_in_flight(link, window):
    with start(f"mode=pingpong count=40 window={window}", netdev=link.netdev) as vm:
        flying = [link.recv() for _ in range(window)]
        for n in range(window, 40):
            link.send(returned(flying.pop(0)))
            flying.append(link.recv())
            assert sequence_of(flying[-1]) == n
            if n == 20:
                assert link.recv(0.05) is None
        for frame in flying:
            link.send(returned(frame))
        told = result(vm)["sequence"]
    assert (told["unique"], told["lost"], told["reordered"]) == (40, 0, 0)


def test_pingpong_goes_on_after_a_loss(link):
    with start("mode=pingpong count=20", netdev=link.netdev) as vm:
        for n in range(20):
            frame = link.recv()
            assert sequence_of(frame) == n
            if n % 7 != 3:
                link.send(returned(frame))
        told = result(vm)["sequence"]
    assert (told["unique"], told["lost"]) == (17, 3)


# --- two images at one cable ----------------------------------------------------------------------


@contextlib.contextmanager
def pair(tmp_path, one_keys, other_keys):
    """Two machines, each the other's network; the other one is ready before the first starts."""
    ends = [tmp_path / "one", tmp_path / "other"]

    def netdev(mine, peer):
        local = f"local.type=unix,local.path={mine}"
        return f"dgram,id=n0,{local},remote.type=unix,remote.path={peer}"

    with start(other_keys, netdev=netdev(ends[1], ends[0])) as other:
        ready(other)
        with start(one_keys, netdev=netdev(ends[0], ends[1])) as one:
            yield one, other


def test_every_packet_from_image_to_image_is_accounted_for(tmp_path):
    count = 20000
    with pair(tmp_path, f"mode=tx count={count} size=imix", f"mode=rx count={count}") as (tx, rx):
        sent, came = result(tx), result(rx)
    assert sent["tx"]["packets"] == came["rx"]["packets"] == count
    assert sent["tx"]["wire_bits"] == came["rx"]["wire_bits"]
    told = came["sequence"]
    assert (told["first"], told["unique"]) == (0, count)
    assert told["lost"] == told["reordered"] == told["duplicates"] == told["unnumbered"] == 0


def test_an_image_reflects_what_another_one_times(tmp_path):
    keys = "mode=latency count=3000 rate=5k src.port=1000-1999"
    with pair(tmp_path, keys, "mode=fwd idle=2") as (one, other):
        timed, reflected = result(one), result(other)
    assert timed["sequence"]["unique"] == timed["latency_ns"]["count"] == 3000
    assert timed["sequence"]["lost"] == timed["sequence"]["reordered"] == 0
    assert reflected["rx"]["packets"] == reflected["tx"]["packets"] == 3000


# --- rate and time --------------------------------------------------------------------------------


def run_that_keeps(pps, run):
    """The summary of the first of some runs that kept the rate to within 0.5 %: other programs may
    stall a run for longer than it can make good."""
    for _ in range(6):
        summary = run()
        if summary["skipped_seconds"] == 0 and summary["tx"]["mpps"] * 1e6 == pytest.approx(pps, rel=0.005):
            return summary
    pytest.fail(f"{pps} packets a second weren't kept; in the last run: {summary}")


@pytest.mark.parametrize("rate, pps", [("1000", 1000), ("20k", 20000), ("7.04Mbit", 10000)])
def test_rate_is_kept(rate, pps):
    """64-byte packets are 704 bits on the wire."""

    def run():
        with start(f"mode=tx rate={rate} duration=2", netdev="user,id=n0") as vm:
            return result(vm)

    summary = run_that_keeps(pps, run)
    assert summary["tx"]["packets"] == pytest.approx(2 * pps, rel=0.01)
    assert summary["seconds"] == pytest.approx(2, rel=0.01)


def test_a_slow_rate_is_evenly_spaced(link):
    with start("mode=tx rate=50 count=60", netdev=link.netdev) as vm:
        times = []
        for _ in range(60):
            link.recv()
            times.append(time.monotonic())
        result(vm)
    gaps = sorted(b - a for a, b in zip(times, times[1:]))
    assert gaps[len(gaps) // 2] == pytest.approx(0.02, rel=0.2)


def test_lines_in_text(tmp_path):
    keys = "mode=tx rate=1000 duration=1.2 warmup=0.2 report.interval=0.4"
    command = qemu_command(image("pktgen"), keys, machine="microvm", netdev="user,id=n0")
    number = r"\d+\.\d+"
    with Vm(command) as vm:
        for _ in range(2):
            vm.expect(rf"^pktgen: tx {number} Mpps {number} Gbit/s on the wire, bursts of {number}; "
                      rf"{number} cycles a packet, 0 drops$")
        counts = vm.expect(rf"^pktgen: tx (\d+) packets, (\d+) bytes, (\d+) bits on the wire in "
                           rf"({number}) s: ({number}) Mpps, ({number}) Gbit/s; ")
        vm.expect(rf"^pktgen: {number} cycles a packet\.$")
        vm.expect(r"^pktgen: receive queue dropped \d+")
        vm.expect(r"^pktgen: transmit queue dropped 0\.$")
        vm.expect(r"^pktgen: every pool is whole\.$")
        assert vm.exit_code() == 0
    assert int(counts[1]) == pytest.approx(1000, rel=0.15)  # what came before the warm-up's end not
    assert int(counts[2]) == 64 * int(counts[1])
    assert int(counts[3]) == 8 * 88 * int(counts[1])
    assert float(counts[5]) == pytest.approx(0.001, rel=0.15)


def test_ctrl_c_ends_a_run_in_order():
    with start("mode=tx rate=1000 report.interval=0", netdev="user,id=n0") as vm:
        ready(vm)
        time.sleep(0.3)
        vm.send(b"\x03")
        assert result(vm)["tx"]["packets"] > 0
    assert not re.search(r"^pktgen: tx", vm.console(), re.M)


def test_it_tells_when_the_link_goes_and_comes(tmp_path):
    path = tmp_path / "monitor"
    more = ["-monitor", f"unix:{path},server=on,wait=off"]
    with start("mode=rx", netdev="user,id=n0", more=more) as vm:
        ready(vm)
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(path))
            monitor.sendall(b"set_link n0 off\n")
            vm.expect(r"^pktgen: link down\.$")
            monitor.sendall(b"set_link n0 on\n")
            vm.expect(r"^pktgen: link up\.$")
        vm.send(b"\x03")
        result(vm)


# --- what is refused ------------------------------------------------------------------------------


def pktgen_process(*words):
    """pktgen as a host process, which has read its keys before it looks for a device."""
    done = subprocess.run(
        [image("pktgen", "linux"), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


REFUSED = [
    "mode=both",
    "size=59",
    "size=4000",
    "size=64,,128",
    "size=128-64",
    "burst=0",
    "burst=257",
    "rate=0",
    "rate=fast",
    "rate=1.5",
    "rate=10Gbyte",
    "count=0",
    "count=1.0001k",
    "duration=long",
    "src.mac=02:00:00:00:00",
    "src.ip=10.0.0.2-10.0.0.1",
    "dst.port=70000",
    "csum=hard",
    "seq=maybe",
    "report=xml",
    "report.interval=-1",
    "window=0",
    "colour=blue",
    "mode=rx rate=1M",
    "mode=fwd size=64",
    "mode=rx src.mac=02:00:00:00:00:01",
    "mode=tx idle=1",
    "mode=pingpong rate=1k",
    "mode=latency window=2",
    "mode=latency seq=off",
    "warmup=1 count=10",
    "warmup=2 duration=2",
    "cores=2 queues=2",
    "cores=2 count=1",
    "cores=2 rate=1",
    "cores=9",
]


@pytest.mark.parametrize("words", REFUSED)
def test_wrong_options_are_refused_with_a_sentence(words):
    status, told = pktgen_process(*words.split())
    assert status == 64, told
    assert re.fullmatch(r"(Ringloop: .*\n)?command line: .{20,}\.\n", told), told
    key = words.split()[-1].split("=")[0]
    assert key in told


def test_help_lists_every_key():
    status, told = pktgen_process("help")
    assert status == 0
    for key in "mode size burst rate count duration idle warmup window wait src.mac dst.mac src.ip".split():
        assert re.search(rf"^  {key}$", told, re.M), key
    for key in "dst.ip src.port dst.port csum seq report report.interval tx.descs rx.descs".split():
        assert re.search(rf"^  {key}$", told, re.M), key
    for key in "cores queues pool".split():
        assert re.search(rf"^  {key}$", told, re.M), key


def is_misconfigured(keys, sentence):
    with start(keys, netdev="user,id=n0") as vm:
        vm.expect(f"^pktgen: .*{sentence}")
        assert vm.exit_code() == 64


def test_what_the_machine_cant_do_is_said():
    with start("") as vm:
        vm.expect("^pktgen: it needs a network device and .* none that it could use; with QEMU add -netdev ")
        assert vm.exit_code() == 64
    is_misconfigured("csum=offload", "csum=offload needs a device that makes checksums")
    is_misconfigured("tx.descs=100", r"can't be started: a value is outside the device's limits\.")
    is_misconfigured("pool=8", "pool=8 is too small")
    is_misconfigured("pool=1000000", "give it more memory")


# --- DPDK's testpmd -------------------------------------------------------------------------------


@contextlib.contextmanager
def beside_testpmd(tmp_path, mode, keys, accel, machine="microvm"):
    path = tmp_path / "vhost"
    # It forwards before there is anything to forward: a later start throws away what waits.
    with back_end([path], options=[f"--forward-mode={mode}", "--auto-start"]) as testpmd:
        with start(keys, accel=accel, machine=machine, vhost_user=path) as vm:
            yield vm, testpmd


@pytest.mark.testpmd
def test_a_device_that_takes_nothing_is_named(tmp_path):
    """testpmd has one queue pair, though its vhost side says that it has more."""
    path = tmp_path / "vhost"
    with back_end([path], options=["--forward-mode=rxonly", "--auto-start"]):
        command = [str(image("pktgen", "linux")), f"vhost={path}", "mode=tx", "cores=2", "report.interval=0"]
        with Vm(command) as vm:
            vm.expect("^pktgen: the device has taken nothing from transmit queue 1 for a second; ")
            vm.interrupt()
            assert vm.status() == 0


@pytest.mark.testpmd
@pytest.mark.parametrize("machine", ["microvm", "q35"])
@pytest.mark.parametrize("seq", ["on", "off"])
def test_testpmd_gets_exactly_what_was_sent(tmp_path, accel, machine, seq):
    count = 200_000
    keys = f"mode=tx count={count} seq={seq}"
    with beside_testpmd(tmp_path, "rxonly", keys, accel, machine) as (vm, testpmd):
        assert result(vm)["tx"]["packets"] == count
        assert testpmd.stats(0)["RX-packets"] == count


@pytest.mark.testpmd
def test_what_testpmd_sends_is_received(tmp_path, accel):
    count = 200_000
    with beside_testpmd(tmp_path, "txonly", f"mode=rx count={count}", accel) as (vm, testpmd):
        summary = result(vm)
    assert summary["rx"]["packets"] == summary["sequence"]["unnumbered"] == count
    assert summary["rx"]["bytes"] == 64 * count


@pytest.mark.testpmd
@pytest.mark.parametrize("mode", ["macswap", "5tswap"])
def test_a_paced_run_through_testpmd_and_back_loses_nothing(tmp_path, accel, mode):
    keys = "mode=latency rate=10k duration=2 rx.descs=1024 csum=offload"

    def run():
        with beside_testpmd(tmp_path, mode, keys, accel) as (vm, _):
            return result(vm)

    summary = run_that_keeps(10_000, run)
    told = summary["sequence"]
    assert told["unique"] == summary["latency_ns"]["count"] == summary["rx"]["packets"]
    assert told["lost"] == told["reordered"] == told["duplicates"] == 0


@pytest.mark.testpmd
def test_pingpong_with_testpmd(tmp_path, accel):
    keys = "mode=pingpong count=5000 window=8"
    with beside_testpmd(tmp_path, "macswap", keys, accel) as (vm, _):
        told = result(vm)["sequence"]
    assert (told["unique"], told["lost"]) == (5000, 0)


@pytest.mark.testpmd
def test_fwd_sends_back_what_testpmd_sent_first(tmp_path, accel):
    """A burst goes round and round: testpmd swaps and sends, the image swaps and sends."""
    path = tmp_path / "vhost"
    with back_end([path], options=["--forward-mode=macswap"]) as testpmd:
        with start("mode=fwd count=20000", accel=accel, vhost_user=path) as vm:
            ready(vm)
            testpmd.ask("start tx_first")
            summary = result(vm)
    assert summary["rx"]["packets"] == 20000
    assert summary["rx"]["packets"] - summary["tx"]["packets"] == summary["forward_drops"]["tx_full"]
