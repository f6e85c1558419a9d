# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits of a disk hold for a guest that is protected, though each checkpoint lets go what waits for them."""
import time

from haven_e2e.guest import Disk, GuestSpec
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes, case

SECONDS = 5


def limited(limit: int, ide: bool = False) -> GuestSpec:
    """`limit`: requests a second."""
    return GuestSpec(ide=ide, disks=[Disk("disk0", 48), Disk(
        "disk1", 16, options=f"discard=unmap,throttling.iops-total={limit}")])


def operations(lab: Lab) -> int:
    with lab.primary.qmp() as monitor:
        for disk in monitor("query-blockstats"):
            if disk["device"] == "disk1":
                return int(disk["stats"]["wr_operations"]) + int(disk["stats"]["rd_operations"])
    raise Failure("there is no such disk")


def rate(lab: Lab) -> float:
    """Requests a second, of a guest that always has some."""
    time.sleep(1)  # what may be done at once is over
    began, first = time.monotonic(), operations(lab)
    time.sleep(SECONDS)
    return (operations(lab) - first) / (time.monotonic() - began)


def holds(lab: Lab, t: Notes, limit: int) -> None:
    lab.boot()
    lab.the_client().load(memory_pages_s=0, disk_threads=4, disk_ops_s=1000)
    before = rate(lab)
    lab.prepare_backup()
    lab.protect(interval_ms=5)
    lab.wait_for_epochs(20)
    after = rate(lab)
    entry = lab.primary.status() or {}
    t(before=round(before), protected=round(after), epochs=entry.get("epochs"), settle_us=entry.get("settle_p50_us"),
      pause_us=entry.get("pause_p50_us"))
    if after > 1.3 * limit:
        raise Failure(f"{after:.0f} requests a second, {limit} are allowed")
    if after < limit / 3:
        raise Failure(f"{after:.0f} requests a second, {before:.0f} unprotected")
    t(**lab.survive_the_kill())


@case("a disk's limit holds while its guest is protected", spec=lambda: limited(50), short=True)
def virtio(lab: Lab, t: Notes) -> None:
    holds(lab, t, 50)


@case("so does that of an IDE disk", spec=lambda: limited(20, ide=True))
def ide(lab: Lab, t: Notes) -> None:
    holds(lab, t, 20)
