# SPDX-License-Identifier: BSD-2-Clause
"""Starting and ending: the boot line, keys, exit codes, faults, the clock, the power button."""

import re
import time

import pytest

from vm import DEADLINE_S, MACHINES, ROOT, Vm, image, power_button, qemu_command

BOOT_LINE = r"^Ringloop: {app} on kvm, version [^,]+, ring ([03]), (\d+) MiB, clock \w+, started in (\d+) us\.$"


def boot(app, keys="", **machine):
    return Vm(qemu_command(image(app), keys, **machine))


# --- the boot line ------------------------------------------------------------------------------


@pytest.mark.parametrize("ring", ["0", "3"])
@pytest.mark.parametrize("machine", MACHINES)
def test_hello_starts_and_ends(machine, accel, ring):
    with boot("hello", f"ring={ring}", machine=machine, accel=accel) as vm:
        line = vm.expect(BOOT_LINE.format(app="hello"))
        assert line[1] == ring
        assert int(line[2]) in (63, 64)  # some firmware keeps a little for itself
        assert int(line[3]) > 0
        vm.expect("^Hello from Ringloop on kvm.$")
        assert vm.exit_code() == 0


@pytest.mark.parametrize("machine", MACHINES)
def test_the_ring_is_chosen(machine, accel):
    with boot("hello", machine=machine, accel=accel) as vm:
        vm.expect(BOOT_LINE.format(app="hello"))
        assert vm.exit_code() == 0


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_a_second_processor_is_left_alone(machine, accel):
    with boot("hello", machine=machine, accel=accel, cpus=2) as vm:
        vm.expect(BOOT_LINE.format(app="hello"))
        assert vm.exit_code() == 0


@pytest.mark.parametrize("mem, mib", [("4M", 4), ("3G", 3072), ("5G", 5120)])
def test_memory_is_what_the_machine_has(mem, mib):
    with boot("hello", machine="q35", mem=mem) as vm:
        assert int(vm.expect(BOOT_LINE.format(app="hello"))[2]) in (mib - 1, mib)
        assert vm.exit_code() == 0


# --- unit tests in the image --------------------------------------------------------------------


def unit_tests_pass(keys="", program="selftest", **machine):
    with boot(program, keys, **machine) as vm:
        result = vm.expect(r"^(\d+) passed, (\d+) failed, 0 skipped$", deadline_s=120)
        assert result[2] == "0", vm.console()
        assert int(result[1]) > 0
        assert vm.exit_code() == 0


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_unit_tests_pass_in_the_image(machine, accel):
    unit_tests_pass(machine=machine, accel=accel)


def apps_with_tests():
    return sorted({path.parent.name for path in (ROOT / "src/apps").glob("*/*_test.c")})


@pytest.mark.parametrize("app", apps_with_tests())
def test_unit_tests_of_apps_pass_in_an_image_of_their_own(app, accel):
    unit_tests_pass(program=f"{app}.unit", machine="microvm", accel=accel)


@pytest.mark.parametrize("mem", ["64M", "6G"])
def test_unit_tests_pass_on_pc(mem):
    """6 GiB are two regions, as a PC has devices below 4 GiB."""
    unit_tests_pass(machine="pc", mem=mem)


@pytest.mark.parametrize("ring", ["0", "3"])
def test_unit_tests_pass_in_either_ring(ring):
    unit_tests_pass(f"ring={ring}", machine="microvm")


def test_selftest_without_a_test_fails():
    with boot("selftest", "only=no_test_has_this_name", machine="microvm") as vm:
        vm.expect("^0 passed, 0 failed, 0 skipped$")
        assert vm.exit_code() == 2


# --- the command line ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys, sentence",
    [
        ("nonsense=1", r"no key 'nonsense' in this image\. Keys: .*\bring\b"),
        ("rign=3", r"no key 'rign' in this image\. The nearest: ring\. Keys: help .*\bring\b"),
        ("quiet Ring=3", r"no key 'Ring' in this image\. The nearest: ring\. "),
        ("ring.=3", r"no key 'ring\.' in this image\. The nearest: ring\. "),
        ("ring=1", r"ring=1 can't be used: expected 0, 3 or auto"),
        ("ring=", r"ring= can't be used: expected 0, 3 or auto"),
        ("ring=3 ring=3", r"ring is given twice"),
        ('ring="3 "', r"ring=3  can't be used"),
        ("ring", r"'ring' isn't of the form key=value\. The nearest: ring\. The word help"),
        ("=3", r"no key '' in this image"),
        ("helpme", r"'helpme' isn't of the form key=value\. The word help alone explains the keys\.$"),
        ("nonsense=" + "x" * 3000, r"no key 'nonsense' in this image"),
        ("ring=" + "x" * 3000, r"the value of ring is longer than \d+ bytes"),
    ],
)
def test_a_wrong_command_line_stops_the_image(keys, sentence):
    with boot("hello", keys, machine="microvm") as vm:
        vm.expect(sentence)
        assert vm.exit_code() == 64
        assert "Hello" not in vm.console()


FIRECRACKERS = (
    "reboot=k panic=1 pci=off nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd"
)


