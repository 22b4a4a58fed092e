# SPDX-License-Identifier: BSD-2-Clause
"""How an image ends on machines of every kind, how the power button is noticed, what interrupts it."""

import re
import struct

import pytest

import lost_wakeups
from test_reset import resettable
from vm import Vm, image, power_button, qemu_command

# --- ACPI tables of other VMMs, in the memory of a microvm that has none of its own ---------------

ROOT_POINTER = 0xE0000  # where an image looks for it; with qboot nothing else is there
LOW_IO, MEMORY = 1, 0  # address spaces
S5_IS_5 = b"\x08_S5_\x12\x04\x01\x0a\x05"  # Name (_S5, Package () {5})
RESET_SUPPORTED, HARDWARE_REDUCED = 1 << 10, 1 << 20
SLEEP_PORT = 0x3C0  # cloud-hypervisor's
NOWHERE = 0xAF00  # a port that nothing answers at: it reads as all ones
# OperationRegion (EREG, SystemIO, 0xaf00, 1), If (Local0 == 8) {Notify (PWRB, 0x80)}, and the devices
EVENTS_NOWHERE = (
    b"\x5b\x80EREG\x01\x0b\x00\xaf\x01\xa0\x0c\x93\x60\x0a\x08\x86PWRB\x0a\x80"
    b"\x08_HID\x0dACPI0013\x00\x5b\x82\x13PWRB\x08_HID\x0dPNP0C0C\x00"
)


def table(signature, body):
    return signature + struct.pack("<IBB6s8sI4sI", 36 + len(body), 6, 0, b"RINGLP", b"TEST", 1, b"TEST", 1) + body


def register(space, address):
    return struct.pack("<BBBBQ", space, 8, 0, 1, address)


def fadt(dsdt, flags=0, pm1_event=0, pm1_control=0, reset=bytes(12), reset_value=0, sleep_control=bytes(12)):
    """Of ACPI 6, whose 32-bit DSDT field is 0, as cloud-hypervisor leaves it."""
    fields = bytearray(276 - 36)
    for offset, value in (
        (56, struct.pack("<I", pm1_event)),
        (64, struct.pack("<I", pm1_control)),
        (88, b"\x04\x02"),
        (112, struct.pack("<I", flags)),
        (116, reset + bytes([reset_value])),
        (140, struct.pack("<Q", dsdt)),
        (244, sleep_control),
    ):
        fields[offset - 36 : offset - 36 + len(value)] = value
    return table(b"FACP", bytes(fields))


def with_tables(tmp_path, aml=S5_IS_5, more=(), base=ROOT_POINTER + 64, **fields):
    """QEMU's words for a microvm,acpi=off whose memory has a root pointer, and from `base` on an XSDT,
    a DSDT with this AML, a FADT with these fields, and further tables."""
    places = [base + 36 + 8 * (1 + len(more))]  # the DSDT's
    tables = [table(b"DSDT", aml), fadt(places[0], **fields), *more]
    for part in tables[:-1]:
        places.append(places[-1] + len(part))
    xsdt = table(b"XSDT", struct.pack(f"<{len(places) - 1}Q", *places[1:]))
    root = bytearray(struct.pack("<8sB6sBIIQ4x", b"RSD PTR ", 0, b"RINGLP", 2, 0, 36, base))
    root[8] = -sum(root[:20]) & 0xFF
    root[32] = -sum(root) & 0xFF
    words = ["-bios", "qboot.rom"]
    for address, content in ((ROOT_POINTER, root), (base, xsdt + b"".join(tables))):
        file = tmp_path / f"at-{address:x}"
        file.write_bytes(content)
        words += ["-device", f"loader,file={file},addr={address:#x},force-raw=on"]
    return words


def exit_port(port):
    """A device at a port that ends QEMU with a status that tells what was written to it."""
    return ["-device", f"isa-debug-exit,iobase={port:#x},iosize=2"]


def boot(app, keys="", acpi="off", debug_exit=False, more=(), **options):
    more = ["-M", f"acpi={acpi}", *more]
    return Vm(qemu_command(image(app), keys, machine="microvm", debug_exit=debug_exit, more=more, **options))


# --- the end ------------------------------------------------------------------------------------


def test_without_acpi_an_image_ends(accel):
    with boot("hello", accel=accel) as vm:
        vm.expect(r"^Ringloop: exit 0\.$")
        assert vm.status() == 0


@pytest.mark.parametrize("ring", ["0", "3"])
def test_without_acpi_a_fault_on_another_core_ends_it(ring):
    with boot("selftest", f"ring={ring} cores=2 fault=ud fault.core=1", cpus=2) as vm:
        vm.expect(r"^Ringloop: exit 71\.$")
        assert vm.status() == 0


CLOUD_HYPERVISOR = {  # hardware-reduced, X_DSDT only, sleep control at a port
    "flags": HARDWARE_REDUCED,
    "pm1_control": NOWHERE,
    "sleep_control": register(LOW_IO, SLEEP_PORT),
}


def test_on_tables_of_cloud_hypervisor_the_sleep_register_is_written(tmp_path, accel):
    """Sleep type 5 and the enable bit."""
    more = with_tables(tmp_path, **CLOUD_HYPERVISOR) + exit_port(SLEEP_PORT)
    with boot("hello", accel=accel, more=more) as vm:
        vm.expect(r"^Ringloop: exit 0\.$")
        assert vm.status() == 0x34 << 1 | 1


