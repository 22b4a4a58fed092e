# SPDX-License-Identifier: BSD-2-Clause
"""Debian's memcached as the peer that udpkv is held against: starting it, and all that must differ.

Whatever isn't listed here is an error for memcached_compare.py, which asks recorded requests, and
for memcached_random.py, which draws them. What of it a user may notice is in udpkv's README, too.
"""
import re
import subprocess
import time

from udpkv_client import Client
from vm import free_udp_port

HOST = "127.0.0.1"


class Memcached:
    """memcached on a free UDP port of this machine, which `with` gives; it answers by then.

    With one worker, if no more are asked for, so that it answers in order. Without its LRU maintainer, which now and then
    holds an item that was just read; incr and decr then store a new value, where they otherwise
    overwrite the old one and pad it with blanks.
    """

    def __init__(self, threads=1, host=HOST):
        self.threads, self.host = threads, host

    def __enter__(self):
        port = free_udp_port()
        self.process = subprocess.Popen(
            ["memcached", "-u", "nobody", "-l", self.host, "-p", "0", "-U", str(port), "-t", str(self.threads)]
            + ["-o", "no_lru_maintainer,no_lru_crawler"])
        try:
            self.wait_for_answer(port)
        except BaseException:
            self.__exit__()
            raise
        return port

    def wait_for_answer(self, port):
        end = time.monotonic() + 10
        with Client(self.host, port, timeout_s=0.1) as client:
            while True:
                try:
                    client.ask(b"version\r\n")
                    return
                except (ConnectionRefusedError, TimeoutError):
                    assert self.process.poll() is None, "memcached didn't start"
                    assert time.monotonic() < end, "memcached doesn't answer"

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


# --- what must differ -------------------------------------------------------------------------

# (request, memcached's answer, udpkv's answer, reason): the request is searched for the first
# pattern; if memcached's answer matches its pattern as a whole, then udpkv's must match the other.
MUST_DIFFER = [
    (rb"^[\s]*version(\s|\0)", rb"VERSION \d+\.\d+\.\d+\r\n", rb"VERSION 1\.6\.18-ringloop\r\n",
     "udpkv says what it is"),
    (rb"^stats\r\n$", rb"(?:STAT \S+ .*\r\n)+END\r\n", rb"(?:STAT \S+ .*\r\n)+END\r\n",
     "pid, times, values and the set of names; compare_stats holds the common names together"),
    (rb"^\x80\x10(?s:.{22})$", rb"(?s)10 status 00 .*", rb"(?s)10 status 00 .*", "likewise"),
    (rb"^get z z\r\n$", rb"(?s)(VALUE z 0 77000\r\ny.*\r\n){2}END\r\n",
     rb"SERVER_ERROR answer too long for UDP\r\n",
     "an answer of more than 64 datagrams: udpkv refuses to amplify that far"),
]

# In longer answers only these words differ: replaced on both sides before comparing.
SAME_AFTER = [
    (rb"STAT pid .*\r\n(?:STAT .*\r\n)+END\r\n", b"STATS\r\n"),
    (rb"VERSION 1\.6\.\d+(?:-ringloop)?\r\n", b"VERSION\r\n"),
    (rb"(?m)^(0b status 00 .* value )1\.6\.\d+(?:-ringloop)?\r$", rb"\1VERSION\r"),
]

# Datagram headers. memcached sends a datagram, or a run of them, for every key found and for every
# command of a request, each run with sequence numbers from 0 and its own total, and an empty
# datagram (sequence 0, total 0) for a first key not found and for quit. By protocol.txt a client
# takes the first such run for the whole answer. udpkv sends one run for a request, as protocol.txt
# has it. So: udpkv's headers are always held against protocol.txt; they are also compared with
# memcached's whenever those follow it.

