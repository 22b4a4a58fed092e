# SPDX-License-Identifier: BSD-2-Clause
"""The machine, the versions and the commit that a result depends on; and reading them back from a result."""

import datetime
import os
import platform
import re
import shutil
import subprocess

from report import ROOT


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "not installed"
    return next(iter((done.stdout or done.stderr).strip().splitlines()), "")


def facts():
    """[(name, text)], the head of every result."""
    cpu = "unknown"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
    commit = "a tree without its history"
    if shutil.which("git") and (ROOT / ".git").exists():
        git = ("git", "-C", str(ROOT))
        commit = first_line(*git, "log", "-1", "--format=%h %cs")
        if first_line(*git, "status", "--porcelain", "--", "src", "bench", ":!bench/results"):
            commit += " and changes that aren't committed"
    packages = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}, ", "dpdk-dev", "gcc", "qemu-system-x86"],
        capture_output=True,
        text=True,
    ).stdout.strip(", ")
    load = os.getloadavg()[0]
    return [
        ("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
        ("processor", f"{cpu}, {os.cpu_count()} processors"),
        ("kernel", platform.release()),
        ("packages", packages),
        ("ringloop", commit),
        ("load before", f"{load:.2f}" + (" (not a quiet machine)" if load > 0.5 else "")),
    ]


def facts_of(page):
    """The facts in the head of a result's .md, {name: text}."""
    head = page.read_text().partition("\n|")[0]
    return dict(re.findall(r"^- ([^:]+): (.*)$", head, re.M))
