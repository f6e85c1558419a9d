# SPDX-License-Identifier: GPL-2.0-or-later
"""The link between the hosts is cut silently, twice; an arbiter that both reach decides.
First for the primary: it goes on, and protects itself again when the link is back. Then for
the backup: the guest runs there, and the old copy stays stopped, also with the link back."""
import time

from haven_xen import steps
from haven_xen.arbiter import Arbiter
from haven_xen.bed import Testbed
from haven_xen.haven import Protection, protected_guest
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes

SHORT = True  # the second cut alone


def run(bed: Testbed, t: Notes) -> None:
    assert bed.links
    arbiter = Arbiter()
    command = arbiter.install(bed.a)
    arbiter.install(bed.b)
    protection = Protection(bed, protected_guest(), arbiter=command)
    protection.all_of_it(t)

    if not bed.short:
        _primary_wins(bed, protection, arbiter, t)

    arbiter.prefer = "backup"
    cut = time.monotonic()
    bed.links.cut("hostA", "rep")
    protection.survives(t, cut, on=bed.b)
    bed.links.heal("hostA", "rep")
    time.sleep(5)  # nothing may happen
    protection.require("lost")
    steps.still_answers(bed)
    if bed.running_copies(protection.guest) != ["hostB"]:
        raise Failure(f"after the link is back the guest runs on {bed.running_copies(protection.guest)}")


def _primary_wins(bed: Testbed, protection: Protection, arbiter: Arbiter, t: Notes) -> None:
    assert bed.links
    arbiter.prefer = "primary"
    bed.links.cut("hostA", "rep")
    protection.wait_for(bed.a, "unprotected")
    steps.still_answers(bed)
    if bed.running_copies(protection.guest) != ["hostA"]:
        raise Failure(f"the arbiter decided for hostA; the guest runs on {bed.running_copies(protection.guest)}")
    bed.links.heal("hostA", "rep")
    begin = time.monotonic()
    protection.wait_for(bed.a, "protected")
    t(protected_again_s=round(time.monotonic() - begin, 1))
    protection.run_epochs(5, t)
