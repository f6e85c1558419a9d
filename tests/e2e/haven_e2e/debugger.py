# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of gdb's remote protocol as reads and writes memory: with it a device model touches
guest memory while no guest runs."""
import socket
from pathlib import Path

from .processes import Failure


class Debugger:
    """A connection to a device model that has `-gdb unix:PATH,server=on,wait=off`."""

    def __init__(self, path: Path, seconds: float = 10) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(seconds)
        self._socket.connect(str(path))

    def __enter__(self) -> "Debugger":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def write(self, address: int, data: bytes) -> None:
        answer = self._ask(f"M{address:x},{len(data):x}:{data.hex()}")
        if answer != "OK":
            raise Failure(f"the gdbstub cannot write to {address:#x}: {answer}")

    def read(self, address: int, count: int) -> bytes:
        return bytes.fromhex(self._ask(f"m{address:x},{count:x}"))

    def _ask(self, request: str) -> str:
        packet = request.encode()
        self._socket.sendall(b"$%s#%02x" % (packet, sum(packet) % 256))
        answer = b""
        while len(answer.partition(b"#")[2]) < 2:
            more = self._socket.recv(4096)
            if not more:
                raise Failure("the device model closed its gdbstub")
            answer += more
        self._socket.sendall(b"+")
        return answer.partition(b"$")[2].partition(b"#")[0].decode()
