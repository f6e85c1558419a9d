# SPDX-License-Identifier: GPL-2.0-or-later
"""Xen's own Remus with its best options that the testbed allows: no replication of disks (-d) and no
buffering of output (-n)."""
from . import steps
from .bed import Testbed
from .guest import XenGuest
from haven_e2e.processes import wait_until

LOG = "/var/log/xen/remus.log"


def start(bed: Testbed, guest: XenGuest, interval_ms: int) -> None:
    steps.listen_for_guest(bed.b, "-r")
    words = ["-F", "-n", "-d", "-i", str(interval_ms), "-s", "''", guest.name,
             f"'socat - TCP:{bed.b.address}:{steps.MIGRATION_PORT}'"]
    bed.a.agent.run(f"rm -f {LOG}")
    bed.a.agent.spawn("xl remus " + " ".join(words), LOG)
    # Before them xl copies the running guest's memory, several times over.
    wait_until("Remus takes checkpoints", lambda: checkpoints(bed) >= 3, 2 * steps.PATIENCE, 1)


def checkpoints(bed: Testbed) -> int:
    """So far; xl says this once for each of them."""
    return int(bed.a.agent.run(f"cat {LOG} | grep -c 'Domain now suspended'").out)


def stop(bed: Testbed, guest: XenGuest) -> None:
    """The backup goes first: it would run the guest when its stream ends."""
    bed.b.agent.run("pkill -KILL socat; pkill -KILL -f '[x]l migrate-receive'")
    bed.b.agent.run(f"xl destroy {guest.name}--incoming")
    wait_until("xl remus has ended", lambda: bed.a.agent.run("pgrep -f '[x]l remus'").status != 0, steps.PATIENCE, 1)
    steps.still_answers(bed)
