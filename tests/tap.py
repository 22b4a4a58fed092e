# SPDX-License-Identifier: BSD-2-Clause
"""A tap device with several queues in a network namespace of its own: needs no privileges.

    with Tap(queues=2) as tap:
        with Vm(qemu_command(..., netdev=tap.netdev, queues=2), pass_fds=tap.fds): ...
        tap.send(frame)
        tap.recv()

The namespace, and the device in it, last as long as somebody has its descriptors open.
"""

import array
import ctypes
import fcntl
import os
import select
import socket
import struct

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
TUNSETIFF, SIOCGIFFLAGS, SIOCSIFFLAGS = 0x400454CA, 0x8913, 0x8914
IFF_UP, IFF_NOARP = 0x1, 0x80
IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x100, 0x1000, 0x4000
ETH_P_ALL = 3
REQUEST = struct.Struct("16sH22x")
DEVICE = b"ringloop"
RECEIVE_BYTES = 4 << 20


class TapError(Exception):
    """There can be no such device here; the text says why."""


def _unshare():
    libc = ctypes.CDLL(None, use_errno=True)
    for flags in (CLONE_NEWUSER | CLONE_NEWNET, CLONE_NEWNET):  # root may have no user namespaces
        if libc.unshare(flags) == 0:
            return
    raise OSError(ctypes.get_errno(), "no network namespace")


def _make(queues):
    """The descriptors of a new device's queues, and of a socket on it."""
    _unshare()
    with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w", encoding="ascii") as setting:
        setting.write("1")  # the kernel would send packets of its own
    fds = []
    for _ in range(queues):
        fds.append(os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK))
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (IFF_MULTI_QUEUE if queues > 1 else 0)
        fcntl.ioctl(fds[-1], TUNSETIFF, REQUEST.pack(DEVICE, flags))
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    _, flags = REQUEST.unpack(fcntl.ioctl(raw, SIOCGIFFLAGS, REQUEST.pack(DEVICE, 0)))
    fcntl.ioctl(raw, SIOCSIFFLAGS, REQUEST.pack(DEVICE, flags | IFF_UP | IFF_NOARP))
    raw.bind((DEVICE.decode(), 0))
    return [*fds, raw.detach()]


def _child(channel, queues):
    """In a process of its own, as a process can't leave a user namespace again."""
    try:
        fds = array.array("i", _make(queues))
        channel.sendmsg([b"ok"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    except OSError as error:
        channel.send(str(error).encode())


class Tap:
    """The device. fds are for QEMU; frames are sent to the guest and received from it here."""

    def __init__(self, queues):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            try:
                _child(theirs, queues)
            finally:
                os._exit(0)
        theirs.close()
        text, fds, _, _ = socket.recv_fds(ours, 200, queues + 1)
        os.waitpid(pid, 0)
        ours.close()
        if text != b"ok":
            raise TapError(f"no tap device: {text.decode() or 'its process ended'}")
        *self.fds, raw = fds
        self._socket = socket.socket(fileno=raw)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        self.netdev = "tap,id=n0,vhost=off," + (
            f"fds={':'.join(map(str, self.fds))}" if queues > 1 else f"fd={self.fds[0]}"
        )

    def send(self, frame):
        self._socket.send(frame)

    def recv(self, deadline_s):
        """The next frame from the guest; None if none came in time."""
        if not select.select([self._socket], [], [], deadline_s)[0]:
            return None
        return self._socket.recv(65536)

    def fileno(self):
        return self._socket.fileno()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        for fd in self.fds:
            os.close(fd)
