# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest of servers (scripts/bench-parts/servers-image) and their loads. Each runs against
the guest from the client's name space, with programs of the servers' own packages."""
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Sequence

from client_program import NotDone, begin, finish  # noqa: F401  (NotDone is part of finish)
from setting import BenchGuest

from haven_e2e import network, paths
from haven_e2e.guest import Disk
from haven_e2e.processes import Failure, in_netns

HERE = Path(__file__).resolve().parent
IMAGE = paths.ROOT / ".cache" / "bench" / "servers"
MEMORY_MIB = 768
# pgbench's transactions a second; it says no tps when it has done none.
TPS = r"(?:tps = |actually processed: (?=0\b))([0-9.]+)"


def guest(memory_file: Optional[Path] = None) -> BenchGuest:
    root = IMAGE / "root.img"
    if not root.exists():
        sys.exit(f"{root} is not there; scripts/bench-parts/servers-image makes it")
    return BenchGuest(memory_mib=MEMORY_MIB, memory_file=memory_file, initramfs=IMAGE / "initramfs",
                      disks=[Disk("disk0", 384), Disk("disk1", 16)],
                      extra=["-drive", f"id=servers,file={root},format=raw,if=none,readonly=on",
                             "-device", "virtio-blk-pci,drive=servers"])


def ask(command: str, seconds: float = 0) -> list[str]:
    """The words of a program that has the guest do something."""
    return [sys.executable, str(HERE / "ask_servers.py"), network.GUEST4, f"{seconds:g}", command]


def in_base(*words: object) -> list[str]:
    """A program of the image, on the host."""
    return [paths.tool("chroot"), str(IMAGE / "base"), *(str(word) for word in words)]


def kv_client(what: object) -> list[str]:
    return [sys.executable, str(HERE / "kv_client.py"), network.GUEST4, str(what)]


def wrk(seconds: float, connections: int = 24) -> list[str]:
    return in_base("/usr/bin/wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency",
                   "--timeout", "30s", "-s", "/bench/pick.lua", f"http://{network.GUEST4}")


def pgbench(seconds: float, clients: int = 16) -> list[str]:
    """A thread for each client, since one thread connects them one after the other, and `seconds` begin before that."""
    return in_base("/usr/lib/postgresql/15/bin/pgbench", "-h", network.GUEST4, "-U", "postgres", "-n", "-c", clients,
                   "-j", clients, "-T", max(1, round(seconds)), "bench")


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
        return begin(self.words(seconds))

    def finish(self, process: subprocess.Popen, seconds: float = 120) -> float:
        """What was done a second. NotDone: it has not ended in `seconds`, and is ended."""
        output = finish(self.name, process, seconds)
        found = re.search(self.rate, output)
        if not found:
            raise Failure(f"the load {self.name} says no rate: {output.strip()[-400:]}")
        return float(found[1])

    def _must(self, words: Sequence[str], answer: str = "") -> None:
        done = subprocess.run(in_netns("client", words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=400)
        if done.returncode != 0 or answer not in done.stdout.splitlines() + [""]:
            raise Failure(f"`{words[-1]}` of the load {self.name}: {(done.stdout + done.stderr).strip()[-400:]}")


LOADS = {
    "web": ServerLoad("web", wrk, r"Requests/sec: *([0-9.]+)"),
    "kv": ServerLoad("kv", kv_client, fill=kv_client("fill")),
    "sql": ServerLoad("sql", pgbench, TPS, warm_seconds=20),
    "build": ServerLoad("build", lambda seconds: ask("compiled", seconds), warm_seconds=20),
}
