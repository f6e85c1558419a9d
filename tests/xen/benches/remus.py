# SPDX-License-Identifier: GPL-2.0-or-later
"""Xen's own Remus, for `scripts/bench xen`, with disks shared by the hosts."""
import time
from typing import Any

from haven_xen import measure, remus, steps
from haven_xen.bed import Testbed
from haven_xen.guest import XenGuest
from haven_e2e.scenario import Notes


def run(bed: Testbed, t: Notes) -> None:
    rows: "list[dict[str, Any]]" = []
    t(rows=rows)
    guest = XenGuest(virtio=True)
    measure.say("the guest boots")
    steps.boot(bed, guest, **measure.CLIENT)
    bed.the_client().load(**measure.LOAD)
    time.sleep(5)
    measure.say(f"alone, {measure.WINDOW} s")
    rows.append({"row": "alone", **measure.window(bed)})
    for interval in measure.INTERVALS:
        measure.say(f"xl remus -i {interval}")
        remus.start(bed, guest, interval)
        rows.append({"row": f"remus -i {interval}", **measure.window(bed, lambda: remus.checkpoints(bed))})
        if interval != measure.INTERVALS[-1]:
            remus.stop(bed, guest)
    measure.say(f"hostA dies silently; up to {measure.PATIENCE} s for an answer")
    rows.append({"row": "remus, host dead", "reply_after_s": measure.kill(bed)})
