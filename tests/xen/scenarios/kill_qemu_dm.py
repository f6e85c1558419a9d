# SPDX-License-Identifier: GPL-2.0-or-later
"""The device model alone dies, on a host that lives on: the guest runs at the backup, and
what is left of it on its old host does not run."""
import time

from haven_xen.bed import Testbed
from haven_xen.haven import Protection, protected_guest
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes


def run(bed: Testbed, t: Notes) -> None:
    protection = Protection(bed, protected_guest())
    protection.all_of_it(t)
    pid = bed.a.device_model_pid(protection.guest.name)
    killed = time.monotonic()
    bed.a.agent.check(f"kill -KILL {pid}")
    protection.survives(t, killed, on=bed.b)
    state = bed.a.states().get(protection.guest.name)
    if state is not None and "p" not in state:
        raise Failure(f"the domain without its device model is {state!r} on hostA")
