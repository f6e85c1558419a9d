# SPDX-License-Identifier: GPL-2.0-or-later
"""HAVEN, for `scripts/bench xen`: disks replicated, output held until the commit."""
import time
from typing import Any

from haven_xen import measure, steps
from haven_xen.bed import Testbed
from haven_xen.haven import Protection, haven, protected_guest, status
from haven_e2e.scenario import Notes

# Of a pause, as HAVEN itself sees them; commit is from the cut to COMMITTED.
PARTS = ("pause", "stop", "device", "harvest", "copy", "resume", "settle", "commit")
DEADLINE_MS = 2000


def run(bed: Testbed, t: Notes) -> None:
    rows: "list[dict[str, Any]]" = []
    t(rows=rows)
    protection = Protection(bed, protected_guest(virtio=True), deadline_ms=DEADLINE_MS, can_boot_on_backup=False)
    protection.start_backup()
    protection.boot(Notes(), **measure.CLIENT)
    bed.the_client().load(**measure.LOAD)
    for interval in measure.INTERVALS:
        measure.say(f"haven protect --interval {interval}")
        protection.interval_ms = interval
        protection.protect(Notes())
        time.sleep(5)
        row = {"row": f"haven {interval} ms", **measure.window(bed, lambda: int(status(bed.a)["epoch"]))}
        now = protection.require("protected")
        rows.append({**row, **{f"own_{part}_p50_ms": now[f"{part}_p50_us"] / 1000 for part in PARTS}})
        if interval != measure.INTERVALS[-1]:
            haven(bed.a, "unprotect", protection.guest.name)
    measure.say("hostA dies silently")
    after = measure.kill(bed)
    rows.append({"row": "haven, host dead", "deadline_s": DEADLINE_MS / 1000, "reply_after_s": after,
                 "failover_ms": status(bed.b)["failover_ms"]})
    if after is not None:
        steps.still_answers(bed)
        bed.the_client().verify_guest()
