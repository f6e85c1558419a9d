# SPDX-License-Identifier: GPL-2.0-or-later
"""The test guest as a QEMU command line."""
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from . import network, paths

APPEND = ("console=ttyS0 quiet panic=1 tsc=reliable nokaslr mitigations=off cryptomgr.notests "
          "random.trust_cpu=on 8250.nr_uarts=1 no_timer_check "
          f"haven.peer={network.CLIENT4}")
MIB = 1 << 20


@dataclass
class Disk:
    """A disk of the guest. `formats` says what a given host keeps it in."""
    name: str
    mib: int
    formats: dict[str, str] = field(default_factory=dict)  # host -> raw | qcow2
    options: str = "discard=unmap"  # of -drive, on both hosts
    created: str = ""  # how, if not raw: qemu-img's -o
    device: str = ""  # instead of what the others are

    def format_on(self, host: str) -> str:
        return self.formats.get(host, "raw")


@dataclass
class GuestSpec:
    name: str = "web1"
    memory_mib: int = 128
    vcpus: int = 1
    nic: str = "virtio-net-pci"
    ide: bool = False  # disks on the machine's IDE bus instead of virtio
    disks: list[Disk] = field(default_factory=lambda: [Disk("disk0", 48), Disk("disk1", 16)])
    extra: list[str] = field(default_factory=list)
    controllers: list[str] = field(default_factory=list)  # of the disks, as `extra`
    drivers: list[str] = field(default_factory=list)  # that the guest loads, of scripts/guest-image
    disk1: str = ""  # the guest's name of its second disk, when that is on another controller than the first
    number: int = 0  # among the guests of a host; the client talks to number 0

    def _append(self) -> str:
        words = [APPEND, f"haven.address={network.guest4(self.number)}"]
        if self.drivers:
            words.append("haven.drivers=" + ",".join(self.drivers))
        if self.disk1:
            words.append(f"haven.disk1={self.disk1}")
        return " ".join(words)

    def argv(self, host: str, disk_paths: dict[str, Path], serial: Path) -> list[str]:
        words = [
            str(paths.QEMU), "-name", self.name, "-machine", "pc", "-accel", "tcg", "-cpu", "qemu64",
            "-m", str(self.memory_mib), "-smp", str(self.vcpus), "-nodefaults", "-no-user-config",
            "-display", "none", "-serial", f"file:{serial}",
            "-kernel", str(paths.GUEST / "vmlinux"),
            "-initrd", str(paths.GUEST / ("initramfs.drivers" if self.drivers else "initramfs")),
            "-append", self._append(), *self.controllers]
        for folder in ("/usr/share/seabios", "/usr/share/qemu"):
            if paths.PREFIX not in paths.QEMU.parents:
                words += ["-L", folder]  # a device model that is not installed does not find them
        for number, disk in enumerate(self.disks):
            device = disk.device or (f"ide-hd,bus=ide.0,unit={number}" if self.ide else "virtio-blk-pci")
            words += ["-drive", f"id={disk.name},file={disk_paths[disk.name]},"
                                f"format={disk.format_on(host)},if=none,cache=none,{disk.options}",
                      "-device", f"{device},drive={disk.name}"]
        words += ["-netdev", f"tap,id=net0,ifname=tap{self.number},script=no,downscript=no",
                  "-device", f"{self.nic},netdev=net0,mac=52:54:00:77:00:{10 + self.number},romfile="]
        return words + self.extra


def make_disk(path: Path, disk: Disk, format_name: str, with_filesystem: bool) -> None:
    """An empty disk; disk0 gets its file system, whatever the format."""
    raw = path if format_name == "raw" else path.with_suffix(".tmp")
    with open(raw, "wb") as file:
        file.truncate(disk.mib * MIB)
    if with_filesystem:
        subprocess.run([paths.tool("mke2fs"), "-q", "-F", "-t", "ext4", "-E", "nodiscard", str(raw)],
                       check=True)
    if format_name != "raw":
        options = ["-o", disk.created] if disk.created else []
        subprocess.run([paths.qemu_img(), "convert", "-O", format_name, *options, str(raw), str(path)],
                       check=True)
        raw.unlink()


def check_filesystem(path: Path) -> str:
    """Empty when e2fsck -fn finds nothing, else what it says."""
    done = subprocess.run([paths.tool("e2fsck"), "-fn", str(path)], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"e2fsck: status {done.returncode}\n{done.stdout}"
