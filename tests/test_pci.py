# SPDX-License-Identifier: BSD-2-Clause
"""PCI as machines have it: several host bridges, bridges that the firmware left as they were, and
devices that come and go while an image runs."""

import contextlib
import re
import socket
import time

import pytest

from tap import Tap
from udpkv_client import Client
from vm import DEADLINE_S, GUEST_IP, HOST, Vm, free_udp_port, image, mac, qemu_command, user_netdev
from xen.qmp import Qmp

QBOOT = ("-bios", "qboot.rom")  # numbers some buses, and gives no bridge a window
MODERN = ("-global", "virtio-mmio.force-legacy=false")
PCIE = "microvm,pcie=on"  # no ports, and no firmware that knows of PCI


def devices(*texts):
    return [word for text in texts for word in ("-device", text)]


def nic(number, more=""):
    """QEMU's words for a device whose MAC address tells its number."""
    properties = f"netdev=d{number},mac=52:54:00:00:01:0{number}{more}"
    return ["-netdev", f"user,id=d{number}", *devices(f"virtio-net-pci,{properties}")]


def boot(machine, more, app="selftest", keys="only=devices_"):
    return Vm(qemu_command(image(app), keys, machine=machine, more=more))


def found(vm):
    """Each device's number and bus. All have sent a frame then."""
    vm.expect("^2 passed, 0 failed, 0 skipped$")
    pairs = re.findall(r"^device \d+: [0-9a-f:]{16}(\d), .* at pci (\w\w):\w\w\.\w$", vm.console(), re.M)
    return {int(number): bus for number, bus in pairs}


# --- where devices are --------------------------------------------------------------------------

ON_PC = [
    *devices("pxb,id=px,bus_nr=128,bus=pci.0", "pci-bridge,id=b,chassis_nr=2,bus=pci.0"),
    *nic(1, ",bus=px,addr=1"),
    *nic(2, ",bus=b,addr=3"),
    *nic(3, ",bus=pci.0"),
]
ON_Q35 = [
    *devices("pxb-pcie,id=px,bus_nr=128,bus=pcie.0", "pcie-root-port,id=r1,bus=px,chassis=1"),
    *devices("pcie-root-port,id=r2,bus=pcie.0,chassis=2", "x3130-upstream,id=up,bus=r2"),
    *devices("xio3130-downstream,id=down1,bus=up,chassis=5", "xio3130-downstream,id=down2,bus=up,chassis=6"),
    *nic(1, ",bus=r1"),
    *nic(2, ",bus=down1"),
    *nic(3, ",bus=down2"),
    *nic(4, ",bus=pcie.0"),
]


@pytest.mark.parametrize("firmware", [(), QBOOT], ids=["seabios", "qboot"])
def test_devices_on_all_buses_of_pc(firmware):
    with boot("pc", [*firmware, *ON_PC]) as vm:
        assert found(vm) == {1: "81", 2: "01", 3: "00"}


@pytest.mark.parametrize("firmware", [(), QBOOT], ids=["seabios", "qboot"])
def test_devices_on_all_buses_of_q35(firmware):
    with boot("q35", [*firmware, *ON_Q35]) as vm:
        buses = found(vm)
        assert {buses[2], buses[3]} == {"03", "04"}
        assert (buses[1], buses[4]) == ("81", "00")


@pytest.mark.parametrize("words", ["", ",auto-kernel-cmdline=off"])
def test_devices_on_pci_of_microvm(words):
    """Beside one on virtio-mmio, which comes last."""
    mmio = [*MODERN, "-netdev", "user,id=m", *devices("virtio-net-device,netdev=m,mac=52:54:00:00:01:09")]
    port = devices("pcie-root-port,id=r1,chassis=1")
    with boot(PCIE + words, [*mmio, *port, *nic(1, ",bus=r1"), *nic(2)]) as vm:
        assert found(vm) == {1: "01", 2: "00"}
        assert re.search(r"^device 2: 52:54:00:00:01:09, .* at mmio ", vm.console(), re.M)


# --- devices that can't be used -----------------------------------------------------------------


@pytest.mark.parametrize(
    "machine, device, sentence",
    [
        ("q35", "e1000", r"pci 00:0\d\.0 is a network device 8086:100e, which Ringloop has no driver for; use"),
        (PCIE, "e1000e,bus=r1", r"pci 01:00\.0 is a network device 8086:10d3, which Ringloop has no driver"),
        (
            PCIE,
            "virtio-net-pci,disable-modern=on,disable-legacy=off",
            r"pci 00:0\d\.0: the virtio-net device 1af4:1000 has no usable modern interface; start it with",
        ),
    ],
)
def test_what_can_not_be_used_is_named(machine, device, sentence):
    port = devices("pcie-root-port,id=r1,chassis=1")
    with boot(machine, [*port, "-netdev", "user,id=n", *devices(f"{device},netdev=n")], "udpkv", "") as vm:
        vm.expect(f"^{sentence}")
        vm.expect("has none that it could use: the lines above name what it has")
        assert vm.exit_code() == 64


