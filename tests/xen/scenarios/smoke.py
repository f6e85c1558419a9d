# SPDX-License-Identifier: GPL-2.0-or-later
"""The stock device model on both hosts: the base line of all others.

The guest boots on hostA and the client keeps one TCP connection to it, while the guest is
saved and restored on hostA and then migrated, live, to hostB. Nothing acknowledged is
lost, memory agrees with both disks, and one copy runs at the end."""
from haven_xen import steps
from haven_xen.bed import Testbed
from haven_xen.guest import XenGuest
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes

SECONDS = 900


def run(bed: Testbed, t: Notes) -> None:
    guest = XenGuest()
    t(**steps.boot(bed, guest))
    bed.the_client().load(memory_pages_s=200, memory_pages=512, disk_threads=1, disk_ops_s=10, chatter_s=5)
    t(save_s=steps.save(bed.a, guest))
    t(restore_s=steps.restore(bed.a, guest))
    steps.still_answers(bed)
    t(**steps.migrate(bed, guest, bed.a, bed.b))
    steps.still_answers(bed)
    bed.the_client().verify_guest()
    copies = bed.running_copies(guest)
    if copies != ["hostB"]:
        raise Failure(f"after the migration the guest runs on {copies}, not on hostB alone")
    t(longest_gap_ms=bed.the_client().stats()["longest_gap_ms"])
