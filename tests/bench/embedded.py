#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What protection costs a guest on the embedded accelerator, and how long a failover takes.

The same guest under the same load: unprotected, protected at several rates, and under the
checkpoint path of stock Remus; in rounds, since no machine is quiet."""
import argparse
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import load
from page_copies import Copies, PageCopier
from report import Report, median, medians, percentile
from setting import (BenchGuest, Lab, add_disks_option, backup_cpu_seconds, query_haven, run_in_lab,
                     unprotect)
from stock import StockCheckpoints

from haven_e2e import paths, sandbox
from haven_e2e.client import Client
from haven_e2e.lab import DEADLINE_MS

RATES = (5, 10, 20, 40)
STOCK_RATE = 20
PARTS = ("stop", "device", "harvest", "copy", "resume")
COLUMNS = ("row", "epochs", "pages_per_epoch", "pause_p50_us", "pause_p99_us", "stop_p99_us",
           "device_p99_us", "copy_p99_us", "limit_p50_us", "limit_p99_us", "bytes_per_epoch",
           "latency_p50_ms", "latency_p99_ms", "requests_s", "pages_s", "disk_ops_s",
           "cpu_primary", "cpu_backup")


@dataclass
class Samples:
    """One row: each figure once a round, and the copies of all rounds."""
    rounds: list[dict[str, float]] = field(default_factory=list)
    copies: Copies = field(default_factory=Copies)


def figures_of(paced: load.Figures, saturated: load.Figures) -> dict[str, float]:
    return {"latency_p50_ms": paced.latency_p50_us / 1000, "latency_p99_ms": paced.latency_p99_us / 1000,
            "requests_s": saturated.requests_s, "pages_s": saturated.pages_s,
            "disk_ops_s": saturated.disk_ops_s}


class Embedded:
    def __init__(self, options: argparse.Namespace, lab: Lab, report: Report) -> None:
        self._options = options
        self._lab = lab
        self._report = report
        self._rows: dict[str, Samples] = {}
        assert isinstance(lab.spec, BenchGuest) and lab.spec.memory_file
        self._memory = lab.spec.memory_file

    def run(self) -> None:
        self._report.progress("the guest boots")
        self._lab.boot(client=False)
        load.run(self._lab, load.SATURATED, 3)  # what is translated once is translated
        self._copier = PageCopier(self._memory)
        try:
            for number in range(self._options.rounds):
                self._round(number)
        finally:
            self._copier.close()
        if self._options.rounds > 0:
            self._print_rows()
        if self._options.failovers > 0:
            self._failovers()

    # --- rows ---

    def _round(self, number: int) -> None:
        # What is compared with each other is measured close together. The stock path comes
        # after 20/s: it copies as many pages as an epoch of the same rate had.
        steps = [*((f"{rate}/s", self._protected_at(rate)) for rate in RATES)]
        steps.insert(RATES.index(STOCK_RATE) + 1, ("unprotected", self._unprotected))
        steps.insert(RATES.index(STOCK_RATE) + 2, ("stock", self._stock))
        if number % 2:
            steps = [steps[-1], *steps[:-1]]
        for name, step in steps:
            self._report.progress(f"round {number + 1} of {self._options.rounds}: {name}")
            samples = self._rows.setdefault(name, Samples())
            samples.rounds.append(step(samples))

    def _unprotected(self, samples: Samples) -> dict[str, float]:
        paced = load.run(self._lab, load.PACED, self._options.seconds)
        return figures_of(paced, load.run(self._lab, load.SATURATED, self._options.seconds / 2))

    def _protected_at(self, rate: int) -> Any:
        return lambda samples: self._protected(rate, samples)

    def _protected(self, rate: int, samples: Samples) -> dict[str, float]:
        lab = self._lab
        lab.prepare_backup(promote="manual")
        lab.protect(interval_ms=1000 // rate)
        before, cpu = query_haven(lab), backup_cpu_seconds(lab.backup)
        begin = time.monotonic()

        with lab.primary.qmp() as monitor:
            def meanwhile() -> None:
                samples.copies.sample(self._copier, monitor)
            paced = load.run(lab, load.PACED, self._options.seconds, meanwhile)
            saturated = load.run(lab, load.SATURATED, self._options.seconds / 2, meanwhile)
        after = query_haven(lab)
        seconds = time.monotonic() - begin
        cpu = backup_cpu_seconds(lab.backup) - cpu
        unprotect(lab)
        lab.backup.stop_havend()
        return {**figures_of(paced, saturated), **self._of_session(before, after, cpu, seconds)}

    def _of_session(self, before: dict[str, Any], after: dict[str, Any], backup_cpu: float,
                    seconds: float) -> dict[str, float]:
        def grown(key: str) -> int:
            return int(after[key]) - int(before[key])
        epochs = max(1, grown("epochs"))
        result = {f"{part}_{q}_us": float(after[f"{part}-{q}-us"])
                  for part in ("pause", *PARTS, "commit") for q in ("p50", "p99")}
        return {**result, "epochs": float(epochs),
                "pages_per_epoch": grown("dirty-pages-total") / epochs,
                "bytes_per_epoch": (grown("memory-wire-bytes") + grown("disk-wire-bytes")) / epochs,
                "cpu_primary": grown("cpu-us") / 1e6 / seconds, "cpu_backup": backup_cpu / seconds}

    def _stock(self, samples: Samples) -> dict[str, float]:
        pages = round(median(self._rows[f"{STOCK_RATE}/s"].copies.pages))
        path = StockCheckpoints(self._lab.primary, self._copier, pages, 1 / STOCK_RATE,
                                self._memory.with_suffix(".state"))
        path.start()
        try:
            paced = load.run(self._lab, load.PACED, self._options.seconds)
            saturated = load.run(self._lab, load.SATURATED, self._options.seconds / 2)
        finally:
            path.finish()
        result = {f"{part}_{q}_us": percentile(values, f) for part, values in path.parts.items()
                  for q, f in (("p50", 0.5), ("p99", 0.99))}
        result |= {"epochs": float(len(path.parts["pause"])), "pages_per_epoch": float(pages)}
        return {**figures_of(paced, saturated), **result}

    def _print_rows(self) -> None:
        for name, samples in self._rows.items():
            merged: dict[str, Any] = medians(samples.rounds)
            merged |= samples.copies.limits(merged)
            merged["each_requests_s"] = [round(one["requests_s"]) for one in samples.rounds]
            merged["each_pause_p99_us"] = [round(one.get("pause_p99_us", 0)) for one in samples.rounds]
            self._report.row(row=name, **merged)
        self._targets()

    def _targets(self) -> None:
        rows = {row["row"]: row for row in self._report.rows}
        for rate in RATES:
            row = rows[f"{rate}/s"]
            self._report.at_most(f"pause p99 at {rate}/s, us: 2 x (memcpy + device state), p99",
                                 2 * row["limit_p99_us"], row["pause_p99_us"])
        for rate in RATES:
            row = rows[f"{rate}/s"]
            self._report.at_most(f"pause p50 at {rate}/s, us: 2 x (memcpy + device state), p50",
                                 2 * row["limit_p50_us"], row["pause_p50_us"])
        for key, text in (("requests_s", "client requests"), ("pages_s", "pages dirtied"),
                          ("disk_ops_s", "disk operations")):
            # Each round against itself: what else the machine does drifts.
            ratios = [ours[key] / max(1e-9, free[key]) for ours, free in
                      zip(self._rows["20/s"].rounds, self._rows["unprotected"].rounds)]
            self._report.at_least(f"throughput at 20/s, % of unprotected: {text}", 70,
                                  100 * median(ratios))

    # --- failovers ---

    def _failovers(self) -> None:
        lab = self._lab
        assert isinstance(lab.spec, BenchGuest)
        client = lab.client = Client(lab.processes, **load.PACED, stall=30)
        client.load(**load.LOAD)
        took: dict[str, list[float]] = {"process killed": [], "host gone silently": []}
        for number in range(self._options.failovers):
            kind = list(took)[number % 2]
            lab.prepare_backup()
            lab.protect(interval_ms=50)
            lab.wait_for_epochs(10)
            took[kind].append(self._fail_over(silently=number % 2 == 1))
            lab.spec.memory_file = None  # the guest is havend's from now on
            self._report.progress(f"failover, {kind}: {took[kind][-1]:.0f} ms")
        checked = lab.check_everything()
        for kind, values in took.items():
            if not values:
                continue
            self._report.row(row=f"failover, {kind}", failovers=len(values), lost=checked["lost"],
                             failover_p50_ms=round(median(values)), failover_max_ms=round(max(values)),
                             failovers_ms=[round(value) for value in values])
            self._report.at_most(f"failover, {kind}, max ms: deadline {DEADLINE_MS} + 300",
                                 DEADLINE_MS + 300, max(values))

    def _fail_over(self, silently: bool) -> float:
        lab = self._lab
        dying = lab.primary
        assert lab.network
        if silently:  # no FIN and no RST leaves the host; it counts from its last word to the backup
            lab.network.cut(dying.name, "lan")
            killed_at = time.monotonic()
            lab.network.cut(dying.name, "rep")
            dying.kill_qemu()
        else:
            killed_at = dying.kill_qemu()
        milliseconds = lab.expect_failover(killed_at)
        if silently:
            for link in ("lan", "rep"):
                lab.network.heal(dying.name, link)
        return milliseconds


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench embedded", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3, help="0: only failovers")
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--failovers", type=int, default=6)
    add_disks_option(parser)
    options = parser.parse_args()
    paths.require_product()
    sandbox.enter()
    memory = Path("/dev/shm") / f"haven-bench-{os.getpid()}-{time.monotonic_ns()}"
    report = Report("embedded", options.json)
    try:
        run_in_lab(report, BenchGuest(memory_file=memory), options.disks, COLUMNS,
                   lambda lab: Embedded(options, lab, report).run())
    finally:
        memory.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
