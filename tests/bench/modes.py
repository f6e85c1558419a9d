#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What each mode costs: latency, throughput and pauses of the same guest under the same loads, without
protection and in each mode; in rounds, since no machine is quiet.

Light load: one client that asks ten times a second. Paced: 100 requests a second. Closed: one request after the
other. Saturated: 64 requests in flight. Each request is an fsync in the guest. Added latency is what
is above the unprotected row of the same round."""
import argparse
import sys
import time
from typing import Optional

import load
from report import Report, median, medians
from setting import BenchGuest, Lab, add_disks_option, query_haven, run_in_lab, unprotect

from haven_e2e import paths, sandbox

MODES: dict[str, Optional[list[str]]] = {
    "unprotected": None,
    "remus 5/s": ["mode=remus", "interval=200"],
    "remus 10/s": ["mode=remus", "interval=100"],
    "remus 20/s": ["mode=remus", "interval=50"],
    "remus 40/s": ["mode=remus", "interval=25"],
    "kemari": ["mode=kemari"],
    "adaptive, latency 5 ms": ["mode=adaptive", "latency=5"],
    "adaptive, latency 20 ms": ["mode=adaptive", "latency=20"],
}
LOADS = {
    "light": {"window": 1, "rate": 10},
    "paced": load.PACED,
    "closed": {"window": 1, "rate": 1000000},
    "saturated": load.SATURATED,
}
IDLE = {"memory_pages_s": 50, "memory_pages": 256, "disk_threads": 0, "disk_ops_s": 0, "chatter_s": 0}
COLUMNS = ("row", "light_p50_ms", "light_p99_ms", "paced_p50_ms", "paced_p99_ms", "closed_requests_s",
           "saturated_requests_s", "pages_s", "epochs_s", "pause_p50_us", "pause_p99_us", "output_p50_us")


class Modes:
    def __init__(self, options: argparse.Namespace, lab: Lab, report: Report) -> None:
        self._options = options
        self._lab = lab
        self._report = report
        self._rows: dict[str, list[dict[str, float]]] = {name: [] for name in MODES}

    def run(self) -> None:
        self._report.progress("the guest boots")
        self._lab.boot(client=False)
        load.run(self._lab, load.SATURATED, 3)  # what is translated once is translated
        for number in range(self._options.rounds):
            names = list(MODES)
            if number % 2:
                names.reverse()
            for name in names:
                self._report.progress(f"round {number + 1} of {self._options.rounds}: {name}")
                self._rows[name].append(self._measure(MODES[name]))
        for name, rounds in self._rows.items():
            self._report.row(row=name, **medians(rounds))
        self._targets()

    def _measure(self, settings: Optional[list[str]]) -> dict[str, float]:
        lab = self._lab
        if settings is None:
            return self._loads(protected=False)
        lab.prepare_backup(promote="manual")
        lab.protect()
        lab.set_mode(*settings)
        figures = self._loads(protected=True)
        unprotect(lab)
        lab.backup.stop_havend()
        return figures

    def _loads(self, protected: bool) -> dict[str, float]:
        figures: dict[str, float] = {}
        seconds = self._options.seconds
        for name, client in LOADS.items():
            begin, before = time.monotonic(), query_haven(self._lab)
            # A light load is one of the guest's own, too.
            measured = load.run(self._lab, client, seconds, beside=IDLE if name in ("light", "closed") else None)
            after, took = query_haven(self._lab), time.monotonic() - begin
            figures |= {f"{name}_p50_ms": measured.latency_p50_us / 1000,
                        f"{name}_p99_ms": measured.latency_p99_us / 1000,
                        f"{name}_requests_s": measured.requests_s}
            if name == "saturated":
                figures["pages_s"] = measured.pages_s
            if name == "saturated" and protected:
                figures["epochs_s"] = (after["epochs"] - before["epochs"]) / took
                figures |= {key.replace("-", "_"): float(after[key])
                            for key in ("pause-p50-us", "pause-p99-us", "output-p50-us", "commit-p50-us")}
        return figures

    # --- targets ---

    def _added(self, name: str, key: str) -> float:
        """Above unprotected, each round against its own."""
        return median(ours[key] - free[key] for ours, free in
                      zip(self._rows[name], self._rows["unprotected"]))

    def _share(self, name: str, of: str, key: str) -> float:
        """Percent, each round against its own."""
        return 100 * median(ours[key] / max(1e-9, theirs[key]) for ours, theirs in
                            zip(self._rows[name], self._rows[of]))

    def _targets(self) -> None:
        at = self._report
        for name in ("adaptive, latency 5 ms", "adaptive, latency 20 ms"):
            for rate in (5, 10, 20):
                at.at_most(f"{name}: added latency p50 under light load, ms: 1/4 of remus {rate}/s",
                           self._added(f"remus {rate}/s", "light_p50_ms") / 4, self._added(name, "light_p50_ms"))
            at.at_least(f"{name}: 64 in flight, % of unprotected", 90,
                        self._share(name, "unprotected", "saturated_requests_s"))
            at.at_least(f"{name}: throughput under heavy load (pages dirtied), % of remus 20/s", 95,
                        self._share(name, "remus 20/s", "pages_s"))
            at.at_least(f"{name}: one request after the other, % of remus 20/s", 200,
                        self._share(name, "remus 20/s", "closed_requests_s"))
        at.at_most("kemari: added latency p50 under light load, ms: 1/3 of remus 20/s",
                   self._added("remus 20/s", "light_p50_ms") / 3, self._added("kemari", "light_p50_ms"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench modes", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    add_disks_option(parser)
    options = parser.parse_args()
    paths.require_product()
    sandbox.enter()
    report = Report("modes", options.json)
    run_in_lab(report, BenchGuest(), options.disks, COLUMNS, lambda lab: Modes(options, lab, report).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
