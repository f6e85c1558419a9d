# SPDX-License-Identifier: GPL-2.0-or-later
"""Two guests of one host share pages at the backup of both (`--share`)."""
from haven_e2e.host import Host
from haven_e2e.guest import GuestSpec
from haven_e2e.lab import Lab
from haven_e2e.network import HOSTS
from haven_e2e.processes import Failure, wait_until
from haven_e2e.scenario import Notes, case


@case("of two guests that share pages, the second sends few, and both go on at the backup")
def two_guests(lab: Lab, t: Notes) -> None:
    spec = GuestSpec(name="web2", number=1)
    running, kept = [Host(name, lab.folder / name, lab.processes, spec) for name in HOSTS]
    running.make_disks(filled=True)
    kept.make_disks(filled=False)
    try:
        running.start_primary()
        lab.boot()
        wait_until("the other guest has booted", running.has_booted, 60, 0.2)
        lab.prepare_backup(beside=[kept], share="web")
        nothing = _sent(lab)
        running.protect(kept, share=True)
        lab.wait_for_epochs(5, host=running)  # then the backup has its pages for certain
        first = _sent(lab)
        lab.protect(share=True)
        alone, shared = first - nothing, _sent(lab) - first
        t(first_mb=round(alone / 1e6, 1), second_mb=round(shared / 1e6, 1))
        if shared > alone / 2:
            raise Failure(f"the second guest sent {shared} octets, the first {alone}: nothing was shared")

        lab.the_client().load()
        lab.wait_for_epochs(10)
        failover_ms = lab.expect_failover(lab.primary.kill_qemu())
        t(failover_ms=round(failover_ms), lost=lab.check_everything()["lost"])
        # Its pages outlive the session of the guest that shared them.
        running.kill_qemu()
        wait_until("the other guest runs at the backup", lambda: kept.guest_status() == "running", 20, 0.1)
        lab.shut_down_and_fsck()
    finally:
        for host in (*lab.hosts.values(), running, kept):
            host.stop_havend()
            host.reap()


def _sent(lab: Lab) -> int:
    assert lab.network
    return lab.network.bytes_sent(lab.primary.name, "rep")
