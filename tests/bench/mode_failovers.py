# SPDX-License-Identifier: GPL-2.0-or-later
"""Type I downtime by mode: from the death of the primary's process until its client has an answer from
the backup's guest. After each, everything that was acknowledged is looked for."""
from typing import Any, Callable, Mapping

import load
from report import Report, median
from setting import BenchGuest, Lab, carry_nice

from haven_e2e.client import Client

EPOCHS_BEFORE = 10


def run(lab: Lab, report: Report, protect: Mapping[str, Callable[[Lab], None]],
        rounds: int) -> dict[str, dict[str, Any]]:
    """Kills it `rounds` times in each mode; the figures of each."""
    took: dict[str, list[int]] = {name: [] for name in protect}
    lost = dict.fromkeys(protect, 0)
    assert isinstance(lab.spec, BenchGuest)
    client = lab.client = Client(lab.processes, **load.PACED, stall=30)
    for number in range(rounds):
        for name, begin in protect.items():
            client.load(**load.LOAD)
            lab.prepare_backup()
            begin(lab)
            carry_nice()
            lab.wait_for_epochs(EPOCHS_BEFORE)
            figures = lab.survive_the_kill()
            lab.spec.memory_file = None  # the guest is havend's from now on
            took[name].append(figures["failover_ms"])
            lost[name] += figures["lost"]
            report.progress(f"failover {number + 1} of {rounds}, {name}: {figures['failover_ms']} ms")
    return {name: {"downtime_p50_ms": round(median(each)), "downtime_max_ms": max(each), "downtimes_ms": each,
                   "lost": lost[name]} for name, each in took.items() if each}
