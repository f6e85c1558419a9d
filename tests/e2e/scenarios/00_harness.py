# SPDX-License-Identifier: GPL-2.0-or-later
"""The harness itself, with no replication at all.

A guest that just runs has to satisfy the checker. A guest that is put back to an
older state behind the client's back, as by a replication that releases output too
early, has to be caught: whoever cannot fail proves nothing. So has a datagram that comes
again, but not one that was overtaken by the next."""
from checker import Stream
from haven_e2e import saved
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure, wait_until
from haven_e2e.scenario import Notes, case


@case("an undisturbed guest satisfies the checker", short=True)
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


@case("a guest put back to an older state is caught by the client", short=True)
def put_back(lab: Lab, t: Notes) -> None:
    lab.boot(stall=4)
    client, host = lab.the_client(), lab.primary
    client.load()
    client.wait_for_progress(50, 30)
    state = lab.folder / "old-state"
    with host.qmp() as monitor:
        saved.save(monitor, state)
        monitor("cont")
    client.wait_for_progress(50, 30)
    host.kill_qemu()
    host.start_primary(state=state)
    seen = wait_until("the checker reports a violation", client.violations, 30)
    t(caught=seen[0])  # type: ignore[index]


# Numbers of datagrams with the milliseconds at which they come, and which are violations.
ARRIVALS: tuple[tuple[str, list[tuple[int, int]], list[int]], ...] = (
    ("in order", [(1, 0), (2, 50), (3, 100)], []),
    ("some are lost", [(1, 0), (5, 50), (9, 100)], []),
    ("the first was overtaken", [(2, 0), (1, 4), (3, 50)], []),
    ("three were overtaken", [(4, 0), (1, 1), (3, 1), (2, 2), (5, 50)], []),
    ("one comes twice", [(1, 0), (2, 50), (2, 51)], [2]),
    ("an overtaken one comes twice", [(2, 0), (1, 4), (1, 5)], [1]),
    ("a lost state was seen", [(7, 0), (8, 50), (9, 100), (8, 400), (9, 450), (10, 500)], [8, 9]),
    ("only the last of a lost state was seen", [(7, 0), (9, 50), (8, 400), (9, 450)], [8, 9]),
    ("overtaken by many, one after the other", [(7, 0), (9, 50), (10, 100), (11, 149), (8, 151)], [8]),
)


@case("a datagram that comes again or too late is caught, an overtaken one is not", short=True)
def datagrams(lab: Lab, t: Notes) -> None:
    for name, arrivals, wanted in ARRIVALS:
        stream = Stream("udp6")
        caught = [number for number, at_ms in arrivals if stream.arrived(number, at_ms / 1000)]
        if caught != wanted:
            raise Failure(f"{name}: {caught} were caught, not {wanted}")
    t(cases=len(ARRIVALS))
