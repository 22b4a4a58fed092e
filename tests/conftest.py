"""What the tests of images share."""

import subprocess

import pytest

from vm import ROOT, free_udp_port, kvm_problem, user_netdev
from xen.bed import Bed

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
def xen_port():
    """The UDP port of 127.0.0.1 that leads to 10.0.2.15:11211 of the Xen test bed."""
    return free_udp_port()


@pytest.fixture(scope="session")
def xen(xen_port):
    """A real Xen, started once for all tests: each leaves it without domains."""
    with Bed(user_netdev(xen_port)) as bed:
        yield bed