def test_words_that_vmms_write_for_linux_are_passed_over():
    line = f"{FIRECRACKERS} console=ttyS0\tring=3 init=\"/bin/sh -c\" root=/dev/vda ro"
    with boot("hello", line, machine="microvm") as vm:
        told = vm.expect("^command line: passed over, as these words are for Linux: (.*)\\.$")[1]
        assert told == f"{FIRECRACKERS} console=ttyS0 init=/bin/sh -c root=/dev/vda ro"
        assert vm.expect(BOOT_LINE.format(app="hello"))[1] == "3", "ring= after a tab"
        assert vm.exit_code() == 0


def test_a_key_that_a_process_reads_early_is_found_anywhere():
    with Vm([str(image("hello", "linux")), 'quiet\tmem="6M"\n']) as process:
        process.expect("^Ringloop: hello on linux, .* 6 MiB in ")
        assert process.status() == 0


def test_a_word_of_linux_hides_no_mistake():
    with boot("udpkv", f"{FIRECRACKERS} udpvk.mem=16M", machine="microvm") as vm:
        vm.expect(r"^command line: there is no key 'udpvk\.mem' in this image\. The nearest: udpkv\.mem\.")
        assert vm.exit_code() == 64
        assert "passed over" not in vm.console()


def line_of(length):
    return "nonsense=".ljust(length, "x")


@pytest.mark.parametrize("machine, length", [("microvm", 4096), ("microvm", 100_000), ("q35", 4096)])
def test_a_line_that_is_too_long_is_refused_with_its_length(machine, length):
    with boot("hello", line_of(length), machine=machine) as vm:
        vm.expect(f"^command line: it has {length} bytes, and at most 4095 are taken; ")
        assert vm.exit_code() == 64
        assert "Hello" not in vm.console()


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_a_line_that_makes_qemu_overwrite_start_info_is_told(machine):
    with boot("hello", line_of(5000), machine=machine) as vm:
        vm.expect("^command line: it has more than 4095 bytes, as QEMU has overwritten ")
        assert vm.exit_code() == 64


@pytest.mark.parametrize("length", [4096, 100_000])
def test_a_process_refuses_a_line_that_is_too_long_with_its_length(length):
    words = ["mem=4M", line_of(length - len("mem=4M "))]
    with Vm([str(image("hello", "linux")), *words]) as process:
        process.expect(f"^command line: it has {length} bytes, and at most 4095 are taken; ")
        assert process.status() == 64


@pytest.mark.parametrize("plat", ["kvm", "linux"])
def test_a_line_of_the_greatest_length_is_read_to_its_end(plat):
    keys = "last=".rjust(4095)
    command = [str(image("hello", "linux")), keys]
    with Vm(qemu_command(image("hello"), keys) if plat == "kvm" else command) as vm:
        vm.expect("no key 'last'")


@pytest.mark.parametrize(
    "keys, sentence",
    [
        ("net.ip=10.0.2.300/24", "net.ip=10.0.2.300/24 can't be used: expected"),
        ("udpkv.mem=much", "udpkv.mem=much can't be used: expected"),
        ("udpkv.port=65536", "udpkv.port=65536 can't be used: expected .* to 65535"),
        ("udpkv.allow=10.0.0.0/33", "udpkv.allow=10.0.0.0/33 can't be used: expected"),
    ],
)
def test_a_bad_value_of_udpkv_stops_the_image(keys, sentence):
    with boot("udpkv", keys, machine="microvm") as vm:
        vm.expect(sentence)
        assert vm.exit_code() == 64


@pytest.mark.parametrize(
    "app, keys",
    [("hello", ["ring"]), ("udpkv", ["net.ip", "udpkv.port", "udpkv.mem", "udpkv.allow"])],
)
def test_help_lists_every_key(app, keys):
    with boot(app, "help", machine="microvm") as vm:
        assert vm.exit_code() == 0
        for key in keys:
            # the key's own line, then one with its meaning and its default
            assert re.search(rf"^ *{re.escape(key)}\b.*\n.*Default: ", vm.console(), re.M), key


# --- ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES)
def test_without_isa_debug_exit_the_machine_is_switched_off(machine, accel):
    with boot("hello", machine=machine, accel=accel, debug_exit=False) as vm:
        vm.expect(r"^Ringloop: exit 0\.$")
        assert vm.status() == 0


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_the_power_button_ends_udpkv(machine, tmp_path):
    monitor = str(tmp_path / "monitor")
    more = ["-monitor", f"unix:{monitor},server=on,wait=off"]
    with boot("udpkv", machine=machine, netdev="user,id=n0", more=more) as vm:
        vm.expect("^udpkv: serves")
        with power_button(monitor):
            vm.expect(r"^udpkv: every pool is whole\.$")
            assert vm.exit_code() == 0


# --- faults -------------------------------------------------------------------------------------

