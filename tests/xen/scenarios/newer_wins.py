# SPDX-License-Identifier: GPL-2.0-or-later
"""The newer copy wins, under Xen: somebody's file is not overwritten; a guest whose backup holds a
checkpoint, and one whose backup was promoted, is created by xl as ever, and does not run. What each
refusal says decides."""
import time

from haven_xen import steps
from haven_xen.bed import Testbed
from haven_xen.haven import LOAD, Protection, haven, protected_guest, refused, status
from haven_xen.host import Host
from haven_e2e.processes import Failure, wait_until
from haven_e2e.scenario import Notes


def run(bed: Testbed, t: Notes) -> None:
    protection = Protection(bed, protected_guest(), promote="manual")
    protection.start_backup()
    bed.b.agent.check("printf theirs | dd of=/data/disk1 conv=notrunc status=none")
    protection.boot(t)
    why = refused(bed.a, *protection.protect_words())
    _contains(why, "/data/disk1", "data that is not known", "haven adopt web1")
    if bed.b.agent.check("head -c 6 /data/disk1") != "theirs":
        raise Failure("somebody else's file was changed")
    haven(bed.b, "adopt", "web1", "--yes")
    protection.protect(t)
    bed.the_client().load(**LOAD)
    protection.run_epochs(3, t)

    bed.a.agent.check(f"kill -KILL {bed.a.device_model_pid(protection.guest.name)}")
    lost = time.monotonic()
    protection.wait_for(bed.b, "primary-lost")
    bed.a.xl("destroy", protection.guest.name)
    t(create_held_s=round(bed.a.create(protection.guest), 1))
    _held(bed.a, protection, "holds a checkpoint", "haven failover web1")
    haven(bed.b, "failover", "web1")
    protection.survives(t, lost, on=bed.b)
    _held(bed.a, protection, "runs on the backup", "haven discard web1")
    haven(bed.a, "discard", "web1", "--yes")
    _held(bed.a, protection, "thrown away")
    copies = bed.running_copies(protection.guest)
    if copies != ["hostB"]:
        raise Failure(f"the guest runs on {copies}")


def _contains(text: str, *parts: str) -> None:
    for part in parts:
        if part not in text:
            raise Failure(f"it lacks {part!r}: {text}")


def _held(host: Host, protection: Protection, *parts: str) -> None:
    """The domain is there, paused, and stays so; `haven status` says why."""
    def says() -> bool:
        now = status(host)
        return now["state"] == "held" and all(part in now["message"] for part in parts)
    wait_until(f"`haven status` on {host.name} says held, and {parts}", says, steps.PATIENCE, 1)
    host.xl("unpause", protection.guest.name)
    if "p" not in host.states().get(protection.guest.name, ""):
        raise Failure(f"the domain is {host.states()} on {host.name}: it may run")
    _contains(refused(host, *protection.protect_words()), parts[0])
