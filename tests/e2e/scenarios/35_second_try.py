# SPDX-License-Identifier: GPL-2.0-or-later
"""What a device model that waits, or that fails to load the state, has written to its memory
is not in the guest's.

Through its gdbstub the waiting device model overwrites memory that the guest has its kernel
in. And a first device model that lacks a device which the primary has cannot load the state;
havend tries once more with a fresh one. Each time the guest goes on, with the client's
connection and everything acknowledged."""
from pathlib import Path

from haven_e2e.debugger import Debugger
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes, case

KERNEL_AT = 16 << 20
DEVICE = ["-device", "virtio-rng-pci"]


def overwrite_kernel(path: Path) -> None:
    with Debugger(path) as debugger:
        for at in range(KERNEL_AT, KERNEL_AT + (1 << 20), 1024):
            debugger.write(at, b"\xcc" * 1024)


def launcher(lab: Lab, first: list[str], later: list[str]) -> list[str]:
    """Starts the command that follows, with other options the first time than later."""
    script = f'mkdir {lab.folder}/started && exec "$@" {" ".join(first)}; exec "$@" {" ".join(later)}'
    return ["/bin/sh", "-c", script, "sh"]


def protected(lab: Lab, first: list[str], later: list[str], **policy: str) -> None:
    """By a backup whose command differs, and whose first device model wrote over the kernel."""
    lab.spec.extra = DEVICE
    lab.boot()
    lab.the_client().load()
    lab.spec.extra = []
    gdb = lab.folder / "gdb"
    lab.backup.launcher = launcher(lab, ["-gdb", f"unix:{gdb},server=on,wait=off", *first], later)
    lab.prepare_backup(**policy)
    lab.protect()
    lab.wait_for_epochs(10)
    overwrite_kernel(gdb)


def fail_over(lab: Lab, t: Notes) -> None:
    t(**lab.survive_the_kill())
    lab.shut_down_and_fsck()


@case("what the waiting device model wrote into its memory is forgotten")
def forgotten(lab: Lab, t: Notes) -> None:
    protected(lab, DEVICE, DEVICE)
    fail_over(lab, t)
    if "trying once more" in lab.primary.havend_log():
        raise Failure("the first try failed; nothing was shown about its memory")


@case("a state that the first device model cannot load is loaded by a second one")
def second_try(lab: Lab, t: Notes) -> None:
    protected(lab, [], DEVICE, other_machine="allow")
    fail_over(lab, t)
    log = lab.primary.havend_log()
    if "did not accept the guest's state" not in log or "trying once more" not in log:
        raise Failure(f"the first try did not fail as it should: {log[-600:]}")
