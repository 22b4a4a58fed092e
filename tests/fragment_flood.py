# SPDX-License-Identifier: BSD-2-Clause
"""What a flood of fragments that never complete costs others: udpkv as a process on a tap, kvload at a fixed
rate alone, then the same beside the flood in runs of ten seconds until the flood is over, then whether all is
whole.

    python3 tests/fragment_flood.py --packets 10000000 --rate 2000

Every fragment is the first of another datagram, from one of 200 made-up sources. Prints each rate and what
udpkv counted. The status is 0 if the last whole run beside the flood had at least --ratio of the rate alone,
a value in fragments can be set afterwards, and every pool is whole. Needs `make kvload` and a namespace.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from test_tap import APP_IP, Namespace, end
from vm import ROOT

KVLOAD = ROOT / "build/bench/kvload"
SECONDS = 10
SENDER = """
import socket, sys, time
from fragment_flood import first_fragments
count, rate = int(sys.argv[1]), int(sys.argv[2])
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("ring0", 0))
frames = first_fragments(bytes.fromhex(sys.argv[3]), raw.getsockname()[4])
start = time.monotonic()
for i in range(count):
    if i % 64 == 0:
        time.sleep(max(0, start + i / rate - time.monotonic()))
    while True:
        try:
            raw.send(frames[i % len(frames)])
            break
        except OSError:  # the tap's queue is full
            time.sleep(0.0005)
"""
SET_LARGE = """
from test_fragments import check_values
from udpkv_client import Client
with Client("10.0.2.15", 11211) as client:
    check_values(client)
    print({k: v for k, v in client.stats().items() if "fragment" in k or k in ("reassembled", "requests")})
"""


def first_fragments(to, source):
    """Frames of 514 bytes for 10.0.2.15, one for each identification."""
    dice, frames = random.Random(1), []
    for ident in range(65536):
        ip = bytearray(bytes((0x45, 0, 1, 244)) + ident.to_bytes(2, "big") + bytes((0x20, 0, 64, 17, 0, 0)))
        ip += bytes((10, 0, 2, dice.randrange(20, 220), 10, 0, 2, 15))
        words = sum(int.from_bytes(ip[at : at + 2], "big") for at in range(0, 20, 2))
        ip[10:12] = (0xFFFF - words % 0xFFFF).to_bytes(2, "big")
        frames.append(to + source + b"\x08\x00" + ip + bytes(480))
    return frames


def kvload(namespace, rate):
    """Requests a second that were answered, all of them right."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        command = [*namespace.enter, str(KVLOAD), f"--server={APP_IP}", "--threads=1", "--clients=1",
                   "--pipeline=16", f"--rate-limiting={rate}", f"--test-time={SECONDS}", "--populate",
                   "--key-maximum=1000", "--hide-histogram", f"--json-out-file={told}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads(told.read_text())["ALL STATS"]["Totals"]["Ops/sec"]


def measure(namespace, mac, args):
    alone = kvload(namespace, args.rate)
    print(f"alone: {alone:.0f} requests a second", flush=True)
    command = [*namespace.enter, sys.executable, "-B", "-c", SENDER, str(args.packets), str(args.flood_rate),
               mac.replace(":", "")]
    beside = []
    sender = subprocess.Popen(command, cwd=Path(__file__).parent)
    try:
        while True:
            rate = kvload(namespace, args.rate)
            if sender.poll() is not None:
                break
            beside.append(rate)
            print(f"beside the flood: {rate:.0f}", flush=True)
    finally:
        sender.kill()
        sender.wait()
    if sender.returncode != 0 or not beside:
        raise SystemExit(f"the flood was over within {SECONDS} s, or failed: give it more --packets")
    return min(beside) / alone


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=10_000_000, help="fragments of the flood (default %(default)s)")
    parser.add_argument("--flood-rate", type=int, default=50_000,
                        help="of them a second; a tap that is full would lose whole requests, too (default %(default)s)")
    parser.add_argument("--rate", type=int, default=2000, help="kvload's requests a second (default %(default)s)")
    parser.add_argument("--ratio", type=float, default=0.95, help="what must be left of it (default %(default)s)")
    args = parser.parse_args()
    namespace = Namespace()
    try:
        with namespace.app("udpkv", "tap=ring0") as app:
            mac = app.expect(r"^udpkv: serves .*MAC ([0-9a-f:]+)")[1]
            namespace.up("ring0")
            namespace.ping()
            ratio = measure(namespace, mac, args)
            print(namespace.python(SET_LARGE), end="")
            end(app)
    finally:
        namespace.close()
    print(f"ratio: {ratio:.3f}")
    return 0 if ratio >= args.ratio else 1


if __name__ == "__main__":
    sys.exit(main())
