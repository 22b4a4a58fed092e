# SPDX-License-Identifier: BSD-2-Clause
"""Host processes on tap interfaces, in a network namespace that the test has made for them."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vhost_port import OUR_MAC, VhostPort
from vm import DEADLINE_S, Vm, image

HOST_IP, APP_IP = "10.0.2.2", "10.0.2.15"
ASK = """
from udpkv_client import Client
with Client("10.0.2.15", 11211) as client:
    for request in (b"set name 5 0 8\\r\\nringloop\\r\\n", b"get name\\r\\n"):
        print(client.ask(request))
"""
WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]


class Namespace:
    """A network namespace, which lasts as long as the process that holds it. What is run in it has
    all rights there, also where the user has none outside."""

    def __init__(self):
        for flags, enter in (["-n"], []), (["-U", "-r", "-n"], ["-U", "--preserve-credentials"]):
            self._holder = subprocess.Popen(
                ["unshare", *flags, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6;"
                 " echo made; exec cat"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            self.pid = self._holder.pid
            self.enter = ["nsenter", "-t", str(self._holder.pid), "-n", *enter]
            if self._holder.stdout.readline() == b"made\n" and self._has_tun():
                return
            self.close()
        pytest.skip("there can be no network namespace with /dev/net/tun here")

    def _has_tun(self):
        """Whether a tap can be made, and is gone again."""
        made = subprocess.run([*self.enter, "ip", "tuntap", "add", "probe", "mode", "tap"]).returncode == 0
        return made and self.run("ip link del probe") == ""

    def run(self, command):
        """What the command prints; it has to succeed."""
        return subprocess.run(
            [*self.enter, *command.split()], check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def python(self, program):
        return subprocess.run(
            [*self.enter, sys.executable, "-B", "-c", program],
            check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent,
        ).stdout

    def start_python(self, program):
        """A program that runs on; whoever starts it ends it."""
        return subprocess.Popen(
            [*self.enter, sys.executable, "-B", "-c", program],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent,
        )

    def app(self, app, *words, rights=True):
        more = [] if rights else WITHOUT_RIGHTS
        return Vm([*self.enter, *more, str(image(app, "linux")), "mem=32M", *words])

    def up(self, name, address=f"{HOST_IP}/24"):
        self.run(f"ip address add {address} dev {name}")
        self.run(f"ip link set {name} up")

    def ping(self):
        """Until the first answer: right after an interface came up the kernel may drop packets."""
        self.run(f"ping -n -q -c 1 -w {DEADLINE_S} {APP_IP}")

    def close(self):
        self._holder.stdin.close()
        self._holder.wait()
        self._holder.stdout.close()
        self._holder.stderr.close()


@pytest.fixture
def namespace():
    made = Namespace()
    yield made
    made.close()


def end(app):
    app.interrupt()
    app.expect(r"^udpkv: every pool is whole\.$")
    assert app.status() == 0


def check_it_serves(namespace):
    namespace.ping()
    assert namespace.python(ASK) == "b'STORED\\r\\n'\nb'VALUE name 5 8\\r\\nringloop\\r\\nEND\\r\\n'\n"


@pytest.mark.parametrize("mode", ["poll", "auto", "intr"])
def test_udpkv_serves_on_a_tap_that_it_makes(namespace, mode):
    mac = "02:00:00:00:00:0a"
    with namespace.app("udpkv", "tap=ring0", f"tap.mac={mac}", f"idle.mode={mode}") as app:
        app.expect(r"^tap ring0: the interface is down; as root: ip link set ring0 up\.$")
        app.expect(f"^udpkv: serves .*, MAC {mac}, tap at tap ring0,")
        namespace.up("ring0")
        check_it_serves(namespace)
        assert f"lladdr {mac}" in namespace.run(f"ip neighbour show {APP_IP}")
        end(app)
        slept = int(re.search(r"slept (\d+) times, woken by \d+", app.console())[1])
        assert (slept == 0) == (mode == "poll")
    assert "ring0" not in namespace.run("ip link")  # it was the process' own


def test_a_user_attaches_to_his_persistent_tap(namespace):
    namespace.run("ip tuntap add ring0 mode tap user 0")
    namespace.up("ring0")
    with namespace.app("udpkv", "tap=ring0", rights=False) as app:
        app.expect("^udpkv: serves .*, tap at tap ring0,")
        check_it_serves(namespace)
        end(app)
        assert "interface is down" not in app.console()
    assert "ring0" in namespace.run("ip link")


def test_a_tap_that_was_deleted_comes_back(namespace):
    namespace.run("ip tuntap add ring0 mode tap")
    namespace.up("ring0")
    with namespace.app("udpkv", "tap=ring0") as app:
        app.expect("^udpkv: serves")
        check_it_serves(namespace)
        for _ in range(2):
            namespace.run("ip link del ring0")
            app.expect(r"^tap ring0: the interface has gone; the link is down until it is back\.$")
            assert "ring0" not in namespace.run("ip link")  # nor did the process make it anew
            namespace.run("ip tuntap add ring0 mode tap multi_queue")
            app.expect("^tap ring0: an interface of that name is there .* can't be used: Invalid argu")
            namespace.run("ip link del ring0")
            namespace.run("ip tuntap add ring0 mode tap")
            namespace.up("ring0")
            app.expect(r"^tap ring0: the interface is back\.$")
            check_it_serves(namespace)
        end(app)


def test_frames_that_are_longer_than_a_buffer_are_dropped(namespace):
    """The host takes a greater MTU than it had when the process asked for it."""
    namespace.run("ip tuntap add ring0 mode tap")
    namespace.up("ring0")
    with namespace.app("udpkv", "tap=ring0") as app:
        app.expect("^udpkv: serves")
        namespace.ping()
        namespace.run("ip link set ring0 mtu 65521")
        frames = 0
        for size in (3000, 9000, 65000):
            frames += 1
            ping = ["ping", "-q", "-M", "do", "-c", "1", "-W", "0.2", "-s", str(size), APP_IP]
            assert subprocess.run([*namespace.enter, *ping], stdout=subprocess.DEVNULL).returncode == 1
        check_it_serves(namespace)
        end(app)
        assert f"receive queue dropped {frames}, bad_len {frames}." in app.console()


def processor_ticks(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_process_whose_tap_was_deleted_sleeps(namespace):
    namespace.run("ip tuntap add ring0 mode tap")
    namespace.up("ring0")
    with namespace.app("udpkv", "tap=ring0") as app:
        app.expect("^udpkv: serves")
        namespace.run("ip link del ring0")
        app.expect("the interface has gone")
        ticks, begin = processor_ticks(app.process), time.monotonic()
        time.sleep(1)  # what is measured is a time
        used_s = (processor_ticks(app.process) - ticks) / 100
        assert used_s < 0.3 * (time.monotonic() - begin)
        end(app)


def test_devices_come_in_the_order_of_their_words(namespace, tmp_path):
    """Taps and a vhost-user back end, all in use at the same time; each sends a frame."""
    for name in ("ring0", "ring1"):
        namespace.run(f"ip tuntap add {name} mode tap")
        namespace.run(f"ip link set {name} up")
    socket = tmp_path / "vhost"
    macs = {"tap": ["02:00:00:00:00:03", "02:00:00:00:00:01"], "vhost": ["02:00:00:00:00:02"]}
    words = ["tap=ring1", f"vhost={socket}", "tap=ring0"]
    words += [f"{kind}.mac={mac}" for kind in macs for mac in macs[kind]]
    with VhostPort(socket, queues=1), namespace.app("selftest", "only=devices_", *words) as app:
        app.expect(r"^2 passed, 0 failed, 0 skipped$")
        assert app.status() == 0
    listed = re.findall(r"^device (\d): ([0-9a-f:]+), (\S+).* at \S+ (.*)$", app.console(), re.M)
    assert [(mac, driver) for _, mac, driver, _ in listed] == [
        (macs["tap"][0], "tap"), (macs["vhost"][0], "virtio-net"), (macs["tap"][1], "tap")
    ]
    assert (listed[0][3], listed[2][3]) == ("ring1", "ring0")
    for name in ("ring0", "ring1"):
        (told,) = json.loads(namespace.run(f"ip -s -j link show {name}"))
        assert told["stats64"]["rx"]["packets"] == 1


@pytest.mark.parametrize(
    "setting, words, sentence",
    [
        ("", "tap=lo", "tap=lo can't be used: Invalid argument, as that interface isn't a tap with one"),
        (
            "ip tuntap add ring0 mode tap multi_queue", "tap=ring0",
            "tap=ring0 can't be used: Invalid argument, as that interface isn't a tap with one queue; ",
        ),
        (
            "", "tap=ring0 tap=ring0",
            "tap=ring0 can't be used: Device or resource busy, as another process or another tap= has",
        ),
    ],
)
def test_a_tap_that_can_not_be_had_is_told(namespace, setting, words, sentence):
    if setting:
        namespace.run(setting)
    with namespace.app("udpkv", *words.split()) as app:
        app.expect(re.escape(sentence))
        assert app.status() == 64


def test_a_user_without_rights_is_told_what_root_has_to_do(namespace):
    with namespace.app("udpkv", "tap=ring0", rights=False) as app:
        app.expect(
            r"tap=ring0 can't be used: Operation not permitted; as root: ip tuntap add ring0 mode tap "
            r"user 0; ip link set ring0 up\.$"
        )
        assert app.status() == 64


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["tap="], "tap= can't be used: expected the name of an interface, of 1 to 15 characters"),
        (["tap=sixteen-letters-"], "tap=sixteen-letters- can't be used: expected the name"),
        (["tap=tap%d"], "tap=tap%d can't be used: expected the name"),
        (["tap=a", "tap.mac=02:00"], "tap.mac=02:00 can't be used: expected an address of one host"),
        (["vhost=a", "tap.mac=02:00:00:00:00:01"], "more words tap.mac= (1) than tap= (0)"),
        ([f"tap=a{i}" for i in range(4)] + [f"vhost=b{i}" for i in range(5)], "vhost=b4 can't be used: "
         "expected at most 8 network devices"),
    ],
)
def test_wrong_words_are_told(words, sentence):
    with Vm([str(image("udpkv", "linux")), "mem=4M", *words]) as app:
        app.expect(re.escape(sentence))
        assert app.status() == 64


def test_one_core_is_what_a_tap_has(namespace):
    with namespace.app("udpkv", "tap=ring0", "cores=2") as app:
        app.expect("cores=2 needs as many queue pairs, and tap at tap ring0 has 1")
        assert app.status() == 64


# --- reflect --------------------------------------------------------------------------------------

ASK_REFLECT = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(%d)
    client.connect(("10.0.2.15", 7))
    for payload in (b"hello", b"", b"x" * 1472):
        client.send(payload)
        assert client.recv(2000) == payload
print("all came back")
""" % DEADLINE_S


