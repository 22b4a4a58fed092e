# SPDX-License-Identifier: BSD-2-Clause
"""A vhost-user back end that is a UDP port of 127.0.0.1: what comes there reaches the app as frames
on its receive queues, and the app's answers go back. The test says on which queue a datagram comes.

    with VhostPort(socket, queues=2) as port, Vm([udpkv, f"vhost={socket}", "cores=2"]):
        Client("127.0.0.1", port.number).ask(b"version\\r\\n")

Split rings; nothing is offloaded. QEMU's documentation has the protocol (docs/interop/vhost-user).
"""

import contextlib
import ctypes
import mmap
import os
import selectors
import socket
import struct
import threading

GUEST_IP, GUEST_PORT, OUR_IP = "10.0.2.15", 11211, "10.0.2.2"
OUR_MAC = bytes.fromhex("525400000002")

F_MRG_RXBUF, F_MQ, F_PROTOCOL, F_VERSION_1 = 15, 22, 30, 32
PROTOCOL_MQ, PROTOCOL_REPLY_ACK = 0, 3
GET_FEATURES, SET_FEATURES, SET_MEM_TABLE = 1, 2, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE = 8, 9, 10, 11
SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR = 12, 13, 14
GET_PROTOCOL_FEATURES, GET_QUEUE_NUM = 15, 17
REPLY, NEED_REPLY, NO_DESCRIPTOR = 4, 8, 1 << 8
FRAGMENT, MORE_FRAGMENTS = 1480, 0x2000  # bytes of a datagram that a frame holds; a bit of an IP header
HEADER = 12  # bytes of the virtio header before a frame


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frames(mac, port, ident, payload):
    """A datagram of ours, from that port, as Ethernet frames: fragments if it is larger than one. `ident` is IP's."""
    ips = socket.inet_aton(OUR_IP) + socket.inet_aton(GUEST_IP)
    udp = struct.pack("!HHHH", port, GUEST_PORT, 8 + len(payload), 0) + payload
    udp_sum = checksum(ips + struct.pack("!HH", 17, len(udp)) + udp) or 0xFFFF
    udp = udp[:6] + struct.pack("!H", udp_sum) + udp[8:]
    for at in range(0, len(udp), FRAGMENT):
        part = udp[at : at + FRAGMENT]
        more = MORE_FRAGMENTS if at + FRAGMENT < len(udp) else 0
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), ident, at // 8 | more, 64, 17, 0) + ips
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        yield mac + OUR_MAC + b"\x08\x00" + ip + part


class Ring:
    """One virtqueue, from the device's side."""

    def __init__(self):
        self.num = self.next = self.used = 0
        self.kick = self.call = None
        self.places = None

    def read(self, form, part, offset):
        memory, start = self.places[part]
        return struct.unpack_from(form, memory, start + offset)[0]

    def has_chain(self):
        return bool(self.places) and self.read("@H", 1, 2) != self.next

    def take(self):
        """The next chain that the driver made available: its id and descriptors; None without."""
        if not self.has_chain():
            return None
        head = at = self.read("@H", 1, 4 + 2 * (self.next % self.num))
        self.next = (self.next + 1) & 0xFFFF
        chain = []
        while True:
            memory, start = self.places[0]
            address, size, flags, following = struct.unpack_from("@QIHH", memory, start + 16 * at)
            chain.append((address, size))
            if not flags & 1:
                return head, chain
            at = following

    def give(self, head, size):
        memory, start = self.places[2]
        struct.pack_into("@II", memory, start + 4 + 8 * (self.used % self.num), head, size)
        self.used = (self.used + 1) & 0xFFFF
        # In one piece: struct writes a zero first, and the driver would see that.
        ctypes.c_uint16.from_buffer(memory, start + 2).value = self.used
        if self.call is not None and not self.read("@H", 1, 0) & 1:
            os.eventfd_write(self.call, 1)


