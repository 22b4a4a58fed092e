# SPDX-License-Identifier: BSD-2-Clause
"""Floods from made-up sources, short ones: others are answered meanwhile, each packet is counted, what is kept is
bounded and every pool is whole. What a long one costs others is for tests/flood.py."""

import contextlib
import subprocess
import sys

import pytest

from flood import KEYS, KINDS, SLOTS, in_namespace
from test_ipv6 import APP, Host, end
from test_tap import Namespace
from vm import ROOT

COUNT, RATE = 20_000, 10_000


@pytest.mark.parametrize("plat", ["linux", "kvm"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_leaves_others_alone(kind, plat):
    with contextlib.closing(Namespace()) as namespace:
        host = Host(namespace, 1500)
        with host.app(plat, KEYS) as vm:
            namespace.ping()
            host.ping(APP)
            counted, answers = in_namespace(host, f"beside({kind!r}, {COUNT}, {RATE})")
            assert min(answers.values()) > 0
            told = sum(counted.get(name, 0) for name in KINDS[kind][1])
            assert COUNT <= told <= COUNT + 100, counted  # the host speaks, too
            if kind.startswith("fragments"):
                given_up = sum(counted.get(f"drop_fragments_{why}", 0) for why in ("late", "crowded", "share"))
                assert COUNT - SLOTS <= given_up <= COUNT, counted
            host.ask("10.0.2.15", [3000])
            host.ask(APP, [3000])
            end(vm)


def test_what_can_not_be_measured_is_told():
    command = [sys.executable, "-B", str(ROOT / "tests/flood.py")]
    told = subprocess.run([*command, "rain"], stderr=subprocess.PIPE, text=True)
    assert told.returncode == 2 and "invalid choice: 'rain'" in told.stderr
