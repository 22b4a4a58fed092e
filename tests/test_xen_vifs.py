# SPDX-License-Identifier: BSD-2-Clause
"""The vifs of a domain on a real Xen: those that are used, those that aren't, those that come and go
while it runs; and domains whose vifs are configured wrongly."""

import pytest

from vm import GUEST_IP, image
from xen.bed import packets_told

MACS = [f"00:16:3e:00:02:0{i}" for i in range(3)]


def detach(xen, domain, number):
    """In order: xl takes a vif away by force if its front end doesn't answer for ten seconds."""
    said = xen.run(f"xl -vvv network-detach {domain.name} {number} 2>&1", deadline_s=60)
    assert "forced remove" not in said


def attach(xen, domain, mac):
    xen.run(f"xl network-attach {domain.name} mac={mac} bridge=br0", deadline_s=60)


def test_vifs_come_and_go(xen):
    vifs = [f"mac={mac}" for mac in MACS[:2]]
    with xen.domain(image("udpkv", "xen"), vif=vifs) as domain:
        domain.expect(rf"^udpkv: device 0 is netfront at vif 0, MAC {MACS[0]}; it is used\.$")
        domain.expect(rf"^udpkv: device 1 is netfront at vif 1, MAC {MACS[1]}; it isn't used, ")
        domain.expect("^udpkv: serves ")
        detach(xen, domain, 1)
        attach(xen, domain, MACS[2])  # gets the free number
        attach(xen, domain, MACS[1])
        domain.expect(rf"^vif 2: it came while this image runs, with the MAC address {MACS[1]}, and ")
        detach(xen, domain, 2)
        detach(xen, domain, 1)
        detach(xen, domain, 0)
        domain.expect("^vif 0: the back end has gone")
        attach(xen, domain, MACS[2])
        domain.expect(rf"^vif 0: it is back with the MAC address {MACS[2]} and isn't used, .*={MACS[0]}\.$")
        detach(xen, domain, 0)
        attach(xen, domain, MACS[0])
        domain.expect("^vif 0: the back end is back")
        assert packets_told(xen.run(f"packets ping {GUEST_IP} first=1", deadline_s=20))["received"] == 1
        domain.shutdown()
        domain.expect(r"^udpkv: every pool is whole\.$")
        assert domain.exit_code() == 0


def check_misconfigured(domain, *sentences):
    """It says what is wrong, and ends in order: a crash would be repeated by on_crash="restart"."""
    for sentence in sentences:
        domain.expect(sentence)
    assert domain.exit_code() == 64
    assert domain.reason == "poweroff"


NONE = "^udpkv: it needs a network device and this machine has none that it could use"


@pytest.mark.parametrize("keys, more, sentences", [
    ("", {}, [f"{NONE}; give the domain a vif in xl's configuration, "]),
    ("", {"vif": "mac=01:16:3e:00:02:00"},
     ["^vif 0: it can't be used, as its MAC address '01:16:3e:00:02:00' isn't one of a single host; ",
      f"{NONE}: the lines above name "]),
    ("cores=2", {"vif": f"mac={MACS[0]}", "vcpus": 2},
     ["^udpkv: cores=2 needs as many queue pairs, and netfront at vif 0 has 1; .*max_queues"]),
    ("udpkv.mem=64M", {"vif": f"mac={MACS[0]}", "memory": 16},
     [r"^udpkv: udpkv\.mem=65536K is more than this machine has left for items; "]),
])
def test_wrong_vifs_and_keys_that_dont_fit_are_told(xen, keys, more, sentences):
    with xen.domain(image("udpkv", "xen"), keys, **more) as domain:
        check_misconfigured(domain, *sentences)


def test_a_store_that_cant_be_read_is_told(xen):
    with xen.domain(image("udpkv", "xen"), vif=f"mac={MACS[0]}", paused=True) as domain:
        xen.run(f"xenstore-chmod /local/domain/{domain.domid}/device/vif n0")
        xen.run(f"xl unpause {domain.name}")
        check_misconfigured(domain, "^The store doesn't tell this domain's network devices; ", NONE)
