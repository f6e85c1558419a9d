# SPDX-License-Identifier: GPL-2.0-or-later
"""Xen's own Remus, as a base line: `xl remus` from hostA to hostB at -i 100, and the
pauses that the guest itself sees while it dirties 1,000 pages a second.

Disks are shared by the hosts and Remus replicates no network (-n -d), as its best options
on a testbed without DRBD."""
from haven_xen import steps
from haven_xen.bed import Testbed
from haven_xen.guest import XenGuest
from haven_e2e.processes import Failure, wait_until
from haven_e2e.scenario import Notes

SECONDS = 2400
MEASURED = 20
LOG = "/var/log/xen/remus.log"



def run(bed: Testbed, t: Notes) -> None:
    guest = XenGuest()
    t(**steps.boot(bed, guest))
    client = bed.the_client()
    client.load(memory_pages_s=1000, memory_pages=2048, disk_threads=0, disk_ops_s=0, chatter_s=5)
    alone = steps.stalls(bed, MEASURED)
    t(alone_p99_ms=alone["stall_p99_ms"], alone_pages_per_s=alone["pages_per_s"])

    steps.listen_for_guest(bed.b, "-r")
    words = ["-F", "-n", "-d", "-i", "100", "-s", "''", guest.name,
             f"'socat - TCP:{bed.b.address}:{steps.MIGRATION_PORT}'"]
    bed.a.agent.spawn("xl remus " + " ".join(words), LOG)
    wait_until("hostB has the first checkpoint", lambda: f"{guest.name}--incoming" in bed.b.states(),
               steps.PATIENCE, 1)
    _wait_for_epochs(bed)
    sent = bed.sent_by(bed.a)
    seen = steps.stalls(bed, MEASURED)
    t(remus_p99_ms=seen["stall_p99_ms"], remus_max_ms=seen["stall_max_ms"],
      remus_pages_per_s=seen["pages_per_s"],
      link_mb_per_s=round((bed.sent_by(bed.a) - sent) / 1e6 / seen["seconds"], 2))
    if seen["stall_p99_ms"] <= alone["stall_p99_ms"]:
        raise Failure("the guest sees no pauses: Remus does not checkpoint it")
    client.require_clean()


def _wait_for_epochs(bed: Testbed) -> None:
    """Remus's first pass is over when the guest begins to see pauses."""
    client = bed.the_client()

    def paused() -> bool:
        client.control("stalls")
        return steps.stalls(bed, 5)["stall_p99_ms"] > 50
    wait_until("the guest is stopped for checkpoints", paused, 2 * steps.PATIENCE, 0.5)
