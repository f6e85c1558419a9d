# SPDX-License-Identifier: GPL-2.0-or-later
"""The product: a guest without PV drivers is protected while it runs under load; the whole
primary host dies silently; the guest goes on at the backup, by a stock xl.

Each host has disks of its own. Nothing acknowledged is lost, the client's TCP connection
goes on, memory agrees with the disks, one copy runs, and the network is told where."""
import time

from haven_xen.announcements import Announcements
from haven_xen.bed import Testbed
from haven_xen.haven import Protection, protected_guest, status
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes

SHORT = True


def run(bed: Testbed, t: Notes) -> None:
    protection = Protection(bed, protected_guest())
    protection.all_of_it(t)
    killed = time.monotonic()
    bed.a.kill()
    announced = Announcements()
    protection.survives(t, killed, on=bed.b)
    t(announced=sorted(announced.kinds))
    missing = {"gratuitous ARP", "unsolicited NA"} - announced.kinds
    if missing:
        raise Failure(f"the network was not told where the guest is now: no {' and no '.join(sorted(missing))}")
    t(failover_ms=status(bed.b)["failover_ms"])
