# SPDX-License-Identifier: BSD-2-Clause
"""Several cores: they start, run what boot_run gives them, fail for all, and sleep when idle."""

import os
import re
import signal
import subprocess

import pytest

from vm import CTRL_C, DEADLINE_S, Vm, image, qemu_command

WAYS = [("tcg", "0"), ("tcg", "3"), ("kvm", "auto")]
on_every_way = pytest.mark.parametrize("accel, ring", WAYS, indirect=["accel"])


def boot(keys, app="selftest", cpus=2, machine="microvm", **more):
    return Vm(qemu_command(image(app), keys, machine=machine, cpus=cpus, **more))


def passes(vm):
    result = vm.expect(r"^(\d+) passed, (\d+) failed, 0 skipped$", deadline_s=120)
    assert result[2] == "0", vm.console()
    assert int(result[1]) > 0
    assert vm.exit_code() == 0


# --- unit tests with several cores ----------------------------------------------------------------


@pytest.mark.parametrize("machine", ["microvm", "q35", "pc"])
@on_every_way
def test_cores_run_what_they_are_given(machine, accel, ring):
    with boot(f"cores=2 ring={ring} only=cores_", machine=machine, accel=accel) as vm:
        passes(vm)


def test_cores_run_in_a_ring_that_may_be_emulated(accel):
    """Of the unit tests one that needs nothing but general registers, as ring 0 may have no others."""
    with boot("cores=2 ring=0 only=cores_run_once_each", accel=accel) as vm:
        passes(vm)


def test_all_unit_tests_pass_on_an_image_of_two_cores(accel):
    with boot("cores=2", accel=accel) as vm:
        passes(vm)


@pytest.mark.parametrize("cpus, cores", [(4, 2), (4, 4), (9, 8)])
def test_processors_that_arent_asked_for_are_left_alone(cpus, cores):
    with boot(f"cores={cores} only=cores_", cpus=cpus, accel="tcg") as vm:
        passes(vm)


@pytest.mark.parametrize("more", [["-M", "acpi=off"], ["-m", "6G"]])
def test_nothing_but_the_processors_is_needed(more, accel):
    with boot("cores=2 only=cores_", accel=accel, more=more) as vm:
        passes(vm)


# --- what can't be --------------------------------------------------------------------------------


@on_every_way
def test_a_machine_with_too_few_processors_is_told(accel, ring):
    with boot(f"cores=3 ring={ring}", accel=accel) as vm:
        vm.expect(r"^selftest: cores=3 needs as many processors, and 2 came; give the machine more .*\.$")
        assert vm.exit_code() == 64


@pytest.mark.parametrize("value", ["0", "9", "two", ""])
def test_a_number_of_cores_that_cant_be(value):
    with boot(f"cores={value}") as vm:
        vm.expect(f"cores={value} can't be used: expected a whole number from 1 to 8")
        assert vm.exit_code() == 64


def test_an_image_that_never_asks_for_cores_has_none_of_it():
    with boot("cores=2", app="hello") as vm:
        vm.expect("no key 'cores' in this image")
        assert vm.exit_code() == 64


# --- one core ends it for all ---------------------------------------------------------------------

FAULTS = {
    "div": "divide error",
    "gp": "general protection",
    "pf_null": "a null pointer was used",
    "stack_overflow": "the stack has overflowed",
    "half_line": "invalid instruction",
}


def backtrace(make, vm):
    addresses = vm.expect(r"^backtrace: (0x[0-9a-f]+(?: 0x[0-9a-f]+)*)$")[1]
    status, said = make("lines", "APP=selftest", "PLAT=kvm", f"AT={addresses}")
    assert status == 0, said
    return said


@pytest.mark.parametrize("fault", FAULTS)
@on_every_way
def test_a_fault_on_another_core_ends_the_image(fault, accel, ring, make):
    with boot(f"cores=2 ring={ring} fault={fault} fault.core=1", accel=accel) as vm:
        vm.expect(r"^fault: .* on core 1$")
        if fault != "stack_overflow":  # whose backtrace is all one function
            assert "provoke" in backtrace(make, vm)
        assert vm.exit_code() == 71
        assert FAULTS[fault] in vm.console()


@pytest.mark.parametrize("core", [1, 8])
@on_every_way
def test_a_panic_is_one_report(core, accel, ring, make):
    with boot(f"cores=2 ring={ring} fault=panic fault.core={core}", accel=accel) as vm:
        vm.expect(r"^panic: Asked to panic\.$")
        assert "provoke" in backtrace(make, vm)
        assert vm.exit_code() == 70
        assert vm.console().count("panic:") == 1


@on_every_way
def test_an_exit_on_another_core_is_the_images(accel, ring):
    with boot(f"cores=2 ring={ring} fault=exit fault.core=1", accel=accel) as vm:
        vm.expect(r"^Ringloop: exit 3\.$")
        assert vm.exit_code() == 3


@on_every_way
def test_a_report_comes_out_though_another_core_keeps_the_console(accel, ring):
    with boot(f"cores=2 ring={ring} fault=others_line fault.core=8", accel=accel) as vm:
        vm.expect(r"^fault: invalid instruction .* on core 1$")
        assert vm.exit_code() == 71


# --- what they share ------------------------------------------------------------------------------


