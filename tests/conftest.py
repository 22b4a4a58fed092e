"""What the tests of images share."""

import subprocess

import pytest

from vm import ROOT, free_udp_port, kvm_problem, udp_forward, user_netdev
from xen.bed import DOM0_IP, Bed

# Images for Xen are tested where the tree has the platform.
collect_ignore = [] if (ROOT / "src/boot/xen/plat.mk").exists() else ["test_xen_images.py"]


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
