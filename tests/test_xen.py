# SPDX-License-Identifier: BSD-2-Clause
"""The test bed of tests/xen: a real Xen, commands in its dom0, a Linux guest with netfront."""

import re

import pytest

from xen.bed import packets_told

CREATE_DEADLINE_S = 60


# --- the bed itself -------------------------------------------------------------------------------


def test_it_is_a_real_xen(xen):
    assert re.search(r"^xen_major +: 4\nxen_minor +: 17$", xen.run("xl info"), re.M)
    assert xen.run("xenstore-read /local/domain/0/name") == "Domain-0\n"
    assert xen.run("cat /proc/xen/capabilities") == "control_d\n"


def test_commands_of_dom0_bring_back_output_and_status(xen):
    jobs = [xen.start(f"echo {i}; exit {i}") for i in range(3)]
    assert [(job.wait(), job.output) for job in jobs] == [(i, f"{i}\n") for i in range(3)]
    with pytest.raises(AssertionError, match="it ended with 7"):
        xen.run("exit 7")


def test_a_command_that_doesnt_end_is_ended(xen):
    job = xen.start("echo begun; sleep 1000")
    job.expect("begun")
    with pytest.raises(AssertionError, match="it didn't end in 0.1 s"):
        job.wait(0.1)
    assert job.status == 128 + 9
    assert xen.run("pidof sleep", check=False) == ""


def test_what_xl_refuses_is_told(xen, tmp_path):
    nonsense = tmp_path / "nonsense"
    nonsense.write_bytes(b"no kernel" * 1000)
    with xen.domain(nonsense) as domain:
        assert domain.wait() == "not created"
        assert "xc_dom_find_loader" in domain.xl() or "loader" in domain.xl()


# --- a Linux guest, which is what ours is measured beside -----------------------------------------


@pytest.fixture(scope="module")
def linux(xen):
    with xen.linux("net.ip=10.0.2.16/24", vif="") as guest:
        guest.expect("^linux: ready", CREATE_DEADLINE_S)
        yield guest


def in_linux(guest, command):
    guest.send(command.encode() + b"\n")


def test_linux_answers_pings_of_every_size(xen, linux):
    told = packets_told(xen.run("packets ping 10.0.2.16 size=0 to=1472", deadline_s=120))
    assert told["received"] == told["sent"] == 1473
    assert told["wrong"] == 0


def test_packets_to_linux_are_accounted_for(xen, linux):
    vif = f"vif{linux.domid}.0"
    in_linux(linux, "packets sink eth0 count=2000 seconds=30")
    linux.expect("packets: listening")
    sent = packets_told(xen.run(f"packets send {vif} count=2000 dst.mac=ff:ff:ff:ff:ff:ff"))
    came = packets_told(linux.expect("^{.*}$")[0])
    assert sent["sent"] == came["unique"] == 2000
    assert came["lost"] == came["duplicates"] == came["reordered"] == came["csum_bad"] == 0


def test_packets_from_linux_are_accounted_for(xen, linux):
    sink = xen.start(f"packets sink vif{linux.domid}.0 count=2000 seconds=30")
    sink.expect("listening")
    in_linux(linux, "packets send eth0 count=2000")
    sent = packets_told(linux.expect("^{.*}$")[0])
    assert sink.wait() == 0
    came = packets_told(sink.output)
    assert sent["sent"] == came["unique"] == 2000
    assert came["lost"] == came["duplicates"] == came["reordered"] == came["csum_bad"] == 0


def test_an_end_has_its_reason(xen, linux):
    """Last of Linux' tests: it ends the guest."""
    in_linux(linux, "reboot -f")
    assert linux.wait() == "reboot"
    assert xen.run("xl list | grep -c linux", check=False) == "1\n"
