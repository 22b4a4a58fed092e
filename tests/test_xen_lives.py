# SPDX-License-Identifier: BSD-2-Clause
"""What becomes of a domain on a real Xen: wrong images, memory that comes and goes, moves, reboots."""

import re
import struct
import subprocess

from udpkv_client import Client
from vm import GUEST_IP, HOST, Vm, image, qemu_command
from xen.bed import announcement, packets_told

MAC = "00:16:3e:00:00:02"
VIF = f"mac={MAC}"


# --- images and command lines that can't be right ---------------------------------------------------


def test_an_image_for_other_vmms_says_so_to_who_gives_it_to_xl(xen):
    with xen.domain(image("hello", "kvm")) as hello:
        hello.expect(r"xl has started it as a domain of Xen; build it with PLAT=xen\.$")
        assert hello.wait() == "poweroff"


def test_an_image_for_xen_says_so_to_who_gives_it_to_qemu():
    with Vm(qemu_command(image("hello", "xen"), machine="microvm")) as hello:
        hello.expect(r"^hello: this image is for Xen, and there is none; build it with PLAT=kvm ")
        assert hello.exit_code() == 64


RETURN_FALSE = bytes.fromhex("31c0 c3")


def with_code(program, function, code):
    """The program's file, but with this code at the beginning of the function (ELF-64: the program headers)."""
    symbols = subprocess.run(["nm", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    at = int(re.search(rf"^(\w+) [Tt] {function}$", symbols, re.M)[1], 16)
    data = bytearray(program.read_bytes())
    (table,), (count,) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<H", data, 56)
    for number in range(count):
        kind, offset, place, size = struct.unpack_from("<I4xQQ8xQ", data, table + 56 * number)
        if kind == 1 and place <= at < place + size:
            offset += at - place
            data[offset : offset + len(code)] = code
            return bytes(data)
    raise AssertionError(f"{function} isn't in the file of {program}")


def test_what_goes_wrong_before_there_is_a_console_is_told(xen, tmp_path):
    """As what Xen refuses there is never refused by a Xen that is well, the image is one in which that call
    fails."""
    refused = tmp_path / "refused"
    refused.write_bytes(with_code(image("hello", "xen"), "xen_map", RETURN_FALSE))
    with xen.domain(refused) as hello:
        hello.expect(r'^panic: Xen gives this domain no shared info page; give it type="pvh" in its configuration\.$')
        assert (hello.exit_code(), hello.reason) == (70, "crash")


# --- memory ---------------------------------------------------------------------------------------


def has_mib(xen, domain, mib):
    """Waits until xl tells that the domain has so much memory; xl rounds down."""
    size = rf"^{domain.name} +{domain.domid} +({mib}|{mib - 1}) "
    xen.run(f"until xl list {domain.name} | grep -qE '{size}'; do usleep 50000; done")


def test_no_more_memory_is_used_than_was_given(xen):
    """Without udpkv.mem it takes, and writes to, all that there is; one page more, and Xen would end
    the domain."""
    with xen.domain(image("udpkv", "xen"), vif=VIF, memory=12, more="maxmem=48") as domain:
        assert re.search(", 12 MiB, ", domain.expect("^Ringloop: ").string)
        domain.expect("^udpkv: serves .* which is all that this machine has left")
        domain.shutdown()
        domain.expect(r"^udpkv: every pool is whole\.$")
        assert (domain.exit_code(), domain.reason) == (0, "poweroff")


# --- moves ----------------------------------------------------------------------------------------


def dom0_date(xen):
    return int(xen.run("date +%s"))


def test_a_domain_of_two_cores_is_moved_twice(xen, two_queues, xen_ports):
    """Memory goes and comes in between. After each move the neighbours are told where the address is,
    and the date is right."""
    with (xen.domain(image("udpkv", "xen"), "cores=2 udpkv.mem=4M", vcpus=2, vif=VIF, memory=32,
                     more="maxmem=40") as domain, xen.captured() as frames,
          Client(HOST, xen_ports[0]) as client):
        domain.expect("^udpkv: serves ")
        for mib in (20, 36):
            xen.run(f"xl mem-set {domain.name} {mib}")
            has_mib(xen, domain, mib)
            announced = frames().count(announcement(MAC))
            domain.save_and_restore()
            told = packets_told(xen.run(f"packets ping {GUEST_IP} first=1", deadline_s=60))
            assert told["received"] == 1 and told["wrong"] == 0
            assert frames().count(announcement(MAC)) > announced
            before_s, date_s = dom0_date(xen), client.stats()["time"]
            assert before_s - 1 <= date_s <= dom0_date(xen) + 1
        xen.run(f"xl mem-set {domain.name} 1")
        domain.expect("^xen: this image has no memory free that it could give back; ")
        domain.shutdown()
        domain.expect(r": stopped; 0 pages of this domain are still granted\.$")
        domain.expect(r"^udpkv: every pool is whole\.$")
        assert domain.exit_code() == 0


def test_a_rebooted_domain_starts_as_the_first_time(xen):
    with xen.domain(image("udpkv", "xen"), vif=VIF, more='on_reboot="restart"') as domain:
        domain.expect("^udpkv: serves ")
        first = domain.console()
        xen.run(f"xl reboot {domain.name}")
        domain.expect(r"^Ringloop: exit 0\.$")
        domain.expect("^udpkv: serves ")
        again = domain.console()[len(first) :]
        assert re.findall("^udpkv: serves .*$", again, re.M) == re.findall(
            "^udpkv: serves .*$", first, re.M)
        told = packets_told(xen.run(f"packets ping {GUEST_IP} first=1", deadline_s=60))
        assert told["received"] == 1
        domain.shutdown()
        domain.expect(r"^udpkv: every pool is whole\.$")
        assert domain.exit_code() == 0
