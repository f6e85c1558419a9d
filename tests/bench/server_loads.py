# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads of the bench guest's servers (scripts/bench-parts/servers-image). Each runs against
the guest from the client's name space, with programs of the servers' own packages."""
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Sequence

import setting  # noqa: F401  (finds haven_e2e)
from haven_e2e import network, paths
from haven_e2e.processes import Failure, in_netns

HERE = Path(__file__).resolve().parent
IMAGE = paths.ROOT / ".cache" / "bench" / "servers"


def ask(command: str, seconds: float = 0) -> list[str]:
    """The words of a program that has the guest do something."""
    return [sys.executable, str(HERE / "ask_servers.py"), network.GUEST4, f"{seconds:g}", command]


def in_base(*words: object) -> list[str]:
    """A program of the image, on the host."""
    return [paths.tool("chroot"), str(IMAGE / "base"), *(str(word) for word in words)]


def kv_client(what: object) -> list[str]:
    return [sys.executable, str(HERE / "kv_client.py"), network.GUEST4, str(what)]


def wrk(seconds: float) -> list[str]:
    return in_base("/usr/bin/wrk", "-t1", "-c24", f"-d{max(1, round(seconds))}s", "-s", "/bench/pick.lua",
                   f"http://{network.GUEST4}")


def pgbench(seconds: float, clients: int = 16) -> list[str]:
    return in_base("/usr/lib/postgresql/15/bin/pgbench", "-h", network.GUEST4, "-U", "postgres", "-n", "-c", clients,
                   "-T", max(1, round(seconds)), "bench")


class NotDone(Failure):
    pass


@dataclass(frozen=True)
class ServerLoad:
    """`words` run for some seconds and print a rate, which is the first group of `rate`."""
    name: str  # of the server, as the guest's /bench/job knows it
    words: Callable[[float], Sequence[str]]
    rate: str = r"(?m)^([0-9.e+-]+)$"
    fill: Optional[Sequence[str]] = None
    warm_seconds: float = 8

    def prepare(self) -> float:
        """Starts the server and runs the load once, with its rate: what is translated is
        translated then, and what is read from the disk is in the guest's memory."""
        self._must(ask(f"start {self.name}"), "ok")
        if self.fill:
            self._must(self.fill)
        return self.finish(self.begin(self.warm_seconds))

    def end(self) -> None:
        self._must(ask(f"stop {self.name}"), "ok")

    def begin(self, seconds: float) -> subprocess.Popen:
        return subprocess.Popen(in_netns("client", self.words(seconds)), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self, process: subprocess.Popen, seconds: float = 120) -> float:
        """What was done a second. NotDone: it has not ended in `seconds`, and is ended."""
        try:
            output = process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise NotDone(f"the load {self.name} did not end in {seconds:g} s") from None
        found = re.search(self.rate, output)
        if process.returncode != 0 or not found:
            raise Failure(f"the load {self.name} ended with {process.returncode}: {output.strip()[-400:]}")
        return float(found[1])

    def _must(self, words: Sequence[str], answer: str = "") -> None:
        done = subprocess.run(in_netns("client", words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=400)
        if done.returncode != 0 or answer not in done.stdout.splitlines() + [""]:
            raise Failure(f"`{words[-1]}` of the load {self.name}: {(done.stdout + done.stderr).strip()[-400:]}")


LOADS = {
    "web": ServerLoad("web", wrk, r"Requests/sec: *([0-9.]+)"),
    "kv": ServerLoad("kv", kv_client, fill=kv_client("fill")),
    "sql": ServerLoad("sql", pgbench, r"tps = ([0-9.]+)", warm_seconds=20),
    "build": ServerLoad("build", lambda seconds: ask("compiled", seconds), warm_seconds=20),
}
