# SPDX-License-Identifier: GPL-2.0-or-later
"""The checker as a process in the client's name space, and what tests ask it."""
import json
import select
import sys
import time
from typing import Any, Optional

from . import network, paths
from .processes import Failure, Processes

BOOT_S = 200  # on a machine that does much else; 3 when it does not
# For load(): the guest does nothing by itself.
QUIET = {"memory_pages_s": 0, "memory_pages": 0, "disk_threads": 0, "disk_ops_s": 0, "chatter_s": 0}


class Client:
    def __init__(self, processes: Processes, *, window: int = 4, rate: float = 200,
                 stall: float = 20, patience: float = 30) -> None:
        self._patience = patience
        self._process = processes.start(
            "checker", [sys.executable, paths.CHECKER, "--host", network.GUEST4, "--commands",
                        "--connect", BOOT_S, "--window", window, "--rate", rate, "--stall", stall,
                        "--patience", patience],
            netns="client", pipes=True)
        self.local_port = self._answer("start", BOOT_S + 30)["local_port"]

    def ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failure("the checker has ended, see checker.log") from None
        # `reconcile` waits for what is outstanding, and asks the guest twice.
        return self._answer(command, 3 * self._patience + 10)

    def _answer(self, command: str, seconds: float) -> dict[str, Any]:
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise Failure(f"the checker did not answer `{command}` within {seconds:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise Failure(f"the checker has ended during `{command}`, see checker.log")
        return json.loads(line)

    def control(self, line: str) -> dict[str, Any]:
        """A command to kvd that must succeed."""
        answer = self.ask(f"control {line}")
        if not answer.get("ok"):
            raise Failure(f"the guest says to `{line}`: {answer}")
        return answer

    def load(self, *, memory_pages_s: int = 500, memory_pages: int = 1024, disk_threads: int = 2,
             disk_ops_s: int = 40, chatter_s: int = 20) -> None:
        self.control(f"load {memory_pages_s} {memory_pages} {disk_threads} {disk_ops_s} {chatter_s}")

    def stats(self, after: float = 0) -> dict[str, Any]:
        return self.ask(f"stats {after}")

    def acked(self) -> int:
        return int(self.stats()["acked"])

    def violations(self) -> list[str]:
        return list(self.stats()["violations"])

    def require_clean(self) -> None:
        found = self.violations()
        if found:
            raise Failure("the client saw: " + "; ".join(found[:3]))

    def reconcile(self) -> dict[str, Any]:
        """Everything acknowledged is in the guest; sending goes on afterwards."""
        report = self.ask("reconcile")
        self.ask("resume")
        if report["violations"]:
            raise Failure("the client saw: " + "; ".join(report["violations"][:3]))
        return report

    def verify_guest(self) -> dict[str, Any]:
        """Ends the load; the guest compares memory, log and disk1."""
        answer = self.ask("control verify")
        if not answer.get("ok"):
            raise Failure(f"the guest finds itself inconsistent: {answer}")
        return answer

    def wait_for_progress(self, more: int, seconds: float) -> None:
        """`more` further operations are acknowledged within `seconds`."""
        wanted, deadline = self.acked() + more, time.monotonic() + seconds
        while self.acked() < wanted:
            if time.monotonic() > deadline:
                stats = self.stats()
                raise Failure(f"the client got no {more} further replies in {seconds:g} s "
                              f"(violations: {stats['violations']})")
            time.sleep(0.05)

    def quit(self) -> Optional[int]:
        if self._process.poll() is None and self._process.stdin:
            try:
                self._process.stdin.write("quit\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                pass
        return self._process.wait(10)
