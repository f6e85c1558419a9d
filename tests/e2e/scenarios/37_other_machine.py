# SPDX-License-Identifier: GPL-2.0-or-later
"""A backup whose command makes another machine than the primary's.

One guest runs all the time; havend is started with one wrong command after the other. Each is
refused at once, with what differs, where `haven protect` was typed and in `haven status` of the
backup, and the guest does not notice. With the same command it is protected as before, also
when a device was plugged into the primary's that the backup's command has from its start."""
import time
from typing import Callable

from haven_e2e.lab import Lab
from haven_e2e.processes import Failure
from haven_e2e.scenario import Notes, case

Change = Callable[[list[str]], list[str]]


def put(old: str, new: str) -> Change:
    """Each word's `old` becomes `new`."""
    def change(words: list[str]) -> list[str]:
        if not any(old in word for word in words):
            raise Failure(f"error in the test: the command has no {old}")
        return [word.replace(old, new) for word in words]
    return change


def value(option: str, new: str) -> Change:
    def change(words: list[str]) -> list[str]:
        at = words.index(option) + 1
        return [*words[:at], new, *words[at + 1:]]
    return change


def add(*more: str) -> Change:
    return lambda words: [*words, *more]


# What is changed in the backup's command, and what the refusal has to name.
COMMANDS: tuple[tuple[str, Change, str], ...] = (
    ("two vCPUs", value("-smp", "2"), "cpus is 2 on the backup and 1 on the primary"),
    ("another NIC model", put("virtio-net-pci", "e1000"),
     "pci/04.0 is e1000 on the backup and virtio-net-pci on the primary"),
    ("another machine version", value("-machine", "pc-i440fx-7.1"),
     "machine is pc-i440fx-7.1 on the backup and pc-i440fx-7.2 on the primary"),
    ("another machine", value("-machine", "q35"), "machine is pc-q35-7.2 on the backup"),
    ("one device more", add("-device", "virtio-rng-pci"), "pci/05.0 (virtio-rng-pci) is only on the backup"),
    ("another CPU model", value("-cpu", "Nehalem"), "cpu/0 is Nehalem-x86_64-cpu on the backup"),
    ("another CPU feature", value("-cpu", "qemu64,-svm"), "cpu/0 svm is off on the backup and on on the primary"),
    ("another MAC address", put("mac=52:54:00:77", "mac=52:54:00:78"), " mac is 52:54:00:78:00:10 on the backup"),
    ("another slot", put("romfile=", "romfile=,addr=0x10"), "pci/04.0 (virtio-net-pci) is only on the primary"),
    ("a property of a disk", put("virtio-blk-pci,", "virtio-blk-pci,num-queues=3,"), "num-queues is 3 on the backup"),
    ("a serial number", put("drive=disk0", "drive=disk0,serial=x"), "serial is x on the backup"),
    ("a ROM", put("romfile=", "romfile=FOLDER/rom"), "romsize"),
    ("no offloads of the netdev", put("downscript=no", "downscript=no,vnet_hdr=off"), "netdev.vnet_hdr is off"),
    ("a USB tablet", add("-device", "piix3-usb-uhci", "-device", "usb-tablet"), "pci/05.0 (piix3-usb-uhci) is only"),
    ("another clock", add("-rtc", "base=localtime"), "rtc is localtime on the backup and utc on the primary"),
    ("a boot menu", add("-boot", "menu=on"), "machine boot.menu (on) is only on the backup"),
    ("a property of the machine", value("-machine", "pc,hpet=off"), "machine hpet is off on the backup"),
    ("another serial number of the machine", add("-smbios", "type=1,serial=x"), "fw_cfg/etc/smbios/smbios-tables is"),
    ("less memory", value("-m", "64"), "does not match the size of the memory backend"),
    ("another format", put("format=raw", "format=qcow2"), "not in qcow2 format"),
    ("a memory object of its own", lambda words: add("-object", "memory-backend-ram,id=pc.ram,size=128M")(
        value("-machine", "pc,memory-backend=pc.ram")(words)), "has an object pc.ram of its own"),
)


