# SPDX-License-Identifier: BSD-2-Clause
"""net.ip=dhcp: QEMU's user network, dnsmasq and ISC's dhcpd give udpkv its address, renew it under load,
refuse it, or say nothing. The servers run in a network namespace that the test has made."""

import contextlib
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from test_tap import HOST_IP, Namespace
from udpkv_client import Client
from vm import CTRL_C, DEADLINE_S, Vm, free_udp_port, image, kvm_problem, mac, qemu_command, user_netdev

ADDRESS, MAC = "10.0.2.77", "02:00:00:00:00:0a"
ASKS = r"^udpkv: asks a DHCP server for an address, and answers nobody by IPv4 before\.$"
# Asks until its standard input ends; each answer has to come within the client's time.
LOAD = f"""
import select, sys
from udpkv_client import Client
count = 0
with Client("{ADDRESS}", 11211) as client:
    while not select.select([sys.stdin], [], [], 0)[0]:
        assert client.ask(b"get name\\r\\n") == b"END\\r\\n"
        count += 1
print(count)
"""
DHCPD = """
authoritative; ping-check false; default-lease-time 20; max-lease-time 20; min-lease-time 20;
subnet 10.0.2.0 netmask 255.255.255.0 {{ range {address}; option routers {router}; }}
"""


class Server:
    """A DHCP server in a namespace, whose log tells what it was asked."""

    def __init__(self, namespace, folder, command):
        self.log = folder / "server.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*namespace.enter, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def expect(self, pattern, count=1):
        end = time.monotonic() + 2 * DEADLINE_S
        while len(re.findall(pattern, self.log.read_text(), re.M)) < count:
            assert self._process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def close(self):
        self._process.terminate()
        self._process.wait()


@contextlib.contextmanager
def dnsmasq(namespace, folder, address=ADDRESS, options=()):
    command = [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--pid-file=",
        "--user=root", "--interface=ring0", "--bind-interfaces", "--except-interface=lo", "--no-ping",
        "--dhcp-authoritative", "--log-facility=-", "--log-dhcp", f"--dhcp-leasefile={folder}/leases",
        f"--dhcp-range={address},{address},255.255.255.0,2m", *options,
    ]  # fmt: skip
    server = Server(namespace, folder, command)
    try:
        server.expect("IP range")
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def dhcpd(namespace, folder):
    (folder / "leases").touch()
    (folder / "dhcpd.conf").write_text(DHCPD.format(address=ADDRESS, router=HOST_IP))
    command = ["dhcpd", "-4", "-f", "-d", "--no-pid", "-cf", f"{folder}/dhcpd.conf", "-lf", f"{folder}/leases"]
    server = Server(namespace, folder, [*command, "ring0"])
    try:
        server.expect("Sending on +LPF/ring0")
        yield server
    finally:
        server.close()


@pytest.fixture
def network(request):
    """A namespace with a tap that an app can attach to, with as many cores as the test is for."""
    made = Namespace()
    cores = getattr(request.node, "callspec", None) and request.node.callspec.params["cores"]
    made.run("ip tuntap add ring0 mode tap" + (" multi_queue" if cores == 2 else ""))
    made.up("ring0")
    yield made
    made.close()


def app(network, *keys, cores=1):
    """udpkv as a process, or on two cores of a machine: there an answer may come to either of them."""
    if cores == 1:
        return network.app("udpkv", "tap=ring0", f"tap.mac={MAC}", "net.ip=dhcp", *keys)
    netdev = f"tap,id=n0,ifname=ring0,script=no,downscript=no,queues={cores}"
    keys = " ".join([f"net.ip=dhcp udpkv.mem=16M cores={cores}", *keys])
    command = qemu_command(image("udpkv"), keys, "q35", cpus=cores, netdev=netdev, queues=cores)
    place = next(i for i, word in enumerate(command) if f"mac={mac(0)}" in word)
    command[place] = command[place].replace(mac(0), MAC)
    return Vm([*network.enter, *command])


def end(vm, cores=1):
    if cores == 1:
        vm.interrupt()
    else:
        vm.send(CTRL_C)
    vm.expect(r"^udpkv: every pool is whole\.$")


def serves(vm, seconds, address=ADDRESS):
    vm.expect(rf"^udpkv: serves {address}:11211/udp, leased for {seconds} s by {HOST_IP}, MAC ".replace(".", r"\."))


def start_load(network):
    return subprocess.Popen(
        [*network.enter, sys.executable, "-B", "-c", LOAD],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent,
    )  # fmt: skip


