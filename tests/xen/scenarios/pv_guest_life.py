# SPDX-License-Identifier: GPL-2.0-or-later
"""A protected guest with PV drivers suspends for each checkpoint. The xl that watches it
learns nothing of that: a crash of the guest and an `xl shutdown` do what xl.cfg says, and
the backup follows. The plugs over its output go with it. When the guest does not take part
in its suspend, protection ends with the reason, and the guest goes on."""
from haven_xen import steps
from haven_xen.bed import Testbed
from haven_xen.haven import Protection, haven, protected_guest
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes

# To freeze and thaw takes this guest a second of testbed time.
INTERVAL_MS = 2000
# Its output is held for ten of these when it does not answer.
DEADLINE_MS = 3000


def run(bed: Testbed, t: Notes) -> None:
    guest = protected_guest(pv=True, more={"on_crash": "restart"})
    protection = Protection(bed, guest, interval_ms=INTERVAL_MS)
    protection.all_of_it(t)
    if "Domain has suspended" in _xl_said(bed, guest.name):
        raise Failure("the xl that watches the guest has seen it suspend")

    first = bed.a.domid(guest.name)
    _guest_does_not_answer(bed, protection)
    protection.protect(t)
    bed.the_client().verify_guest()
    bed.a.xl("sysrq", guest.name, "c")
    protection.next_life(first)
    if "shutdown reason code 3" not in _xl_said(bed, guest.name):
        raise Failure("xl has not seen the guest crash")
    protection.protect(t)
    left = [name for name in bed.a.agent.check("ls /sys/class/net").split() if name.startswith("haven")]
    if left != [f"haven{bed.a.domid(guest.name)}.0"]:
        raise Failure(f"plugs on hostA: {left}")
    protection.run_epochs(5, t)
    bed.a.xl("shutdown", guest.name)
    bed.disconnect()
    bed.a.wait_gone(guest.name, steps.PATIENCE)
    protection.backup_stands_down()


def _xl_said(bed: Testbed, name: str) -> str:
    return bed.a.agent.run(f"cat /var/log/xen/xl-{name}.log").out


def _guest_does_not_answer(bed: Testbed, protection: Protection) -> None:
    name = protection.guest.name
    haven(bed.a, "unprotect", name)
    haven(bed.a, "protect", name, "--to", f"{bed.b.address}:{protection.port}", "--interval", INTERVAL_MS,
          "--deadline", DEADLINE_MS)
    # No kernel knows this request, and nobody else's may follow until it is gone.
    node = f"/local/domain/{bed.a.domid(name)}/control/shutdown"
    bed.a.agent.check(f"xenstore-write {node} unheard-of")
    said = protection.wait_for(bed.a, "stopped")["message"]
    if "did not suspend" not in said:
        raise Failure(f"protection ended with: {said}")
    steps.still_answers(bed)
    left = [device for device in bed.a.agent.check("ls /sys/class/net").split() if device.startswith("haven")]
    if left:
        raise Failure(f"plugs on hostA: {left}")
    protection.wait_for(bed.b, "waiting")
    bed.a.agent.check(f"xenstore-write {node} ''")
