# SPDX-License-Identifier: GPL-2.0-or-later
"""What a protected guest is given later is not in its copy: `xl network-attach` ends protection
with the reason, and so does a kind of device that nobody has tried. `haven check` lists every PV device
with what becomes of it, and `haven protect` refuses the guest with what it must not have."""
import json

from haven_xen import steps
from haven_xen.bed import Testbed
from haven_xen.haven import HAVEN, LOAD, Protection, protected_guest, refused
from haven_xen.host import Host
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes


def run(bed: Testbed, t: Notes) -> None:
    protection = Protection(bed, protected_guest())
    protection.start_backup()
    protection.boot(t)
    name, domid = protection.guest.name, bed.a.domid(protection.guest.name)
    _lists(bed.a, name, {"vbd/768 (hda)": "saved", "vif/0": "saved", "vkbd/0": "saved", "console/0": "not-held"})
    protection.protect(t)
    bed.the_client().load(**LOAD)
    protection.run_epochs(3, t)

    bed.a.xl("network-attach", name, "bridge=xenbr0")
    _has_ended(protection, f"device vif/1 of domain {domid} was attached after it was protected", "protect it again")
    bed.a.xl("network-detach", name, 1)
    protection.protect(t)
    protection.run_epochs(2, t)

    # No command of xl attaches one to a guest that runs.
    bed.a.agent.check(f"xenstore-write /local/domain/{domid}/device/9pfs/0/backend "
                      f"/local/domain/0/backend/9pfs/{domid}/0")
    _has_ended(protection, f"device 9pfs/0 of domain {domid} was attached after it was protected", "detach it")
    _contains(refused(bed.a, *protection.protect_words()), "9pfs/0", "p9=[...]")
    _lists(bed.a, name, {"9pfs/0": "refused"}, status=1)
    bed.the_client().verify_guest()
    steps.still_answers(bed)
    if bed.running_copies(protection.guest) != ["hostA"]:
        raise Failure(f"the guest runs on {bed.running_copies(protection.guest)}")


def _has_ended(protection: Protection, *reason: str) -> None:
    _contains(protection.wait_for(protection.bed.a, "stopped")["message"], *reason)


def _contains(text: str, *parts: str) -> None:
    for part in parts:
        if part not in text:
            raise Failure(f"it lacks {part!r}: {text}")


def _lists(host: Host, name: str, wanted: dict[str, str], status: int = 0) -> None:
    """`haven check` has these devices."""
    done = host.agent.run(f"{HAVEN} check {name} --json", seconds=steps.PATIENCE)
    devices = {one["path"]: one["coverage"] for one in json.loads(done.out)["devices"]} if done.out else {}
    if done.status != status or {path: devices.get(path) for path in wanted} != wanted:
        raise Failure(f"haven check: status {done.status}, {devices}, {done.err}")
