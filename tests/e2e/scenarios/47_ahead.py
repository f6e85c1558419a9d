# SPDX-License-Identifier: GPL-2.0-or-later
"""What runs ahead of a checkpoint: pages of large epochs that are sent before the pause, and disk writes that do not
wait for the backup. The survivor has all of an epoch or nothing of it, as in 10_primary_killed."""
from haven_e2e.lab import Lab
from haven_e2e.scenario import Chain, Notes

PAGES, WRITES_S, INTERVAL_MS = 5_000, 200_000, 250


class Ahead(Chain):
    names = ["killed while pages and disk writes run ahead", "and once more, towards the other host"]
    end_name = "the disk of the last survivor is clean, once more"
    short = True

    def begin(self, lab: Lab, first: str) -> None:
        lab.boot()

    def step(self, lab: Lab, name: str, following: "str | None", t: Notes) -> None:
        client = lab.the_client()
        client.load(disk_threads=3, disk_ops_s=100)
        client.control(f"skew {PAGES} {WRITES_S}")
        lab.prepare_backup(disk_ack="epoch")
        lab.protect()
        lab.set_mode("mode=remus", f"interval={INTERVAL_MS}", "in-flight=4")
        lab.wait_for_epochs(8)
        status = lab.primary.status()
        assert status and status["early_pages_total"] > 0, status
        assert "disk-ack epoch" in status["mode_settings"], status
        t(early_pages=status["early_pages_total"], epochs=status["epochs"], **lab.survive_the_kill())

    def end(self, lab: Lab) -> None:
        lab.shut_down_and_fsck()


CHAINS = [Ahead()]