PRESENT, WRITE, FETCH = 1, 2, 16  # bits of a page fault's error code
FAULTS = {  # the key fault=: vector, bits of the error code that say what happened, what is told
    "div": (0, 0, "divide error"),
    "ud": (6, 0, "invalid instruction"),
    "gp": (13, 0, "general protection"),
    "pf_null": (14, WRITE, "a null pointer was used"),
    "pf_text": (14, PRESENT | WRITE, "mapped without that right"),
    "pf_rodata": (14, PRESENT | WRITE, "mapped without that right"),
    "pf_unmapped": (14, WRITE, "is not mapped"),
    "nx_data": (14, PRESENT | FETCH, "mapped without that right"),
    "nx_stack": (14, PRESENT | FETCH, "mapped without that right"),
    "nx_heap": (14, PRESENT | FETCH, "mapped without that right"),
    "stack_overflow": (14, WRITE, "the stack has overflowed"),
}
PANICS = {
    "canary": "written past its stack frame",
    "panic": "Asked to panic",
    "assert": "one == 2",
}
WAYS = [("tcg", "0"), ("tcg", "3"), ("kvm", "auto")]


def lines_of(make, vm):
    """The backtrace on the console, turned into functions and lines by `make lines`."""
    addresses = vm.expect(r"^backtrace: (0x[0-9a-f]+(?: 0x[0-9a-f]+)*)$")[1]
    status, said = make("lines", "APP=selftest", "PLAT=kvm", f"AT={addresses}")
    assert status == 0, said
    return said


@pytest.mark.parametrize("accel, ring", WAYS, indirect=["accel"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_tells_where_and_ends_the_image(fault, accel, ring, make):
    vector, bits, told = FAULTS[fault]
    with boot("selftest", f"ring={ring} fault={fault}", machine="microvm", accel=accel) as vm:
        line = vm.expect(r"^fault: .* \(vector (\d+)\), error code 0x([0-9a-f]+), at 0x[0-9a-f]+")
        assert int(line[1]) == vector
        assert vm.exit_code() == 71
        if vector == 14:
            assert int(line[2], 16) & (PRESENT | WRITE | FETCH) == bits
        assert re.search(told, vm.console())
        for register in ("rax", "r15", "rip", "rsp", "cr2", "rflags"):
            assert re.search(rf"\b{register} +[0-9a-f]{{8,16}}\b", vm.console()), register
        if fault != "stack_overflow":  # whose backtrace is all one function
            assert "app_main" in lines_of(make, vm)


@pytest.mark.parametrize("accel, ring", WAYS, indirect=["accel"])
@pytest.mark.parametrize("fault", PANICS)
def test_a_panic_says_why_and_ends_the_image(fault, accel, ring, make):
    with boot("selftest", f"ring={ring} fault={fault}", machine="microvm", accel=accel) as vm:
        vm.expect(PANICS[fault])
        assert vm.exit_code() == 70
        said = lines_of(make, vm)
        assert "app_main" in said
        assert "src/apps/selftest/" in said


# --- the clock ----------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_the_clock_runs_like_the_hosts(machine, accel):
    """The image prints its clock each 100 ms. A line may reach us late but never early, so of
    several lines the one that was least late tells how far apart the two clocks are."""
    seconds, tolerance, slack_ns = 3, 0.001, 1_000_000
    with boot("selftest", f"clock={seconds}", machine=machine, accel=accel) as vm:
        assert vm.exit_code(deadline_s=seconds + DEADLINE_S) == 0
        told = [(re.match(r"clock (\d+) date (\d+) cycles", text), at) for at, text in vm.lines]
    pairs = [(int(match[1]), at) for match, at in told if match]
    assert len(pairs) >= seconds * 5
    third = len(pairs) // 3
    (guest1, host1), (guest2, host2) = (
        min(part, key=lambda pair: pair[1] - pair[0]) for part in (pairs[:third], pairs[-third:])
    )
    assert guest2 - guest1 >= 1_000_000_000
    drift_ns = abs((guest2 - guest1) - (host2 - host1))
    assert drift_ns <= tolerance * (host2 - host1) + slack_ns
    date = [int(match[2]) for match, _ in told if match][-1]
    assert abs(date - time.time()) <= 2


# --- waiting ------------------------------------------------------------------------------------


def processor_ticks(process):
    """What a process has used so far, all its threads together."""
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def sleeping_beside_polling(vm):
    """The processor time of the image's sleep, as a part of that of as long a time of polling."""
    ticks = []
    for line in ("^polls$", "^sleeps$", "^slept, "):
        vm.expect(line)
        ticks.append(processor_ticks(vm.process))
    return (ticks[2] - ticks[1]) / (ticks[1] - ticks[0])


@pytest.mark.parametrize("accel, ring", WAYS, indirect=["accel"])
@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_an_image_that_waits_leaves_the_processor_to_others(machine, accel, ring):
    with boot("selftest", f"sleep=2 ring={ring}", machine=machine, accel=accel) as vm:
        assert sleeping_beside_polling(vm) < 0.2
        assert vm.exit_code() == 0


def test_a_process_that_waits_leaves_the_processor_to_others():
    with Vm([str(image("selftest", "linux")), "sleep=2", "mem=16M"]) as process:
        assert sleeping_beside_polling(process) < 0.2
        assert process.status() == 0
