# SPDX-License-Identifier: GPL-2.0-or-later
"""Every controller of disks and every NIC that the device model has: one that may be protected has survived three
failovers in use, here; all others are refused by name, without being tried."""
import json
import re
import subprocess

from haven_e2e import paths
from haven_e2e.guest import Disk, GuestSpec
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure
from haven_e2e.scenario import Case, Notes, case

# A controller and its driver, the disk on it, a NIC and its driver.
PAIRS = (
    ("virtio-scsi-pci", "virtio_scsi", "scsi-hd", "e1000e", "e1000e"),
    ("megasas", "megaraid_sas", "scsi-hd", "rtl8139", "8139cp"),
    ("megasas-gen2", "megaraid_sas", "scsi-hd", "vmxnet3", "vmxnet3"),
    ("ich9-ahci", "ahci", "ide-hd,bus=c.0", "e1000", ""),
    ("qemu-xhci", "xhci_pci,usb_storage", "usb-storage,bus=c.0", "e1000-82545em", ""),
    ("nec-usb-xhci", "xhci_pci,usb_storage", "usb-storage,bus=c.0", "e1000-82544gc", ""),
)
FAILOVERS = 3
# What is plugged into these was tried; or what is the same device, under another name or of another revision.
SAME = {"ide-hd", "ide-cd", "scsi-hd", "scsi-cd", "usb-storage", "floppy", "isa-fdc", "piix3-ide",
        "virtio-blk-pci", "virtio-blk-pci-non-transitional", "virtio-blk-pci-transitional",
        "virtio-scsi-pci-non-transitional", "virtio-scsi-pci-transitional",
        "virtio-net-pci", "virtio-net-pci-non-transitional", "virtio-net-pci-transitional"}
TRIED = {word for controller, _, _, nic, _ in PAIRS for word in (controller, nic)} | SAME


def use(controller: str, driver: str, disk: str, nic: str, nic_driver: str) -> GuestSpec:
    drivers = [word for word in [*driver.split(","), nic_driver] if word]
    return GuestSpec(nic=nic, controllers=["-device", f"{controller},id=c"], drivers=drivers, disk1="/dev/sda",
                     disks=[Disk("disk0", 48), Disk("disk1", 16, device=disk)])


def survive(lab: Lab, t: Notes) -> None:
    lab.boot(stall=60)
    for _ in range(FAILOVERS):
        lab.the_client().load()
        lab.prepare_backup()
        lab.protect()
        lab.wait_for_epochs(10)
        figures = lab.survive_the_kill()
    lab.shut_down_and_fsck()
    t(**figures)


def tries(number: int) -> Case:
    pair = PAIRS[number]
    return case(f"{pair[0]} and {pair[3]} in use survive {FAILOVERS} failovers", spec=lambda: use(*pair),
                short=number == 0)(survive)


controllers_0, controllers_1, controllers_2 = tries(0), tries(1), tries(2)
controllers_3, controllers_4, controllers_5 = tries(3), tries(4), tries(5)


def every_device() -> list[str]:
    """Those that can be added on the command line: of disks, and NICs."""
    done = subprocess.run([paths.QEMU, "-M", "pc", "-device", "help"], capture_output=True, text=True, check=True)
    found, wanted = [], False
    for line in done.stdout.splitlines():
        if line.endswith(":"):
            wanted = line in ("Storage devices:", "Network devices:")
        name = re.match(r'name "([^"]+)"', line)
        if wanted and name:
            found.append(name[1])
    return found


def coverage(device: str) -> tuple[str, str]:
    """What `query-haven-check` says of a machine with it: its coverage, and why. "": it cannot be added like that."""
    words = [str(paths.QEMU), "-M", "pc", "-S", "-nodefaults", "-display", "none", "-m", "16", "-qmp", "stdio",
             "-drive", "if=none,id=d,driver=null-co,size=1048576,read-zeroes=on", "-device", "qemu-xhci",
             "-device", "virtio-scsi-pci", "-device"]
    asked = "".join(json.dumps({"execute": command}) + "\n" for command in ("qmp_capabilities", "query-haven-check", "quit"))
    for options in ("", ",drive=d", ",serial=1,drive=d"):
        done = subprocess.run([*words, device + options], input=asked, capture_output=True, text=True, timeout=60)
        answers = [json.loads(line).get("return", {}) for line in done.stdout.splitlines()]
        said = next((answer for answer in answers if "devices" in answer), None)
        if said is None:
            continue
        entry = next((one for one in said["devices"] if one["type"] == device), None)
        if entry is None:
            raise Failure(f"query-haven-check does not list {device}")
        return entry["coverage"], entry.get("why", "")
    return "", ""


@case("of every device of disks, and every NIC, those that were not tried are refused by name", short=True)
def untried(lab: Lab, t: Notes) -> None:
    devices, refused, unplugged = every_device(), 0, []
    for device in devices:
        covered, why = coverage(device)
        if not covered:
            unplugged.append(device)
        elif (covered == "refused") == (device in TRIED):
            raise Failure(f"{device} is {covered} ({why}), and was {'' if device in TRIED else 'not '}tried")
        refused += covered == "refused"
    if refused < 20:
        raise Failure(f"of {len(devices)} devices {refused} were refused")
    t(devices=len(devices), refused=refused, unplugged=len(unplugged))
