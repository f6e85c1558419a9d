# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that has stopped by itself, since its disk fails, it has panicked or its watchdog has ended its patience: its
backup knows it from one that an administrator paused, and a failover leaves it as it was. Where its disk had failed, `cont`
on the backup, whose disk is another one, lets it go on with its requests."""
import os
import signal
import threading

from haven_e2e.far_disk import far, serve
from haven_e2e.guest import MIB, GuestSpec
from haven_e2e.host import Host
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure, wait_until
from haven_e2e.scenario import Notes, case


def far_that_stops() -> GuestSpec:
    return far("werror=stop,rerror=stop")


def says(host: Host, run: str) -> None:
    """Both of `haven status` and, where the guest is, its device model."""
    wait_until(f"haven status on {host.name} says {run}",
               lambda: (host.status() or {}).get("run_state") == run, 30)
    table = host.haven("status", host.spec.name).stdout
    if (f"({run})" in table) != (run != "running"):
        raise Failure(f"the table does not say {run}: {table}")


@case("a guest that its disk has stopped is left so by a failover, not as if it had been paused",
      spec=far_that_stops, short=True)
def stopped_by_its_disk(lab: Lab, t: Notes) -> None:
    lab.primary.make_disks(filled=True)
    server = serve(lab)
    lab.boot(fresh_disks=False, stall=120, patience=120)
    lab.prepare_backup()
    lab.protect()
    lab.wait_for_epochs(10)
    says(lab.primary, "running")
    says(lab.backup, "running")
    os.kill(server, signal.SIGKILL)
    # Answered by the guest on the backup, where the request is tried again.
    writes = threading.Thread(target=lambda: lab.the_client().control(f"disk write /dev/vdc 0 {MIB} 7"), daemon=True)
    writes.start()
    says(lab.primary, "io-error")
    says(lab.backup, "io-error")
    lab.wait_for_epochs(2)  # the second one began with the guest that stands
    killed_at = lab.primary.kill_qemu()
    lab.wait_for_state(lab.backup, "promoted", 30)
    says(lab.backup, "io-error")
    status, message = lab.backup.guest_status(), (lab.backup.status() or {}).get("message", "")
    if status != "io-error" or "left as its primary had it (io-error)" not in message:
        raise Failure(f"the guest's disk had stopped it, after the failover it is {status}, and {message!r}")
    with lab.backup.qmp() as monitor:
        monitor("cont")
    says(lab.backup, "running")
    writes.join(60)  # the client is asked one thing at a time
    if writes.is_alive():
        raise Failure("the write that had failed was not tried again")
    lab.expect_failover(killed_at)
    t(says=f"'{message[:60]}'", lost=lab.check_everything()["lost"])


def stopped_by(lab: Lab, t: Notes, run: str, qemu: str, port: str) -> None:
    """`run` as HAVEN says it, `qemu` as the device model does, after a write to `port` of the machine."""
    lab.boot()
    lab.the_client().load()
    lab.prepare_backup()
    lab.protect()
    lab.wait_for_epochs(5)
    with lab.primary.qmp() as monitor:
        monitor("human-monitor-command", command_line=f"o {port}")
    says(lab.primary, run)
    says(lab.backup, run)
    lab.wait_for_epochs(2)
    lab.primary.kill_qemu()
    lab.wait_for_state(lab.backup, "promoted", 30)
    says(lab.backup, run)
    status, message = lab.backup.guest_status(), (lab.backup.status() or {}).get("message", "")
    if status != qemu or f"left as its primary had it ({run})" not in message:
        raise Failure(f"the guest was {run}, after the failover it is {status}, and {message!r}")
    t(says=f"'{message[:60]}'")


@case("a guest that has panicked is not started again by a failover",
      spec=lambda: GuestSpec(extra=["-device", "pvpanic", "-action", "panic=pause"]))
def panicked(lab: Lab, t: Notes) -> None:
    stopped_by(lab, t, "panicked", "guest-panicked", "/b 0x505 1")


@case("a guest that its watchdog has stopped is not started again by a failover",
      spec=lambda: GuestSpec(extra=["-device", "ib700", "-action", "watchdog=pause"]))
def stopped_by_its_watchdog(lab: Lab, t: Notes) -> None:
    stopped_by(lab, t, "watchdog", "watchdog", "/b 0x443 14")
