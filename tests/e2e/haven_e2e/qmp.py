# SPDX-License-Identifier: GPL-2.0-or-later
"""A minimal QMP client. The socket takes one client at a time, and `haven` needs it
too: connect, ask, close."""
import json
import socket
import struct
from pathlib import Path
from typing import Any, Optional


class QmpError(Exception):
    """QEMU's answer was an error; the text is QEMU's."""


class Qmp:
    def __init__(self, path: Path, seconds: float = 10) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(seconds)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rw")
        self.events: list[dict[str, Any]] = []
        self._last_id = 0
        while "QMP" not in self._read():
            pass  # meant for the last client
        self("qmp_capabilities")

    def __enter__(self) -> "Qmp":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def __call__(self, command: str, **arguments: Any) -> Any:
        self._last_id += 1
        request: dict[str, Any] = {"execute": command, "id": self._last_id}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self._file.write(json.dumps(request) + "\n")
        self._file.flush()
        while True:
            answer = self._read()
            if "event" in answer:
                self.events.append(answer)
            elif answer.get("id") != self._last_id:
                continue  # the answer to a command that the last client gave up
            elif "error" in answer:
                raise QmpError(answer["error"]["desc"])
            else:
                return answer["return"]

    def _read(self) -> dict[str, Any]:
        line = self._file.readline()
        if not line:
            raise ConnectionError("QEMU closed its monitor")
        return json.loads(line)


def listener_pid(path: Path) -> Optional[int]:
    """The process that listens on the socket, without speaking to it."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except OSError:
            return None
        raw = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return struct.unpack("3i", raw)[0]
