#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Prediction on and off: pauses, bytes and memory of a guest that writes to many pages an epoch, nine tenths of its
writes to a tenth of the pages, the rest uniformly; in rounds, the same guest under the same load."""
import argparse
import sys
import time
from pathlib import Path
from typing import Any, Optional

from report import Report, median, medians
from setting import BenchGuest, Lab, add_disks_option, carry_nice, query_haven, run_in_lab, unprotect

from haven_e2e import paths, sandbox
from haven_e2e.client import Client

ROWS = {"off": "no", "on": "yes"}
WARM_EPOCHS = 4
COLUMNS = ("row", "pages_per_epoch", "pause_pages", "early_pages", "pause_p50_ms", "pause_p99_ms", "copy_p50_ms",
           "harvest_p50_ms", "mib_per_epoch", "epochs_s", "writes_s", "memory_mib")


def resident_mib(pids: "list[Optional[int]]") -> float:
    """Memory of processes, what they share counted once."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


class Prediction:
    def __init__(self, options: argparse.Namespace, lab: Lab, report: Report) -> None:
        self._options = options
        self._lab = lab
        self._report = report
        self._rows: dict[str, list[dict[str, float]]] = {name: [] for name in ROWS}

    def run(self) -> None:
        self._report.progress("the guest boots")
        self._lab.boot(client=False)
        self._client = Client(self._lab.processes)
        self._client.ask("pause")
        self._client.control(f"skew {self._options.pages} {self._options.writes}")
        time.sleep(self._options.warm)
        for number in range(self._options.rounds):
            names = list(ROWS)
            if number % 2:
                names.reverse()
            for name in names:
                self._report.progress(f"round {number + 1} of {self._options.rounds}: prediction {name}")
                self._rows[name].append(self._measure(ROWS[name]))
        verdict = self._client.verify_guest()
        self._report.progress(f"the guest's memory holds what was written: {verdict['memory']}")
        for name, rounds in self._rows.items():
            self._report.row(row=name, **medians(rounds))
        self._targets()

    def _measure(self, predict: str) -> dict[str, float]:
        lab = self._lab
        lab.prepare_backup(promote="manual")
        lab.protect()
        lab.set_mode("mode=remus", f"interval={self._options.interval}", f"predict={predict}")
        carry_nice()
        lab.wait_for_epochs(WARM_EPOCHS)
        before = self._sample()
        time.sleep(self._options.seconds)
        after = self._sample()
        memory = resident_mib([lab.primary.qemu_pid(), lab.backup.qemu_pid(), lab.backup.havend_pid()])
        unprotect(lab)
        lab.backup.stop_havend()
        return self._figures(before, after, memory)

    def _sample(self) -> dict[str, Any]:
        writes = int(self._client.control("status")["skew_writes"])
        return {**query_haven(self._lab), "writes": writes, "when": time.monotonic()}

    @staticmethod
    def _figures(before: dict[str, Any], after: dict[str, Any], memory: float) -> dict[str, float]:
        def grown(key: str) -> float:
            return float(after[key]) - float(before[key])
        epochs, took = max(1.0, grown("epochs")), grown("when")
        in_pause, early = grown("dirty-pages-total") / epochs, grown("early-pages-total") / epochs
        return {"pages_per_epoch": in_pause + early, "pause_pages": in_pause, "early_pages": early,
                **{f"{part}_p50_ms": after[f"{part}-p50-us"] / 1000 for part in ("pause", "copy", "harvest")},
                "pause_p99_ms": after["pause-p99-us"] / 1000,
                "mib_per_epoch": grown("memory-wire-bytes") / epochs / (1 << 20),
                "epochs_s": epochs / took, "writes_s": grown("writes") / took, "memory_mib": memory}

    # --- targets ---

    def _part(self, key: str) -> float:
        return median(on[key] / off[key] for on, off in zip(self._rows["on"], self._rows["off"]))

    def _targets(self) -> None:
        at = self._report
        at.at_least("pages an epoch, without prediction", 15_000,
                    median(one["pages_per_epoch"] for one in self._rows["off"]))
        at.at_most("pause p50, part of that without prediction", 0.55, self._part("pause_p50_ms"))
        at.at_most("bytes an epoch, part of those without prediction", 1.15, self._part("mib_per_epoch"))
        at.at_most("memory of both hosts' processes, part of that without prediction", 1.09, self._part("memory_mib"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench prediction", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--warm", type=float, default=8, help="seconds until all pages hold something")
    parser.add_argument("--pages", type=int, default=40_000, help="that the guest writes to")
    parser.add_argument("--writes", type=int, default=600_000, help="a second")
    parser.add_argument("--interval", type=int, default=350, help="that the guest runs in an epoch, in milliseconds")
    add_disks_option(parser)
    options = parser.parse_args()
    paths.require_product()
    sandbox.enter()
    report = Report("prediction", options.json)
    run_in_lab(report, BenchGuest(memory_mib=384), options.disks, COLUMNS,
               lambda lab: Prediction(options, lab, report).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
