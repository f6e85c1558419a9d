# SPDX-License-Identifier: GPL-2.0-or-later
"""What may be protected, and that nothing slips out of the protection of a guest that is."""
import json
import time
from typing import Any

from haven_e2e.client import QUIET
from haven_e2e.guest import MIB, Disk, GuestSpec
from haven_e2e.host import PORT
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure, wait_until
from haven_e2e.qmp import QmpError
from haven_e2e.scenario import Notes, case

# The machine's ACPI controller of PCI slots, to which a guest writes which one it ejects.
EJECT_PORT = 0xAE08
CD = ["-drive", "id=cd,if=none,media=cdrom,readonly=on,driver=null-co,size=1048576,node-name=medium",
      "-device", "ide-cd,bus=ide.1,drive=cd,id=cd0"]


def checked(lab: Lab) -> tuple[int, dict[str, str], str]:
    """What `haven check` says: its status, each device's type and coverage, and its error."""
    done = lab.primary.haven("check", lab.spec.name, "--json")
    devices = json.loads(done.stdout)["devices"] if done.stdout else []
    return done.returncode, {one["type"]: one["coverage"] for one in devices}, done.stderr.strip()


def goes_on(lab: Lab) -> None:
    lab.the_client().wait_for_progress(20, 10)
    lab.the_client().require_clean()


@case("haven check says what becomes of each device", short=True, spec=lambda: GuestSpec(extra=list(CD)))
def check(lab: Lab, t: Notes) -> None:
    lab.boot()
    status, devices, error = checked(lab)
    wanted = {"virtio-blk-pci": "replicated", "virtio-net-pci": "held", "isa-serial": "not-held", "ide-cd": "saved"}
    if status != 0 or error or {kind: devices.get(kind) for kind in wanted} != wanted:
        raise Failure(f"haven check: status {status}, {devices}, {error}")
    text = lab.primary.haven("check", lab.spec.name).stdout
    if "cd0" not in text or "its medium is read-only" not in text or "not held" not in text:
        raise Failure(f"haven check prints {text!r}")
    lab.prepare_backup()
    lab.protect()
    if checked(lab)[0] != 0:
        raise Failure("a protected guest cannot be protected, says haven check")
    t(devices=len(devices))


REFUSED = ("lsi53c895a", "am53c974", "ivshmem-plain", "pcnet")
REFUSED_WORDS = ["-drive", "id=x,if=none,driver=null-co,size=1048576,read-zeroes=on", "-device", "lsi53c895a,id=lsi",
                 "-device", "scsi-hd,bus=lsi.0,drive=x", "-device", "am53c974",
                 "-object", "memory-backend-ram,id=shared,size=1M,share=on", "-device", "ivshmem-plain,memdev=shared,master=on",
                 "-device", "pcnet"]


@case("devices that cannot be saved while the guest goes on are refused by name",
      spec=lambda: GuestSpec(extra=list(REFUSED_WORDS)))
def refused(lab: Lab, t: Notes) -> None:
    lab.boot()
    status, devices, error = checked(lab)
    wrong = {kind: devices.get(kind) for kind in REFUSED if devices.get(kind) != "refused"}
    if status != 1 or wrong or not any(kind in error for kind in REFUSED):
        raise Failure(f"haven check: status {status}, {wrong} are not refused, says {error!r}")
    lab.prepare_backup()
    done = lab.primary.haven("protect", lab.spec.name, "--to", f"{lab.backup.address}:{PORT}")
    if done.returncode != 1 or not any(kind in done.stderr for kind in REFUSED):
        raise Failure(f"haven protect: status {done.returncode}, says {done.stderr!r}; a refusal was due")
    goes_on(lab)
    t(says=f"'{done.stderr.strip()[-60:]}'")


@case("media and disks of a protected guest stay, and what is refused has done nothing",
      short=True, spec=lambda: GuestSpec(extra=list(CD)))
def media(lab: Lab, t: Notes) -> None:
    lab.boot()
    lab.the_client().load()
    lab.prepare_backup()
    lab.protect()
    with lab.primary.qmp() as monitor:
        monitor("blockdev-add", driver="null-co", node_name="other", size=48 * MIB)

        def drive() -> dict[str, Any]:
            found = next(one for one in monitor("query-block") if one["device"] == "cd")
            return {"tray_open": found.get("tray_open"), "node": found.get("inserted", {}).get("node-name")}
        before = drive()
        attempts: tuple[tuple[str, dict[str, Any]], ...] = (
            ("blockdev-change-medium", {"id": "cd0", "filename": "null-co://", "format": "raw"}),
            ("eject", {"id": "cd0", "force": True}),
            ("blockdev-remove-medium", {"id": "cd0"}),
            ("qom-set", {"path": lab_disk(monitor), "property": "drive", "value": "other"}))
        for command, arguments in attempts:
            try:
                monitor(command, **arguments)
            except QmpError as error:
                if "the guest is protected" not in str(error):
                    raise Failure(f"{command}: {error}") from None
            else:
                raise Failure(f"{command} was obeyed")
            if drive() != before:
                raise Failure(f"{command} was refused, and has changed {before} to {drive()}")
    lab.wait_for_epochs(3)
    t(**lab.survive_the_kill())


def lab_disk(monitor: Any) -> str:
    """The QOM path of the first disk."""
    return str(next(one["qdev"] for one in monitor("query-block") if one["device"] == "disk0"))


@case("a device that the guest ejects ends the protection, which says so",
      spec=lambda: GuestSpec(extra=["-device", "virtio-rng-pci,id=rng0,addr=0x1d"]))
def ejected(lab: Lab, t: Notes) -> None:
    lab.boot()
    lab.the_client().load()
    lab.prepare_backup()
    lab.protect()
    lab.wait_for_epochs(3)
    with lab.primary.qmp() as monitor:
        monitor("human-monitor-command", command_line=f"o /w {EJECT_PORT:#x} {1 << 0x1D:#x}")
    wait_until("protection has ended", lambda: lab.primary.state() == "stopped", 20, 0.2)
    message = (lab.primary.status() or {}).get("message", "")
    if "rng0 was removed" not in message:
        raise Failure(f"haven status says {message!r}")
    goes_on(lab)
    lab.wait_for_state(lab.backup, "waiting", 20)
    t(says=f"'{message}'")


@case("a guest that trims an IDE disk all the time is checkpointed all the time",
      spec=lambda: GuestSpec(disks=GuestSpec().disks + [Disk("large", 8 * 1024, device="ide-hd,bus=ide.0")]))
def trims(lab: Lab, t: Notes) -> None:
    lab.boot()
    client = lab.the_client()
    client.load(**QUIET)
    lab.prepare_backup()
    lab.protect(interval_ms=20)
    end, rounds = time.monotonic() + 8, 0
    while time.monotonic() < end:
        client.control(f"disk discard /dev/sda 0 {8 * 1024 * MIB} 0")
        rounds += 1
    lab.wait_for_epochs(20)
    t(rounds=rounds, **lab.survive_the_kill())

