# SPDX-License-Identifier: GPL-2.0-or-later
"""Protection that ends while the backup cannot be told: the arbiter is asked until it decides, nothing that is held
leaves before, and the device model answers its monitor meanwhile, also when it is to shut down."""
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from haven_e2e.host import PORT
from haven_e2e.lab import Lab
from haven_e2e.network import HOSTS
from haven_e2e.processes import Failure, wait_until
from haven_e2e.scenario import Notes, case

ASKED = "output is held until the arbiter answers"


def cut_off(lab: Lab) -> Path:
    """The backup is out of reach, and so is the arbiter until the file that is returned exists."""
    reached = lab.folder / "reached"
    script = lab.folder / "arbiter"
    script.write_text(f"#!/bin/sh\nwhile [ ! -e {reached} ]; do sleep 0.1; done\nexit 0\n")
    script.chmod(0o700)
    lab.boot(stall=60)
    lab.the_client().load()
    lab.prepare_backup(promote="manual", arbiter=str(script))
    lab.protect(arbiter=str(script))
    lab.wait_for_epochs(10)
    assert lab.network
    for host in HOSTS:
        lab.network.cut(host, "rep")
    return reached


def is_asked(lab: Lab) -> bool:
    return ASKED in str((lab.primary.status() or {}).get("message", ""))


def monitor_answers(lab: Lab) -> float:
    """@return the longest time that it needed, in milliseconds."""
    longest = 0.0
    for _ in range(20):
        began = time.monotonic()
        with lab.primary.qmp() as monitor:
            message = str(monitor("query-haven").get("message", ""))
        longest = max(longest, time.monotonic() - began)
        if not message.startswith(ASKED):
            raise Failure(f"the device model says {message!r}")
        time.sleep(0.05)
    return longest * 1000


@case("haven unprotect behind a cut link says what it waits for, and the guest goes on when the arbiter has decided", short=True)
def unprotected(lab: Lab, t: Notes) -> None:
    reached = cut_off(lab)
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(lab.primary.haven, "unprotect", lab.spec.name)
        try:
            wait_until("the arbiter is asked", lambda: is_asked(lab), 20)
            longest_ms = monitor_answers(lab)
            again = lab.primary.haven("protect", lab.spec.name, "--to", f"{lab.backup.address}:{PORT}")
            if again.returncode == 0 or "still ending" not in again.stderr or ending.done():
                raise Failure(f"haven protect: {again.stderr.strip()!r}; haven unprotect has ended: {ending.done()}")
        finally:
            reached.touch()
        done = ending.result()
    if done.returncode != 0 or ASKED not in done.stdout:
        raise Failure(f"haven unprotect: status {done.returncode}, {done.stdout!r} {done.stderr!r}")
    lab.the_client().wait_for_progress(50, 15)
    t(monitor_ms=round(longest_ms))


@case("a shutdown asks an arbiter that does not answer once, and the monitor answers meanwhile", short=True)
def shut_down(lab: Lab, t: Notes) -> None:
    cut_off(lab)
    wait_until("the arbiter is asked", lambda: is_asked(lab), 20)
    pid = lab.primary.qemu_pid()
    assert pid
    with lab.primary.qmp() as monitor:
        monitor("quit")
    longest_ms = monitor_answers(lab)
    lab.primary.wait_for_qemu_death(pid, 40)
    if lab.running_copies():
        raise Failure(f"the guest runs on {lab.running_copies()}")
    t(monitor_ms=round(longest_ms))