@pytest.mark.parametrize("machine", ["microvm", "q35"])
@pytest.mark.parametrize("accel", ["tcg", "kvm"])
@pytest.mark.parametrize("app_name", ["udpkv", "reflect"])
def test_qemus_user_network_gives_an_address(machine, accel, app_name):
    if accel == "kvm" and kvm_problem():
        pytest.skip(f"KVM can't be used here: {kvm_problem()}")
    port = free_udp_port()
    keys = "net.ip=dhcp net.hostname=kv-1" + (" udpkv.mem=16M" if app_name == "udpkv" else "")
    netdev = user_netdev(port) if app_name == "udpkv" else user_netdev(port, guest_port=7)
    with Vm(qemu_command(image(app_name), keys, machine, accel, netdev=netdev)) as vm:
        vm.expect(ASKS.replace("udpkv", app_name))
        vm.expect(rf"^{app_name}: serves 10\.0\.2\.15:\d+/udp, leased for 86400 s by 10\.0\.2\.2, ")
        if app_name == "udpkv":
            with Client("127.0.0.1", port) as client:
                assert client.ask(b"get a\r\n") == b"END\r\n"
                assert client.ask(b"stats settings\r\n").count(b"STAT inter 10.0.2.15\r\n") == 1
        vm.interrupt()
        vm.expect(rf"^{app_name}: inet dropped \d+, dhcp 2[.,]")


@pytest.mark.parametrize("cores", [1, 2])
def test_dnsmasq_gives_an_address(network, tmp_path, cores):
    with dnsmasq(network, tmp_path) as server, app(network, "net.hostname=kv-1", cores=cores) as vm:
        serves(vm, 120)
        server.expect(rf"DHCPACK\(ring0\) {ADDRESS} {MAC} kv-1$")
        network.run(f"ping -n -q -c 1 -w {DEADLINE_S} {ADDRESS}")
        end(vm, cores)


@pytest.mark.parametrize("cores", [1, 2])
def test_a_lease_of_20_seconds_is_renewed_under_load(network, tmp_path, cores):
    with dhcpd(network, tmp_path) as server, app(network, cores=cores) as vm:
        serves(vm, 20)
        with start_load(network) as load:
            server.expect(rf"^DHCPREQUEST for {ADDRESS} from {MAC}", 3)
            server.expect(rf"^DHCPACK on {ADDRESS} to {MAC}", 3)
            load.stdin.close()
            assert int(load.stdout.read()) > 1000
            assert load.wait() == 0
        end(vm, cores)
        assert vm.console().count("udpkv: serves") == 1
        assert "refused" not in vm.console() and "is over" not in vm.console()


def test_a_refusal_brings_another_address(network, tmp_path):
    other = "10.0.2.99"
    often = ["--dhcp-option=option:T1,6", "--dhcp-option=option:T2,100"]
    with app(network) as vm:
        with dnsmasq(network, tmp_path, options=often):
            serves(vm, 120)
        (tmp_path / "leases").unlink()
        with dnsmasq(network, tmp_path, other, options=often) as server:
            vm.expect(f"^udpkv: the DHCP server {HOST_IP} refused {ADDRESS} to us; asks for another address.$")
            serves(vm, 120, other)
            server.expect(rf"DHCPNAK\(ring0\) {ADDRESS}")
            network.run(f"ping -n -q -c 1 -w {DEADLINE_S} {other}")
            assert subprocess.run([*network.enter, "ping", "-n", "-q", "-c", "1", "-W", "1", ADDRESS]).returncode
        end(vm)


def test_an_address_that_another_host_has_is_declined(network, tmp_path):
    network.run(f"ip address add {ADDRESS}/32 dev ring0")
    with dnsmasq(network, tmp_path) as server, app(network) as vm:
        vm.expect(f"^udpkv: the DHCP server {HOST_IP} gave {ADDRESS}, which another host has; declined")
        server.expect(rf"DHCPDECLINE\(ring0\) {ADDRESS}")
        assert "serves" not in vm.console()
        end(vm)


def test_without_a_server_it_says_so_and_goes_on(network, tmp_path):
    with app(network) as vm:
        vm.expect(ASKS)
        vm.expect(r"^udpkv: no DHCP server answered in 10 s; still asking\.$")
        with dnsmasq(network, tmp_path):
            serves(vm, 120)
        end(vm)
        assert vm.console().count("no DHCP server") == 1


def test_a_value_that_can_not_be_is_told():
    for value in ("dhcpv6", "10.0.2.15", "0.0.0.0/32"):
        with Vm(qemu_command(image("reflect"), f"net.ip={value}", netdev="user,id=n0")) as vm:
            vm.expect(rf"net\.ip={value} can't be used: expected an address and prefix length such as .*, or dhcp")
    with Vm(qemu_command(image("reflect"), "net.hostname=a_b", netdev="user,id=n0")) as vm:
        vm.expect(r"net\.hostname=a_b can't be used: expected up to 63 letters, digits and hyphens")