NOT_ACCEPTED = "did not accept the guest's state"
# Allowed by its option, and the guest cannot go on there: what the trial load finds.
CANNOT_GO_ON: tuple[tuple[str, Change, str], ...] = (
    ("another NIC model", put("virtio-net-pci", "e1000"), NOT_ACCEPTED),
    ("no offloads of the netdev", put("downscript=no", "downscript=no,vnet_hdr=off"), NOT_ACCEPTED),
    ("a property of a disk", put("virtio-blk-pci,", "virtio-blk-pci,num-queues=3,"), NOT_ACCEPTED),
)


def try_to_protect(lab: Lab, name: str, change: Change, named: str, backup_state: str,
                   **policy: str) -> float:
    """@return how long it took to be refused."""
    lab.backup.change_command = lambda words: [word.replace("FOLDER", str(lab.folder)) for word in change(words)]
    lab.prepare_backup(**policy)
    begin = time.monotonic()
    done = lab.primary.haven("protect", lab.spec.name, "--to", f"{lab.backup.address}:7789", seconds=30)
    took = time.monotonic() - begin
    if done.returncode == 0:
        raise Failure(f"{name}: the guest is protected by another machine")
    if named not in done.stderr:
        raise Failure(f"{name}: the refusal is {done.stderr.strip()!r}; it should name {named!r}")
    for host, state in ((lab.primary, "stopped"), (lab.backup, backup_state)):
        entry = host.status()
        if not entry or entry["state"] != state or named not in entry["message"]:
            raise Failure(f"{name}: the status on {host.name} is {entry}")
    return took


def each_is_refused(lab: Lab, t: Notes, rows: tuple[tuple[str, Change, str], ...], backup_state: str = "waiting",
                    **policy: str) -> None:
    """... while the guest runs on; then it is protected with its own command, and survives."""
    lab.boot(stall=4)
    client = lab.the_client()
    client.load()
    slowest = max((try_to_protect(lab, *row, backup_state, **policy), row[0]) for row in rows)
    t(commands=len(rows), slowest=f"'{slowest[1]}'", slowest_s=round(slowest[0], 1))
    client.wait_for_progress(50, 20)
    client.require_clean()
    lab.backup.change_command = lambda words: words
    lab.prepare_backup()
    lab.protect()
    lab.wait_for_epochs(5)
    t(**lab.survive_the_kill())


@case("a backup whose command makes another machine is refused, with the difference", short=True)
def refused(lab: Lab, t: Notes) -> None:
    (lab.folder / "rom").write_bytes(b"\x55\xaa\x02" + bytes(1021))
    each_is_refused(lab, t, COMMANDS)


@case("a backup with another machine is allowed by its option, and says so", short=True)
def allowed(lab: Lab, t: Notes) -> None:
    lab.boot()
    lab.the_client().load()
    lab.backup.change_command = add("-smbios", "type=1,serial=x")
    lab.prepare_backup(other_machine="allow")
    lab.protect()
    lab.wait_for_epochs(5)
    entry = lab.backup.status()
    if not entry or "another machine: fw_cfg/etc/smbios" not in entry["message"]:
        raise Failure(f"the status of the backup does not say that its machine is another one: {entry}")
    t(**lab.survive_the_kill())


@case("a machine that is allowed, but cannot load the guest, is refused once a trial has found that", short=True)
def tried(lab: Lab, t: Notes) -> None:
    each_is_refused(lab, t, CANNOT_GO_ON, "primary-lost", other_machine="allow")


@case("a device that was plugged in is the same as one that was there from the start")
def plugged(lab: Lab, t: Notes) -> None:
    lab.boot()
    lab.the_client().load()
    with lab.primary.qmp() as monitor:
        monitor("device_add", driver="virtio-rng-pci", id="hot")
    lab.prepare_backup()
    done = lab.primary.haven("protect", lab.spec.name, "--to", f"{lab.backup.address}:7789", seconds=30)
    if "(virtio-rng-pci) is only on the primary" not in done.stderr:
        raise Failure(f"a device that the backup lacks: {done.stderr.strip()!r}")
    lab.backup.change_command = add("-device", "virtio-rng-pci,id=cold")
    lab.prepare_backup()
    lab.protect()
    lab.wait_for_epochs(5)
    t(**lab.survive_the_kill())
