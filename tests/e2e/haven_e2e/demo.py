# SPDX-License-Identifier: GPL-2.0-or-later
"""The demonstration: a guest goes on after its host process was killed.

Two hosts, a switch and a client in network name spaces. The client keeps one TCP
connection to a server in the guest that writes each request to disk, with fsync, and
keeps it in memory before it answers. The last line is one JSON object; the exit status
is 0 only if all of it is as promised."""
import argparse
import json
import sys
import time
from typing import Any

from . import network, paths, sandbox
from .lab import Lab
from .processes import Failure

INTERVAL_MS = 50
POINTS = [f"{when}-{what}" for what in ("stop", "copy", "device", "resume", "first-byte", "epoch-end",
                                        "committed", "release") for when in ("before", "after")]


class Narrator:
    """Timestamps for people; silent with --json."""

    def __init__(self, silent: bool) -> None:
        self._silent = silent
        self._begin = time.monotonic()
        self._tty = sys.stdout.isatty()
        self._last_counters = 0.0

    def say(self, text: str) -> None:
        if not self._silent:
            start = "\r" if self._tty else ""
            print(f"{start}{self._clock()}  {text:<76}", flush=True)

    def counters(self, stats: dict[str, Any], text: str) -> None:
        line = (f"{self._clock()}    client: {stats['acked']:6} acknowledged, latency p50 "
                f"{stats['latency_p50_us'] / 1000:5.1f} ms   {text}")
        if self._silent:
            return
        if self._tty:
            print(f"\r{line:<100}", end="", flush=True)
        elif time.monotonic() - self._last_counters > 2:
            self._last_counters = time.monotonic()
            print(line, flush=True)

    def _clock(self) -> str:
        return f"[{time.monotonic() - self._begin:6.2f} s]"


