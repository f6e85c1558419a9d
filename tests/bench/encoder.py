#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the memory encoder saves in a guest: octets an epoch with each of its stages alone,
and with all of them, under the same load."""
import argparse
import sys
import time
from typing import Any

import load
from report import Report, median
from setting import BenchGuest, Lab, place_disks, query_haven, unprotect

from haven_e2e import paths, sandbox

STAGES = ("none", "blocks", "sharing", "compression", "all")
QUIET = {"memory_pages_s": 0, "memory_pages": 0, "disk_threads": 0, "disk_ops_s": 0, "chatter_s": 0}
# What runs in the guest beside the key-value store that the client asks as fast as it answers.
LOADS = {"key-value store": QUIET, "with memory and disks": load.LOAD}
COLUMNS = ("row", "epochs", "pages_per_epoch", "whole_kib_per_epoch", "kib_per_epoch", "part_of_whole",
           "kib_after_blocks", "kib_after_sharing", "hit_percent", "encode_us", "decode_us", "pause_p50_us",
           "requests_s")
# Of the encoder, each a figure of the last epoch.
FIGURES = ("dirty-pages-last", "encoder-bytes", "encoder-bytes-after-blocks", "encoder-bytes-after-sharing",
           "encoder-cache-hits", "encoder-cache-misses", "encoder-us", "decode-us")


def measure(lab: Lab, stages: str, what: dict[str, int], options: argparse.Namespace) -> dict[str, float]:
    lab.prepare_backup(promote="manual")
    lab.protect(interval_ms=options.interval, encoder=stages)
    samples: dict[int, dict[str, Any]] = {}
    with lab.primary.qmp() as monitor:
        def meanwhile() -> None:
            figures = monitor("query-haven")
            samples[int(figures["epoch"])] = figures
            time.sleep(options.interval / 2000)
        figures = load.run(lab, load.SATURATED, options.seconds, meanwhile, what)
    after = query_haven(lab)
    unprotect(lab)
    lab.backup.stop_havend()

    sums = {name: sum(int(one[name]) for one in samples.values()) / len(samples) for name in FIGURES}
    looked_up = sums["encoder-cache-hits"] + sums["encoder-cache-misses"]
    whole = sums["dirty-pages-last"] * (4096 + 8)
    return {"epochs": len(samples), "pages_per_epoch": sums["dirty-pages-last"],
            "whole_kib_per_epoch": whole / 1024, "kib_per_epoch": sums["encoder-bytes"] / 1024,
            "part_of_whole": sums["encoder-bytes"] / max(1.0, whole),
            "kib_after_blocks": sums["encoder-bytes-after-blocks"] / 1024,
            "kib_after_sharing": sums["encoder-bytes-after-sharing"] / 1024,
            "hit_percent": 100 * sums["encoder-cache-hits"] / max(1.0, looked_up),
            "encode_us": sums["encoder-us"], "decode_us": sums["decode-us"],
            "pause_p50_us": float(after["pause-p50-us"]), "requests_s": figures.requests_s}


def run(lab: Lab, options: argparse.Namespace, report: Report) -> None:
    report.progress("the guest boots")
    lab.boot(client=False)
    load.run(lab, load.SATURATED, 3)  # what is translated once is translated
    for name, what in LOADS.items():
        rounds: dict[str, list[dict[str, float]]] = {stages: [] for stages in STAGES}
        for number in range(options.rounds):
            for stages in STAGES:  # close together, since no machine is quiet
                report.progress(f"{name}, round {number + 1} of {options.rounds}: {stages}")
                rounds[stages].append(measure(lab, stages, what, options))
        rows = {}
        for stages, ones in rounds.items():
            values = {key: round(median(one[key] for one in ones), 3) for key in ones[0]}
            rows[stages] = report.row(row=f"{name}: {stages}", **values)
        report.at_most(f"{name}: octets with all stages, part of whole pages", 0.25, rows["all"]["part_of_whole"])
        report.at_most(f"{name}: pause p50 with all stages, us: 1.1 x that with whole pages",
                       1.1 * rows["none"]["pause_p50_us"], rows["all"]["pause_p50_us"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench encoder", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--interval", type=int, default=50, help="between checkpoints, ms")
    parser.add_argument("--disks", metavar="DIR", help="where disks and replicas are (default: in "
                        "memory if that can do direct I/O)")
    options = parser.parse_args()
    paths.require_product()
    sandbox.enter()
    report = Report("encoder", options.json)
    report.progress(f"disks are in {place_disks(options.disks)}")
    lab = Lab(BenchGuest())
    good = False
    try:
        run(lab, options, report)
        report.finish(COLUMNS)
        good = True
    finally:
        if not good:
            print(lab.log_tails(), file=sys.stderr)
        lab.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
