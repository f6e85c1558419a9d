# SPDX-License-Identifier: GPL-2.0-or-later
"""One emulated host: a QEMU process that boots Xen, or continues a saved host."""
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from . import places
from haven_e2e import guest as e2e_guest, paths, saved as saved_state
from haven_e2e.processes import Failure, Processes, alive, kill_pid, wait_until
from haven_e2e.qmp import Qmp, listener_pid

MIB = 1 << 20
PAYLOAD_MIB, LOCAL_MIB, SAN_MIB = 768, 1024, (48, 16)
# The HPET wraps after 43 s, the ACPI timer after 5 s, for which a busy machine may stop us.
XEN_ARGUMENTS = ("console=com1 com1=115200,8n1 loglvl=info clocksource=hpet "
                 "dom0_mem=1024M,max:1024M dom0_max_vcpus=1 dom0_vcpus_pin noreboot")
# The time stamp counter is the machine's own. Linux would take it for unsteady on a busy one and ask Xen
# instead, at 70 microseconds each time.
DOM0_ARGUMENTS = ("console=hvc0 quiet net.ifnames=0 mitigations=off cryptomgr.notests panic=1 "
                  "random.trust_cpu=on tsc=reliable")


@dataclass
class Disks:
    """The images behind a host's vda (root), vdb (payload), vdc and vdd (shared by both
    hosts, as on a SAN), vde (its own). Sizes are the same always: a saved host knows them."""
    root: Path
    payload: Path
    shared: list[Path]
    local: Path
    root_format: str = "qcow2"

    def argv(self) -> list[str]:
        rows = [(self.root, self.root_format, "cache=unsafe"),
                (self.payload, "raw", "read-only=on,cache=unsafe,file.locking=off"),
                *((path, "raw", "cache=writeback,file.locking=off") for path in self.shared),
                (self.local, "raw", "cache=unsafe,discard=unmap")]
        words: list[str] = []
        for number, (path, kind, more) in enumerate(rows):
            words += ["-drive", f"id=disk{number},file={path},format={kind},if=none,{more}", "-device",
                      f"virtio-blk-pci,drive=disk{number},share-rw={'on' if path in self.shared else 'off'}"]
        return words


def make_image(path: Path, mib: int) -> None:
    path.unlink(missing_ok=True)
    with open(path, "wb") as file:
        file.truncate(mib * MIB)


def make_overlay(path: Path, backing: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    subprocess.run([paths.qemu_img(), "create", "-q", "-f", "qcow2", "-b", str(backing), "-F", kind,
                    str(path)], check=True)


@dataclass
class Emulator:
    name: str
    folder: Path
    processes: Processes
    disks: Disks
    memory_mib: int = 2048
    cpus: int = 2
    _process: Optional[subprocess.Popen] = field(default=None, init=False)

    @property
    def console(self) -> Path:
        return self.folder / f"{self.name}.console"

    @property
    def _monitor(self) -> Path:
        return self.folder / f"{self.name}.qmp"

    def argv(self) -> list[str]:
        log = self.processes.log_folder / f"{self.name}.console.log"
        words = [places.emulator(), "-name", self.name, "-machine", "pc", "-accel",
                 "tcg,thread=multi", "-cpu", "qemu64,+svm,+npt", "-m", str(self.memory_mib),
                 "-smp", str(self.cpus), "-nodefaults", "-no-user-config", "-display", "none",
                 "-no-reboot", "-kernel", str(places.XEN / "xen"), "-append", XEN_ARGUMENTS,
                 "-initrd", f"{places.XEN / 'vmlinuz'} {DOM0_ARGUMENTS},{places.XEN / 'initrd'}",
                 "-chardev", f"socket,id=console,path={self.console},server=on,wait=off,logfile={log}",
                 "-serial", "chardev:console",
                 "-qmp", f"unix:{self._monitor},server=on,wait=off", *self.disks.argv()]
        for link in ("lan", "rep", "mgmt"):
            words += ["-netdev", f"tap,id={link},ifname={link}-{self.name},script=no,downscript=no,"
                                 "vhost=off",
                      "-device", f"virtio-net-pci,netdev={link},romfile=,mac={_mac(link)}"]
        return words

    def start(self, saved: Optional[Path] = None) -> None:
        """Boots, or continues from `saved`; returns once the CPUs run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in (self.console, self._monitor):
            path.unlink(missing_ok=True)
        words = self.argv()
        if saved:
            words += saved_state.incoming(saved)
        self._process = self.processes.start(f"{self.name}.emulator", words)
        wait_until(f"the emulator of {self.name} opens its monitor", self._monitor_or_death, 120)
        if saved:
            with self.qmp() as monitor:
                saved_state.go_on(monitor)

    def save(self, path: Path) -> None:
        """Stops the host for good and writes what it was to `path`."""
        with self.qmp() as monitor:
            saved_state.save(monitor, path)
            monitor("quit")
        assert self._process
        self._process.wait(180)

    def qmp(self) -> Qmp:
        return Qmp(self._monitor, seconds=60)

    def alive(self) -> bool:
        # Scenarios run in a child of the emulator's parent, which cannot wait for it.
        return self._process is not None and alive(self._process.pid)

    def kill(self) -> float:
        """Silent death of the host; the time of it."""
        if not self._process or not self.alive():
            raise Failure(f"{self.name} is dead already")
        return kill_pid(self._process.pid)

    def _monitor_or_death(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            log = self.processes.log_folder / f"{self.name}.emulator.log"
            raise Failure(f"the emulator of {self.name} ended with {self._process.returncode}: "
                          f"{log.read_text()[-400:]}")
        return self._monitor.exists() and listener_pid(self._monitor) is not None


def _mac(link: str) -> str:
    # Both hosts continue one saved state, so they begin with the same; see host.personalize.
    return f"52:54:00:78:00:{('lan', 'rep', 'mgmt').index(link):02x}"


def make_filesystem(path: Path, folder: Optional[Path] = None) -> None:
    words = [paths.tool("mke2fs"), "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E",
             "nodiscard,lazy_itable_init=1"]
    subprocess.run([*words, *(["-d", str(folder)] if folder else []), str(path)], check=True)


def make_guest_disk(path: Path, mib: int, with_filesystem: bool) -> None:
    e2e_guest.make_disk(path, e2e_guest.Disk(path.stem, mib), "raw", with_filesystem)
