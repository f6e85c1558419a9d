# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guest discards and zeroes: both disks shrink as the one of an unprotected guest
does, hold the same afterwards, and the formats of the primary's disks stay sound."""
import subprocess
import time
from pathlib import Path

from haven_e2e import paths
from haven_e2e.client import QUIET
from haven_e2e.guest import MIB, Disk, GuestSpec
from haven_e2e.host import PORT
from haven_e2e.lab import Lab
from haven_e2e.processes import Failure, wait_until
from haven_e2e.scenario import Notes, case

DISK_MIB = 16
FILLED = 14 * MIB
AREA = (MIB, 12 * MIB)  # what is cleared: offset and octets
SLACK = MIB // 2  # the formats' tables, and the file system's

QCOW2 = {"hostA": "qcow2"}
# Two further disks come first, and are vda and vdb.
KINDS = [Disk("raw", DISK_MIB), Disk("qcow2", DISK_MIB, QCOW2),
         Disk("preallocated", DISK_MIB, QCOW2, created="preallocation=metadata"),
         Disk("detecting", DISK_MIB, options="discard=unmap,detect-zeroes=unmap"),
         Disk("ignoring", DISK_MIB, options="discard=ignore")]


def device(lab: Lab, name: str) -> str:
    return "/dev/vd" + "abcdefgh"[[disk.name for disk in lab.spec.disks].index(name)]


def on_disk(lab: Lab, operation: str, name: str, offset: int, octets: int, seed: int = 0) -> str:
    """One operation of the guest on a part of its disk; what it read, if it read."""
    answer = lab.the_client().control(f"disk {operation} {device(lab, name)} {offset} {octets} {seed}")
    return str(answer["hash"])


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


def clear_in_turn(lab: Lab, seed: int) -> dict[str, dict[str, list[int]]]:
    """What is left of each disk after each way to clear a part of it that was full, on each
    host that has it: host -> disk -> octets."""
    offset, octets = AREA
    left: dict[str, dict[str, list[int]]] = {name: {disk.name: [] for disk in KINDS} for name in lab.hosts}
    for operation in ("discard", "zero", "punch", "write"):  # the last one writes zeros
        for disk in KINDS:
            on_disk(lab, "write", disk.name, 0, FILLED, seed)
            # Its ends are in the middle of clusters and of the host's blocks.
            on_disk(lab, operation, disk.name, offset + 512, octets - 1024)
        if lab.backup.disk_paths:
            lab.wait_for_epochs(3)  # the replica follows the commit
        for host in lab.hosts.values():
            for name in host.disk_paths.keys() & left[host.name].keys():
                left[host.name][name].append(allocated(host.disk_paths[name]))
    return left


def same_sizes(name: str, what: str, octets: list[int], wanted: list[int]) -> None:
    if any(abs(left - due) > SLACK for left, due in zip(octets, wanted, strict=True)):
        raise Failure(f"{name}: {octets} octets are left of {what} after each clearing, {wanted} are due")


def same_content(lab: Lab, name: str) -> None:
    """Of the files on both hosts, as the guest does not write to them."""
    files = [host.disk_paths[name] for host in lab.hosts.values()]
    formats = [disk.format_on(host) for disk in lab.spec.disks if disk.name == name for host in lab.hosts]
    done = subprocess.run([paths.qemu_img(), "compare", "-U", "-f", formats[0], "-F", formats[1],
                           str(files[0]), str(files[1])], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"{name}: the disks of both hosts differ: {(done.stdout + done.stderr).strip()}")


def kinds() -> GuestSpec:
    return GuestSpec(disks=GuestSpec().disks + KINDS)


@case("both disks shrink as without protection, whatever their kind, and hold the same", spec=kinds)
def shrink(lab: Lab, t: Notes) -> None:
    lab.boot()
    client = lab.the_client()
    without = clear_in_turn(lab, 1)["hostA"]
    # A device model alone heeds it for discards, but not for zeroes.
    without["ignoring"] = [FILLED] * 4
    client.load(disk_threads=0, memory_pages_s=0)
    lab.prepare_backup()
    lab.protect()
    protected = clear_in_turn(lab, 2)
    read = {}
    for disk in KINDS:
        same_sizes(disk.name, "the primary's disk", protected["hostA"][disk.name], without[disk.name])
        same_sizes(disk.name, "the replica", protected["hostB"][disk.name], without[disk.name])
        if (without[disk.name][0] < FILLED - AREA[1] + SLACK) == (disk.name == "ignoring"):
            raise Failure(f"{disk.name}: {without[disk.name][0]} octets are left after a discard")
        # Ends in the middle of sectors of 4096 octets, and of clusters.
        on_disk(lab, "write", disk.name, 0, FILLED, 99)
        for operation, offset, octets in (("discard", 512, 7 * 512), ("discard", MIB + 1536, 3 * MIB),
                                          ("discard", 5 * MIB + 8192, 2 * MIB),
                                          ("punch", 9 * MIB + 512, MIB), ("zero", 11 * MIB, 70 * 512)):
            on_disk(lab, operation, disk.name, offset, octets)
        read[disk.name] = on_disk(lab, "read", disk.name, 0, FILLED)
        t(**{disk.name: f"{protected['hostB'][disk.name][0] >> 20}M"})
    lab.wait_for_epochs(3)
    lab.expect_failover(lab.primary.kill_qemu())
    for disk in KINDS:
        same_content(lab, disk.name)
    for name, wanted in read.items():
        if on_disk(lab, "read", name, 0, FILLED) != wanted:
            raise Failure(f"{name}: the guest reads something else after the failover")
    lab.check_everything()


