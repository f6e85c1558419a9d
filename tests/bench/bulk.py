# SPDX-License-Identifier: GPL-2.0-or-later
"""One TCP connection with the guest of servers, as fast as it goes: bulk.py ADDRESS in|out SECONDS

`out` is from the guest, `in` to it. Prints an object with the rate after a while in which TCP has
found its window, and that window: what TCP lets be under way without an acknowledgement."""
import array
import fcntl
import json
import os
import select
import socket
import struct
import sys
import termios
import time
from pathlib import Path
from typing import Union

from ask_servers import connect

WARM_SECONDS, CHUNK = 1.0, 1 << 18
CONGESTION = b"cubic"  # Linux's default, whatever this machine has been told
# Else a connection begins with what the one before found, which another mode has slowed down.
NO_MEMORY = Path("/proc/sys/net/ipv4/tcp_no_metrics_save")
# Of struct tcp_info: where its 32-bit members begin that are used here.
SND_MSS, RCV_SSTHRESH, SND_CWND, SND_WND = 16, 64, 80, 228


def tcp_info(connection: socket.socket, member: int) -> int:
    return int(struct.unpack_from("=I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232), member)[0])


def unacknowledged(connection: socket.socket) -> int:
    """Octets that were taken from us and have not arrived."""
    left = array.array("i", [0])
    fcntl.ioctl(connection, termios.TIOCOUTQ, left)
    return left[0]


class Out:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = 0
        connection.sendall(b"send\n")

    def step(self) -> None:
        if select.select([self._connection], [], [], 0.1)[0]:
            got = len(self._connection.recv(CHUNK))
            if not got:
                sys.exit("bulk: the guest hung up")
            self._received += got

    def done(self) -> int:
        return self._received

    def window(self) -> int:
        """What we would take; the guest's own is not seen from here."""
        return tcp_info(self._connection, RCV_SSTHRESH)


class In:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sent = 0
        self._octets = os.urandom(CHUNK)
        connection.sendall(b"receive\n")
        connection.setblocking(False)

    def step(self) -> None:
        if select.select([], [self._connection], [], 0.1)[1]:
            self._sent += self._connection.send(self._octets)

    def done(self) -> int:
        return self._sent - unacknowledged(self._connection)

    def window(self) -> int:
        """Ours, or what the guest would take."""
        return min(tcp_info(self._connection, SND_CWND) * tcp_info(self._connection, SND_MSS),
                   tcp_info(self._connection, SND_WND))


def main() -> None:
    address, way, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    NO_MEMORY.write_text("1")
    connection = connect(address)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION)
    # What is still under way in the end is thrown away on both sides.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transfer: Union[Out, In] = Out(connection) if way == "out" else In(connection)
    windows = []
    begin = time.monotonic()
    while time.monotonic() < begin + WARM_SECONDS:
        transfer.step()
    first, begin = transfer.done(), time.monotonic()
    while time.monotonic() < begin + seconds:
        transfer.step()
        windows.append(transfer.window())
    rate = (transfer.done() - first) / (time.monotonic() - begin)
    connection.close()
    print(json.dumps({"mb_s": rate / 1e6, "window_kib": max(windows) / 1024}))


main()
