#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes of a guest's disk: unprotected, replicated by HAVEN, and mirrored by QEMU's
blockdev-mirror (copy-mode=write-blocking) to an NBD server on the other host.

fio runs in the guest. A protected guest does not see its own pauses, so that the figures
that count are QEMU's block statistics on the host's clock; fio's own are shown as well."""
import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Callable

from report import Report, median
from setting import BenchGuest, Lab, add_disks_option, query_haven, run_in_lab, unprotect

from haven_e2e import network, paths, sandbox
from haven_e2e.guest import Disk
from haven_e2e.processes import Failure, in_netns, kill_pid, wait_until

DISK_MIB = 64
JOBS = {f"{size} {kind} write, depth {depth}":
        f"--rw={'randwrite' if kind == 'random' else 'write'} --bs={size}i --iodepth={depth}"
        for size, kind in (("4K", "random"), ("64K", "sequential")) for depth in (1, 16)}
CONFIGURATIONS = ("unprotected", "blkrep", "mirror")
# fio starts, and the first second of a job is not counted.
LEAD_SECONDS = 1.2
NBD_PORT = 10809
ASK = Path(__file__).resolve().parent / "ask_fio.py"
COLUMNS = ("row", "iops", "mib_s", "fio_iops", "latency_p50_us", "latency_p99_us", "pause_p50_us",
           "pause_p99_us")


def fill(path: Path) -> None:
    """Blocks that exist: what is measured is writing, not the allocation of a file system."""
    with open(path, "r+b") as file:
        for _ in range(DISK_MIB):
            file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())


