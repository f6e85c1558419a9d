# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest is protected, not any more, and again. A protected guest's own reboot and
poweroff do what xl.cfg says, and the backup follows: a guest that went by itself is not
started there. xl's commands work meanwhile.
The guest has two CPUs, a VGA, and memory below and above 4 GiB of its physical space."""
import time

from haven_xen import steps
from haven_xen.bed import Testbed
from haven_xen.haven import Protection, haven, protected_guest
from haven_e2e.scenario import Notes


def run(bed: Testbed, t: Notes) -> None:
    # A hole of 3840 MiB leaves 256 MiB below 4 GiB; the rest is above.
    guest = protected_guest(vcpus=2, memory_mib=320, more={"mmio_hole": 3840, "vga": "stdvga"})
    protection = Protection(bed, guest)
    protection.all_of_it(t)
    _xl_works(bed, protection)

    haven(bed.a, "unprotect", guest.name)
    protection.wait_for(bed.b, "waiting")
    steps.still_answers(bed)
    protection.protect(t)
    protection.run_epochs(5, t)

    first = bed.a.domid(guest.name)
    bed.the_client().verify_guest()
    bed.the_client().control("reboot")
    protection.next_life(first)
    protection.protect(t, name=bed.a.domid(guest.name))
    protection.run_epochs(5, t)
    bed.the_client().control("poweroff")
    bed.disconnect()
    bed.a.wait_gone(guest.name, steps.PATIENCE)
    protection.backup_stands_down()


def _xl_works(bed: Testbed, protection: Protection) -> None:
    name = protection.guest.name
    bed.a.xl("vcpu-set", name, 1)
    bed.a.xl("vcpu-set", name, 2)
    bed.a.xl("pause", name)
    time.sleep(2)
    bed.a.xl("unpause", name)
    steps.still_answers(bed)
    protection.require("protected")