def test_reflect_is_a_plain_process_that_can_be_pinged(namespace):
    with namespace.app("reflect", "tap=ring0") as app:
        app.expect(r"^reflect: serves 10\.0\.2\.15:7/udp, tap at tap ring0")
        namespace.up("ring0")
        namespace.ping()
        assert namespace.python(ASK_REFLECT) == "all came back\n"
        app.interrupt()
        app.expect(r"^reflect: every pool is whole\.$")
        assert app.status() == 0


# --- forward --------------------------------------------------------------------------------------


@pytest.fixture
def hosts():
    """Two hosts and, between them, a namespace with a bridge for each; forward closes the gap."""
    if os.geteuid() != 0:
        pytest.skip("only root can put interfaces into several network namespaces")
    made = [Namespace() for _ in range(3)]
    yield made
    for one in made:
        one.close()


def plug_in(host, middle, side, address):
    """A cable from a host to a bridge of its own, which waits for a tap."""
    middle.run(f"ip link add to{side} type veth peer name eth0 netns {host.pid}")
    middle.run(f"ip link add br{side} type bridge")
    middle.run(f"ip link set to{side} master br{side} up")
    middle.run(f"ip link set br{side} up")
    host.run("ip link set eth0 up")
    host.run(f"ip address add {address}/24 dev eth0")