class Demo:
    def __init__(self, options: argparse.Namespace, lab: Lab) -> None:
        self._options = options
        self._lab = lab
        self._n = Narrator(options.json)
        self.result: dict[str, Any] = {
            "survived": False, "tcp_connection_survived": False, "acked": 0, "lost": -1,
            "failover_ms": -1, "pause_p50_us": -1, "pause_p99_us": -1, "disk_ok": False}

    def run(self) -> None:
        self._boot()
        self._protect()
        killed_at = self._run_protected_and_kill()
        self._watch_failover(killed_at)
        self._run_on_backup()
        self._check()

    def _boot(self) -> None:
        lab, n = self._lab, self._n
        environment = {}
        if self._options.kill_at:
            count = max(2, int(self._options.seconds * 1000 / INTERVAL_MS))
            environment["HAVEN_KILL_AT"] = f"{self._options.kill_at}:{count}"
        n.say("hostA starts the guest web1 (no replication yet)")
        lab.boot(environment)
        n.say(f"the guest is up; the client has one TCP connection to it, from port "
              f"{lab.the_client().local_port}")
        lab.the_client().load()

    def _protect(self) -> None:
        lab, n = self._lab, self._n
        lab.prepare_backup()
        n.say("hostB runs havend with empty disks; hostA: haven protect web1 --to "
              f"{network.REPLICATION['hostB']}")
        begin = time.monotonic()
        lab.protect(interval_ms=INTERVAL_MS)
        n.say(f"protected after {time.monotonic() - begin:.1f} s: memory and disks were copied "
              "while the guest ran")

    def _run_protected_and_kill(self) -> float:
        lab, n = self._lab, self._n
        client, pid = lab.the_client(), lab.primary.qemu_pid()
        if pid is None:
            raise Failure("the primary has ended too early")
        end = time.monotonic() + self._options.seconds
        while time.monotonic() < end:
            status = self._lab.primary.status()
            text = ""
            if status:
                self.result["pause_p50_us"] = status["pause_p50_us"]
                self.result["pause_p99_us"] = status["pause_p99_us"]
                text = (f"epoch {status['epoch']}, pause p50 {status['pause_p50_us'] / 1000:.1f} ms, "
                        f"p99 {status['pause_p99_us'] / 1000:.1f} ms")
            n.counters(client.stats(), text)
            if lab.primary.qemu_pid() != pid:
                break
            time.sleep(0.25)
        if self._options.kill_at:
            n.say(f"waiting for the primary to kill itself at {self._options.kill_at}")
            return lab.primary.wait_for_qemu_death(pid, 30)
        acked = client.acked()
        when = lab.primary.kill_qemu()
        n.say(f"SIGKILL to hostA's qemu-dm (pid {pid}) after {acked} acknowledged requests")
        return when

    def _watch_failover(self, killed_at: float) -> None:
        lab, n = self._lab, self._n
        n.say("hostB notices, activates the last committed checkpoint and announces the guest ...")
        milliseconds = lab.expect_failover(killed_at, exact=not self._options.kill_at)
        self.result["failover_ms"] = round(milliseconds)
        n.say(f"the client has its next reply, {milliseconds:.0f} ms after the kill, on the same "
              "connection")

    def _run_on_backup(self) -> None:
        lab, n = self._lab, self._n
        end = time.monotonic() + 3
        while time.monotonic() < end:
            n.counters(lab.the_client().stats(), "on hostB")
            time.sleep(0.25)

    def _check(self) -> None:
        lab, n, result = self._lab, self._n, self.result
        n.say("checking: every acknowledged request in the guest's memory and on its disk?")
        report = lab.check_everything()
        result["acked"], result["lost"] = report["acked"], report["lost"]
        result["tcp_connection_survived"] = report["connected"]
        result["survived"] = lab.primary.guest_status() == "running"
        n.say(f"the guest says: log {report['log']}, memory {report['memory']}, disk1 {report['disk1']}")
        lab.shut_down_and_fsck()
        result["disk_ok"] = True
        n.say("the guest has shut down; e2fsck finds nothing wrong on hostB's disk")

    def good(self) -> bool:
        result = self.result
        return bool(result["survived"] and result["tcp_connection_survived"] and result["disk_ok"]
                    and result["acked"] > 0 and result["lost"] == 0 and result["failover_ms"] >= 0)


def _summary(result: dict[str, Any], good: bool) -> str:
    if not good:
        return "The guest did NOT survive as it should."
    return (f"\nThe guest survived. Its client kept its TCP connection and waited "
            f"{result['failover_ms'] / 1000:.2f} s, once.\n"
            f"  {result['acked']} requests acknowledged, {result['lost']} lost; disk and memory agree\n"
            f"  pause per checkpoint: p50 {result['pause_p50_us'] / 1000:.1f} ms, "
            f"p99 {result['pause_p99_us'] / 1000:.1f} ms\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description="shows a guest that survives the "
                                     "death of its host process")
    parser.add_argument("--kill-at", choices=POINTS, metavar="POINT",
                        help="kill the primary at a step of its epoch: " + ", ".join(POINTS))
    parser.add_argument("--seconds", type=float, default=8, help="protected time before the kill")
    parser.add_argument("--keep", action="store_true", help="keep logs and disks, print where they are")
    parser.add_argument("--json", action="store_true", help="print only the last line")
    return parser.parse_args()


def main() -> int:
    options = _options()
    paths.require_product()
    sandbox.enter()
    lab = Lab()
    demo = Demo(options, lab)
    try:
        demo.run()
    except (Failure, OSError, RuntimeError) as failure:
        print(f"\ndemo: {failure}\n{lab.log_tails()}", file=sys.stderr)
    finally:
        lab.close(keep=options.keep)
    if options.keep:
        print(f"kept: {lab.folder}", file=sys.stderr)
    good = demo.good()
    if not options.json:
        print(_summary(demo.result, good))
    print(json.dumps(demo.result))
    return 0 if good else 1
