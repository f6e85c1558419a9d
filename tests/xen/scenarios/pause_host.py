# SPDX-License-Identifier: GPL-2.0-or-later
"""The primary's whole host stands still for a while, its clocks too, and does not know it: the
hypervisor under it has paused it. Meanwhile the backup goes on with the guest. When the host
runs again nothing of the old copy leaves, although there is no arbiter and no deadline has
passed there: the old copy asks the backup first."""
import time

from haven_xen.bed import Testbed
from haven_xen.haven import Protection, protected_guest
from haven_e2e.scenario import Notes


def run(bed: Testbed, t: Notes) -> None:
    protection = Protection(bed, protected_guest())
    protection.all_of_it(t, chatter_s=50)
    paused = time.monotonic()
    with bed.a.emulator.qmp() as monitor:
        monitor("stop")
    protection.wait_for(bed.b, "promoted")
    with bed.a.emulator.qmp() as monitor:
        monitor("cont")
    protection.survives(t, paused, on=bed.b)
    protection.wait_for(bed.a, "lost")
    bed.the_client().require_clean()
