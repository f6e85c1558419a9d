# SPDX-License-Identifier: GPL-2.0-or-later
"""The primary's process is killed before and after each step of an epoch.

The guest is under memory, disk and network load and a client keeps one TCP
connection. The primary kills itself with SIGKILL at the point. Each time: the backup
takes over by itself, the client's connection goes on, everything acknowledged is there,
no output was seen that the surviving state does not contain, and memory and both disks
agree. Then the survivor is protected towards the other host, which starts with empty
disks, and dies at the next point: one guest goes through all of them. How long the client waited is
shown; `scripts/bench embedded` measures it on a machine that does nothing else."""
from typing import Optional

from haven_e2e.demo import POINTS
from haven_e2e.lab import Lab
from haven_e2e.scenario import Chain, Notes


def kill_at(point: Optional[str]) -> dict[str, str]:
    return {"HAVEN_KILL_AT": f"{point}:25"} if point else {}


class KillPrimary(Chain):
    names = POINTS
    end_name = "the disk of the last survivor is clean"
    short = True

    def begin(self, lab: Lab, first: str) -> None:
        lab.boot(kill_at(first))

    def step(self, lab: Lab, name: str, following: Optional[str], t: Notes) -> None:
        lab.the_client().load()
        lab.prepare_backup(guest_environment=kill_at(following))
        doomed = lab.primary.qemu_pid()
        assert doomed
        lab.protect()
        t(**lab.survive_the_death_of(doomed, 30))

    def end(self, lab: Lab) -> None:
        lab.shut_down_and_fsck()


CHAINS = [KillPrimary()]