def test_a_machine_without_a_network_device():
    with boot(PCIE, devices("virtio-rng-pci"), "udpkv", "") as vm:
        vm.expect("has none that it could use; with QEMU add -netdev")
        assert vm.exit_code() == 64


# --- devices that come and go -------------------------------------------------------------------

NATIVE = ("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")
PORT = devices("pcie-root-port,id=r1,chassis=1")
BRIDGE = devices("pci-bridge,id=b,chassis_nr=2")


class Monitor(Qmp):
    def wait_for(self, event, **data):
        """Takes events until one comes that has all this."""
        while True:
            while self.events:
                came = self.events.pop(0)
                if came["event"] == event and data.items() <= came["data"].items():
                    return
            self.events.append(self._read())

    def plug(self, driver, **properties):
        self.execute("device_add", driver=driver, **properties)

    def unplug(self, ident):
        """Asks for a device and waits until the guest has given it."""
        self.execute("device_del", id=ident)
        self.wait_for("DEVICE_DELETED", device=ident)


@contextlib.contextmanager
def pluggable(folder, machine, more, slot, reboots=False):
    """udpkv in a machine with a device `nic` in that slot; yields (vm, monitor, client, its words)."""
    port = free_udp_port()
    words = {"id": "nic", "netdev": "n0", "mac": mac(0), **slot}
    netdev = user_netdev(port)
    path = str(folder / "qmp")
    device = ",".join(["virtio-net-pci", *(f"{key}={value}" for key, value in words.items())])
    more = [*more, "-netdev", netdev, *devices(device), "-qmp", f"unix:{path},server=on,wait=off"]
    command = qemu_command(image("udpkv"), machine=machine, more=more)
    if reboots:
        command.remove("-no-reboot")
    with Vm(command) as vm:
        monitor = Monitor(path, DEADLINE_S)
        with contextlib.closing(monitor), Client(HOST, port) as client:
            vm.expect("^udpkv: serves ")
            yield vm, monitor, client, words


def whole_at_its_end(vm):
    vm.interrupt()
    vm.expect(r"^udpkv: every pool is whole\.$")
    assert vm.exit_code() == 0


SLOTS = {
    "pc": ("pc", (), {"addr": "5"}),
    "pc-bridge": ("pc", (*QBOOT, *BRIDGE), {"bus": "b", "addr": "3"}),
    "q35-acpi": ("q35", (*QBOOT, *PORT), {"bus": "r1"}),
    "q35-native": ("q35", (*NATIVE, *PORT), {"bus": "r1"}),
    "microvm": (PCIE, PORT, {"bus": "r1"}),
}
GIVEN = r"^pci [\d:.]+: the device is wanted back and was given; the link is down until it is plugged in again"
BACK = r"^pci [\d:.]+: the device is back; \d+ packets that were in flight are lost"


@pytest.mark.parametrize("slot", SLOTS)
def test_a_device_is_unplugged_and_plugged_in_again(slot, tmp_path):
    with pluggable(tmp_path, *SLOTS[slot]) as (vm, monitor, client, words):
        assert client.ask(b"set a 0 0 1\r\n1\r\n") == b"STORED\r\n"
        monitor.unplug("nic")
        vm.expect(GIVEN)
        monitor.plug("virtio-net-pci", **words)
        vm.expect(BACK)
        assert client.ask(b"get a\r\n") == b"VALUE a 0 1\r\n1\r\nEND\r\n"
        whole_at_its_end(vm)


@pytest.mark.parametrize("slot", ["pc-bridge", "q35-acpi", "microvm"])
def test_a_reset_finds_devices_again(slot, tmp_path):
    """Also behind bridges that the image has set up in its first life."""
    with pluggable(tmp_path, *SLOTS[slot], reboots=True) as (vm, monitor, client, _):
        for _ in range(3):
            assert client.ask(b"set a 0 0 1\r\n1\r\n") == b"STORED\r\n"
            monitor.execute("system_reset")
            vm.expect("^udpkv: serves ")
            assert client.ask(b"get a\r\n") == b"END\r\n"
        assert len(set(re.findall("^udpkv: serves .*", vm.console(), re.M))) == 1
        whole_at_its_end(vm)


def arp_question(asker):
    """Who has the image's address? Asked by 10.0.2.<asker>."""
    us, ours = bytes.fromhex("020000000001"), socket.inet_aton(f"10.0.2.{asker}")
    kind = bytes.fromhex("0806 0001 0800 06 04 0001")
    return b"\xff" * 6 + us + kind + us + ours + bytes(6) + socket.inet_aton(GUEST_IP) + bytes(18)


