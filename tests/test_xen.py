"""Images as domains of a real Xen, with Linux' netback at the other end: the bed of tests/xen.

The bed runs once for all tests, and they leave it as they found it: every domain is destroyed.
What an image is asked from outside takes the way QEMU's user network - dom0's bridge - netback.
"""

import json
import re

import pytest

from memcached_compare import compare
from udpkv_client import EVERY_COMMAND, Client
from vm import GUEST_IP, ROOT, free_udp_port, image, user_netdev
from xen.bed import DOM0_IP, Bed

HOST = "127.0.0.1"
MAC = "00:16:3e:00:00:02"
CREATE_DEADLINE_S = 60
PAGE_SLACK = 2  # grants that Xen's own rings of console and store take

# Until the platform is there, only what needs no image of ours.
if not (ROOT / "src/boot/xen/plat.mk").exists():
    collect_images = False
else:
    collect_images = True


def of_image(test):
    return test if collect_images else None


@pytest.fixture(scope="module")
def port():
    return free_udp_port()


@pytest.fixture(scope="module")
def bed(port):
    with Bed(user_netdev(port)) as running:
        yield running


def packets(text):
    """What the program of tests/xen/packets told."""
    return json.loads(text[text.index("{") :])


# --- the bed itself -------------------------------------------------------------------------------


def test_it_is_a_real_xen(bed):
    assert re.search(r"^xen_major +: 4\nxen_minor +: 17$", bed.run("xl info"), re.M)
    assert bed.run("xenstore-read /local/domain/0/name") == "Domain-0\n"
    assert bed.run("cat /proc/xen/capabilities") == "control_d\n"


def test_commands_of_dom0_bring_back_output_and_status(bed):
    jobs = [bed.start(f"echo {i}; exit {i}") for i in range(3)]
    assert [(job.wait(), job.output) for job in jobs] == [(i, f"{i}\n") for i in range(3)]
    with pytest.raises(AssertionError, match="it ended with 7"):
        bed.run("exit 7")


def test_a_command_that_doesnt_end_is_ended(bed):
    job = bed.start("echo begun; sleep 1000")
    job.expect("begun")
    with pytest.raises(AssertionError, match="it didn't end in 0.1 s"):
        job.wait(0.1)
    assert job.status == 128 + 9
    assert bed.run("pidof sleep", check=False) == ""


def test_what_xl_refuses_is_told(bed, tmp_path):
    nonsense = tmp_path / "nonsense"
    nonsense.write_bytes(b"no kernel" * 1000)
    with bed.domain(nonsense) as domain:
        assert domain.wait() == "not created"
        assert "xc_dom_find_loader" in domain.xl() or "loader" in domain.xl()


# --- a Linux guest, which is what ours is measured beside -----------------------------------------


@pytest.fixture(scope="module")
def linux(bed):
    with bed.linux("net.ip=10.0.2.16/24", vif="") as guest:
        guest.expect("^linux: ready", CREATE_DEADLINE_S)
        yield guest


def in_linux(guest, command):
    guest.send(command.encode() + b"\n")


def test_linux_answers_pings_of_every_size(bed, linux):
    told = packets(bed.run("packets ping 10.0.2.16 size=0 to=1472", deadline_s=120))
    assert told["received"] == told["sent"] == 1473
    assert told["wrong"] == 0


def test_packets_to_linux_are_accounted_for(bed, linux):
    vif = f"vif{linux.domid}.0"
    in_linux(linux, "packets sink eth0 count=2000 seconds=30")
    linux.expect("packets: listening")
    sent = packets(bed.run(f"packets send {vif} count=2000 dst.mac=ff:ff:ff:ff:ff:ff"))
    came = packets(linux.expect("^{.*}$")[0])
    assert sent["sent"] == came["unique"] == 2000
    assert came["lost"] == came["duplicates"] == came["reordered"] == came["csum_bad"] == 0


def test_packets_from_linux_are_accounted_for(bed, linux):
    sink = bed.start(f"packets sink vif{linux.domid}.0 count=2000 seconds=30")
    sink.expect("listening")
    in_linux(linux, "packets send eth0 count=2000")
    sent = packets(linux.expect("^{.*}$")[0])
    assert sink.wait() == 0
    came = packets(sink.output)
    assert sent["sent"] == came["unique"] == 2000
    assert came["lost"] == came["duplicates"] == came["reordered"] == came["csum_bad"] == 0


def test_an_end_has_its_reason(bed, linux):
    """Last of Linux' tests: it ends the guest."""
    in_linux(linux, "reboot -f")
    assert linux.wait() == "reboot"
    assert bed.run("xl list | grep -c linux", check=False) == "1\n"
