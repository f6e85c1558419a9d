# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands on a host, through its dom0-agent (tests/xen/dom0/dom0-agent)."""
import json
import shlex
import socket
import time
from dataclasses import dataclass
from typing import Callable

from . import places  # noqa: F401
from haven_e2e.processes import Failure

ADDRESS, PORT = "fe80::5", 7070
PATIENCE = 180  # seconds for a host that lives: it may get little CPU on a busy machine


class Unreachable(Failure):
    """The host does not answer: it is dead, stopped, or still booting."""


@dataclass
class Done:
    status: int
    out: str
    err: str


class Agent:
    def __init__(self, host: str, alive: Callable[[], bool]) -> None:
        self.host = host
        self._alive = alive
        self._interface = f"mgmt-{host}"

    def run(self, command: str, *, seconds: float = 60, given: bytes = b"") -> Done:
        """Runs a shell command to its end; 124 when it took longer than `seconds`."""
        return self._ask({"sh": command, "seconds": seconds, "bytes": len(given)}, given, seconds)

    def check(self, command: str, *, seconds: float = 60, given: bytes = b"") -> str:
        """Its output; a failure when its status is not 0."""
        done = self.run(command, seconds=seconds, given=given)
        if done.status != 0:
            said = (done.err or done.out).strip()[-600:]
            why = f"did not end in {seconds:g} s" if done.status == 124 else f"status {done.status}"
            raise Failure(f"{self.host}: `{command}`: {why}: {said}")
        return done.out

    def put(self, path: str, content: str, mode: int = 0o644) -> None:
        data = content.encode()
        done = self._ask({"put": path, "mode": mode, "bytes": len(data)}, data, 30)
        if done.status != 0:
            raise Failure(f"{self.host}: cannot write {path}: {done.err}")

    def spawn(self, command: str, log: str) -> int:
        """Starts a command that goes on alone, its output in `log`; returns its process id."""
        words = f"setsid sh -c {shlex.quote('exec ' + command)} </dev/null >>{log} 2>&1 & echo $!"
        return int(self.check(words))

    def wait_until_up(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self._ping()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise Unreachable(f"{self.host}: no answer from its agent: {error}") from None
                time.sleep(0.1)

    def _ping(self) -> None:
        with self._connect(2) as connection:
            connection.sendall(b'{"sh": ":"}\n')
            if not connection.makefile("rb").readline():
                raise OSError("the agent closed the connection")

    def _connect(self, seconds: float) -> socket.socket:
        connection = socket.socket(socket.AF_INET6)
        connection.settimeout(seconds)
        try:
            connection.connect((ADDRESS, PORT, 0, socket.if_nametoindex(self._interface)))
        except BaseException:
            connection.close()
            raise
        return connection

    def _ask(self, request: dict[str, object], given: bytes, seconds: float) -> Done:
        if not self._alive():
            raise Unreachable(f"{self.host} is dead")
        try:
            with self._connect(PATIENCE) as connection:
                connection.settimeout(seconds + PATIENCE)
                connection.sendall(json.dumps(request).encode() + b"\n" + given)
                stream = connection.makefile("rb")
                head = json.loads(stream.readline() or "null")
                if head is None:
                    raise OSError("the agent closed the connection")
                out, err = stream.read(head["out"]), stream.read(head["err"])
        except OSError as error:
            raise Unreachable(f"{self.host}: does not answer ({error})") from None
        return Done(head["status"], out.decode(errors="replace"), err.decode(errors="replace"))
