# SPDX-License-Identifier: GPL-2.0-or-later
"""Xen's own Remus, for `scripts/bench xen`: with its best options that the testbed allows, which
are disks shared by the hosts, no replication of disks (-d) and no buffering of output (-n)."""
import time
from typing import Any

from haven_xen import measure, steps
from haven_xen.bed import Testbed
from haven_xen.guest import XenGuest
from haven_e2e.processes import wait_until
from haven_e2e.scenario import Notes

LOG = "/var/log/xen/remus.log"


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
        _start_remus(bed, guest, interval)
        rows.append({"row": f"remus -i {interval}", **measure.window(bed, lambda: _checkpoints(bed))})
        if interval != measure.INTERVALS[-1]:
            _stop_remus(bed, guest)
    measure.say(f"hostA dies silently; up to {measure.PATIENCE} s for an answer")
    rows.append({"row": "remus, host dead", "reply_after_s": measure.kill(bed)})


def _start_remus(bed: Testbed, guest: XenGuest, interval: int) -> None:
    steps.listen_for_guest(bed.b, "-r")
    words = ["-F", "-n", "-d", "-i", str(interval), "-s", "''", guest.name,
             f"'socat - TCP:{bed.b.address}:{steps.MIGRATION_PORT}'"]
    bed.a.agent.run(f"rm -f {LOG}")
    bed.a.agent.spawn("xl remus " + " ".join(words), LOG)
    # Before them xl copies the running guest's memory, several times over.
    wait_until("Remus takes checkpoints", lambda: _checkpoints(bed) >= 3, 2 * steps.PATIENCE, 1)


def _checkpoints(bed: Testbed) -> int:
    """So far; xl says this once for each of them."""
    return int(bed.a.agent.run(f"cat {LOG} | grep -c 'Domain now suspended'").out)


def _stop_remus(bed: Testbed, guest: XenGuest) -> None:
    """The backup goes first: it would run the guest when its stream ends."""
    bed.b.agent.run("pkill -KILL socat; pkill -KILL -f '[x]l migrate-receive'")
    bed.b.agent.run(f"xl destroy {guest.name}--incoming")
    wait_until("xl remus has ended", lambda: bed.a.agent.run("pgrep -f '[x]l remus'").status != 0, steps.PATIENCE, 1)
    steps.still_answers(bed)