def test_two_hosts_ping_each_other_through_forward(hosts):
    middle, left, right = hosts
    for side, (host, address) in enumerate(((left, HOST_IP), (right, APP_IP))):
        plug_in(host, middle, side, address)
    with middle.app("forward", "tap=ring0", "tap=ring1") as app:
        app.expect("^forward: passes frames between tap ring0 and tap ring1")
        for side in range(2):
            middle.run(f"ip link set ring{side} master br{side} up")
        left.ping()
        told = left.run(f"ping -n -q -c 100 -i 0.002 -s 1472 {APP_IP}")
        assert " 0% packet loss" in told, told
        app.interrupt()
        app.expect(r"^forward: every pool is whole\.$")
        assert app.status() == 0
        assert len(re.findall(r"^forward: tap ring\d transmit queue dropped 0\.$", app.console(), re.M)) == 2


ECHO = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("10.0.2.15", 11211))
    print("echoes", flush=True)
    while True:
        data, client = server.recvfrom(65536)
        server.sendto(data, client)
"""


def test_forward_joins_a_vhost_user_device_and_a_tap(namespace, tmp_path):
    """A client's datagrams come by the back end, leave by the tap, and an echo comes back."""
    mac = "02:00:00:00:00:0b"
    with VhostPort(tmp_path / "vhost", queues=1, mac=bytes.fromhex(mac.replace(":", ""))) as port:
        with namespace.app("forward", f"vhost={tmp_path}/vhost", "tap=ring0") as app:
            app.expect("^forward: passes frames between vhost-user .* and tap ring0")
            namespace.run(f"ip link set ring0 address {mac}")
            namespace.up("ring0", f"{APP_IP}/24")
            namespace.run(f"ip neighbour add {HOST_IP} lladdr {OUR_MAC.hex(':')} dev ring0")
            echo = namespace.start_python(ECHO)
            try:
                assert echo.stdout.readline() == b"echoes\n"
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.settimeout(1)
                    client.connect(("127.0.0.1", port.number))
                    end_s = time.monotonic() + DEADLINE_S
                    for payload in (b"hello", b"x" * 1472):
                        while not echoed(client, payload):
                            assert time.monotonic() < end_s, app.console()
            finally:
                echo.kill()
                echo.wait()
                echo.stdout.close()
            app.interrupt()
            app.expect(r"^forward: every pool is whole\.$")
            assert app.status() == 0


def echoed(client, payload):
    """Did it come back? Right after an interface came up the kernel may drop packets."""
    client.send(payload)
    try:
        return client.recv(65536) == payload
    except TimeoutError:
        return False
