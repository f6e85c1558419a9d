# SPDX-License-Identifier: GPL-2.0-or-later
"""Thirty failovers in a row, each with a new backup that starts from nothing.

One guest, one client, one TCP connection through all of them. Whatever leaks, drifts or
is forgotten in a promotion (a timer, a dirty bit, a disk write, a descriptor) adds up."""
from typing import Optional

from haven_e2e.lab import Lab
from haven_e2e.scenario import Chain, Notes

ROUNDS = 30


class PingPong(Chain):
    names = [f"failover {number:02d} of {ROUNDS}" for number in range(1, ROUNDS + 1)]
    end_name = "the disk of the last survivor is clean"

    def begin(self, lab: Lab, first: str) -> None:
        lab.boot()

    def step(self, lab: Lab, name: str, following: Optional[str], t: Notes) -> None:
        client = lab.the_client()
        client.load()
        lab.prepare_backup()
        lab.protect()
        lab.wait_for_epochs(10)
        t(**lab.survive_the_kill())

    def end(self, lab: Lab) -> None:
        lab.shut_down_and_fsck()


CHAINS = [PingPong()]