def large() -> GuestSpec:
    return GuestSpec(disks=GuestSpec().disks + [Disk("large", 5 * 1024), Disk("copied", 32)])


@case("a disk of 5 GiB is discarded as a whole, and another one while it is copied", spec=large)
def large_and_early(lab: Lab, t: Notes) -> None:
    lab.boot()
    assert lab.network
    on_disk(lab, "write", "copied", 0, 32 * MIB, 5)
    for at in (0, 2047, 4095, 5119):
        on_disk(lab, "write", "large", at * MIB, MIB, 6)
    lab.prepare_backup()
    lab.network.slow_down("hostA", "rep", 200)
    done = lab.primary.haven("protect", lab.spec.name, "--to", f"{lab.backup.address}:{PORT}", "--no-wait")
    if done.returncode != 0:
        raise Failure(f"haven protect --no-wait: {done.stderr.strip()}")
    lab.wait_for_state(lab.primary, "syncing", 10)
    parts = 0
    for at in range(0, 32 * MIB, MIB):  # behind the copier, at its place, and before it
        on_disk(lab, "discard", "copied", at + 512, MIB // 2)
        parts += lab.primary.state() == "syncing"
    if not parts:
        raise Failure("the first copy was over before anything was discarded")
    lab.wait_for_state(lab.primary, "protected", 60)
    on_disk(lab, "discard", "large", 0, 5 * 1024 * MIB)
    read = on_disk(lab, "read", "copied", 0, 32 * MIB)
    wait_until("both large disks are empty",
               lambda: all(allocated(host.disk_paths["large"]) <= SLACK for host in lab.hosts.values()), 10)
    lab.wait_for_epochs(3)
    lab.expect_failover(lab.primary.kill_qemu())
    for name in ("large", "copied"):
        same_content(lab, name)
    if on_disk(lab, "read", "copied", 0, 32 * MIB) != read:
        raise Failure("the guest reads something else after the failover")
    t(while_copied=parts)


# Small clusters, so that most of the load's discards and zeroes are of whole ones.
def preallocated() -> GuestSpec:
    options = "discard=unmap,detect-zeroes=unmap"
    created = "preallocation=metadata,cluster_size="
    return GuestSpec(disks=[Disk("disk0", 48, QCOW2, options, created + "16k"),
                            Disk("disk1", 16, QCOW2, options, created + "8k"),
                            Disk("coarse", 32, QCOW2, options, created + "2M")])


@case("preallocated qcow2 stays sound under random writes, zeroes and discards", spec=preallocated)
def sound(lab: Lab, t: Notes) -> None:
    lab.boot()
    client = lab.the_client()
    client.load(disk_threads=4, disk_ops_s=500)
    lab.prepare_backup(promote="manual")
    lab.protect()
    # A cluster that is zeroed in part goes as a whole, while another part is being written.
    for seed in (1, 2, 3):
        on_disk(lab, "contend", "coarse", 0, 32 * MIB, seed)
    end, rounds, trimmed = time.monotonic() + 6, 0, 0
    while time.monotonic() < end:
        trimmed += int(client.control("trim 4")["trimmed"])
        rounds += 4
    operations = client.control("status")["disk_operations"]
    client.control("load " + " ".join(str(value) for value in QUIET.values()))
    client.wait_for_progress(20, 10)
    done = lab.backup.haven("failover", lab.spec.name, "--planned")
    if done.returncode != 0:
        raise Failure(f"haven failover --planned: {done.stderr.strip()}")
    wait_until("the guest runs on hostB only", lambda: lab.running_copies() == ["hostB"], 15)
    pid = lab.primary.qemu_pid()
    assert pid
    with lab.primary.qmp() as monitor:
        monitor("quit")
    lab.primary.wait_for_qemu_death(pid, 10)
    for name, path in lab.primary.disk_paths.items():
        check = subprocess.run([paths.qemu_img(), "check", str(path)], capture_output=True, text=True)
        if check.returncode != 0:
            raise Failure(f"{name}: qemu-img check: {(check.stdout + check.stderr).strip()[-600:]}")
    lab.swap_roles()
    report = lab.check_everything()
    lab.shut_down_and_fsck()
    t(rounds=rounds, operations=operations, trimmed_mb=trimmed >> 20, lost=report["lost"])
