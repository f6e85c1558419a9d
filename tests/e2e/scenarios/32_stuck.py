# SPDX-License-Identifier: GPL-2.0-or-later
"""A primary that answers and gets nowhere: a disk of its guest is on a server that stands still, and no checkpoint can
be taken. Its backup says so, or takes over, as its configuration says; meanwhile the device model answers, and protection
can be ended."""
import os
import signal
import threading
import time
from typing import Any

from haven_e2e import paths
from haven_e2e.far_disk import far, serve
from haven_e2e.guest import MIB
from haven_e2e.host import PORT
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure, wait_until
from haven_e2e.scenario import Notes, case


def protected(lab: Lab, asks: str = "none", **policy: Any) -> int:
    lab.primary.make_disks(filled=True)
    server = serve(lab)
    lab.boot(fresh_disks=False, stall=120, patience=120)
    lab.prepare_backup(**policy)
    lab.protect(arbiter=asks)
    lab.wait_for_epochs(10)
    return server


def write(lab: Lab) -> threading.Thread:
    """The guest writes to the disk, and is not answered before the server is."""
    request = f"disk write /dev/vdc 0 {MIB} 7"
    thread = threading.Thread(target=lambda: lab.the_client().control(request), daemon=True)
    thread.start()
    return thread


def answers(lab: Lab) -> None:
    """The device model does, though a disk of its guest does not."""
    with lab.primary.qmp() as monitor:
        if monitor("query-status")["status"] != "running":
            raise Failure("the guest does not run on")


def filters(lab: Lab) -> int:
    with lab.primary.qmp() as monitor:
        return sum(node["drv"] == "blkrep" for node in monitor("query-named-block-nodes"))


@case("a primary whose disk hangs is stuck, says its backup, and protecting when it moves again", spec=far)
def told(lab: Lab, t: Notes) -> None:
    server = protected(lab)
    os.kill(server, signal.SIGSTOP)
    waits = write(lab)
    lab.wait_for_state(lab.backup, "stuck", 60)
    message = (lab.backup.status() or {}).get("message", "")
    answers(lab)
    if "no progress" not in message or lab.running_copies() == ["hostB"]:
        raise Failure(f"the guest runs on {lab.running_copies()}, the backup says {message!r}")
    os.kill(server, signal.SIGCONT)
    waits.join(60)
    lab.wait_for_state(lab.backup, "protecting", 60)
    lab.wait_for_epochs(5)
    t(says=f"'{message[:60]}'", **lab.survive_the_kill())


@case("a backup that may takes over from a primary that is stuck, and the old copy never goes on", spec=far)
def taken_over(lab: Lab, t: Notes) -> None:
    folder = lab.folder / "arbiter"
    folder.mkdir()
    server = protected(lab, f"{paths.ARBITER} {folder} hostA", arbiter=f"{paths.ARBITER} {folder} hostB",
                       on_stuck="take-over")
    os.kill(server, signal.SIGSTOP)
    waits = write(lab)
    lab.wait_for_state(lab.backup, "promoted", 60)
    os.kill(server, signal.SIGCONT)
    waits.join(60)
    wait_until("the guest runs on hostB only", lambda: lab.running_copies() == ["hostB"], 30)
    lab.wait_for_state(lab.primary, "lost", 30)
    lab.the_client().wait_for_progress(20, 60)
    lab.swap_roles()
    t(lost=lab.check_everything()["lost"])


@case("protection ends at once while a disk hangs, and begins again when it answers", spec=far, short=True)
def unprotected(lab: Lab, t: Notes) -> None:
    server = protected(lab)
    os.kill(server, signal.SIGSTOP)
    waits = write(lab)
    lab.wait_for_state(lab.backup, "stuck", 60)
    began = time.monotonic()
    done = lab.primary.haven("unprotect", lab.spec.name)
    took = time.monotonic() - began
    answers(lab)
    if done.returncode != 0 or filters(lab) != 1 or not waits.is_alive():
        raise Failure(f"haven unprotect: {done.stderr.strip()}; {filters(lab)} filters, the write waits: {waits.is_alive()}")
    again = lab.primary.haven("protect", lab.spec.name, "--to", f"{lab.backup.address}:{PORT}")
    if again.returncode == 0 or "has not answered" not in again.stderr:
        raise Failure(f"haven protect: status {again.returncode}, {again.stderr.strip()!r}")
    os.kill(server, signal.SIGCONT)
    waits.join(60)
    wait_until("the filter is gone", lambda: filters(lab) == 0, 30)
    lab.prepare_backup()
    lab.protect()
    lab.wait_for_epochs(5)
    t(unprotected_ms=round(took * 1000), **lab.survive_the_kill())
