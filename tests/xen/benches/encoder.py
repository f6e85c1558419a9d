# SPDX-License-Identifier: GPL-2.0-or-later
"""The encoder's stages under Xen, for `scripts/bench encoder --xen`: the guest with Debian's
servers, protected once for each load and stage. Checkpoints are a second apart: after each the guest traps at its first
access to every page, which takes an emulated Xen a fifth of a millisecond, so that in 200 ms PostgreSQL gets
through its memory not even once. A load that is not done some time after its window has the rate 0.

Figures are means over the epochs that were seen; `haven status` takes so long here that
this is not every one."""
import os
import time
from dataclasses import replace
from functools import partial
from typing import Any, Optional

from haven_xen import measure, servers, steps
from haven_xen.bed import Testbed
from haven_xen.haven import Protection, haven, status
from haven_e2e.client import QUIET
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes

import ablation  # found by haven_xen.servers
import server_loads

LOADS = os.environ.get("HAVEN_BENCH_LOADS", "sql kv web build kvd").split()
# 16 clients of pgbench take this guest half a minute to connect.
SERVER_LOADS = {**server_loads.LOADS,
                "sql": replace(server_loads.LOADS["sql"], words=partial(server_loads.pgbench, clients=4))}
# The tests' own store: by itself, and with a load that writes random octets to whole pages.
KVD = {"kvd": QUIET, "kvd-busy": measure.LOAD}
INTERVAL_MS = int(os.environ.get("HAVEN_BENCH_INTERVAL", "1000"))
WARM_SECONDS, DONE_SECONDS = 10, 60


def run(bed: Testbed, t: Notes) -> None:
    rounds: "dict[str, dict[str, list[dict[str, float]]]]" = {}
    t(rounds=rounds)
    protection = servers.boot(bed, INTERVAL_MS)
    for name in LOADS:
        _load(bed, protection, name, rounds.setdefault(name, {}))


def _load(bed: Testbed, protection: Protection, name: str, rows: "dict[str, list[dict[str, float]]]") -> None:
    server = SERVER_LOADS.get(name)
    if server:
        # Without the store's filling: it is written to soon enough.
        server = replace(server, fill=None, warm_seconds=20)
        measure.say(f"{name}: warming up")
        measure.say(f"{name}: {server.prepare():.4g} a second, unprotected")
    else:
        bed.the_client().load(**KVD[name])
    for stages in ablation.STAGES:
        measure.say(f"{name}: {stages}")
        rows[stages] = [_measure(bed, protection, stages, server)]
    if server:
        server.end()
    else:
        bed.the_client().load(**QUIET)


def _measure(bed: Testbed, protection: Protection, stages: str,
             server: "Optional[server_loads.ServerLoad]") -> "dict[str, float]":
    guest = protection.guest.name
    haven(bed.a, "protect", guest, "--to", f"{bed.b.address}:{protection.port}", "--interval", INTERVAL_MS,
          "--deadline", protection.deadline_ms, "--encoder", stages)
    process = server.begin(WARM_SECONDS + measure.WINDOW) if server else None
    time.sleep(WARM_SECONDS)
    acked, begin = bed.the_client().acked(), time.monotonic()
    samples: "dict[int, dict[str, Any]]" = {}
    while time.monotonic() < begin + measure.WINDOW:
        figures = {key.replace("_", "-"): value for key, value in status(bed.a).items()}
        if figures["state"] != "protected":
            raise Failure(f"the guest is {figures['state']}: {figures.get('message')}")
        samples[int(figures["epoch"])] = figures
    rate = (bed.the_client().acked() - acked) / (time.monotonic() - begin)
    if server and process:
        try:
            rate = server.finish(process, DONE_SECONDS)
        except server_loads.NotDone:
            rate = 0.0
    pause = float(status(bed.a)["pause_p50_us"])
    haven(bed.a, "unprotect", guest)
    steps.still_answers(bed, 1)
    return {**ablation.means(list(samples.values())), "pause_p50_us": pause, "rate": rate}
