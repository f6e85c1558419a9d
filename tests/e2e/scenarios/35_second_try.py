# SPDX-License-Identifier: GPL-2.0-or-later
"""What a device model that waits, or that fails to load the state, has written to its memory
is not in the guest's.

Through its gdbstub the waiting device model overwrites memory that the guest has its kernel
in. And one that lacks a device which the primary has cannot load the state; havend tries once
more with a fresh one. Each time the guest goes on, with the client's
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


def launcher(lab: Lab, *options: list[str]) -> list[str]:
    """Starts the command that follows, each time with the next options, and at last with the last ones."""
    cases = "".join(f'{number}) set -- "$@" {" ".join(words)} ;; ' for number, words in enumerate(options[:-1], 1))
    script = (f'n=1; while ! mkdir {lab.folder}/start-$n; do n=$((n + 1)); done; '
              f'case $n in {cases}*) set -- "$@" {" ".join(options[-1])} ;; esac; exec "$@"')
    return ["/bin/sh", "-c", script, "sh"]


def protected(lab: Lab, waits: list[str], **policy: str) -> None:
    """By a backup whose command differs. Its first device model is used up by the trial; the second one, which waits for
    the failover with the options `waits`, writes over the kernel."""
    lab.spec.extra = DEVICE
    lab.boot()
    lab.the_client().load()
    lab.spec.extra = []
    gdb = lab.folder / "gdb"
    lab.backup.launcher = launcher(lab, DEVICE, ["-gdb", f"unix:{gdb},server=on,wait=off", *waits], DEVICE)
    lab.prepare_backup(**policy)
    lab.protect()
    lab.wait_for_epochs(10)
    overwrite_kernel(gdb)


def fail_over(lab: Lab, t: Notes) -> None:
    t(**lab.survive_the_kill())
    lab.shut_down_and_fsck()


@case("what the waiting device model wrote into its memory is forgotten")
def forgotten(lab: Lab, t: Notes) -> None:
    protected(lab, DEVICE)
    fail_over(lab, t)
    if "trying once more" in lab.primary.havend_log():
        raise Failure("the first try failed; nothing was shown about its memory")


@case("a state that the device model that waits cannot load is loaded by another one")
def second_try(lab: Lab, t: Notes) -> None:
    protected(lab, [], other_machine="allow")
    fail_over(lab, t)
    log = lab.primary.havend_log()
    if "did not accept the guest's state" not in log or "trying once more" not in log:
        raise Failure(f"the first try did not fail as it should: {log[-600:]}")