def answers(tap, asker):
    """Asks until the answer comes; others may come before."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        tap.send(arp_question(asker))
        while frame := tap.recv(0.1):
            if frame[12:14] == b"\x08\x06" and frame[38:42] == socket.inet_aton(f"10.0.2.{asker}"):
                return True
    return False


def drain(tap):
    """Passes over all that has come so far."""
    while tap.recv(0):
        continue


def await_announcements(tap, count):
    """Until so many gratuitous ARPs have come."""
    us, ours = bytes.fromhex(mac(0).replace(":", "")), socket.inet_aton(GUEST_IP)
    announcement = b"\xff" * 6 + us + bytes.fromhex("0806 0001 0800 06 04 0001") + us + ours + bytes(6) + ours
    end = time.monotonic() + DEADLINE_S
    while count > 0:
        frame = tap.recv(max(0, end - time.monotonic()))
        assert frame, f"{count} more announcements should have come"
        count -= frame.startswith(announcement)


def test_a_device_comes_and_goes_under_load_on_two_cores(tmp_path):
    """Once it is back its neighbours are told: at once and after two seconds, as at the start. Of those at
    the start the second one may come then, too, so two are waited for."""
    words = {"id": "nic", "netdev": "n0", "mac": mac(0), "bus": "r1", "mq": "on"}
    path = str(tmp_path / "qmp")
    with Tap(queues=2) as tap:
        device = ",".join(["virtio-net-pci", *(f"{key}={value}" for key, value in words.items())])
        more = [*PORT, "-netdev", tap.netdev, *devices(device), "-qmp", f"unix:{path},server=on,wait=off"]
        command = qemu_command(image("udpkv"), "cores=2", machine="q35", cpus=2, more=more)
        with Vm(command, pass_fds=tap.fds) as vm:
            monitor = Monitor(path, DEADLINE_S)
            with contextlib.closing(monitor):
                vm.expect("^udpkv: serves ")
                for turn in range(2):
                    assert answers(tap, 100 + turn)
                    for _ in range(300):
                        tap.send(arp_question(200))
                    monitor.unplug("nic")
                    vm.expect(GIVEN)
                    drain(tap)
                    monitor.plug("virtio-net-pci", **words)
                    vm.expect(BACK)
                await_announcements(tap, 2)
                assert answers(tap, 110)
                whole_at_its_end(vm)


def test_what_nobody_uses_is_given_and_a_stranger_is_left_alone(tmp_path):
    """A second network device, which udpkv doesn't use, and one of another kind; then one with another address."""
    others = ["-device", "virtio-net-pci,id=other,addr=6", "-device", "virtio-rng-pci,id=rng,addr=7"]
    with pluggable(tmp_path, "pc", others, {"addr": "5"}) as (vm, monitor, client, words):
        monitor.unplug("other")
        monitor.unplug("rng")
        assert client.ask(b"get a\r\n") == b"END\r\n"
        monitor.unplug("nic")
        monitor.plug("virtio-net-pci", **{**words, "mac": mac(1)})
        vm.expect(rf"^pci 00:05\.0: a device is back, but with MAC {mac(1)}; it isn't used\.$")
        whole_at_its_end(vm)


# --- machines with an IOMMU ---------------------------------------------------------------------

BEHIND = {"iommu_platform": "on", "disable-legacy": "on"}
IOMMUS = {
    "virtio-iommu": ("q35", devices("virtio-iommu-pci,addr=1")),
    "intel-iommu": ("q35,kernel-irqchip=split", devices("intel-iommu,intremap=on")),
}


@pytest.mark.parametrize("iommu", IOMMUS)
def test_an_iommu_that_nobody_programs_passes_all(iommu, tmp_path):
    with pluggable(tmp_path, *IOMMUS[iommu], BEHIND) as (vm, _, client, _):
        assert client.ask(b"set a 0 0 1\r\n1\r\n") == b"STORED\r\n"
        whole_at_its_end(vm)


@pytest.mark.parametrize("behind", [True, False])
def test_an_iommu_that_lets_nothing_through_is_told(behind, tmp_path):
    more = devices("virtio-iommu-pci,addr=9,boot-bypass=off")
    with pluggable(tmp_path, "q35", more, BEHIND if behind else {}) as (vm, _, client, _):
        told = re.search(
            r"^pci 00:\d\d\.0: the virtio-iommu 00:09\.0 lets this device reach no memory", vm.console(), re.M
        )
        assert bool(told) == behind
        if not behind:
            assert client.ask(b"set a 0 0 1\r\n1\r\n") == b"STORED\r\n"
            whole_at_its_end(vm)
