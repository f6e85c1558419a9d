# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest with PV drivers (xen-blkfront on qdisk, xen-netfront on netback) and two CPUs is
protected while it runs under load; the whole primary host dies silently; the guest goes on
at the backup, by a stock xl, and connects its drivers anew.

Its frames pass no device model, so that the plugs in hostA's kernel are looked at, too.
Nothing acknowledged is lost, the client's TCP connection goes on, memory agrees with the
disks, and one copy runs."""
import time

from haven_xen import steps
from haven_xen.announcements import Announcements
from haven_xen.bed import Testbed
from haven_xen.haven import Protection, haven, protected_guest, status
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes

SHORT = True  # protected once, and not unprotected
# To freeze and thaw takes this guest a second or two of testbed time.
INTERVAL_MS = 2000


def run(bed: Testbed, t: Notes) -> None:
    protection = Protection(bed, protected_guest(pv=True, vcpus=2), interval_ms=INTERVAL_MS)
    protection.start_backup()
    protection.boot(t)
    protection.protect(t)
    _require_plug(bed, protection, True)
    if not bed.short:
        haven(bed.a, "unprotect", protection.guest.name)
        _require_plug(bed, protection, False)
        steps.still_answers(bed)
        protection.protect(t)
    bed.the_client().load(memory_pages_s=200, memory_pages=512, disk_threads=1, disk_ops_s=5, chatter_s=5)
    protection.run_epochs(5, t)
    figures = status(bed.a)
    t(ready_p50_us=figures.get("settle_p50_us"), ready_p99_us=figures.get("settle_p99_us"))
    killed = time.monotonic()
    bed.a.kill()
    announced = Announcements()
    protection.survives(t, killed, on=bed.b)
    t(announced=sorted(announced.kinds))
    if "gratuitous ARP" not in announced.kinds:
        raise Failure("netfront has not announced where the guest is now")
    t(failover_ms=status(bed.b)["failover_ms"])


def _require_plug(bed: Testbed, protection: Protection, there: bool) -> None:
    domid = bed.a.domid(protection.guest.name)
    seen = bed.a.agent.check(f"tc qdisc show; tc filter show dev vif{domid}.0 ingress; ip -br link")
    if f"haven{domid}.0" in seen and "qdisc plug" in seen and "mirred" in seen:
        if there:
            return
    elif not there and "plug" not in seen and "mirred" not in seen and "haven" not in seen:
        return
    raise Failure(f"the plug of vif{domid}.0 is {'not there' if there else 'still there'}: {seen}")
