# SPDX-License-Identifier: BSD-2-Clause
"""A network namespace for this process and all that it starts from then on, with taps in it."""

import ctypes
import os
import subprocess
from pathlib import Path

from systems import SystemGone

CLONE_NEWNET = 0x40000000
MAC = "52:54:00:12:34:56"  # QEMU's first card


def enter(taps):
    """Moves this process into a new namespace that has these taps, and ends with it; takes root.

    taps    {name: own address}. Guests at the other end are on that network of 24 bits.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise SystemGone(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    # Else this side asks for routers now and then, and no guest would be idle.
    for place in ("all", "default"):
        switch = Path(f"/proc/sys/net/ipv6/conf/{place}/disable_ipv6")
        if switch.exists():
            switch.write_text("1")
    ip("link set lo up")
    for name, address in taps.items():
        ip(f"tuntap add dev {name} mode tap")
        ip(f"addr add {address}/24 dev {name}")
        ip(f"link set {name} up")


def know(name, address):
    """The card of a guest is known before it is there: a question for it is repeated each second only."""
    ip(f"neigh replace {address} lladdr {MAC} dev {name} nud permanent")


def ip(words):
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemGone(f"ip {words}: {done.stderr.strip()}")


def tap_netdev(name):
    """The text after QEMU's -netdev: QEMU itself moves the packets, never vhost-net."""
    return f"tap,id=n0,ifname={name},script=no,downscript=no,vhost=off"
