#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the memory encoder saves in a guest: octets an epoch with each of its stages alone,
and with all of them, under the same load."""
import argparse
import sys
import time
from typing import Any, Callable

import encoder_xen
import load
import server_loads
from ablation import COLUMNS, STAGES, means, report_load
from report import Report
from setting import Lab, add_disks_option, query_haven, run_in_lab, unprotect

from haven_e2e import paths, sandbox
from haven_e2e.client import QUIET
from haven_e2e.host import PORT
from haven_e2e.lab import DEADLINE_MS
from haven_e2e.processes import Failure

# What the guest's own key-value store does by itself, beside answering the client that asks as fast as it can.
KVD = {"kvd": QUIET, "kvd-busy": load.LOAD}
LOADS = [*server_loads.LOADS, *KVD]
# Of a load before it is measured: its caches fill, and so do the encoder's.
WARM_SECONDS = 2.0


class EncoderBench:
    def __init__(self, options: argparse.Namespace, lab: Lab, report: Report) -> None:
        self._options = options
        self._lab = lab
        self._report = report

    def run(self) -> None:
        self._report.progress("the guest boots")
        self._lab.boot(client=False)
        load.run(self._lab, load.SATURATED, 3)  # what is translated once is translated
        for name in self._options.load or LOADS:
            server = server_loads.LOADS.get(name)
            if server:
                self._report.progress(f"{name}: warming up")
                self._report.progress(f"{name}: {server.prepare():.4g} a second, unprotected")
                self._rounds(name, lambda meanwhile: self._server(server, meanwhile))
                server.end()
            else:
                self._rounds(name, lambda meanwhile: load.run(self._lab, load.SATURATED, self._options.seconds,
                                                              meanwhile, KVD[name]).requests_s)

    def _rounds(self, name: str, run: Callable[[Callable[[], None]], float]) -> None:
        rounds: dict[str, list[dict[str, float]]] = {stages: [] for stages in STAGES}
        for number in range(self._options.rounds):
            turn = number % len(STAGES)
            for stages in STAGES[turn:] + STAGES[:turn]:  # close together, since no machine is quiet
                self._report.progress(f"{name}, round {number + 1} of {self._options.rounds}: {stages}")
                rounds[stages].append(self._measure(stages, run))
        report_load(self._report, name, rounds)

    def _measure(self, stages: str, run: Callable[[Callable[[], None]], float]) -> dict[str, float]:
        lab, interval = self._lab, self._options.interval
        lab.prepare_backup(promote="manual")
        self._protect(stages)
        samples: dict[int, dict[str, Any]] = {}
        with lab.primary.qmp() as monitor:
            def meanwhile() -> None:
                figures = monitor("query-haven")
                samples[int(figures["epoch"])] = figures
                time.sleep(interval / 2000)
            rate = run(meanwhile)
        after = query_haven(lab)
        unprotect(lab)
        lab.backup.stop_havend()
        return {**means(list(samples.values())), "pause_p50_us": float(after["pause-p50-us"]), "rate": rate}

    def _protect(self, stages: str) -> None:
        options = self._options
        done = self._lab.primary.haven("protect", self._lab.spec.name, "--to", f"{self._lab.backup.address}:{PORT}",
                                       "--interval", options.interval, "--deadline", DEADLINE_MS,
                                       "--encoder", stages, "--compression", options.compression)
        if done.returncode != 0:
            raise Failure(f"haven protect: {done.stderr.strip()[-400:]}")

    def _server(self, server: server_loads.ServerLoad, meanwhile: Callable[[], None]) -> float:
        process = server.begin(WARM_SECONDS + self._options.seconds)
        time.sleep(WARM_SECONDS)
        end = time.monotonic() + self._options.seconds
        while time.monotonic() < end and process.poll() is None:
            meanwhile()
        return server.finish(process)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench encoder", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--xen", action="store_true", help="on the Xen testbed: sql, web, kv, build and kvd, one round")
    parser.add_argument("--seconds", type=float, help="of each measurement (4; 15 with --xen)")
    parser.add_argument("--interval", type=int, help="between checkpoints, ms (50; 1000 with --xen)")
    parser.add_argument("--load", action="append", choices=LOADS, help="only this one; may be repeated")
    parser.add_argument("--compression", choices=("adaptive", "lz4", "zstd", "zlib"), default="adaptive",
                        help="adaptive: what is done soonest on this link; the others: always")
    add_disks_option(parser)
    options = parser.parse_args()
    paths.require_product()
    if options.xen:
        report = Report("encoder", options.json)
        good = encoder_xen.run(report, options.seconds or 15, options.interval, options.load)
        report.finish(COLUMNS)
        return 0 if good else 1
    options.seconds = options.seconds or 4
    options.interval = options.interval or 50
    sandbox.enter()
    report = Report("encoder", options.json)
    run_in_lab(report, server_loads.guest(), options.disks, COLUMNS,
               lambda lab: EncoderBench(options, lab, report).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