def check_lines(text, cores, count):
    lines = [line for line in text.splitlines() if not line.startswith("Ringloop: ")]
    expected = {f"line {i} of core {core}, in pieces." for i in range(count) for core in range(cores)}
    assert len(lines) == len(expected)
    assert set(lines) == expected


@on_every_way
def test_lines_of_cores_dont_mix(accel, ring):
    with boot(f"cores=2 ring={ring} lines=200", accel=accel) as vm:
        assert vm.exit_code() == 0
        check_lines(vm.console(), 2, 200)


@on_every_way
def test_another_core_is_told_of_the_end(accel, ring):
    """The clock is shown by the last core; Ctrl-C is seen by core 0, which only waits for it."""
    with boot(f"cores=2 ring={ring} clock=3600", accel=accel) as vm:
        vm.expect("^clock ")
        vm.send(CTRL_C)
        assert vm.exit_code() == 0
        assert "went back" not in vm.console()


def thread_times(pid):
    """Processor time of each thread of QEMU so far, by its name."""
    times = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        stat = open(f"/proc/{pid}/task/{task}/stat").read()
        name, rest = re.search(r"\((.*)\) (.*)", stat, re.S).groups()
        times[name] = sum(map(int, rest.split()[11:13]))
    return times


@pytest.mark.parametrize("machine", ["microvm", "q35"])
@on_every_way
def test_cores_with_nothing_to_do_sleep(machine, accel, ring):
    """Core 2 shows the clock, at which it looks all the time; core 1 has nothing to do, and core 0
    but to look for the operator's wish to end."""
    name = ["-name", "cores,debug-threads=on"]
    with boot(f"cores=3 ring={ring} clock=3600", machine=machine, accel=accel, cpus=3, more=name) as vm:
        for _ in range(10):
            vm.expect("^clock ")
        before = thread_times(vm.process.pid)
        for _ in range(20):
            vm.expect("^clock ")
        after = thread_times(vm.process.pid)
        cpus = [f"CPU {i}/{accel.upper()}" for i in range(3)]
        waits, idle, busy = (after[cpu] - before[cpu] for cpu in cpus)
        assert waits * 4 < busy
        assert idle * 10 < busy
        vm.send(CTRL_C)
        assert vm.exit_code() == 0


# --- as a host process: threads -------------------------------------------------------------------


def process(keys, **more):
    command = [image("selftest", "linux"), *keys.split()]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=DEADLINE_S, **more)


@pytest.mark.parametrize("cores", [1, 2, 8])
def test_threads_run_what_they_are_given(cores):
    done = process(f"cores={cores} only=cores_")
    assert re.search(r"^[1-9]\d* passed, 0 failed, 0 skipped$", done.stdout, re.M), done.stdout
    assert done.returncode == 0


def test_threads_share_what_processors_the_process_may_use():
    """With too few of them they aren't bound to any, and all get their turn."""
    done = process("cores=2 only=cores_", preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("fault, core, status", [("panic", 3, 70), ("panic", 8, 70), ("exit", 1, 3), ("exit", 8, 3)])
def test_a_thread_ends_the_process(fault, core, status):
    done = process(f"cores=4 fault={fault} fault.core={core}")
    assert done.returncode == status
    assert done.stdout.count("panic:") == (status == 70)
    assert ("backtrace: 0x" in done.stdout) == (status == 70)


def test_lines_of_threads_dont_mix():
    check_lines(process("cores=4 lines=500").stdout, 4, 500)


def test_a_signal_ends_what_threads_do():
    command = [image("selftest", "linux"), "cores=2", "clock=3600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            while not running.stdout.readline().startswith("clock "):
                assert running.poll() is None
            running.send_signal(signal.SIGTERM)
            running.stdout.read()
            assert running.wait(DEADLINE_S) == 0
        finally:
            running.kill()


# --- on Xen: vcpus --------------------------------------------------------------------------------


@pytest.mark.parametrize("cores, vcpus", [(2, 2), (2, 3), (3, 3)])
def test_vcpus_run_what_they_are_given(xen, cores, vcpus):
    with xen.domain(image("selftest", "xen"), f"cores={cores} only=cores_", vcpus=vcpus) as domain:
        assert domain.expect(r"^(\d+) passed, (\d+) failed, 0 skipped$", 60)[2] == "0"
        assert domain.exit_code() == 0


def test_a_domain_with_too_few_vcpus_is_told(xen):
    with xen.domain(image("selftest", "xen"), "cores=2") as domain:
        domain.expect("cores=2 needs as many processors, and Xen has no vcpu 1 for this domain")
        assert (domain.exit_code(), domain.reason) == (64, "poweroff")


@pytest.mark.parametrize("fault, code", [("pf_null", 71), ("panic", 70)])
def test_a_fault_on_another_vcpu_is_the_domains(xen, fault, code):
    keys = f"cores=2 fault={fault} fault.core=1"
    with xen.domain(image("selftest", "xen"), keys, vcpus=2) as domain:
        domain.expect(r"^fault: page fault .* on core 1" if code == 71 else r"^panic: Asked to panic\.")
        assert domain.exit_code() == code
        assert domain.reason == "crash"


def test_another_vcpu_is_told_of_the_end(xen):
    with xen.domain(image("selftest", "xen"), "cores=2 clock=3600", vcpus=2) as domain:
        domain.expect("^clock ")
        xen.run(f"xl shutdown {domain.name}")
        assert domain.exit_code() == 0
