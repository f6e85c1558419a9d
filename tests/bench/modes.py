#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What each mode costs: latency, throughput, pauses and downtime of the same guest under the same loads,
without protection and in each mode; in rounds, since no machine is quiet."""
import argparse
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Optional

import load
import mode_failovers
import modes_xen
import server_loads
from mode_loads import LOADS, Load
from mode_rows import ADAPTIVE, MODES, UNPROTECTED, XEN_REMUS, Mode
from mode_targets import Targets
from page_copies import QUANTILES, Copies, PageCopier
from report import Report, medians
from setting import BenchGuest, Lab, add_disks_option, backup_cpu_seconds, query_haven, run_in_lab, unprotect

from haven_e2e import paths, sandbox
from haven_e2e.client import QUIET
from haven_e2e.processes import Failure

PARTS = ("pause", "device", "output", "commit")
COLUMNS = ("row", "ping_p50_ms", "ping_p99_ms", "light_p50_ms", "light_p99_ms", "web_p50_ms", "web_p99_ms",
           "web64_requests_s", "heavy_requests_s", "heavy_pages_s", "out_mb_s", "out_allowed_mb_s", "in_mb_s",
           "in_allowed_mb_s", "sql_tps", "sql16_tps", "heavy_epochs_s", "pause_p50_us", "pause_p99_us", "idle_epochs_s",
           "idle_cpu_percent", "downtime_p50_ms", "downtime_max_ms")
ROWS: dict[str, Optional[Mode]] = {UNPROTECTED: None, **MODES}


def _protect(lab: Lab, mode: Mode) -> None:
    lab.protect(mode=mode.mode, interval_ms=mode.interval_ms)
    if mode.latency_ms is not None:
        lab.set_mode(f"latency={mode.latency_ms}")


def _of(one: Load, measured: dict[str, float]) -> dict[str, float]:
    return {f"{one.name}_{key}": value for key, value in measured.items()}


class Modes:
    def __init__(self, options: argparse.Namespace, lab: Lab, report: Report) -> None:
        self._options = options
        self._lab = lab
        self._report = report
        self._chosen = [name for name in ROWS if name in (options.only or ROWS)]
        self._loads = [one for one in LOADS if one.name in (options.load or [each.name for each in LOADS])]
        self._rounds: dict[str, list[dict[str, float]]] = {name: [] for name in self._chosen}
        self._downtimes: dict[str, dict[str, Any]] = {}
        self._failures: list[str] = []

    def run(self) -> None:
        self._boot()
        try:  # what has been measured is shown, also when a later round fails
            assert isinstance(self._lab.spec, BenchGuest) and self._lab.spec.memory_file
            self._copier = PageCopier(self._lab.spec.memory_file)
            try:
                for number in range(self._options.rounds):
                    self._round(number)
            finally:
                self._copier.close()
            modes = {name: partial(_protect, mode=mode) for name, mode in MODES.items()
                     if name in self._chosen and mode.disk_ack == "received"}
            self._downtimes = mode_failovers.run(self._lab, self._report, modes, self._options.failovers)
        finally:
            self._print()
        if self._failures:
            raise Failure("; ".join(self._failures))

    def _boot(self) -> None:
        self._report.progress("the guest boots")
        self._lab.boot(client=False)
        load.run(self._lab, load.SATURATED, 3, after=QUIET)  # what is translated once is translated
        for server in dict.fromkeys(one.server for one in self._loads if one.server and self._options.rounds):
            self._report.progress(f"{server.name}: warming up")
            self._report.progress(f"{server.name}: {server.prepare():.4g} a second, unprotected")

    def _round(self, number: int) -> None:
        for name in reversed(self._chosen) if number % 2 else self._chosen:
            self._report.progress(f"round {number + 1} of {self._options.rounds}: {name}")
            mode = ROWS[name]
            try:
                figures = self._protected(mode) if mode else self._unprotected()
            except Failure as failure:
                self._fails(f"round {number + 1}, {name}: {failure}")
                figures = {}
            self._rounds[name].append(figures)

    def _fails(self, text: str) -> None:
        """The other rows can go on; the whole has failed."""
        self._report.progress(text)
        self._failures.append(text)
        self._lab.primary.haven("unprotect", self._lab.spec.name)
        self._lab.backup.stop_havend()

    def _unprotected(self) -> dict[str, float]:
        figures: dict[str, float] = {}
        for one in self._loads:
            figures |= _of(one, one.run(self._lab, self._options.seconds))
        return figures

    def _protected(self, mode: Mode) -> dict[str, float]:
        lab = self._lab
        lab.prepare_backup(promote="manual", disk_ack=mode.disk_ack)
        _protect(lab, mode)
        figures: dict[str, float] = {}
        for one in self._loads:
            figures |= _of(one, self._watched(one, figures))
        unprotect(lab)
        lab.backup.stop_havend()
        return figures

    def _watched(self, one: Load, row: dict[str, float]) -> dict[str, float]:
        """With what replication does meanwhile. Adds the pauses to `row` when this is the session's first load."""
        lab, copies = self._lab, Copies()
        before, cpu, begin = query_haven(lab), backup_cpu_seconds(lab.backup), time.monotonic()
        with lab.primary.qmp() as monitor:
            measured = one.run(lab, self._options.seconds, lambda: copies.sample(self._copier, monitor))
        after, took = query_haven(lab), time.monotonic() - begin
        cpu = backup_cpu_seconds(lab.backup) - cpu
        if after["state"] != "protected" or after["losses"] != before["losses"]:
            raise Failure(f"the backup was lost under the load {one.name}: {after['state']}, {after.get('message')}")
        if not row:
            row |= {f"{part}_{q}_us": float(after[f"{part}-{q}-us"]) for part in PARTS for q, _ in QUANTILES}
            row |= copies.limits(row)

        def a_second(key: str) -> float:
            return (int(after[key]) - int(before[key])) / took
        # The pauses are the main thread's, the rest the library's own.
        cpu = cpu / took + a_second("cpu-us") / 1e6 + a_second("epochs") * row["pause_p50_us"] / 1e6
        measured |= {"seconds": took, "epochs_s": a_second("epochs"), "frames_s": a_second("frames-released"),
                     "dropped_s": a_second("frames-dropped"), "cpu_percent": 100 * cpu}
        if "window_kib" in measured and after["mode"] == "remus":  # one window an epoch
            measured["allowed_mb_s"] = measured["window_kib"] * 1024 / 1e6 * measured["epochs_s"]
        return measured

    def _print(self) -> None:
        for name, all_rounds in self._rounds.items():
            rounds = [one for one in all_rounds if one]
            if rounds or name in self._downtimes:
                each = {f"each_{key}": [round(one[key], 3) for one in rounds] for key in COLUMNS
                        if rounds and key in rounds[0]}
                self._report.row(row=name, **medians(rounds), **self._downtimes.get(name, {}), **each)
        Targets(self._report, self._rounds).check(ADAPTIVE, MODES)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench modes", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--xen", action="store_true", help="on the Xen testbed, beside Xen's own Remus: one round, no "
                        "failovers (those are in bench xen)")
    parser.add_argument("--rounds", type=int, default=3, help="0: only failovers")
    parser.add_argument("--seconds", type=float, help="of each measurement (3; 10 with --xen)")
    parser.add_argument("--failovers", type=int, default=3, help="in each mode")
    parser.add_argument("--only", action="append", choices=(*ROWS, XEN_REMUS), metavar="ROW",
                        help="may be repeated: " + "; ".join(ROWS))
    parser.add_argument("--load", action="append", choices=[one.name for one in LOADS], metavar="NAME",
                        help="may be repeated: " + " ".join(one.name for one in LOADS))
    add_disks_option(parser)
    options = parser.parse_args()
    paths.require_product()
    if options.xen:
        report = Report("modes", options.json)
        good = modes_xen.run(report, options.seconds or 10, options.only)
        report.finish(modes_xen.COLUMNS)
        return 0 if good else 1
    options.seconds = options.seconds or 3
    memory = Path("/dev/shm") / f"haven-bench-{os.getpid()}-{time.monotonic_ns()}"
    spec = server_loads.guest(memory)
    sandbox.enter()
    report = Report("modes", options.json)
    try:
        run_in_lab(report, spec, options.disks, COLUMNS, lambda lab: Modes(options, lab, report).run())
    finally:
        memory.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
