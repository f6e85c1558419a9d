#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Replication over a long link: several epochs in flight against one, and disk-ack = epoch against the
synchronous mirror, with the round trip of the link and without.

The same guest under the same loads, in rounds: one request after the other (closed), and 50 a second whatever is
unanswered (open); answered from memory, and each after an fsync in the guest. Added latency is what is above
the unprotected row of the same round."""
import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import load
from report import Report, median, medians
from setting import BenchGuest, Lab, add_disks_option, carry_nice, query_haven, run_in_lab, unprotect

from haven_e2e import network, paths, sandbox
from haven_e2e.client import Client
from haven_e2e.processes import Failure, in_netns

HERE = Path(__file__).resolve().parent
OPEN_RATE = 50


@dataclass(frozen=True)
class Row:
    in_flight: int
    disk_ack: str


ROWS: dict[str, Optional[Row]] = {
    "unprotected": None,
    "1 in flight": Row(1, "received"),
    "4 in flight": Row(4, "received"),
    "1 in flight, disk-ack = epoch": Row(1, "epoch"),
    "4 in flight, disk-ack = epoch": Row(4, "epoch"),
}
CLIENTS = ("closed", "open", "closed_fsync", "open_fsync")
COLUMNS = ("link", "row", *(f"{name}_p50_ms" for name in CLIENTS), "epochs_s", "fsync_epochs_s", "commit_p50_us",
           "settle_p50_us", "pause_p50_us")


class LongLink:
    def __init__(self, options: argparse.Namespace, lab: Lab, report: Report) -> None:
        self._options = options
        self._lab = lab
        self._report = report
        self._rows: dict[tuple[str, str], list[dict[str, float]]] = {}

    def run(self) -> None:
        self._report.progress("the guest boots")
        self._lab.boot(client=False)
        load.run(self._lab, load.SATURATED, 3)  # what is translated once is translated
        for link in ("local", "long"):
            if link == "long":
                self._lengthen()
            for number in range(self._options.rounds):
                names = list(ROWS)
                if number % 2:
                    names.reverse()
                for name in names:
                    self._report.progress(f"{link} link, round {number + 1} of {self._options.rounds}: {name}")
                    self._rows.setdefault((link, name), []).append(self._measure(ROWS[name]))
        for (link, name), rounds in self._rows.items():
            self._report.row(link=link, row=name, **medians(rounds))
        self._targets()

    def _lengthen(self) -> None:
        assert self._lab.network
        self._lab.network.lengthen(Path(os.environ["HAVEN_LONG_LINK"]), self._options.rtt)
        self._report.progress(f"the replication link has a round trip of {self._options.rtt:g} ms")

    def _measure(self, row: Optional[Row]) -> dict[str, float]:
        lab = self._lab
        if row is None:
            return self._clients(protected=False)
        lab.prepare_backup(promote="manual", disk_ack=row.disk_ack)
        lab.protect()
        lab.set_mode("mode=remus", f"interval={self._options.interval}", f"in-flight={row.in_flight}")
        figures = self._clients(protected=True)
        unprotect(lab)
        lab.backup.stop_havend()
        return figures

    def _clients(self, protected: bool) -> dict[str, float]:
        figures: dict[str, float] = {}
        for name in CLIENTS:
            begin, before = time.monotonic(), query_haven(self._lab)
            figures |= {f"{name}_{key}": value for key, value in self._client(name).items()}
            after, took = query_haven(self._lab), time.monotonic() - begin
            if not protected:
                continue
            rate = (after["epochs"] - before["epochs"]) / took
            if name == "closed":
                figures["epochs_s"] = rate
            if name == "closed_fsync":
                figures["fsync_epochs_s"] = rate
                figures |= {f"{part}_p50_us": float(after[f"{part}-p50-us"]) for part in ("commit", "settle", "pause")}
        return figures

    def _client(self, name: str) -> dict[str, float]:
        seconds = self._options.seconds
        if name.endswith("_fsync"):
            how = {"window": 1, "rate": 1000000} if name.startswith("closed") else {"window": 64, "rate": OPEN_RATE}
            measured = load.run(self._lab, how, seconds)
            return {"p50_ms": measured.latency_p50_us / 1000, "p99_ms": measured.latency_p99_us / 1000,
                    "requests_s": measured.requests_s}
        client = Client(self._lab.processes)
        client.ask("pause")
        client.load(**load.LOAD)
        rate = 0 if name == "closed" else OPEN_RATE
        carry_nice()
        done = subprocess.run(in_netns("client", [sys.executable, HERE / "ask_kvd.py", network.GUEST4, seconds, rate]),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + 90)
        client.quit()
        if done.returncode != 0:
            raise Failure(done.stderr.strip())
        answer = json.loads(done.stdout)
        return {"p50_ms": answer["p50_us"] / 1000, "p99_ms": answer["p99_us"] / 1000,
                "requests_s": answer["answered"] / seconds}

    # --- targets ---

    def _part(self, link: str, row: str, of: str, key: str) -> float:
        """Of what is above unprotected where that is a latency; each round against its own."""
        def value(name: str, number: int) -> float:
            above = self._rows[link, "unprotected"][number].get(key, 0.0) if key.endswith("_ms") else 0.0
            return max(1e-3, self._rows[link, name][number][key] - above)
        return median(value(row, number) / value(of, number) for number in range(self._options.rounds))

    def _targets(self) -> None:
        at = self._report
        one, four = "1 in flight, disk-ack = epoch", "4 in flight, disk-ack = epoch"
        at.at_least("long link: checkpoints/s, 4 in flight to 1", 3, self._part("long", four, one, "epochs_s"))
        at.at_least("long link, guest that fsyncs: checkpoints/s, 4 in flight to 1", 3,
                    self._part("long", four, one, "fsync_epochs_s"))
        for name in CLIENTS:
            limit = 0.7 if name.startswith("closed") else 0.85
            at.at_most(f"long link: added latency p50, {name.replace('_', ' with ')}, 4 in flight to 1", limit,
                       self._part("long", four, one, f"{name}_p50_ms"))
        for name in CLIENTS:
            at.at_most(f"local link: added latency p50, {name.replace('_', ' with ')}, 4 in flight to 1", 1.1,
                       self._part("local", "4 in flight", "1 in flight", f"{name}_p50_ms"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench long-link", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--rtt", type=float, default=20, help="of the long link, in milliseconds")
    parser.add_argument("--interval", type=int, default=5, help="that the guest runs in an epoch, in milliseconds")
    add_disks_option(parser)
    options = parser.parse_args()
    paths.require_product()
    sandbox.enter()
    report = Report("long-link", options.json)
    run_in_lab(report, BenchGuest(), options.disks, COLUMNS, lambda lab: LongLink(options, lab, report).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
