# SPDX-License-Identifier: GPL-2.0-or-later
"""Modes: a guest that survives in each of them, with one epoch in flight and with several, and while
it is switched from one to another.

What is asked of the survivor is the same as in 10_primary_killed: nothing acknowledged is lost,
nothing was seen that its state does not contain."""
import random
from typing import Optional

from haven_e2e.demo import POINTS
from haven_e2e.lab import Lab
from haven_e2e.scenario import Chain, Notes

MODES = {
    "remus, one epoch in flight": ["mode=remus", "interval=10", "in-flight=1"],
    "remus, two epochs in flight": ["mode=remus", "interval=5", "in-flight=2"],
    "remus, eight epochs in flight": ["mode=remus", "interval=1", "in-flight=8"],
    "kemari": ["mode=kemari", "window=0.2", "in-flight=4"],
    "kemari, one epoch in flight": ["mode=kemari", "window=3", "in-flight=1"],
    "adaptive": ["mode=adaptive", "latency=5", "in-flight=4"],
    "adaptive, an overhead that leaves no room": ["mode=adaptive", "latency=1", "overhead=2"],
}
SWITCHES = 25


class Modes(Chain):
    """Each mode is killed at another step of an epoch; the next one begins with what survived."""
    names = list(MODES)
    end_name = "the disk of the last survivor is clean"

    def begin(self, lab: Lab, first: str) -> None:
        lab.boot(self._kill_at(first))

    def _kill_at(self, name: Optional[str]) -> dict[str, str]:
        if name is None:
            return {}
        points = [point for point in POINTS if "copy" not in point]
        return {"HAVEN_KILL_AT": f"{points[3 * self.names.index(name) % len(points)]}:120"}

    def step(self, lab: Lab, name: str, following: Optional[str], t: Notes) -> None:
        lab.the_client().load()
        lab.prepare_backup(guest_environment=self._kill_at(following))
        doomed = lab.primary.qemu_pid()
        assert doomed
        lab.protect()
        lab.set_mode(*MODES[name])
        t(**lab.survive_the_death_of(doomed, 60))

    def end(self, lab: Lab) -> None:
        lab.shut_down_and_fsck()


class Switches(Chain):
    names = ["switched under load, then killed", "and once more, towards the other host"]
    short = True

    def begin(self, lab: Lab, first: str) -> None:
        lab.boot()

    def step(self, lab: Lab, name: str, following: Optional[str], t: Notes) -> None:
        client = lab.the_client()
        client.load()
        lab.prepare_backup()
        lab.protect(mode="adaptive")
        seed = random.randrange(1 << 30)
        chosen = random.Random(seed)
        for _ in range(SWITCHES):
            lab.set_mode(*chosen.choice(list(MODES.values())))
            client.wait_for_progress(5, 20)
        status = lab.primary.status()
        assert status and status["state"] == "protected" and status["losses"] == 0, status
        lab.wait_for_epochs(3)
        t(seed=seed, **lab.survive_the_kill())


CHAINS = [Modes(), Switches()]