@pytest.mark.parametrize("fields, written", [
    ({**CLOUD_HYPERVISOR, "base": 5 << 30}, 0x34),
    ({**CLOUD_HYPERVISOR, "aml": b"", "more": [table(b"SSDT", S5_IS_5)]}, 0x34),
    ({"pm1_control": SLEEP_PORT}, 5 << 10 | 1 << 13),
    ({"aml": b"", "flags": RESET_SUPPORTED, "reset": register(LOW_IO, SLEEP_PORT), "reset_value": 0x22}, 0x22),
], ids=["tables-above-4-GiB", "s5-in-an-ssdt", "pm1-control", "reset-without-s5"])
def test_what_ends_the_machine_is_found(tmp_path, fields, written):
    more = with_tables(tmp_path, **fields) + exit_port(SLEEP_PORT)
    with boot("hello", mem="6G" if "base" in fields else "64M", more=more) as vm:
        vm.expect(r"^Ringloop: exit 0\.$")
        assert vm.status() == (written << 1 | 1) & 0xFF


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_a_pc_without_acpi_is_reset(machine):
    command = qemu_command(image("hello"), machine=machine, debug_exit=False, more=["-M", "acpi=off"])
    with Vm(command) as vm:
        vm.expect(r"^Ringloop: exit 0\.$")
        assert vm.status() == 0


# --- the power button ---------------------------------------------------------------------------


def shows_the_clock_for_a_second(vm):
    """Did selftest's clock=1 in its last life do so, or was it asked to end?"""
    life = vm.console().rpartition("Ringloop: selftest on kvm")[2]
    shown = [int(ns) for ns in re.findall(r"^clock (\d+) ", life, re.M)]
    return shown[-1] - shown[0] > 0.8e9


@pytest.mark.parametrize("mode", ["poll", "auto"])
def test_the_power_button_of_a_microvm_ends_udpkv(accel, mode, tmp_path):
    """Also asleep: nobody sends anything."""
    monitor = str(tmp_path / "monitor")
    more = ["-monitor", f"unix:{monitor},server=on,wait=off"]
    keys = f"idle.mode={mode} udpkv.mem=4M"
    with boot("udpkv", keys, acpi="on", accel=accel, netdev="user,id=n0", more=more,
              debug_exit=True) as vm:
        vm.expect("^udpkv: serves")
        with power_button(monitor):
            vm.expect(r"^udpkv: every pool is whole\.$")
            assert vm.exit_code() == 0


def test_a_button_pressed_before_a_reset_is_forgotten(tmp_path):
    """Pressed while the machine stands, so that only the life behind the reset could notice it."""
    with resettable(tmp_path, "selftest", "clock=1", machine="microvm") as (vm, monitor):
        vm.expect("^clock ")
        monitor.execute("stop")
        monitor.execute("system_powerdown")
        monitor.wait_for("POWERDOWN")
        monitor.reset()
        monitor.execute("cont")
        vm.expect("^Ringloop: selftest on kvm")
        assert vm.exit_code() == 0
        assert shows_the_clock_for_a_second(vm)


@pytest.mark.parametrize("fields", [
    {"pm1_event": NOWHERE},
    {"flags": HARDWARE_REDUCED, "aml": EVENTS_NOWHERE},
])
def test_a_button_that_reads_as_all_ones_isnt_pressed(tmp_path, fields):
    """The clock is shown for a second, unless the image is asked to end."""
    with boot("selftest", "clock=1", more=with_tables(tmp_path, **fields)) as vm:
        vm.expect(r"^Ringloop: exit 0\.$")
        assert shows_the_clock_for_a_second(vm)


# --- interrupts ---------------------------------------------------------------------------------


def test_without_acpi_a_device_wakes_an_idle_image(accel):
    """By the line that the command line names."""
    result = lost_wakeups.run_image("microvm", accel, "intr", packets=200, more=["-M", "acpi=off"])
    assert result.waits > result.packets / 10, result  # it did sleep
    assert 0 < result.interrupts <= result.waits + 1, result


def test_without_acpi_lines_and_messages_wake():
    with boot("selftest", "only=apic_") as vm:
        vm.expect(r"^\d+ passed, 0 failed, 0 skipped$")


# --- processors ---------------------------------------------------------------------------------


def processor(number, x2apic):
    if x2apic:
        return struct.pack("<BBHIII", 9, 16, 0, number, 1, number)
    return struct.pack("<BBBBI", 0, 8, number, number, 1)


@pytest.mark.parametrize("x2apic", [False, True])
def test_processors_are_started_as_acpi_lists_them(tmp_path, x2apic):
    """Both kinds of entries. The second of three processors isn't usable, so it is left alone; the
    third is listed twice, and started once."""
    entries = [processor(0, x2apic), processor(1, x2apic), processor(2, x2apic), processor(2, x2apic)]
    unusable = bytearray(entries[1])
    unusable[-8 if x2apic else -4] = 0
    entries[1] = bytes(unusable)
    madt = table(b"APIC", struct.pack("<II", 0xFEE00000, 1) + b"".join(entries))
    more = with_tables(tmp_path, more=[madt])
    with boot("selftest", "cores=2 only=cores_", cpus=3, more=more) as vm:
        vm.expect(r"^\d+ passed, 0 failed, 0 skipped$")
    with boot("selftest", "cores=3 only=cores_", cpus=3, more=more) as vm:
        vm.expect("^selftest: cores=3 needs as many processors, and 2 came")
