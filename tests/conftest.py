# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of images share."""

import subprocess

import pytest

from testpmd import why_no_testpmd
from vm import ROOT, free_udp_port, kvm_problem, udp_forward, user_netdev
from xen.bed import DOM0_IP, Bed


def pytest_configure(config):
    config.addinivalue_line("markers", "testpmd: needs DPDK's testpmd, which takes a whole core")


@pytest.hookimpl(tryfirst=True)  # before xdist looks for groups
def pytest_collection_modifyitems(items):
    """Of the tests that run side by side, never two have a testpmd that polls; and one Xen is enough."""
    problem = why_no_testpmd()
    for item in items:
        if "xen" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("xen"))
        if item.get_closest_marker("testpmd"):
            item.add_marker(pytest.mark.xdist_group("testpmd"))
            if problem:
                item.add_marker(pytest.mark.skip(reason=problem))


@pytest.fixture(params=["tcg", "kvm"])
def accel(request):
    """Both accelerators; KVM is skipped where it can't be used."""
    problem = kvm_problem() if request.param == "kvm" else None
    if problem:
        pytest.skip(f"KVM can't be used here: {problem}")
    return request.param


@pytest.fixture
def make():
    """Runs make in a tree and returns (status, everything it printed)."""

    def run(*words, cwd=ROOT):
        done = subprocess.run(
            ["make", "-s", *words],
            cwd=cwd,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout

    return run


@pytest.fixture(scope="session")
def xen_ports():
    """Two UDP ports of 127.0.0.1: the first leads to 10.0.2.15:11211 of the Xen test bed, the second
    to its dom0."""
    return free_udp_port(), free_udp_port()


@pytest.fixture(scope="session")
def xen(xen_ports):
    """A real Xen, started once for all tests: each leaves it without domains."""
    with Bed(f"{user_netdev(xen_ports[0])},{udp_forward(xen_ports[1], DOM0_IP)}") as bed:
        yield bed


@pytest.fixture
def two_queues(xen):
    """netback offers two queues while this lasts."""
    file = "/sys/module/xen_netback/parameters/max_queues"
    before = xen.run(f"cat {file}").strip()
    xen.run(f"echo 2 >{file}")
    yield
    xen.run(f"echo {before} >{file}")
