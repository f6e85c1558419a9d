# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that a line of xl.cfg protects from its start. Its `xl console` works; `xl destroy`
does what it does with any guest, and the backup does not take that for the death of a host:
it starts nothing."""
import shlex

from haven_xen import steps
from haven_xen.bed import Testbed
from haven_xen.guest import XenGuest
from haven_xen.haven import DEADLINE_MS, LOAD, PORT, Protection, protected_guest
from haven_xen.host import Host
from haven_e2e.processes import Failure, wait_until
from haven_e2e.scenario import Notes

TYPED = "/run/typed"


def run(bed: Testbed, t: Notes) -> None:
    ours = f"haven-protect,host={bed.b.address},port={PORT},interval-ms=200,deadline-ms={DEADLINE_MS}"
    guest = protected_guest(device_model_args=["-device", ours], more={"serial": "pty"})
    protection = Protection(bed, guest)
    protection.start_backup()
    _attach_console(bed.a, guest)
    protection.boot(t)
    protection.wait_for(bed.a, "protected")
    bed.the_client().load(**LOAD)
    protection.run_epochs(5, t)
    _console_echoes(bed.a, guest, "are you there")
    bed.the_client().verify_guest()
    steps.still_answers(bed)

    bed.disconnect()
    bed.a.xl("destroy", guest.name)
    if guest.name in bed.a.states():
        raise Failure(f"{guest.name} is still there after xl destroy")
    protection.backup_stands_down()


def _attach_console(host: Host, guest: XenGuest) -> None:
    """`xl console` on a terminal: what is typed comes from a pipe, and what it
    shows goes where other guests' serial lines go."""
    terminal = f"EXEC:'xl console {guest.name}',pty,setsid,ctty,rawer"
    console = f"socat STDIN!!OPEN:{guest.serial_log},creat,append \"{terminal}\" <>{TYPED}"
    # Before its serial line is there, `xl console` shows the guest's other console.
    there = f"xenstore-read /local/domain/$(xl domid {guest.name})/serial/0/tty"
    loop = f"mkfifo {TYPED}; while :; do {there} && {console}; sleep 2; done"
    host.agent.spawn(f"sh -c {shlex.quote(loop)}", "/var/log/console.log")


def _console_echoes(host: Host, guest: XenGuest, text: str) -> None:
    """What is typed comes back from the guest's terminal."""
    host.agent.check(f"echo {shlex.quote(text)} >{TYPED}")
    wait_until("xl console shows what was typed", lambda: text in host.guest_console(guest), steps.PATIENCE, 1)
