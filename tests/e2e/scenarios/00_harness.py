# SPDX-License-Identifier: GPL-2.0-or-later
"""The harness itself, with no replication at all.

A guest that just runs has to satisfy the checker. A guest that is put back to an
older state behind the client's back, as by a replication that releases output too
early, has to be caught: whoever cannot fail proves nothing."""
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure, wait_until
from haven_e2e.scenario import Notes, case


@case("an undisturbed guest satisfies the checker")
def undisturbed(lab: Lab, t: Notes) -> None:
    lab.boot()
    client = lab.the_client()
    client.load()
    client.wait_for_progress(100, 30)
    report = lab.check_everything()
    t(acked=report["acked"])
    if not all(report["datagrams"].values()):
        raise Failure(f"not every kind of datagram arrived: {report['datagrams']}")
    lab.shut_down_and_fsck()


@case("a guest put back to an older state is caught by the client")
def put_back(lab: Lab, t: Notes) -> None:
    lab.boot(stall=4)
    client, host = lab.the_client(), lab.primary
    client.load()
    client.wait_for_progress(50, 30)
    state = lab.folder / "old-state"
    with host.qmp() as monitor:
        monitor("migrate", uri=f"exec:cat > {state}")
        wait_until("the state is saved",
                   lambda: monitor("query-migrate").get("status") == "completed", 60)
        monitor("cont")
    client.wait_for_progress(50, 30)
    host.kill_qemu()
    host.spec.extra = ["-incoming", f"exec:cat {state}"]
    host.start_primary()
    seen = wait_until("the checker reports a violation", client.violations, 30)
    t(caught=seen[0])  # type: ignore[index]
