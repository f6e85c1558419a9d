# SPDX-License-Identifier: GPL-2.0-or-later
"""A planned hand-over, and `xl migrate` of the same guest under the same load in the same run, with the
gap that the client sees of each (`scripts/bench xen` compares them). Nothing is lost by either;
after the hand-over the old copy stays stopped and says why."""
import time

from haven_xen import steps
from haven_xen.bed import Testbed
from haven_xen.guest import SHARED
from haven_xen.haven import LOAD, Protection, haven, protected_guest, status
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes


def run(bed: Testbed, t: Notes) -> None:
    migrate_ms = _migrate(bed, t)
    bed.client = None
    protection = Protection(bed, protected_guest())
    protection.all_of_it(t)
    acked = bed.the_client().acked()
    begin = time.monotonic()
    haven(bed.b, "failover", "web1", "--planned")
    t(ordered_to_runs_s=round(time.monotonic() - begin, 1), failover_ms=status(bed.b)["failover_ms"])
    protection.survives(t, begin, on=bed.b)
    gap_ms = bed.the_client().stats(begin)["longest_gap_ms"]
    t(acked=acked, migrate_gap_ms=migrate_ms, planned_gap_ms=gap_ms)
    said = protection.require("lost")["message"]
    if "handed over" not in said:
        raise Failure(f"the old primary says: {said}")


def _migrate(bed: Testbed, t: Notes) -> float:
    """The longest gap of the client during a live migration over disks that both hosts share."""
    guest = protected_guest(disks=list(SHARED))
    steps.boot(bed, guest)
    client = bed.the_client()
    client.load(**LOAD)
    client.wait_for_progress(20, steps.PATIENCE)
    begin = time.monotonic()
    t(**steps.migrate(bed, guest, bed.a, bed.b))
    steps.still_answers(bed)
    gap = float(client.stats(begin)["longest_gap_ms"])
    client.verify_guest()
    client.control("poweroff")
    client.quit()
    bed.b.wait_gone(guest.name, steps.PATIENCE)
    return gap
