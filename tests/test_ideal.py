# SPDX-License-Identifier: BSD-2-Clause
"""ideal on QEMU's own devices, which follow the specification and, unlike what it is measured on, wait for
kicks. (bench/pktgen's test has it on DPDK's.)"""

import contextlib

import pytest

from vm import CTRL_C, Link, Vm, image, qemu_command

GUEST_MAC = bytes.fromhex("525400123456")  # QEMU's default for the first NIC
ETH_TYPE = b"\x88\xb5"
MIX = (60, 590, 60, 590, 60, 1514, 60, 590, 60, 590, 60, 60)
RING = 256


@contextlib.contextmanager
def ideal(folder, keys, rings):
    """The cable of a machine that runs ideal; it is ended by Ctrl-C, which must be in order."""
    packed = ("-global", "virtio-net-device.packed=on") if rings == "packed" else ()
    link = Link(folder)
    try:
        with Vm(qemu_command(image("ideal"), keys, machine="microvm", netdev=link.netdev, more=packed)) as vm:
            vm.expect(rf"^ideal: virtio-net .*, {rings} rings\.$")
            yield link
            vm.send(CTRL_C)
            posted = int(vm.expect(r"^ideal: (\d+) descriptors posted\.$")[1])
            assert vm.exit_code() == 0
            assert posted >= RING
    finally:
        link.close()


@pytest.mark.parametrize("rings", ["split", "packed"])
@pytest.mark.parametrize("size", ["64", "imix"])
def test_the_same_frames_are_sent_again_and_again(tmp_path, rings, size):
    with ideal(tmp_path, f"mode=tx size={size}", rings) as link:
        for place in range(3 * RING):
            frame = link.recv()
            assert frame and frame[:6] == b"\2\0\0\0\0\0" and frame[6:12] == GUEST_MAC and frame[12:14] == ETH_TYPE
            assert len(frame) == (64 if size == "64" else MIX[place % RING % len(MIX)])


@pytest.mark.parametrize("rings", ["split", "packed"])
@pytest.mark.parametrize("swap", ["off", "on"])
def test_what_came_is_sent_back(tmp_path, rings, swap):
    with ideal(tmp_path, f"mode=fwd burst=4 swap={swap}", rings) as link:
        for batch in range(3 * RING // 4):
            frames = [bytes([2, batch % 256, i]).ljust(60 + 5 * batch % 1400, b"x") for i in range(4)]
            for frame in frames:
                link.send(frame)
            wanted = [f[6:12] + f[:6] + f[12:] for f in frames] if swap == "on" else frames
            assert [link.recv() for _ in frames] == wanted


@pytest.mark.parametrize("keys, said", [
    ("burst=5", "burst=5 must be a power of two"),
    ("mode=fwd rx.descs=128", "rx.descs=128 and tx.descs=256 alike"),
    ("mode=pingpong", "one of the words tx, rx, fwd"),
    ("size=59", "59"),
    ("size=x", "a number from 60 to 1514, or imix"),
])
def test_keys_that_do_not_fit_are_refused(tmp_path, keys, said):
    link = Link(tmp_path)
    try:
        with Vm(qemu_command(image("ideal"), keys, machine="microvm", netdev=link.netdev)) as vm:
            assert vm.exit_code() == 64
            assert said in vm.console()
    finally:
        link.close()
