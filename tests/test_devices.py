# SPDX-License-Identifier: BSD-2-Clause
"""Which network devices a machine has for an app, in which order, and what is said of the others."""

import contextlib
import re
import time

import pytest

from vhost_port import VhostPort
from vm import DEADLINE_S, Vm, image, qemu_command

MACS = [f"52:54:00:00:01:{i:02x}" for i in (7, 3, 5)]  # in no order of their own
MICROVMS = ["microvm", "microvm,acpi=off", "microvm,ioapic2=off", "microvm,auto-kernel-cmdline=off"]


FORCE_LEGACY = "virtio-mmio.force-legacy"


def nics(device, macs=MACS):
    """QEMU's words for devices of that kind, with its properties."""
    words = []
    for i, mac in enumerate(macs):
        words += ["-netdev", f"user,id=d{i}", "-device", f"{device},netdev=d{i},mac={mac}"]
    return words


def boot(machine, more):
    return Vm(qemu_command(image("selftest"), "only=devices_", machine=machine, more=more))


def listed(vm):
    """The MAC addresses of netdev_get(0), (1) and so on. Each device has then sent a frame."""
    vm.expect("^2 passed, 0 failed, 0 skipped$")
    return re.findall(r"^device \d+: ([0-9a-f:]{17}), virtio-net ", vm.console(), re.M)


# --- images -------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MICROVMS)
def test_devices_over_mmio_come_in_the_order_of_the_command_line(machine):
    more = ["-global", f"{FORCE_LEGACY}=false", *nics("virtio-net-device")]
    with boot(machine, more) as vm:
        assert listed(vm) == MACS


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_devices_over_pci_come_in_the_order_of_the_command_line(machine):
    with boot(machine, nics("virtio-net-pci")) as vm:
        assert listed(vm) == MACS


@pytest.mark.parametrize("machine, device", [("microvm", "virtio-net-device"), ("pc", "virtio-net-pci")])
def test_a_ninth_device_is_left_out(machine, device):
    macs = [f"52:54:00:00:02:{9 - i:02x}" for i in range(9)]
    more = nics(device, macs)
    with boot(machine, more) as vm:
        vm.expect(r": left out, as an image drives at most 8 network devices\.$")
        assert listed(vm) == macs[:8]


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_an_ethernet_device_without_a_driver_is_told(machine):
    more = nics("e1000", MACS[:1]) + ["-device", "virtio-net-pci,mac=" + MACS[1]]
    with boot(machine, more) as vm:
        vm.expect(
            r"^pci 00:0\d\.0 is a network device 8086:100e, which Ringloop has no driver for; "
            r"use -device virtio-net-pci\.$"
        )
        assert listed(vm) == MACS[1:2]
        assert vm.console().count("which Ringloop has no driver for") == 1


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_a_legacy_device_on_pci_is_told(machine):
    more = nics("virtio-net-pci,disable-modern=on,disable-legacy=off", MACS[:1])
    with boot(machine, more) as vm:
        vm.expect(r"^pci 00:0\d\.0: .* no usable modern interface; start it with disable-modern=off\.$")
        assert listed(vm) == []


@pytest.mark.parametrize("machine", ["microvm", "microvm,acpi=off"])
def test_a_legacy_device_over_mmio_is_told(machine):
    more = ["-global", f"{FORCE_LEGACY}=true", *nics("virtio-net-device", MACS[:1])]
    with boot(machine, more) as vm:
        vm.expect(rf"^mmio 0xfeb0\w+: .* legacy kind; start QEMU with -global {FORCE_LEGACY}=false\.$")
        assert listed(vm) == []


# --- host processes -----------------------------------------------------------------------------


def process(*words):
    return Vm([str(image("selftest", "linux")), "only=devices_", "mem=64M", *words])


def test_vhost_devices_come_in_the_order_of_their_words(tmp_path):
    """Three back ends see a frame each, from the address that belongs to their word."""
    sockets = [f"{tmp_path}/{name}" for name in "cab"]
    macs = [f"vhost.mac={mac}" for mac in MACS[:2]]
    with contextlib.ExitStack() as started:
        ports = [started.enter_context(VhostPort(socket, queues=1)) for socket in sockets]
        words = [f"vhost={socket}" for socket in sockets]
        with process(words[0], macs[0], *words[1:], macs[1]) as app:
            seen = listed(app)
            assert app.status() == 0
        assert seen[:2] == MACS[:2]
        assert seen[2] not in MACS and len(seen) == 3
        end = time.monotonic() + DEADLINE_S
        while not all(port.mac for port in ports) and time.monotonic() < end:
            time.sleep(0.01)
        assert [port.mac.hex(":") for port in ports] == seen


@pytest.mark.parametrize(
    "words, sentence",
    [
        ([f"vhost=s{i}" for i in range(9)], r"vhost=s8 can't be used: expected at most 8 network dev"),
        (["vhost="], r"vhost= can't be used: expected the path of a UNIX socket"),
        (
            ["vhost=s", *["vhost.mac=02:00:00:00:00:01"] * 2],
            r"more words vhost\.mac= \(2\) than vhost= \(1\); leave some out, or name more devices",
        ),
        (["vhost.mac=00:00:00:00:00:00"], r"vhost\.mac=00:.* can't be used: expected an address of one"),
    ],
)
def test_wrong_words_for_devices_are_told(words, sentence):
    with process(*words) as app:
        app.expect(sentence)
        assert app.status() == 64
