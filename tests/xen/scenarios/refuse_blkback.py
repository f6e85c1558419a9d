# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose disk the kernel's blkback serves is refused: `haven protect` names the
device and the line of xl.cfg that would mend it, and the guest goes on as before."""
import re

from haven_xen import steps
from haven_xen.bed import Testbed
from haven_xen.guest import SHARED
from haven_xen.haven import HAVEN, protected_guest
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes


def run(bed: Testbed, t: Notes) -> None:
    disks = [f"format=raw,vdev=xvd{'ab'[number]},access=rw,backendtype=phy,target={path}"
             for number, path in enumerate(SHARED)]
    guest = protected_guest(pv=True, more={"disk": disks})
    t(**steps.boot(bed, guest))
    done = bed.a.agent.run(f"{HAVEN} protect {guest.name} --to {bed.b.address}", seconds=120)
    said = done.err.strip()
    t(said=said)
    if done.status == 0:
        raise Failure("a guest on blkback was protected")
    for word in ("vbd|xvda", "blkback", "backendtype=qdisk"):
        if not re.search(word, said):
            raise Failure(f"the refusal does not say `{word}`: {said}")
    bed.the_client().require_clean()
    steps.still_answers(bed)
    if bed.running_copies(guest) != ["hostA"]:
        raise Failure(f"the guest runs on {bed.running_copies(guest)}")
