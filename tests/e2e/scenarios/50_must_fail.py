# SPDX-License-Identifier: GPL-2.0-or-later
"""The product broken on purpose: HAVEN_BREAK=release-before-commit lets each epoch's
output go when the epoch is cut, not when the backup has it. The primary dies before the
first byte of such an epoch has left. The checker has to notice; if it does not, every
other scenario here proves nothing."""
from haven_e2e.lab import Lab
from haven_e2e.processes import wait_until
from haven_e2e.scenario import Notes, case


@case("output released before the commit is caught by the client")
def released_early(lab: Lab, t: Notes) -> None:
    lab.boot({"HAVEN_BREAK": "release-before-commit", "HAVEN_KILL_AT": "before-first-byte:40"},
             stall=5)
    client = lab.the_client()
    client.load(chatter_s=200)
    lab.prepare_backup()
    doomed = lab.primary.qemu_pid()
    assert doomed
    lab.protect()
    lab.primary.wait_for_qemu_death(doomed, 30)
    seen = wait_until("the checker reports a violation", client.violations, 30)
    t(caught=seen[0])  # type: ignore[index]
