# SPDX-License-Identifier: BSD-2-Clause
"""A balancer and a pool of udpkv behind it, on one bridge of a network namespace: back ends are killed,
return, come, are drained; a second balancer takes over. As processes, and as machines under QEMU."""

import collections
import contextlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from test_tap import namespace  # noqa: F401
from vm import DEADLINE_S, Vm, image, mac, qemu_command

HOST_IP, BALANCER_IP, SERVICE_IP = "10.0.2.2", "10.0.2.15", "10.0.2.100"
PORT, CONTROL_PORT, FLOWS = 11211, 900, 48
KEYS = (f"net.ip={BALANCER_IP}/24 lb.service={SERVICE_IP}:{PORT}/udp lb.control={CONTROL_PORT}"
        f" lb.allow={HOST_IP}/32 lb.check.ms=100 lb.check.down=10 lb.drain=1")
ASK = """
import sys
sys.path.insert(0, '.')
from udpkv_client import Client
with Client({host!r}, {port}) as client:
    print(client.ask({request!r}))
"""
CONTROL = """
import socket
control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
control.settimeout({deadline})
control.connect(({host!r}, {port}))
control.send({command!r}.encode())
print(control.recv(2048).decode(), end='')
"""
Row = collections.namedtuple("Row", "state up is_in_table flows packets")


def backend_ip(number):
    return f"10.0.2.{20 + number}"


