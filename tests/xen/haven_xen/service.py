# SPDX-License-Identifier: GPL-2.0-or-later
"""The process that owns a testbed: first process of its name spaces, so that whatever
it started ends with it. Commands reach it through a socket; a request is one line of JSON
with the caller's standard streams attached, the answer is {"status": N}."""
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any, Optional

from . import places, runner
from .bed import Testbed, save_a_host
from haven_e2e import sandbox
from haven_e2e.processes import Failure

SOCKET = places.RUN / "control.sock"
LOCK = places.RUN / "lock"  # held by the service for as long as it lives


def connect() -> Optional[socket.socket]:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(SOCKET))
        return connection
    except OSError:
        connection.close()
        return None


def request(connection: socket.socket, **words: Any) -> int:
    """Hands a request over, with our streams, and waits for its end."""
    streams = [0, 1, 2]
    socket.send_fds(connection, [json.dumps(words).encode() + b"\n"], streams)
    answer = connection.makefile().readline()
    if not answer:
        print("xen-testbed: the testbed has ended", file=sys.stderr)
        return 1
    return int(json.loads(answer)["status"])


class Service:
    def __init__(self) -> None:
        self.bed = Testbed(places.RUN, places.LOGS / "up")
        self._one_scenario = threading.Lock()
        self._sessions = 0
        self._stays = False  # until somebody takes it down, whoever uses it

    def say(self, text: str) -> None:
        print(text, flush=True)

    def start(self) -> None:
        begin = time.monotonic()
        save_a_host(self.bed.make_links, self.say)
        self.bed.start()
        self.say(f"both hosts are up after {time.monotonic() - begin:.1f} s")

    def serve(self) -> None:
        SOCKET.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(SOCKET))
            listener.listen(4)
            self.say("ready")
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        text, fds, _, _ = socket.recv_fds(connection, 65536, 3)
        if not text:
            return connection.close()  # someone only looked whether we are here
        try:
            asked = json.loads(text)
            if asked["do"] == "down":
                _send(connection, 0)
                os.kill(os.getpid(), signal.SIGTERM)
            elif asked["do"] == "stay":
                self._stays = True
                _send(connection, 0)
            elif asked["do"] == "session":
                self._session(connection)
            elif asked["do"] == "run":
                with self._one_scenario:
                    _send(connection, self._scenario(asked, fds, connection))
            else:
                _send(connection, self._command(asked["host"], asked["command"], fds))
        except (ValueError, KeyError, BrokenPipeError) as error:
            print(f"bad request: {error}", flush=True)
        finally:
            for fd in fds:
                os.close(fd)
            connection.close()

    def _session(self, connection: socket.socket) -> None:
        """Lasts as long as the connection. Without any, a testbed that need not stay ends."""
        self._sessions += 1
        _send(connection, 0)
        connection.recv(1)
        self._sessions -= 1
        if not self._sessions and not self._stays:
            os.kill(os.getpid(), signal.SIGTERM)

    def _scenario(self, asked: dict[str, Any], fds: list[int], connection: socket.socket) -> int:
        name = asked["name"]
        self.bed.short = asked["short"]
        try:
            self.bed.reset(places.LOGS / name)
        except Failure as failure:
            os.write(fds[2], f"xen-testbed: {failure}\n".encode())
            return 1
        pid = runner.run_in_child(self.bed, name, fds)
        handle = os.pidfd_open(pid)
        ready, _, _ = select.select([handle, connection], [], [])
        if handle not in ready:  # the caller has gone
            os.killpg(pid, signal.SIGKILL)
        os.close(handle)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _command(self, host: str, command: str, fds: list[int]) -> int:
        self.bed.used = True
        try:
            done = self.bed.hosts[host].agent.run(command, seconds=600)
        except Failure as failure:
            os.write(fds[2], f"xen-testbed: {failure}\n".encode())
            return 1
        os.write(fds[1], done.out.encode())
        os.write(fds[2], done.err.encode())
        return done.status


def _send(connection: socket.socket, status: int) -> None:
    connection.sendall(json.dumps({"status": status}).encode() + b"\n")


def _lock() -> Optional[IO[bytes]]:
    """The lock, or None while a service lives."""
    places.RUN.mkdir(parents=True, exist_ok=True)
    file = open(LOCK, "wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file
    except BlockingIOError:
        file.close()
        return None


def _wait_for_another() -> bool:
    """True when a service of somebody else is there and ready; false when there is none."""
    while True:
        lock = _lock()
        if lock:
            lock.close()
            return False
        connection = connect()
        if connection:
            connection.close()
            return True
        time.sleep(0.5)


def main() -> None:
    """In the name spaces; ends with a non-zero status when the hosts do not come up."""
    sandbox.enter()
    lock = _lock()
    if not lock:
        sys.exit("xen-testbed: another one has just been started")
    service = Service()
    try:
        service.start()
    except Failure as failure:
        sys.exit(f"xen-testbed: {failure}")
    try:
        service.serve()
    finally:
        service.bed.stop()
        SOCKET.unlink(missing_ok=True)


def start_detached() -> None:
    """Starts a service that outlives us; returns when it is ready, shows its progress."""
    if _wait_for_another():
        return
    places.LOGS.mkdir(parents=True, exist_ok=True)
    program = Path(__file__).resolve().parents[1] / "testbed.py"
    log = places.LOGS / "service.log"
    with open(log, "wb") as out:
        process = subprocess.Popen([sys.executable, str(program), "serve"], stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=out, start_new_session=True)
    begin, shown = time.monotonic(), 0
    while True:
        text = log.read_text()
        for line in text[shown:].splitlines(keepends=True):
            if line.endswith("\n"):
                shown += len(line)
                if line.strip() == "ready":
                    return
                print(f"      {time.monotonic() - begin:4.0f}s  {line}", end="", flush=True, file=sys.stderr)
        if process.poll() is not None:
            sys.exit(f"xen-testbed: the testbed ended with status {process.returncode}; see {log}")
        time.sleep(0.1)
