# SPDX-License-Identifier: GPL-2.0-or-later
"""havend dies at the backup: the guest goes on unprotected, and never at the backup. A new
havend ends what the old one left, the guest is protected again by itself, and survives
the death of its host after that."""
import time

from haven_xen import steps
from haven_xen.bed import Testbed
from haven_xen.haven import Protection, protected_guest
from haven_e2e.processes import Failure, wait_until
from haven_e2e.scenario import Notes


def run(bed: Testbed, t: Notes) -> None:
    protection = Protection(bed, protected_guest())
    protection.all_of_it(t)

    bed.b.agent.check("pkill -KILL -x havend")
    begin = time.monotonic()
    protection.wait_for(bed.a, "unprotected")
    t(noticed_s=round(time.monotonic() - begin, 1))
    steps.still_answers(bed)
    if bed.running_copies(protection.guest) != ["hostA"]:
        raise Failure(f"the guest runs on {bed.running_copies(protection.guest)}")

    begin = time.monotonic()
    protection.start_havend()
    protection.wait_for(bed.a, "protected")
    t(protected_again_s=round(time.monotonic() - begin, 1))
    # One waits there, and none is left of the havend before.
    wait_until("hostB has one domain", lambda: bed.b.xl("list").count("\n") == 3, steps.PATIENCE, 1)
    if list(bed.b.states()) != [f"{protection.guest.name}--incoming"]:
        raise Failure(f"domains on hostB: {sorted(bed.b.states())}")
    protection.run_epochs(5, t)

    killed = time.monotonic()
    bed.a.kill()
    protection.survives(t, killed, on=bed.b)