class Clients:
    """tests/balancer_clients.py, which runs on."""

    def __init__(self, namespace):  # noqa: F811
        self._process = subprocess.Popen(
            [*namespace.enter, sys.executable, "-B", "balancer_clients.py", SERVICE_IP, str(PORT), str(FLOWS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent)

    def tell(self):
        """What happened since the last time."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def after(self, answers=5 * FLOWS, moved=0, lost=0):
        """Who answers, once there were so many answers, and flows that were answered by another one, more, and
        it is known what became of each question that was under way."""
        sums, told = collections.Counter(), {"oldest": 0}
        begin_s = time.monotonic()
        while sums["answers"] < answers or sums["moved"] < moved or told["oldest"] < begin_s:
            assert time.monotonic() < begin_s + DEADLINE_S, sums
            told = self.tell()
            sums.update({name: told[name] for name in ("answers", "lost", "moved")})
            time.sleep(0.05)
        assert sums["lost"] <= lost and sums["moved"] == moved, sums
        return told["who"]

    def close(self):
        self._process.stdin.close()
        self._process.wait(DEADLINE_S)
        self._process.stdout.close()


class Pool:
    """A bridge, on which a test starts balancers and back ends."""

    def __init__(self, namespace, plat, way, opened):  # noqa: F811
        self.namespace, self.plat, self.way, self._opened = namespace, plat, way, opened
        self._taps = 0
        # With an address of its own, as it else takes the lowest of its ports', and so another one with a new port.
        namespace.run("ip link add ring address 02:00:00:00:00:02 type bridge")
        namespace.up("ring", f"{HOST_IP}/24")

    def start(self, app, keys):
        name = f"tap{self._taps}"
        self._taps += 1
        self.namespace.run(f"ip tuntap add {name} mode tap")
        self.namespace.run(f"ip link set {name} master ring up")
        if self.plat == "linux":
            command = [str(image(app, "linux")), "mem=32M", f"tap={name}",
                       f"tap.mac={mac(self._taps)}", *keys.split()]
        else:
            netdev = f"tap,id=n0,ifname={name},script=no,downscript=no"
            command = qemu_command(image(app), keys, machine="microvm", mem="32M", netdev=netdev)
            command = [word.replace(mac(0), mac(self._taps)) for word in command]
        return self._opened.enter_context(Vm([*self.namespace.enter, *command]))

    def balancer(self, more=""):
        vm = self.start("balancer", f"{KEYS} lb.way={self.way} {more}")
        vm.expect(f"^balancer: serves {SERVICE_IP}:{PORT}/udp by {self.way}")
        return vm

    def backend(self, number):
        """udpkv, which knows who it is."""
        vip = f" net.vip={SERVICE_IP}" if self.way == "direct" else ""
        vm = self.start("udpkv", f"net.ip={backend_ip(number)}/24 udpkv.mem=2M{vip}")
        vm.expect("^udpkv: serves")
        stored = self.namespace.python(ASK.format(
            host=backend_ip(number), port=PORT, request=b"set who 0 0 1\r\n%d\r\n" % number))
        assert "STORED" in stored
        return vm

    def command(self, text):
        return self.namespace.python(CONTROL.format(
            host=BALANCER_IP, port=CONTROL_PORT, command=text, deadline=DEADLINE_S))

    def rows(self):
        told = self.command("list")
        found = re.findall(r"^(\S+) (\w+) weight=1 (\w+) slots=(\d+) flows=(\d+) packets=(\d+)", told, re.M)
        return {ip: Row(state, up == "up", slots != "0", int(flows), int(packets))
                for ip, state, up, slots, flows, packets in found}

    def wait(self, number, **wanted):
        """Until the balancer says so of a back end."""
        end = time.monotonic() + DEADLINE_S
        while True:
            row = self.rows().get(backend_ip(number))
            if row and all(getattr(row, name) == value for name, value in wanted.items()):
                return row
            assert time.monotonic() < end, self.rows()
            time.sleep(0.05)

    def wait_up(self, number):
        """Until it gets new flows."""
        self.wait(number, up=True, is_in_table=True)

    def stats(self):
        return {name: int(value) for name, value in re.findall(r"^(\w+) (\d+)$", self.command("stats"), re.M)}

    def clients(self):
        made = Clients(self.namespace)
        self._opened.callback(made.close)
        return made


def end(vm, app):
    """In order; no buffer may be missing."""
    if "qemu" in vm.command:
        vm.send(b"\x03")
        vm.expect(rf"^{app}: every pool is whole\.$")
        assert vm.exit_code() == 0
    else:
        vm.interrupt()
        vm.expect(rf"^{app}: every pool is whole\.$")
        assert vm.status() == 0


@pytest.fixture(params=[("linux", "direct"), ("linux", "nat"), ("kvm", "direct"), ("kvm", "nat")], ids="-".join)
def pool(request, namespace):  # noqa: F811
    with contextlib.ExitStack() as opened:
        yield Pool(namespace, *request.param, opened)


def test_a_pool_loses_only_what_a_killed_one_had(pool):
    backends = {number: pool.backend(number) for number in range(3)}
    balancer = pool.balancer(" ".join(f"lb.backend={backend_ip(number)}" for number in backends))
    for number in backends:
        pool.wait_up(number)
    clients = pool.clients()
    who = clients.after()
    assert set(who) == {"0", "1", "2"}

    had = who.count("1")
    backends[1].process.kill()
    pool.wait(1, up=False, is_in_table=False)
    who = clients.after(moved=had, lost=had)  # each had one question on its way
    assert set(who) == {"0", "2"}

    backends[1] = pool.backend(1)
    pool.wait_up(1)
    assert clients.after() == who  # who has a back end keeps it

    backends[3] = pool.backend(3)
    assert pool.command(f"add {backend_ip(3)}") == f"OK {backend_ip(3)} active weight=1 down flows=0\n"
    pool.wait_up(3)
    assert clients.after() == who
    clients.close()
    clients = pool.clients()  # new flows
    who = clients.after()
    assert set(who) == {"0", "1", "2", "3"}

    assert "draining" in pool.command(f"drain {backend_ip(2)}")
    pool.wait(2, state="drained", is_in_table=False)
    who = clients.after(moved=who.count("2"))
    assert set(who) == {"0", "1", "3"}
    end(backends[2], "udpkv")
    assert pool.command(f"remove {backend_ip(2)}") == f"OK {backend_ip(2)} removed\n"
    assert clients.after() == who
    assert backend_ip(2) not in pool.rows()

    stats = pool.stats()
    assert stats["backends_up"] == 3 and stats["dropped_denied"] == 0
    assert stats["answers"] > 0
    clients.close()
    end(balancer, "balancer")


def test_a_second_balancer_takes_over_with_the_same_choice(pool):
    numbers = range(3)
    backends = [pool.backend(number) for number in numbers]
    keys = " ".join(f"lb.backend={backend_ip(number)}" for number in numbers)
    first = pool.balancer(keys)
    for number in numbers:
        pool.wait_up(number)
    clients = pool.clients()
    who = clients.after()
    first.process.kill()
    second = pool.balancer(keys)
    for number in numbers:
        pool.wait_up(number)
    assert clients.after(lost=2 * FLOWS) == who
    assert clients.after() == who
    clients.close()
    end(second, "balancer")
    for backend in backends:
        end(backend, "udpkv")


@pytest.mark.parametrize("keys, says", [
    ("", "there is no service; lb.service="),
    ("lb.service=10.0.2.100:0/udp", "lb.service=10.0.2.100:0/udp can't be used: expected ADDRESS:PORT"),
    ("lb.service=10.0.2.100:53/sctp", "ADDRESS:PORT/udp"),
    ("lb.service=10.0.2.100:53/udp lb.backend=10.0.2", "lb.backend=10.0.2 can't be used: expected ADDRESS"),
    ("lb.service=10.0.2.100:53/udp lb.backend=10.0.2.3,weight=0", "N is 1 to 1000"),
    ("lb.service=10.0.2.100:53/udp lb.table=65536", "a prime number"),
    ("lb.service=10.0.2.100:53/udp lb.check.ask=\\xzz", "up to 64 bytes"),
    ("lb.service=10.0.2.100:53/udp lb.service=10.0.2.101:53/udp lb.way=nat", "two services have one port"),
])
def test_what_it_cannot_serve_it_says(keys, says):
    with Vm(qemu_command(image("balancer"), keys, machine="microvm", netdev="hubport,id=n0,hubid=0")) as vm:
        assert vm.exit_code() == 64
        assert says in vm.console()