class DiskBench:
    def __init__(self, options: argparse.Namespace, lab: Lab, report: Report) -> None:
        self._options = options
        self._lab = lab
        self._report = report
        self._samples: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)

    def run(self) -> None:
        lab = self._lab
        lab.primary.make_disks(filled=True)
        fill(lab.primary.disk_paths["disk1"])
        lab.primary.start_primary()
        self._report.progress("the guest boots")
        self._fio(next(iter(JOBS.values())), 1)
        steps: dict[str, Callable[[Callable[[], None]], None]] = {
            "unprotected": lambda measure: measure(), "blkrep": self._with_blkrep,
            "mirror": self._with_mirror}
        for number in range(self._options.rounds):
            order = CONFIGURATIONS[number % 3:] + CONFIGURATIONS[:number % 3]
            for name in order:
                self._report.progress(f"round {number + 1} of {self._options.rounds}: {name}")
                steps[name](lambda name=name: self._measure(name))
        self._print()

    # --- configurations ---

    def _with_blkrep(self, measure: Callable[[], None]) -> None:
        lab = self._lab
        lab.prepare_backup(promote="manual")
        lab.protect(interval_ms=self._options.interval)
        measure()
        unprotect(lab)
        lab.backup.stop_havend()

    def _with_mirror(self, measure: Callable[[], None]) -> None:
        lab = self._lab
        target = lab.folder / "mirror.raw"
        with open(target, "wb") as file:
            file.truncate(DISK_MIB << 20)
        server = lab.processes.start("nbd", [
            os.environ["HAVEN_QEMU_NBD"], "--format=raw", "--persistent", "--shared=4", "--discard=unmap",
            f"--bind={lab.backup.address}", f"--port={NBD_PORT}", target], netns=lab.backup.name)
        try:
            self._mirror(measure)
        finally:
            kill_pid(server.pid)
            server.wait()
            target.unlink()

    def _qmp(self, command: str, **arguments: Any) -> Any:
        """On a connection of its own: the measurements need the monitor as well."""
        with self._lab.primary.qmp() as monitor:
            return monitor(command, **arguments)

    def _mirror(self, measure: Callable[[], None]) -> None:
        monitor = self._qmp
        server = {"type": "inet", "host": network.REPLICATION[self._lab.backup.name],
                  "port": str(NBD_PORT)}

        def listening() -> bool:
            port = f":{NBD_PORT:04X} 00000000:0000 0A"
            return port in subprocess.run(in_netns(self._lab.backup.name, ["cat", "/proc/net/tcp"]),
                                          capture_output=True, text=True).stdout
        wait_until("the NBD server listens", listening, 10)
        monitor("blockdev-add", node_name="peer", driver="raw", file={"driver": "nbd", "server": server})
        monitor("blockdev-mirror", job_id="mirror", device="disk1", target="peer", sync="full",
                copy_mode="write-blocking", granularity=self._options.granularity)

        def job(status: str) -> bool:
            found = [one for one in monitor("query-block-jobs") if one["device"] == "mirror"]
            return status == "gone" if not found else found[0]["ready"] and status == "ready"
        wait_until("the mirror is ready", lambda: job("ready"), 60)
        measure()
        monitor("block-job-cancel", device="mirror")
        wait_until("the mirror has ended", lambda: job("gone"), 30)
        monitor("blockdev-del", node_name="peer")

    # --- one measurement ---

    def _measure(self, name: str) -> None:
        for job, arguments in JOBS.items():
            sample = self._fio(arguments, self._options.seconds)
            if name == "blkrep":
                status = query_haven(self._lab)
                sample |= {f"{part}_{q}_us": float(status[f"{part}-{q}-us"])
                           for part in ("pause", "stop", "device", "copy") for q in ("p50", "p99")}
            self._samples[job, name].append(sample)

    def _written(self) -> tuple[float, int, int]:
        """(when, requests, bytes): what the guest has written to disk1 so far."""
        devices = self._qmp("query-blockstats")
        when = time.monotonic()
        stats = next(one["stats"] for one in devices if one.get("device") == "disk1")
        return when, int(stats["wr_operations"]), int(stats["wr_bytes"])

    def _fio(self, arguments: str, seconds: float) -> dict[str, float]:
        line = (f"--name=job --filename=/dev/vdb --size={DISK_MIB}M --direct=1 --ioengine=libaio "
                f"--thread --clocksource=clock_gettime --time_based --ramp_time=1 "
                f"--runtime={seconds + 1:g} {arguments}")
        idle = self._written()[1]
        process = subprocess.Popen(in_netns("client", [sys.executable, ASK, network.GUEST4, line]),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until("fio writes", lambda: self._written()[1] > idle + 5 or process.poll() is not None, 90,
                   every=0.05)
        time.sleep(LEAD_SECONDS)
        begin = self._written()
        time.sleep(seconds)
        end = self._written()
        output, errors = process.communicate(timeout=90)
        try:
            write = json.loads(output)["jobs"][0]["write"]
        except (ValueError, KeyError, IndexError):
            raise Failure(f"fio said no JSON: {output[-300:]} {errors[-300:]}") from None
        took = end[0] - begin[0]
        percentiles = write["clat_ns"].get("percentile", {})
        return {"iops": (end[1] - begin[1]) / took, "mib_s": (end[2] - begin[2]) / took / (1 << 20),
                "fio_iops": write["iops"],
                "latency_p50_us": percentiles.get("50.000000", 0) / 1000,
                "latency_p99_us": percentiles.get("99.000000", 0) / 1000}

    def _print(self) -> None:
        figures: dict[tuple[str, str], dict[str, Any]] = {}
        for job in JOBS:
            for name in CONFIGURATIONS:
                samples = self._samples[job, name]
                figures[job, name] = {key: round(median(one[key] for one in samples), 2)
                                      for key in samples[0]}
                self._report.row(row=f"{job}: {name}", job=job, configuration=name, rounds=len(samples),
                                 **figures[job, name], each_iops=[round(one["iops"]) for one in samples])
            self._report.at_least(f"{job}: blkrep's IOPS against the mirror's",
                                  figures[job, "mirror"]["iops"], figures[job, "blkrep"]["iops"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench disk", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--interval", type=int, default=50, help="ms between checkpoints")
    parser.add_argument("--granularity", type=int, default=4096, help="of the mirror; QEMU's own default "
                        "makes it copy 64 KiB for each small write")
    add_disks_option(parser)
    options = parser.parse_args()
    paths.require_product()
    sandbox.enter()
    report = Report("disk", options.json)
    spec = BenchGuest(initramfs=Path(os.environ["HAVEN_BENCH_INITRAMFS"]),
                      disks=[Disk("disk0", 48), Disk("disk1", DISK_MIB)])
    run_in_lab(report, spec, options.disks, COLUMNS, lambda lab: DiskBench(options, lab, report).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