# Only for udpkv: memcached over UDP waits for the rest of a data block and takes the next datagrams
# of all clients for it, so it can't be asked. (request, answer, reason)
UDPKV_ONLY = [
    (b"set a 0 0 5\r\nx\r\n", b"CLIENT_ERROR bad data chunk\r\n", "data block not in the datagram"),
    (b"set a 0 0 5\r\nxxxxx", b"CLIENT_ERROR bad data chunk\r\n", "data block without its end"),
    (b"set a 0 0 5\r\nxxxxx\r", b"CLIENT_ERROR bad data chunk\r\n", "data block without its end"),
    (b"set a 0 0 5 noreply\r\nx\r\n", b"", "the same with noreply"),
    (b"set a 0 0 1\r\n", b"CLIENT_ERROR bad data chunk\r\n", "no data block"),
    (b"set a 0 0 2147483645\r\nx\r\n", b"SERVER_ERROR object too large for cache\r\n",
     "the words that memcached has for it over TCP"),
    (b"set a 0 0 77825\r\nx\r\n", b"SERVER_ERROR object too large for cache\r\n",
     "as long as what some clients of IPv6 couldn't read; memcached takes 1 MiB"),
    (b"append a 0 0 2000000\r\nx\r\n", b"SERVER_ERROR object too large for cache\r\n", "likewise"),
    (b"ms a 5\r\nx\r\n", b"CLIENT_ERROR bad data chunk\r\n", "data block not in the datagram"),
    (b"ms newer 1 MA N60 s\r\nx\r\n", b"HD s1\r\n", "newer memcacheds take N and s; 1.6.18 passes over them"),
    (b"ms newer 2 MA N60 s\r\nyz\r\n", b"HD s3\r\n", "likewise"),
    (b"ms newer 1 E7 c\r\nx\r\n", b"HD c7\r\n", "and E; 1.6.18 has no such flag"),
    (b"ma newer2 N0 E8 c\r\n", b"HD c8\r\n", "likewise"),
    (b"md newer C7 x I E9\r\n", b"HD\r\n", "likewise x"),
    (b"mg newer v c E1\r\n", b"VA 0 c9 X W\r\n\r\n", "likewise"),
    (b"stats conns\r\n", b"ERROR\r\n", "there are no connections"),
    (b"cache_memlimit 64\r\n", b"ERROR\r\n", "the memory is fixed"),
    (b"watch\r\n", b"ERROR\r\n", "there is no log"),
    (b"refresh_certs\r\n", b"ERROR\r\n", "there is no TLS"),
]

# Names that udpkv's stats share with memcached's.
STATS_COMMON = """pid uptime time version pointer_size curr_items total_items bytes limit_maxbytes
threads cmd_get cmd_set cmd_flush cmd_touch get_hits get_misses delete_misses delete_hits
incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval touch_hits touch_misses
evictions reclaimed get_expired get_flushed store_too_large bytes_read bytes_written""".split()
# and those whose values must be the same, as they count what both were asked since `stats reset`; not get_flushed, as
# memcached removes the latest items when it is asked to flush, and not when they are asked for
STATS_EQUAL = """cmd_set cmd_flush cmd_touch get_hits get_misses delete_misses delete_hits
incr_misses incr_hits decr_misses decr_hits cas_misses cas_hits cas_badval touch_hits
touch_misses""".split()
# and two only where requests are recorded: memcached at times doesn't count that a set met an expired item which a
# binary incr had made, and never that an append or prepend of the binary protocol was too large
STATS_EQUAL_RECORDED = ["get_expired", "store_too_large"]

# --- what must differ when requests are random ------------------------------------------------

# - A request after which memcached waits for the rest of a data block: it takes the next datagrams
#   for it. The sequence ends there, and memcached is started anew. udpkv answers at once.
# - A flush_all with a delay ends the datagram and the sequence: memcached brings back what was flushed before.
# - A value of white space alone isn't stored: for incr and decr memcached reads on behind it, what other items
#   have left there.
# - A number that gets shorter is padded with blanks. While memcached has an answer with the item to send, it
#   stores a new one, without: incr and decr go into a datagram behind that of a get before them.
# - A last line without its end of over 2048 bytes isn't asked: memcached loses the answers to the commands
#   before it in the datagram, udpkv doesn't.
# - An answer too long for udpkv, where memcached's is that long, ends the sequence: the commands behind it
#   weren't run. So does a value that grew too long for it.
# - A get with a key of over 250 bytes: memcached loses the answers to the commands before it in the
#   datagram, udpkv doesn't. The sequence goes on.
# - The flags that udpkv has of newer memcacheds aren't asked: spoiling a request may make one.
# - quit isn't asked: over UDP memcached never forgets it. A binary request behind which it would close a
#   connection ends the sequence, and memcached is started anew.
# - Ids (cas) count up alike, from wherever each server is.
# - TTLs and times since the last use (t, l, exp, la): the two clocks tick at different moments, and
#   memcached notes a use only once a minute. They differ by no more seconds than the sequence took,
#   and two. The TTL of an item that the same command made expire is a number above 2^31 on both.
# - me: udpkv has no classes (cls), and its items have a size of their own.
DELAYED_FLUSH = re.compile(rb"flush_all\s+\+?0*[1-9]")
QUIT = re.compile(rb"(?:^|\n) *quit(?:[\s\0]|$)")
NEWER_FLAG = re.compile(rb"(?:^|\n) *(?:ms [^\r\n]* [ENsx]|m[gda] [^\r\n]* [Ex])")
LONG_GET = re.compile(rb"(?:^|\n) *(?:get|gets|gat|gats) [^\r\n\0]*[^ \r\n\0]{251}")
