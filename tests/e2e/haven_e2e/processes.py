# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that a test started: each with a log, each ended by its pid."""
import os
import select
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, Callable, Optional, Sequence

from . import paths


class Failure(Exception):
    """The subject of the test did something wrong."""


class Skip(Exception):
    """This machine cannot run the case; the text says why."""


def wait_until(what: str, condition: Callable[[], object], seconds: float,
               every: float = 0.02) -> object:
    """Returns the first true value of `condition`, or fails."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"after {seconds:g} s still not: {what}")
        time.sleep(every)


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def wait_for_death(pid: int, seconds: float) -> Optional[float]:
    """time.monotonic() at which process `pid` ended, or None."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return time.monotonic()
    try:
        ready, _, _ = select.select([handle], [], [], seconds)
        return time.monotonic() if ready else None
    finally:
        os.close(handle)


class Processes:
    def __init__(self, log_folder: Path) -> None:
        self.log_folder = log_folder
        self._running: list[subprocess.Popen] = []
        log_folder.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, argv: Sequence[object], *, netns: Optional[str] = None,
              environment: Optional[dict[str, str]] = None, pipes: bool = False,
              cwd: Optional[Path] = None) -> subprocess.Popen:
        """Starts argv in name space `netns`, stderr (and stdout) appended to name.log."""
        words = in_netns(netns, argv)
        log: IO[bytes] = open(self.log_folder / f"{name}.log", "ab")
        log.write(("+ " + shlex.join(words) + "\n").encode())
        log.flush()
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipes else log, stderr=log, cwd=cwd, text=pipes or None,
            env={**os.environ, **(environment or {})}, start_new_session=True)
        log.close()
        self._running.append(process)
        return process

    def run(self, name: str, argv: Sequence[object], *, netns: Optional[str] = None,
            seconds: float = 60, environment: Optional[dict[str, str]] = None,
            answer: str = "") -> subprocess.CompletedProcess:
        """Runs to the end with `answer` as its input; output is returned and also appended to name.log."""
        words = in_netns(netns, argv)
        try:
            done = subprocess.run(words, input=answer, capture_output=True, text=True,
                                  timeout=seconds, env={**os.environ, **(environment or {})})
        except subprocess.TimeoutExpired as error:
            self._log(name, words, str(error.stdout or "") + str(error.stderr or ""), "no end")
            raise Failure(f"`{shlex.join(words[-8:])}` did not end within {seconds:g} s") from None
        self._log(name, words, done.stdout + done.stderr, str(done.returncode))
        return done

    def _log(self, name: str, words: Sequence[str], text: str, status: str) -> None:
        with open(self.log_folder / f"{name}.log", "a") as log:
            log.write(f"+ {shlex.join(words)}\n{text}= status {status}\n")

    def kill_all(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
        for process in self._running:
            process.wait()
        self._running.clear()


def in_netns(netns: Optional[str], argv: Sequence[object]) -> list[str]:
    words = [str(word) for word in argv]
    if netns is None:
        return words
    return [paths.tool("nsenter"), f"--net=/run/netns/{netns}", "--", *words]


def kill_pid(pid: int, seconds: float = 60) -> float:
    """SIGKILL; returns the time of it once the process is gone."""
    when = time.monotonic()
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return when
    if wait_for_death(pid, seconds) is None:
        raise Failure(f"process {pid} is still there {seconds:g} s after SIGKILL")
    return when
