# SPDX-License-Identifier: GPL-2.0-or-later
"""The backup's daemon is killed before and after each step of its epoch, and before and
after each step of the primary's.

The guest goes on (how long it stood still is shown), loses nothing, and is protected again
by itself once the daemon is back, on the state that the killed one left. That the new
protection is worth something is shown by a failover."""
import time
from typing import Optional

from haven_e2e.demo import POINTS as PRIMARY_POINTS
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure, wait_for_death
from haven_e2e.scenario import Chain, Notes

POINTS = [f"{when}-{what}" for what in ("epoch-end", "commit", "committed-sent", "apply")
          for when in ("before", "after")]


class KillBackup(Chain):
    """At a step of its own: havend kills itself."""
    names = [f"{point} of the backup" for point in POINTS]
    end_name = "the disk of the last survivor is clean"
    short = True

    def begin(self, lab: Lab, first: str) -> None:
        lab.boot()

    def prepare(self, lab: Lab, name: str, following: Optional[str]) -> dict[str, str]:
        """Starts the havend that is to die; the environment of the guest that it may promote."""
        lab.prepare_backup(havend_environment={"HAVEN_KILL_AT": f"{name.split()[0]}:25"})
        return {}

    def step(self, lab: Lab, name: str, following: Optional[str], t: Notes) -> None:
        point = name.split()[0]
        client = lab.the_client()
        client.load()
        guest_environment = self.prepare(lab, name, following)
        lab.protect()
        killed_at = wait_for_death(lab.backup.havend_pid(), 30)
        if killed_at is None:
            raise Failure(f"havend lives on; it should have killed itself at {point}")
        lab.wait_for_state(lab.primary, "unprotected", 10)
        client.wait_for_progress(50, 10)
        gap_ms = client.stats(after=killed_at)["longest_gap_ms"]
        client.require_clean()
        again = time.monotonic()
        lab.prepare_backup(fresh_disks=False, guest_environment=guest_environment)
        lab.wait_for_state(lab.primary, "protected", 40)
        t(gap_ms=round(gap_ms), protected_again_s=round(time.monotonic() - again, 1))
        lab.wait_for_epochs(20)
        t(**lab.survive_the_kill())

    def end(self, lab: Lab) -> None:
        lab.shut_down_and_fsck()


class KillBackupFromPrimary(KillBackup):
    """At a step of the primary: the primary kills havend, whose number is in a file."""
    names = [f"{point} of the primary" for point in PRIMARY_POINTS]
    end_name = "the disk of the last survivor is clean, once more"

    def begin(self, lab: Lab, first: str) -> None:
        lab.boot(self.environment(lab, first))

    @staticmethod
    def environment(lab: Lab, name: Optional[str]) -> dict[str, str]:
        if name is None:
            return {}
        return {"HAVEN_KILL_AT": f"{name.split()[0]}:25", "HAVEN_KILL_PIDFILE": str(lab.folder / "victim")}

    def prepare(self, lab: Lab, name: str, following: Optional[str]) -> dict[str, str]:
        lab.prepare_backup()
        (lab.folder / "victim").write_text(f"{lab.backup.havend_pid()}\n")
        return self.environment(lab, following)


CHAINS = [KillBackup(), KillBackupFromPrimary()]