class VhostPort:
    """
    spread  how many datagrams come on a queue before the next one has its turn. 0: all of a client
            come on one, and the clients take turns
    mac     the app's address; None: it tells by a packet before anybody asks it
    used    of the queues, those that the app uses; None: all
    """

    def __init__(self, path, queues, spread=0, mac=None, used=None):
        self.queues, self.spread, self._used = queues, spread, used or queues
        self.by_queue = [0] * queues  # datagrams that came on each
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.number = self._udp.getsockname()[1]
        self._regions, self._queue_of, self._count = [], {}, 0
        self.mac = mac
        self._stop, self._stopped = os.eventfd(0), False
        self._selector = selectors.DefaultSelector()
        self._connection = None
        self._hears = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._fresh()

    def _fresh(self):
        self._rings = [Ring() for _ in range(2 * self.queues)]
        self._hear_clients(False)

    def _hear_clients(self, hear):
        """Until the app has room in each queue, and a packet of its has told its address, what clients send
        waits in the socket."""
        if hear and not self._hears:
            self._selector.register(self._udp, selectors.EVENT_READ, self._from_clients)
        elif self._hears and not hear:
            self._selector.unregister(self._udp)
        self._hears = hear

    def _look_whether_it_takes(self):
        if not self._hears and self.mac and all(ring.has_chain() for ring in self._rings[: 2 * self._used : 2]):
            self._hear_clients(True)

    def __enter__(self):
        for source, act in (
            (self._stop, self._end),
            (self._listener, self._accept),
        ):
            self._selector.register(source, selectors.EVENT_READ, act)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends it as a crash would; the socket's file stays."""
        if self._stopped:
            return
        os.eventfd_write(self._stop, 1)
        self._thread.join(10)
        for open_socket in filter(None, (self._listener, self._connection, self._udp)):
            open_socket.close()

    def _end(self):
        self._stopped = True

    def _run(self):
        while not self._stopped:
            for key, _ in self._selector.select():
                key.data()

    # --- the other side's messages ------------------------------------------------------------

    def _accept(self):
        self._connection, _ = self._listener.accept()
        self._fresh()
        self._selector.register(self._connection, selectors.EVENT_READ, self._message)

    def _gone(self):
        self._selector.unregister(self._connection)
        for ring in self._rings:
            self._set_kick(ring, None)
        self._connection.close()
        self._fresh()

    def _set_kick(self, ring, descriptor):
        if ring.kick is not None:
            self._selector.unregister(ring.kick)
            os.close(ring.kick)
        ring.kick = descriptor
        if descriptor is not None:
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ, lambda: self._kicked(ring))

    def _message(self):
        try:
            head, files, _, _ = socket.recv_fds(self._connection, 12, 8)
            request, flags, size = struct.unpack("@III", head)
            body = self._connection.recv(size, socket.MSG_WAITALL) if size else b""
        except (struct.error, ConnectionError):
            self._gone()
            return
        answer = self._act(request, body, files)
        if answer is None and flags & NEED_REPLY:
            answer = struct.pack("@Q", 0)
        if answer is not None:
            self._connection.sendall(struct.pack("@III", request, 1 | REPLY, len(answer)) + answer)

    def _act(self, request, body, files):
        if request == GET_FEATURES:
            bits = (F_VERSION_1, F_PROTOCOL, F_MQ)
            return struct.pack("@Q", sum(1 << bit for bit in bits))
        if request == GET_PROTOCOL_FEATURES:
            return struct.pack("@Q", 1 << PROTOCOL_MQ | 1 << PROTOCOL_REPLY_ACK)
        if request == GET_QUEUE_NUM:
            return struct.pack("@Q", self.queues)
        if request == SET_MEM_TABLE:
            self._regions = []
            for number, file in enumerate(files):
                region = struct.unpack_from("@QQQQ", body, 8 + 32 * number)
                self._regions.append((*region, mmap.mmap(file, region[1] + region[3])))
                os.close(file)
        elif SET_VRING_NUM <= request <= SET_VRING_ERR:
            return self._ring_message(request, body, files)
        return None

    def _ring_message(self, request, body, files):
        number, value = struct.unpack_from("@II", body)
        ring = self._rings[number & 0xFF]
        if request == SET_VRING_NUM:
            ring.num = value
        elif request == SET_VRING_BASE:
            ring.next = ring.used = value
        elif request == SET_VRING_ADDR:
            table, used, available = struct.unpack_from("@QQQ", body, 8)
            ring.places = [self._at_user(a) for a in (table, available, used)]
        elif request == GET_VRING_BASE:
            ring.places = None
            self._hear_clients(False)
            self._set_kick(ring, None)
            return struct.pack("@II", number, ring.next)
        elif request == SET_VRING_KICK:
            self._set_kick(ring, files[0])
            self._kicked(ring)
        elif request == SET_VRING_CALL:
            ring.call = files[0] if files else None
        return None

    def _at_user(self, address):
        for _, size, user, offset, memory in self._regions:
            if user <= address < user + size:
                return memory, address - user + offset
        raise ValueError(f"0x{address:x} is in no region")

    def _at_guest(self, address):
        for guest, size, _, offset, memory in self._regions:
            if guest <= address < guest + size:
                return memory, address - guest + offset
        raise ValueError(f"0x{address:x} is in no region")

    # --- packets ------------------------------------------------------------------------------

    def _kicked(self, ring):
        with contextlib.suppress(BlockingIOError):  # it need not have been kicked
            os.eventfd_read(ring.kick)
        if self._rings.index(ring) % 2 == 0:
            self._look_whether_it_takes()
            return
        while chain := ring.take():
            data = b""
            for address, size in chain[1]:
                memory, at = self._at_guest(address)
                data += memory[at : at + size]
            ring.give(chain[0], 0)
            self._to_client(data[HEADER:])

    def _to_client(self, data):
        self.mac = data[6:12]
        self._look_whether_it_takes()
        if data[12:14] == b"\x08\x00" and data[23] == 17:
            port, size = struct.unpack_from("!HH", data, 36)
            self._udp.sendto(data[42 : 34 + size], ("127.0.0.1", port))

    def _from_clients(self):
        if not self._hears:
            return  # since it was seen that something came
        payload, (_, port) = self._udp.recvfrom(65536)
        if self.spread:
            queue = self._count // self.spread % self.queues
        else:
            queue = self._queue_of.setdefault(port, len(self._queue_of)) % self.queues
        self._count += 1
        ring = self._rings[2 * queue]
        for frame in frames(self.mac, port, self._count & 0xFFFF, payload):
            chain = ring.take()
            if not chain:
                return  # as a network does with what nobody takes
            data = struct.pack("@10xH", 1) + frame
            memory, at = self._at_guest(chain[1][0][0])
            memory[at : at + len(data)] = data
            ring.give(chain[0], len(data))
        self.by_queue[queue] += 1
