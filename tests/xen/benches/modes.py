# SPDX-License-Identifier: GPL-2.0-or-later
"""What each mode costs under Xen, for `scripts/bench modes --xen`: the guest with Debian's servers, unprotected, with
Xen's own Remus, and in each of HAVEN's modes, one after the other. `heavy` is the guest's own writing, as in `bench
xen`; the others are those of `bench modes`. A load that is not done long after its window has the rate 0.

Xen's Remus holds no output here and replicates no disks (haven_xen/remus.py)."""
import os
import sys
import time
from typing import Callable, Optional

from haven_xen import measure, remus, servers
from haven_xen.bed import Testbed
from haven_xen.haven import Protection, haven, status
from haven_e2e.client import QUIET
from haven_e2e.scenario import Notes

from client_program import NotDone  # found by haven_xen.servers
from mode_loads import LOADS, Program
from mode_rows import MODES, UNPROTECTED, XEN_REMUS

Row = dict[str, float]
CHOSEN = os.environ.get("HAVEN_BENCH_ROWS")
REMUS_MS = 50
# 16 clients of pgbench take this guest half a minute to connect.
PROGRAMS = [one for one in LOADS if isinstance(one, Program) and one.name != "sql16"]
# Of a load that was not done.
NOTHING = {"web": "requests_s", "web64": "requests_s", "out": "mb_s", "in": "mb_s", "sql": "tps"}
OWN = ("pause_p50_us", "pause_p99_us", "settle_p50_us", "commit_p50_us", "output_p50_us")


def run(bed: Testbed, t: Notes) -> None:
    rounds: "dict[str, list[Row]]" = {}
    t(rounds=rounds)
    protection = servers.boot(bed, REMUS_MS)
    for server in dict.fromkeys(one.server for one in PROGRAMS if one.server):
        measure.say(f"{server.name}: warming up")
        measure.say(f"{server.name}: {server.prepare():.4g} a second, unprotected")
    rows = {UNPROTECTED: _unprotected, XEN_REMUS: _remus,
            **{name: _haven(name) for name, mode in MODES.items() if mode.disk_ack == "received"}}
    for name, row in rows.items():
        if not CHOSEN or name in CHOSEN.split(";"):
            measure.say(name)
            rounds[name] = [row(bed, protection)]


def _unprotected(bed: Testbed, _protection: Protection) -> Row:
    return _loads(bed, None)


def _remus(bed: Testbed, protection: Protection) -> Row:
    remus.start(bed, protection.guest, REMUS_MS)
    row = _loads(bed, lambda: remus.checkpoints(bed))
    remus.stop(bed, protection.guest)
    return row


def _haven(name: str) -> Callable[[Testbed, Protection], Row]:
    mode = MODES[name]

    def row(bed: Testbed, protection: Protection) -> Row:
        guest = protection.guest.name
        latency = ["--latency", mode.latency_ms] if mode.latency_ms else []
        protection.interval_ms = mode.interval_ms
        haven(bed.a, *protection.protect_words(), "--mode", mode.mode, *latency)
        figures = _loads(bed, lambda: int(status(bed.a)["epoch"]))
        now = protection.require("protected")
        haven(bed.a, "unprotect", guest)
        return {**figures, **{f"own_{key}": float(now[key]) for key in OWN}}
    return row


def _loads(bed: Testbed, checkpoints: Optional[Callable[[], int]]) -> Row:
    bed.the_client().load(**measure.LOAD)
    time.sleep(3)
    figures = {f"heavy_{key}": value for key, value in measure.window(bed, checkpoints).items()}
    bed.the_client().load(**QUIET)
    for one in PROGRAMS:
        begin, count = time.monotonic(), checkpoints() if checkpoints else 0
        try:
            measured = one.measure(measure.WINDOW)
        except NotDone as late:
            print(f"bench modes: {late}", file=sys.stderr)
            measured = {NOTHING[one.name]: 0.0}
        if checkpoints:
            measured["epochs_s"] = (checkpoints() - count) / (time.monotonic() - begin)
        figures |= {f"{one.name}_{key}": round(value, 3) for key, value in measured.items()}
    return figures
