"""What the tests of images share."""

import subprocess

import pytest

from vm import ROOT, kvm_problem


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
