# SPDX-License-Identifier: GPL-2.0-or-later
"""The test guest as an xl.cfg."""
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Optional

from . import places  # noqa: F401
from haven_e2e import network

MAC = "52:54:00:77:00:10"
SHARED, LOCAL = ["/dev/vdc", "/dev/vdd"], ["/data/disk0", "/data/disk1"]
STOCK = None
PATCHED = str(places.PREFIX / "libexec" / "haven" / "qemu-dm")
VIF_SCRIPT = str(places.PREFIX / "etc" / "xen" / "scripts" / "haven-vif-bridge")
KERNEL = ("console=ttyS0 quiet panic=1 nokaslr mitigations=off cryptomgr.notests "
          "random.trust_cpu=on 8250.nr_uarts=1 pci=noearly edd=off sysrq_always_enabled "
          "xen_legacy_crash "  # a panic tells Xen that it was one
          f"haven.address={network.GUEST4} haven.peer={network.CLIENT4}")


@dataclass(frozen=True)
class XenGuest:
    """`pv`: with PV drivers (netback, qdisk through xen-blkfront), else none at all.
    `virtio`: its disks are on virtio, of which xl knows nothing; else on IDE.
    `loaded`: its kernel is put into its memory, without which it cannot boot; 43 MB."""
    name: str = "web1"
    pv: bool = False
    memory_mib: int = 128
    vcpus: int = 1
    nic: str = "virtio-net-pci"
    disks: list[str] = field(default_factory=lambda: list(SHARED))
    device_model: Optional[str] = STOCK
    vif_script: Optional[str] = None  # None: Xen's
    device_model_args: list[str] = field(default_factory=list)
    more: dict[str, object] = field(default_factory=dict)
    virtio: bool = False
    loaded: bool = True

    def with_model(self, path: Optional[str]) -> "XenGuest":
        return replace(self, device_model=path)

    @property
    def serial_log(self) -> str:
        return f"/var/log/xen/guest-{self.name}.log"

    def config(self) -> str:
        """xl.cfg, in which each value is JSON of it."""
        values: dict[str, object] = {
            "name": self.name, "type": "hvm", "memory": self.memory_mib, "vcpus": self.vcpus,
            "cpus": "1",  # dom0 has the other one
            "tsc_mode": "native",  # as it would be on hardware, where Xen knows that the counter is steady
            "kernel": "/payload/guest/kernel", "cmdline": f"{KERNEL} {_tsc()} haven.disks={len(self.disks)}" + ("" if self.pv else " xen_nopv"),
            "xen_platform_pci": int(self.pv), "vga": "none", "vnc": 0, "serial": f"file:{self.serial_log}",
            "disk": [] if self.virtio else [self.disk(number) for number in range(len(self.disks))],
            "vif": [self.vif()],
            "on_poweroff": "destroy", "on_reboot": "restart", "on_crash": "destroy",
        }
        if self.device_model:
            values["device_model_override"] = self.device_model
        loader = ["-device", "loader,file=/payload/guest/boot.elf"] if self.loaded else []
        values["device_model_args"] = [*loader, *self._virtio_disks(), *self.device_model_args]
        return "".join(f"{key} = {_value(value)}\n" for key, value in {**values, **self.more}.items())

    @property
    def disk_names(self) -> list[str]:
        """As the device model has them."""
        name = "xvd{letter}" if self.pv else "disk{number}" if self.virtio else "ide0-hd{number}"
        return [name.format(letter="abcd"[number], number=number) for number in range(len(self.disks))]

    def _virtio_disks(self) -> list[str]:
        words = []
        for name, path in zip(self.disk_names, self.disks if self.virtio else []):
            words += ["-drive", f"id={name},file={path},format=raw,if=none,cache=writeback",
                      "-device", f"virtio-blk-pci,drive={name}"]
        return words

    def disk(self, number: int) -> str:
        kind = "xvd" if self.pv else "hd"
        return (f"format=raw,vdev={kind}{'abcd'[number]},access=rw,backendtype=qdisk,"
                f"target={self.disks[number]}")

    def vif(self, mac: str = MAC) -> str:
        model = "type=vif" if self.pv else f"type=ioemu,model={self.nic}"
        script = f",script={self.vif_script}" if self.vif_script else ""
        return f"mac={mac},bridge=xenbr0,{model}{script}"


def _tsc() -> str:
    """Lets the guest's clock be the time stamp counter, which is the machine's own, two emulators
    below: the guest fails to measure it, and would read its clock from an emulated HPET, at a
    fifth of a millisecond each time. The kernel derives this figure from the frequency."""
    bogomips = re.search(r"^bogomips\s*:\s*([\d.]+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"tsc=reliable tsc_early_khz={round(float(bogomips[1]) * 500)}" if bogomips else ""


def _value(value: object) -> str:
    if isinstance(value, list):
        return "[ " + ", ".join(_value(item) for item in value) + " ]"
    return str(value) if isinstance(value, int) else f'"{value}"'
